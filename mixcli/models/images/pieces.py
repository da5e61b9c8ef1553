"""What convolutional networks are made of beside residual blocks: branches, gates, growth, shuffled halves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixcli.models.images.folding import Part, Step, folded
from mixcli.models.images.network import run

RELU6 = nn.ReLU6(inplace=True)
SILU, HARDSWISH, GELU = nn.SiLU(), nn.Hardswish(), nn.GELU()
SIGMOID, HARDSIGMOID = nn.Sigmoid(), nn.Hardsigmoid()


@dataclass(frozen=True)
class Chain(Part):
    """One step after the other."""

    steps: Sequence[Step]
    name: str = ""

    def __call__(self, x: Tensor) -> Tensor:
        return run(self.steps, x)

    def folded(self) -> Chain:
        """The same with its BatchNorms folded away where they can be."""
        return replace(self, steps=folded(self.steps))


@dataclass(frozen=True)
class Branches(Part):
    """Several chains that all take the input; what they give lies side by side. No step before may work in place."""

    branches: Sequence[Sequence[Step]]
    name: str = ""

    def __call__(self, x: Tensor) -> Tensor:
        return torch.cat([run(steps, x) for steps in self.branches], 1)

    def folded(self) -> Branches:
        """The same with its BatchNorms folded away where they can be."""
        return replace(self, branches=[folded(steps) for steps in self.branches])


@dataclass(frozen=True)
class Grown(Part):
    """The input, and beside it what a chain makes of it (Huang et al., CVPR 2017)."""

    steps: Sequence[Step]
    name: str = ""

    def __call__(self, x: Tensor) -> Tensor:
        return torch.cat([x, run(self.steps, x)], 1)

    def folded(self) -> Grown:
        """The same with its BatchNorms folded away where they can be."""
        return replace(self, steps=folded(self.steps))


@dataclass(frozen=True)
class Gate(Part):
    """Each channel of the input times a factor that a chain makes of all channels' means (Hu et al., CVPR 2018)."""

    steps: Sequence[Step]
    name: str = ""

    def __call__(self, x: Tensor) -> Tensor:
        return x * run(self.steps, x.mean((2, 3), keepdim=True))

    def folded(self) -> Gate:
        """The same with its BatchNorms folded away where they can be."""
        return replace(self, steps=folded(self.steps))


@dataclass(frozen=True)
class Shuffled(Part):
    """Half of the channels as they are, half through a chain, or both through one; then one of each in turn.

    ShuffleNet V2 (Ma et al., ECCV 2018).
    """

    right: Sequence[Step]
    left: Sequence[Step] = ()
    name: str = ""

    def __call__(self, x: Tensor) -> Tensor:
        first, second = (x, x) if self.left else x.chunk(2, 1)
        both = torch.stack([run(self.left, first), run(self.right, second)], 2)
        return both.flatten(1, 2)

    def folded(self) -> Shuffled:
        """The same with its BatchNorms folded away where they can be."""
        return replace(self, right=folded(self.right), left=folded(self.left))


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
