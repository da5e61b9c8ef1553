"""What goes into a method and what comes out of it: tensors of one batch of pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mixcli.data.mix import Mix

if TYPE_CHECKING:
    from torch import Tensor

CANCELLED = 1e-6  # length of a sum of two normals below which its direction is noise


@dataclass(frozen=True)
class Samples:
    """One parent of each pair, each in its own order."""

    data: Tensor  # (B,N,3) f32
    saliency: Tensor | None = None  # (B,N) f32, rows sum to 1


@dataclass(frozen=True)
class Mixed(Mix):
    """One mix of each pair: `data` (B,N,3) f32, column 0 of `weight` is λ."""

    point_weight: Tensor  # (B,N) f32, parent a's share of each point
    draw: Tensor  # (B,D) f64, what this mix drew, in the order of the method's `draw_names`
    index: Tensor  # (B,N,2) i64, the points of a and of b that each point was made of; -1: none of that parent
    query: Tensor | None = None  # (B,2) i64, indices of the query points in a and in b
    # What travels with the points by `index`, added after the mix:
    normal: Tensor | None = None  # (B,N,3) f32
    seg: Tensor | None = None  # (B,N,2) i64

    def by_field(self) -> dict[str, Tensor | None]:
        """See Mix."""
        return {**super().by_field(), "point_source": self.index}


def matched_points(phi: Tensor) -> Tensor:
    """`Mixed.index` where point i of a meets point phi(i) of b. (B,N) i64 -> (B,N,2) i64."""
    import torch

    return torch.stack([torch.arange(phi.shape[1], device=phi.device).expand_as(phi), phi], 2)


def taken(cloud: Tensor, index: Tensor) -> Tensor:
    """Points by index, each cloud by its own. (B,M,C), (B,N) i64 -> (B,N,C)."""
    import torch

    batch, points, channels = cloud.shape
    first = torch.arange(batch, device=index.device)[:, None] * points
    rows = cloud.reshape(-1, channels).index_select(0, (index + first).flatten())  # whole rows: twice as fast as gather
    return rows.view(*index.shape, channels)


def travel_saliency(mixed: Mixed, saliency_a: Tensor, saliency_b: Tensor) -> Tensor:
    """Saliency mixed like the points: λ_i s_a + (1 - λ_i) s_b. (B,N) f32 each -> (B,N) f32."""
    lam, (own, other) = mixed.point_weight, mixed.index.clamp(min=0).unbind(2)
    return lam * saliency_a.gather(1, own) + (1 - lam) * saliency_b.gather(1, other)


def travel_normals(mixed: Mixed, normals_a: Tensor, normals_b: Tensor) -> Tensor:
    """λ_i n_a + (1 - λ_i) n_b, made unit length again. (B,N,3) f32 each, in the order of each parent -> (B,N,3) f32.

    A point of one parent alone keeps that parent's normal, bit for bit; so does one whose two normals cancel.
    """
    import torch

    lam, (own, other) = mixed.point_weight[:, :, None], mixed.index.unbind(2)
    of_a, of_b = (taken(normals, at.clamp(min=0)) for normals, at in ((normals_a, own), (normals_b, other)))
    total = lam * of_a + (1 - lam) * of_b
    length = total.norm(dim=2, keepdim=True)
    only_a = (lam == 1) | (other < 0)[:, :, None]
    only_b = (lam == 0) | (own < 0)[:, :, None]
    unmixed = torch.where(only_b, of_b, of_a)
    return torch.where(only_a | only_b | (length <= CANCELLED), unmixed, total / length)


def travel_seg(mixed: Mixed, seg_a: Tensor, seg_b: Tensor) -> Tensor:
    """Each parent's part label at each point, -1 where the parent gives nothing. (B,N) i64 each -> (B,N,2) i64."""
    import torch

    parts = [seg.gather(1, at.clamp(min=0)) for seg, at in zip((seg_a, seg_b), mixed.index.unbind(2), strict=True)]
    return torch.stack(parts, 2).where(mixed.index >= 0, -1)
