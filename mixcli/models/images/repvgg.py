"""RepVGG (Ding et al., CVPR 2021): a 3x3 convolution, a 1x1 one and the input itself are added, all normalised.

That is one 3x3 convolution, which is what runs here, and what some checkpoints hold instead. No key tells the strides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixcli.models.images.folding import Convolution, Part, Step, affine, opened
from mixcli.models.images.layers import RELU
from mixcli.models.images.network import ImageNetwork, Plan, run
from mixcli.models.images.origins import CHENYAOFO, REPVGG
from mixcli.models.images.parts import Chain
from mixcli.models.images.reader import Reader
from mixcli.models.layout import Layout, Origin, Shapes, layout

STAGES = ("stage0.", *(f"stage{stage}.{{}}." for stage in range(1, 5)))


@dataclass(frozen=True)
class OneConvolution(Part):
    """The sum of a 3x3 convolution, a 1x1 convolution and perhaps the input, each with its BatchNorm."""

    three: tuple[nn.Conv2d, nn.BatchNorm2d]
    one: tuple[nn.Conv2d, nn.BatchNorm2d]
    same: nn.BatchNorm2d | None

    def __call__(self, x: Tensor) -> Tensor:
        parts = [run(self.three, x), run(self.one, x), *([self.same(x)] if self.same else [])]
        return reduce(add, parts)

    def folded(self) -> Step:
        """One convolution: the others have a kernel that is zero but for its centre."""
        three, one = (opened(conv).then(norm) for conv, norm in (self.three, self.one))
        weight, bias = three.weight + F.pad(one.weight, (1, 1, 1, 1)), three.bias + one.bias
        if self.same:
            weight, bias = _with_same(self.same, weight, bias)
        whole = Convolution(weight, bias, three.stride, three.padding, three.groups)
        return whole.ready(self.three[0].weight)


def _with_same(norm: nn.BatchNorm2d, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """The weights of a convolution (C, C / groups, 3, 3) and (C,) to whose output a BatchNorm of its input is added."""
    scale, shift = affine(norm)
    channel = torch.arange(len(weight), device=weight.device)
    weight[channel, channel % weight.shape[1], 1, 1] += scale
    return weight, bias + shift


def repvgg(name: str, strides: Sequence[int], origins: Sequence[Origin]) -> Layout:
    """The layout of those with these strides: of the first convolution, and of each stage."""

    def build(shapes: Shapes) -> ImageNetwork:
        layers = Reader(shapes)
        last = "rbr_reparam" if layers.has("stage0.rbr_reparam") else "rbr_dense.conv"
        blocks, inner = [], 3
        for stage, stride in zip(STAGES, strides, strict=True):
            for i, prefix in enumerate(layers.numbered(stage, last)):
                steps = _block(layers, prefix, inner, 1 if i else stride)
                blocks.append(Chain(steps, prefix[:-1]))
                inner = layers.width(prefix + last)
        return ImageNetwork(Plan([], blocks), layers, layers.linear("linear", inner))

    return layout(name, build, origins)


def _block(layers: Reader, prefix: str, inner: int, stride: int) -> list[Step]:
    if layers.has(f"{prefix}rbr_reparam"):
        return [layers.convolution(f"{prefix}rbr_reparam", inner, 3, stride, groups=0), RELU]
    outer = layers.width(f"{prefix}rbr_dense.conv")
    three, one = (
        (
            layers.convolution(f"{prefix}{part}.conv", inner, kernel, stride, groups=0),
            layers.norm(f"{prefix}{part}.bn", outer),
        )
        for part, kernel in (("rbr_dense", 3), ("rbr_1x1", 1))
    )
    same = layers.norm(f"{prefix}rbr_identity", inner) if stride == 1 and inner == outer else None
    return [OneConvolution(three, one, same), RELU]


LAYOUTS = (
    repvgg("repvgg_cifar", (1, 1, 2, 2, 2), [CHENYAOFO]),
    repvgg("repvgg", (2, 2, 2, 2, 2), [REPVGG]),
)
