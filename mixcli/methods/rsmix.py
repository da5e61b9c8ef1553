"""RSMix: Regularization Strategy for Point Cloud via Rigidly Mixed Sample (Lee et al., CVPR 2021).

Both parts are what lies around a random point of their cloud, and the second is moved, not deformed, to where the
first was. It is sampled at random to as many points as the first had, or some of its points are repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mixcli.data.points import Mixed, Samples, taken
from mixcli.methods import Method, method, option
from mixcli.methods.pointcutmix import from_center, lowest, point_uniforms
from mixcli.rng import logit_beta

if TYPE_CHECKING:
    from torch import Tensor


@method(
    data="points",
    saliency=None,
    assignment=False,
    draws=5,
    draw_names=("radius",),
    query=True,
    keeps=(),
    example="mixcli rsmix --in modelnet40.h5 --out mixed.h5 -k 4",
)
@dataclass(frozen=True)
class RSMix(Method[Samples, None, Mixed]):
    """A rigid part of one cloud replaced by a rigid part of the other (Lee et al., CVPR 2021)."""

    beta: float = option(1.0, "Beta(beta, beta) of the radius, in the units of the cloud.", above=0)
    nsample: int = option(
        0, "Most points of a part, a random subset where there are more; 0: half of the cloud's.", above=-1
    )
    neighbors: str = option(
        "ball",
        "A part: the points within the radius (ball), or the nearest radius times nsample (knn).",
        choices=("ball", "knn"),
    )
    as_published: bool = option(
        False, "As the published code: lowest indices first, one neighbour more, its treatment of empty parts."
    )

    def mix(self, a: Samples, b: Samples, phi: None, u: Tensor) -> Mixed:
        """One mix of each pair, with its own radius and query points.

        a, b: (B,N,3) f32; no phi; u (B,5) f64 uniforms for the radius, the query points in a and in b, and the
        samples of the two parts.
        """
        n = a.data.shape[1]
        radius = u.new_tensor(logit_beta(u[:, 0].cpu().numpy(), self.beta)).sigmoid()
        queries = (u[:, 1] * n).long(), (u[:, 2] * n).long()
        keys = point_uniforms(u[:, 3], n), point_uniforms(u[:, 4], n)
        return self.mix_at(a.data, b.data, radius, queries, keys)

    def mix_at(
        self, a: Tensor, b: Tensor, radius: Tensor, queries: tuple[Tensor, Tensor], keys: tuple[Tensor, Tensor]
    ) -> Mixed:
        """(P_a - S_a) ∪ S_b, S_b moved by q_a - q_b, for a given radius (B,) f64 and query points (B,) i64 of a and b.

        keys (B,N) f64 of a and b, uniforms, one a point: what is sampled of a part are the points of lowest key.
        Rows of S_a hold those of S_b; as published, they come after all that is kept.
        """
        import torch

        (query_a, query_b), (key_a, key_b) = queries, keys
        n, erased = a.shape[1], self.part(a, query_a, radius, key_a)
        own, other = self.sources(erased, self.part(b, query_b, radius, key_b), key_a, key_b)
        if self.as_published:
            order = _front(~erased)
            own, other = own.gather(1, order), other.gather(1, order)
        added = other >= 0
        shift = taken(a, query_a[:, None]).double() - taken(b, query_b[:, None]).double()
        moved = (b.double() + shift).float()
        share = added.sum(1).double() / n
        return Mixed(
            data=taken(torch.cat([a, moved], 1), torch.where(added, n + other, own)),
            weight=torch.stack([1 - share, share], 1),
            point_weight=(~added).float(),
            draw=radius[:, None],
            index=torch.stack([own, other], 2),
            query=torch.stack([query_a, query_b], 1),
        )

    def part(self, cloud: Tensor, query: Tensor, radius: Tensor, key: Tensor) -> Tensor:
        """The rigid subset around a query point. (B,N,3), (B,) i64, (B,) f64, (B,N) f64 -> (B,N) bool.

        Never empty, since the query point is in it; as published, rounding may miss it.
        """
        n = cloud.shape[1]
        most = max(1, min(self.nsample or n // 2, n))
        nearest = (radius * most).ceil().long().clamp(min=1, max=most)
        if self.as_published:
            return _published_part(cloud, query, radius, nearest if self.neighbors == "knn" else None, most)
        away = from_center(cloud, query)
        if self.neighbors == "knn":
            return lowest(away, nearest)
        return _sampled(away <= radius[:, None], key, nearest.new_full(nearest.shape, most))

    def sources(self, erased: Tensor, part: Tensor, key_a: Tensor, key_b: Tensor) -> tuple[Tensor, Tensor]:
        """The point of a and the point of b that each row comes from, -1: none. (B,N) bool ×2, f64 ×2 -> (B,N) i64 ×2.

        |S_b| > |S_a|: a random subset without replacement. |S_b| < |S_a|: random points of it are repeated.
        """
        import torch

        n = erased.shape[1]
        row = torch.arange(n, device=erased.device).expand(erased.shape)
        chosen = _sampled(part, key_b, erased.sum(1))
        count, slot = chosen.sum(1, keepdim=True), (erased.cumsum(1) - 1).clamp(min=0)
        of_b = _front(chosen)
        # Which of them to repeat is up to the keys of points that are not chosen: nothing else depends on those.
        again = (key_b.gather(1, of_b) * count).long()
        filling = of_b.gather(1, torch.where(row < count, row, again))
        other = filling.gather(1, slot).masked_fill(~erased | (count == 0), -1)
        own = row.masked_fill(other >= 0, -1)
        if self.as_published:  # no part of b: random points of a among its first rows, as many as are kept
            again = (key_a * (n - erased.sum(1, keepdim=True))).long()
            own = torch.where(erased & (count == 0), again, own)
        return own, other


def _sampled(part: Tensor, key: Tensor, most: Tensor) -> Tensor:
    """The members of lowest key where there are more than `most`. (B,N) bool, (B,N) f64, (B,) i64 -> (B,N) bool."""
    if (part.sum(1) <= most).all():
        return part
    return part & lowest(key.masked_fill(~part, 2.0), most)


def _front(mask: Tensor) -> Tensor:
    """Row numbers, those of the mask first, each kind in its order. (B,N) bool -> (B,N) i64.

    >>> import torch
    >>> _front(torch.tensor([[False, True, False, True]])).tolist()
    [[1, 3, 0, 2]]
    """
    import torch

    first = mask.cumsum(1)
    place = torch.where(mask, first, first[:, -1:] + (~mask).cumsum(1)) - 1
    row = torch.arange(mask.shape[1], device=mask.device).expand(mask.shape)
    return torch.empty_like(place).scatter(1, place, row)


def _published_part(cloud: Tensor, query: Tensor, radius: Tensor, nearest: Tensor | None, most: int) -> Tensor:
    """The published code's: lowest indices first, and with `nearest` (B,) i64 all as near as the one after those.

    |q|² - 2 q·p + |p|², the last in float32: off by 1e-7, so it may be below 0 or miss the query point.
    """
    point = taken(cloud, query[:, None]).double()
    x, y, z = cloud.square().unbind(2)
    square = point.square().sum(2) - 2 * (cloud.double() * point).sum(2) + ((x + y) + z)
    reach = radius[:, None].square()
    if nearest is not None:
        reach = square.sort(1).values.gather(1, nearest[:, None].clamp(max=cloud.shape[1] - 1))
    within = square <= reach
    return within & (within.cumsum(1) <= most)


METHOD = RSMix
