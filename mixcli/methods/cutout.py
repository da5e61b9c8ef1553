"""Cutout: Improved Regularization of Convolutional Neural Networks (DeVries and Taylor, 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mixcli.data.images import Images, MixedImages
from mixcli.errors import UsageError
from mixcli.methods import Method, method, option
from mixcli.methods.cutmix import BOX, around, outside

if TYPE_CHECKING:
    from torch import Tensor


@method(
    data="images",
    saliency=None,
    assignment=False,
    draws=2,
    draw_names=BOX,
    query=False,
    keeps=(),
    parents=1,
    example="mixcli cutout --in cifar10/train --out mixed/ -k 4",
)
@dataclass(frozen=True)
class Cutout(Method[Images, None, MixedImages]):
    """A square hole in each image, whose label stays (DeVries and Taylor, 2017)."""

    length: int = option(16, "Side of the hole, pixels; published: CIFAR-10 16, CIFAR-100 8, SVHN 20.", above=1)
    fill: str = option("125.3,123.0,113.9", "Colour of the hole, R,G,B of 255: the published zero, CIFAR-10's mean.")

    def __post_init__(self) -> None:
        self.colour()

    def colour(self) -> tuple[float, ...]:
        """`fill` as three numbers."""
        parts = [part.strip() for part in self.fill.split(",")]
        if len(parts) != 3 or not all(part.replace(".", "", 1).isdecimal() and float(part) <= 255 for part in parts):
            raise UsageError("must be three numbers from 0 to 255, as in 125.3,123.0,113.9", at=f"--fill {self.fill}")
        return tuple(map(float, parts))

    def mix(self, a: Images, b: Images | None, phi: None, u: Tensor) -> MixedImages:
        """A hole whose centre is any pixel, clipped at the border. a: (B,H,W,3) f32; u (B,2) f64; no b, no phi."""
        size = np.array(a.data.shape[1:3])
        return self.cut(a, around(size, u.cpu().numpy() * size, self.length // 2))

    def cut(self, a: Images, boxes: np.ndarray) -> MixedImages:
        """The colour inside the boxes (B,4), a outside."""
        import torch

        mask = outside(boxes, a.data)
        return MixedImages(
            data=a.data.where(mask[..., None], a.data.new_tensor(self.colour())),
            weight=torch.ones(len(boxes), 1, dtype=torch.float64, device=mask.device),
            mask=mask.float(),
            draw=torch.from_numpy(boxes).double().to(mask.device),
        )


METHOD = Cutout
