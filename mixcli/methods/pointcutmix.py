"""PointCutMix: Regularization Strategy for Point Cloud Classification (Zhang et al., Neurocomputing 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mixcli.data.points import Mixed, Samples, matched_points, taken
from mixcli.errors import UsageError
from mixcli.methods import Method, method, option
from mixcli.methods.contract import Needs, heat
from mixcli.rng import categorical, key, logit_beta, philox

if TYPE_CHECKING:
    from torch import Tensor


@method(
    data="points",
    saliency=None,
    assignment=True,
    draws=2,
    draw_names=("lam",),
    query=True,
    keeps=("self-pair",),
    example="mixcli pointcutmix --in modelnet40.h5 --out mixed.h5 --variant k -k 4",
)
@dataclass(frozen=True)
class PointCutMix(Method[Samples, "Tensor", Mixed]):
    """Some points of one cloud replaced by those of the other that they are assigned to (Zhang et al., 2022)."""

    variant: str = option("k", "Replace the points nearest to a centre (k) or random ones (r).", choices=("k", "r"))
    center: str = option(
        "uniform", "How the centre of k is drawn: evenly, or by parent A's saliency.", choices=("uniform", "saliency")
    )
    beta: float = option(1.0, "Beta(beta, beta) of the shares.", above=0)

    def needs(self) -> Needs:
        guided = self.center == "saliency"
        if guided and self.variant == "r":
            raise UsageError("variant r has no centre", at="--center saliency", advice="use --variant k")
        return {"saliency": "gradient" if guided else None, "query": self.variant == "k"}

    def mix(self, a: Samples, b: Samples, phi: Tensor, u: Tensor) -> Mixed:
        """One mix of each pair, with its own share, and its own centre or subset.

        a, b: (B,N,3) f32, a with saliency (B,N) for --center saliency; phi (B,N) i64, the point of b that each point
        of a is assigned to; u (B,2) f64 uniforms for λ and for the centre or the subset.
        """
        logit, n = u.new_tensor(logit_beta(u[:, 0].cpu().numpy(), self.beta)), phi.shape[1]
        if self.variant == "r":
            return self.mix_at(a.data, b.data, phi, logit, point_uniforms(u[:, 1], n))
        if self.center == "saliency":
            center = categorical(u[:, 1], heat(a).double())
        else:
            center = (u[:, 1] * n).long()
        return self.mix_at(a.data, b.data, phi, logit, order=from_center(a.data, center), center=center)

    def mix_at(
        self, a: Tensor, b: Tensor, phi: Tensor, logit: Tensor, order: Tensor, center: Tensor | None = None
    ) -> Mixed:
        """The first int(N (1 - λ)) points of a by `order` (B,N) f64, at least one, become their partners in b.

        logit (B,) f64 of the drawn λ. The label takes the share that came of it, a whole number of points.
        """
        import torch

        n = phi.shape[1]
        count = (n * (-logit).sigmoid()).long().clamp(min=1)
        replaced = lowest(order, count)
        own, other = matched_points(phi).unbind(2)
        share = count.double() / n
        return Mixed(
            data=taken(torch.cat([a, b], 1), torch.where(replaced, n + phi, own)),
            weight=torch.stack([1 - share, share], 1),
            point_weight=(~replaced).float(),
            draw=logit.sigmoid()[:, None],
            index=torch.stack([own.masked_fill(replaced, -1), other.masked_fill(~replaced, -1)], 2),
            query=None if center is None else torch.stack([center, phi.gather(1, center[:, None])[:, 0]], 1),
        )


def from_center(cloud: Tensor, center: Tensor) -> Tensor:
    """Distance of each point to the centre; -1 at the centre itself, so that no duplicate comes before it.

    (B,N,3) f32, (B,) i64 -> (B,N) f64.
    """
    import torch

    cloud = cloud.double()
    # By differences: the matrix-multiplication form cancels.
    away = torch.cdist(cloud, taken(cloud, center[:, None]), compute_mode="donot_use_mm_for_euclid_dist")[:, :, 0]
    return away.scatter(1, center[:, None], -1.0)


def lowest(order: Tensor, count: Tensor) -> Tensor:
    """Mask of the `count` lowest entries of each row, of equal ones the first. (B,N) f64, (B,) i64 -> (B,N) bool.

    >>> import torch
    >>> lowest(torch.tensor([[3.0, 1.0, 1.0, 2.0]]), torch.tensor([1])).tolist()
    [[False, True, False, False]]
    """
    ranked = np.sort(order.cpu().numpy(), axis=1)  # numpy sorts values alone, twenty times as fast as torch on a CPU
    last = (count - 1).clamp(min=0)[:, None]
    reach = order.new_tensor(np.take_along_axis(ranked, last.cpu().numpy(), 1))
    below, at = order < reach, order == reach
    return below | (at & (at.cumsum(1) <= count[:, None] - below.sum(1, keepdim=True)))


def point_uniforms(u: Tensor, n: int) -> Tensor:
    """A uniform for each of n points, all following from one: Philox of its bits. (B,) f64 -> (B,n) f64 in (0, 1).

    So a mix that draws for every point needs one uniform, however many points there are. 32 bits each, as they are
    only put in order: two in a cloud of 1024 are equal once in 8000 mixes.
    """
    bits = u.cpu().numpy().view(np.uint64)
    cells = -(-n // 8)
    cell, word = np.tile(np.arange(cells, dtype=np.uint64), len(bits)), np.repeat(bits, cells)
    zero = np.zeros_like(word)
    words = philox((cell, word, zero, zero), key(0, "points")).astype("<u8", copy=False).view("<u4")
    return u.new_tensor((words.reshape(len(bits), -1)[:, :n] + 0.5) * 2.0**-32)


METHOD = PointCutMix
