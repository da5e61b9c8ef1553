"""What networks for images of usual size have beside the parts of others: activations, a range of numbers, a blur."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from mixcli.models.images.folding import Part

SILU, HARDSWISH, GELU = nn.SiLU(), nn.Hardswish(), nn.GELU()
HARDSIGMOID = nn.Hardsigmoid()


class Rescaled(Part):
    """Images normalised by ImageNet's statistics (B, 3, H, W) to the range of -1 to 1 that Inception was trained on."""

    name = ""

    def __call__(self, x: Tensor) -> Tensor:
        mean, std = (x.new_tensor(values)[:, None, None] for values in (MEAN, STD))
        return x * (std / 0.5) + (mean - 0.5) / 0.5

    def folded(self) -> Rescaled:
        """Itself."""
        return self


@dataclass(frozen=True)
class Blurred(Part):
    """Every second row and column of a map that was blurred by 1, 2, 1 along both (Zhang, ICML 2019)."""

    name: str = ""

    def __call__(self, x: Tensor) -> Tensor:
        line = x.new_tensor([0.25, 0.5, 0.25])
        kernel = (line[:, None] * line).expand(x.shape[1], 1, 3, 3)
        return F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), kernel, stride=2, groups=x.shape[1])

    def folded(self) -> Blurred:
        """Itself."""
        return self


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
