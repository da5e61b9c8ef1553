"""Residual attention network (Wang et al., CVPR 2017) as weiaicunzai trains it on images of 32 pixels.

A soft mask gates each trunk. In the published code every way down begins at the trunk's input, so a mask is computed
on one map of half the size, however many ways down and up there are; some of its layers never run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from mixcli.models.images.folding import Part, Step, folded
from mixcli.models.images.layers import RELU
from mixcli.models.images.network import Block, ImageNetwork, Plan, run
from mixcli.models.images.origins import WEIAICUNZAI
from mixcli.models.images.parts import Branches, Chain
from mixcli.models.images.reader import Reader
from mixcli.models.layout import Shapes, layout

POOL = nn.MaxPool2d(3, 2, 1)
RESIDUAL = "residual_function"


@dataclass(frozen=True)
class Masked(Part):
    """What a trunk gives times 1 and a mask from 0 to 1, which is computed on a smaller map."""

    trunk: Sequence[Step]
    mask: Sequence[Step]
    gate: Sequence[Step]  # of the mask, once it is as large as the input

    def __call__(self, x: Tensor) -> Tensor:
        mask = F.interpolate(run(self.mask, x), x.shape[2:])  # the nearest
        return run(self.trunk, x) * (1 + run(self.gate, mask).sigmoid())

    def folded(self) -> Masked:
        return Masked(folded(self.trunk), folded(self.mask), folded(self.gate))


def _build(shapes: Shapes) -> ImageNetwork:
    layers = Reader(shapes)
    stem, inner = layers.unit("pre_conv.0", "pre_conv.1", 3), layers.width("pre_conv.0")
    blocks: list[Block] = []
    for stage in (1, 2, 3):
        at = f"stage{stage}.0"
        blocks.append(_unit(layers, at, inner, 2))
        inner = layers.width(f"{at}.{RESIDUAL}.8")
        for at in list(layers.numbered(f"stage{stage}.{{}}", f".pre.0.{RESIDUAL}.2"))[1:]:
            blocks.append(_module(layers, at, inner, stage))
    for at, stride in (("stage4.0", 2), ("stage4.1", 1), ("stage4.2", 1)):
        blocks.append(_unit(layers, at, inner, stride))
        inner = layers.width(f"{at}.{RESIDUAL}.8")
    return ImageNetwork(Plan(stem, blocks), layers, layers.linear("linear", inner))


def _module(layers: Reader, at: str, inner: int, stage: int) -> Chain:
    """Trunk and mask between other units. The earlier the stage, the more ways its mask has."""

    def units(name: str) -> list[Step]:
        names = layers.numbered(f"{at}.{name}.{{}}", f".{RESIDUAL}.2")
        return [_unit(layers, name, inner, 1) for name in names]

    down = [units(f"soft_resdown{i}") for i in range(1, {1: 4, 2: 3, 3: 2}[stage] + 1)]
    up = [units(f"soft_resup{i}") for i in range(1, {1: 4, 2: 3, 3: 2}[stage] + 1)]
    single = {name: _unit(layers, f"{at}.{name}", inner, 1) for name in SINGLE[stage]}
    mask: list[Step]
    if stage == 1:
        deep = Branches([[*down[1], *down[2]], [*down[2], *down[3], *up[0], *up[1]]], summed=True)
        mask = [Branches([[*down[0], single["shortcut_long"]], [deep, *up[2]]], summed=True), *up[3]]
    elif stage == 2:
        deep = Branches([[*down[0], single["shortcut"]], [*down[1], *down[2], *up[0], *up[1]]], summed=True)
        mask = [deep, *up[2]]
    else:
        mask = [*down[0], *down[1], *up[0], *up[1]]
    gate: list[Step] = []
    for i in (0, 3):
        norm, conv = f"{at}.sigmoid.{i}", f"{at}.sigmoid.{i + 2}"
        gate += [layers.norm(norm, inner), RELU, layers.convolution(conv, inner, 1)]
    return Chain([*units("pre"), Masked(units("trunk"), [POOL, *mask], gate), *units("last")], at)


SINGLE = {1: ("shortcut_short", "shortcut_long"), 2: ("shortcut",), 3: ("shortcut",)}  # units that stand alone


def _unit(layers: Reader, at: str, inner: int, stride: int) -> Branches:
    """Three convolutions with a BatchNorm and a ReLU before each, and a 1x1 convolution as shortcut."""
    body: list[Step] = []
    width = inner
    for i, kernel in enumerate((1, 3, 1)):
        norm, conv = (f"{at}.{RESIDUAL}.{3 * i + part}" for part in (0, 2))
        body += [layers.norm(norm, width), RELU, layers.convolution(conv, width, kernel, 1 if i else stride)]
        width = layers.width(conv)
    return Branches([[layers.convolution(f"{at}.shortcut", inner, 1, stride)], body], summed=True, name=at)


LAYOUTS = (layout("residual_attention_weiaicunzai", _build, [WEIAICUNZAI]),)
