"""What goes into a method and what comes out of it: tensors of one batch of pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Samples:
    """One parent of each pair, each in its own order."""

    data: Tensor  # (B,N,3) f32
    saliency: Tensor | None = None  # (B,N) f32, rows sum to 1


@dataclass(frozen=True)
class Mixed:
    """One mix of each pair."""

    data: Tensor  # (B,N,3) f32
    weight: Tensor  # (B,P) f64, each parent's share of the label; rows sum to 1, column 0 is λ
    point_weight: Tensor  # (B,N) f32, parent a's share of each point
    draw: Tensor  # (B,D) f64, what this mix drew, in the order of the method's `draw_names`
    index: Tensor  # (B,N,2) i64, the points of a and of b that each point was made of; -1: none of that parent
    query: Tensor | None = None  # (B,2) i64, indices of the query points in a and in b


def matched_points(phi: Tensor) -> Tensor:
    """`Mixed.index` where point i of a meets point phi(i) of b. (B,N) i64 -> (B,N,2) i64."""
    import torch

    return torch.stack([torch.arange(phi.shape[1], device=phi.device).expand_as(phi), phi], 2)
