"""ResNet in ResNet (Targ et al., 2016): two streams, of which one has shortcuts, and convolutions within and across.

Both streams are one tensor here, the one with shortcuts first, so that a layer is one convolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mixcli.models.images.folding import Convolution, Part, opened
from mixcli.models.images.heads import Headed
from mixcli.models.images.layers import RELU
from mixcli.models.images.network import Block, Plan
from mixcli.models.images.origins import WEIAICUNZAI
from mixcli.models.images.parts import Branches, Chain
from mixcli.models.images.reader import Reader
from mixcli.models.layout import Shapes, layout

HALVING = (3, 6)  # the blocks whose first layer halves the map
HEADS = ("classifier.0", "classifier.3")


@dataclass(frozen=True)
class Streams(Part):
    """The convolutions from a stream to a stream, and the BatchNorm of what each gets."""

    within: tuple[nn.Conv2d, nn.Conv2d]
    across: tuple[nn.Conv2d, nn.Conv2d]  # from the first to the second, and back
    shortcut: nn.Conv2d | None  # 1x1, of the first stream; without one that is added as it is
    norms: tuple[nn.BatchNorm2d, nn.BatchNorm2d]

    def __call__(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, 1)
        side = self.shortcut(first) if self.shortcut else first
        one = self.norms[0](self.within[0](first) + self.across[1](second) + side)
        two = self.norms[1](self.across[0](first) + self.within[1](second))
        return torch.cat([one, two], 1)

    def folded(self) -> Convolution:
        """One convolution of both streams; the shortcut is in its centre."""
        (one, two), (over, back) = ([opened(conv) for conv in pair] for pair in (self.within, self.across))
        centre, shift = self._side(one.weight)
        to_first = torch.cat([one.weight, back.weight], 1)
        to_first[:, : centre.shape[1], 1, 1] += centre
        to_second = torch.cat([over.weight, two.weight], 1)
        biases = one.bias + back.bias + shift, over.bias + two.bias
        halves = [
            Convolution(weight, bias, one.stride, one.padding, 1).then(norm)
            for weight, bias, norm in zip((to_first, to_second), biases, self.norms, strict=True)
        ]
        weight, bias = (torch.cat(parts) for parts in zip(*((half.weight, half.bias) for half in halves), strict=True))
        return Convolution(weight, bias, one.stride, one.padding, 1).ready(self.within[0].weight)

    def _side(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """The weights (out, in) and (out,) of the shortcut."""
        if self.shortcut:
            side = opened(self.shortcut)
            return side.weight.flatten(1), side.bias
        return torch.eye(len(like)).to(like), like.new_zeros(len(like))


def _build(shapes: Shapes) -> Headed:
    layers = Reader(shapes)
    names = ("residual_pre_conv", "transient_pre_conv")
    blocks: list[Block] = [Branches([layers.unit(f"{name}.0", f"{name}.1", 3) for name in names])]
    inner = layers.width("residual_pre_conv.0")
    for number in range(1, 9):
        pattern = f"rir{number}.resnetinit.generalized layers{{}}."
        for i, prefix in enumerate(layers.numbered(pattern, "residual_stream_conv")):
            halving = number in HALVING and not i
            blocks.append(Chain([_streams(layers, prefix, inner, 2 if halving else 1), RELU]))
            inner = layers.width(f"{prefix}residual_stream_conv")
    last = layers.convolution("conv1.0", 2 * inner, 3, 2, padding=0)
    blocks.append(Chain([last, layers.norm("conv1.1", last.out_channels), RELU], "conv1"))
    layers.dense(HEADS[0], last.out_channels * 9)  # of 3 x 3 places
    layers.dense(HEADS[1], layers.width(HEADS[0]))
    return Headed(Plan([], blocks), layers, HEADS, image=32)


def _streams(layers: Reader, prefix: str, inner: int, stride: int) -> Streams:
    one, two, over, back = (
        layers.convolution(f"{prefix}{stream}_stream_conv{kind}", inner, 3, stride)
        for kind in ("", "_across")
        for stream in ("residual", "transient")
    )
    outer = one.out_channels
    shortcut = layers.convolution(f"{prefix}short_cut.0", inner, 1, stride) if stride > 1 or inner != outer else None
    norms = layers.norm(f"{prefix}residual_bn_relu.0", outer), layers.norm(f"{prefix}transient_bn_relu.0", outer)
    return Streams((one, two), (over, back), shortcut, norms)


LAYOUTS = (layout("rir_weiaicunzai", _build, [WEIAICUNZAI]),)
