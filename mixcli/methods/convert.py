"""No mixing at all: each sample as it is, so that a source can be written to any container with its record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mixcli.data.images import Images, MixedImages
from mixcli.data.points import Mixed, Samples
from mixcli.methods import Method, method, option
from mixcli.methods.contract import Needs

if TYPE_CHECKING:
    from torch import Tensor


@method(
    data="points",
    saliency=None,
    assignment=False,
    draws=0,
    draw_names=(),
    query=False,
    keeps=("self-pair",),
    example="mixcli convert modelnet40_normal_resampled/ modelnet40.h5",
    parents=1,
)
@dataclass(frozen=True)
class Convert(Method[Samples | Images, None, Mixed | MixedImages]):
    """Write a source to another container, without mixing."""

    on: str = option("points", "What the source holds.", choices=("points", "images"))

    def needs(self) -> Needs:
        return {"data": self.on}

    def mix(self, a: Samples | Images, b: Samples | Images | None, phi: None, u: Tensor) -> Mixed | MixedImages:
        """a itself; b is not used."""
        import torch

        if isinstance(a, Images):
            return MixedImages(data=a.data, weight=u.new_ones(len(u), 1), mask=None, draw=u.new_empty(len(u), 0))
        count, points = a.data.shape[:2]
        own = torch.arange(points, device=u.device).expand(count, points)
        return Mixed(
            data=a.data,
            weight=u.new_ones(count, 1),
            point_weight=a.data.new_ones(count, points),
            draw=u.new_empty(count, 0),
            index=torch.stack([own, torch.full_like(own, -1)], 2),
        )


METHOD = Convert
