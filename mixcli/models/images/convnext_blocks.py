"""ConvNeXt (Liu et al., CVPR 2022) and its version 2 (Woo et al., CVPR 2023): how one is put together.

A block is a wide depthwise convolution, then two linear layers for each place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from mixcli.models.images.attention import GELU, GELUS, Dense, scaled
from mixcli.models.images.folding import Part, Step, folded
from mixcli.models.images.network import Block, ImageNetwork, Plan
from mixcli.models.images.parts import Chain
from mixcli.models.images.sized import Sized
from mixcli.models.images.tops import Style, both, head, topped
from mixcli.models.images.windows import BEFORE, BEHIND
from mixcli.models.layout import Layout, Shapes

EPS = 1e-6  # of the LayerNorms


@dataclass(frozen=True)
class Responses:
    """Maps (B, h, w, C) with each channel normalised by its norm over the places, beside the others' (Woo et al.)."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
        share = norm / (norm.mean(-1, keepdim=True) + 1e-6)
        return x + self.weight * (x * share) + self.bias


@dataclass(frozen=True)
class Mixed(Part):
    """x plus what a convolution, a LayerNorm and two linear layers make of it: (B, C, h, w) -> (B, C, h, w)."""

    conv: Step
    norm: nn.LayerNorm
    first: nn.Linear
    last: nn.Linear | Dense
    factors: Tensor | None = None  # layer scale
    act: Step = GELU
    between: Step | None = None  # before the last linear layer
    name: str = ""

    def __call__(self, x: Tensor) -> Tensor:
        y = self.act(self.first(self.norm(self.conv(x).permute(0, 2, 3, 1))))
        y = self._last()(y if self.between is None else self.between(y))
        return x + y.permute(0, 3, 1, 2)

    def _last(self) -> nn.Linear | Dense:
        return scaled(self.last, self.factors) if isinstance(self.last, nn.Linear) else self.last

    def folded(self) -> Mixed:
        """The same with fixed weights."""
        return replace(self, conv=folded([self.conv])[0], last=self._last(), factors=None)


@dataclass(frozen=True)
class Names:
    """What published code calls the layers."""

    stem: str
    stem_norm: str
    stages: Sequence[str]  # the prefix of a block, with {} for its number
    halvings: Sequence[tuple[str, str]]  # the LayerNorm and the convolution between two stages
    scale: str
    conv: str
    norm: str
    linears: tuple[str, str]
    head: Style
    final: str = ""  # the LayerNorm of the means, where it is no part of the head
    responses: str = ""  # the prefix of what version 2 has between the linear layers


def convnext(name: str, names: Names, act: str = "gelu", eps: float = EPS) -> list[Layout]:
    """The layouts of a family; ``eps`` is that of the last LayerNorm."""

    def build(shapes: Shapes, act: str = act, eps: float = eps, activation: str | None = None) -> ImageNetwork:
        layers = Sized(shapes)
        conv = layers.convolution(names.stem, 3, shapes[f"{names.stem}.weight"][2], 0)
        channels, blocks = conv.out_channels, list[Block]()
        stem: list[Step] = [conv, BEHIND, layers.layer_norm(names.stem_norm, channels, EPS), BEFORE]
        for stage, prefix in enumerate(names.stages):
            if stage:
                norm, halving = names.halvings[stage - 1]
                steps: list[Step] = [BEHIND, layers.layer_norm(norm, channels, EPS), BEFORE]
                blocks.append(Chain([*steps, layers.convolution(halving, channels, 2, 0)], halving.rpartition(".")[0]))
                channels = layers.outer(halving)
            for i in range(max(layers.numbered(f"{prefix}{names.conv}.weight"), 1)):
                blocks.append(_block(layers, names, prefix.format(i), channels, GELUS[act]))
        style = replace(names.head, eps=eps)
        final = [(names.final, layers.layer_norm(names.final, channels, eps))] if names.final else []
        return topped(Plan(stem, blocks), layers, [*final, *head(layers, style, activation)], channels).at_least(32)

    return both(name, build, names.head, act=act, eps=eps)


def _block(layers: Sized, names: Names, at: str, channels: int, act: Step) -> Mixed:
    conv = layers.convolution(at + names.conv, channels)
    norm = layers.layer_norm(at + names.norm, channels, EPS)
    first = layers.dense(at + names.linears[0], channels)
    last = layers.dense(at + names.linears[1], first.out_features)
    key, between = at + names.scale, None
    factors = layers.table(key) if names.scale and layers.has_key(key) else None
    if names.responses:
        weight, bias = (
            layers.table(f"{at}{names.responses}.{part}", 1, 1, 1, first.out_features) for part in ("weight", "bias")
        )
        between = Responses(weight, bias)
    return Mixed(conv, norm, first, last, factors, act, between, at.removesuffix("."))
