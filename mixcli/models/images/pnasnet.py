"""PNASNet (Liu et al., ECCV 2018) with kuangliu's two cells: large convolutions of each channel, and a max-pool."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from mixcli.models.images.folding import Step
from mixcli.models.images.layers import RELU
from mixcli.models.images.network import Block, ImageNetwork, Plan
from mixcli.models.images.origins import KUANGLIU
from mixcli.models.images.parts import Branches, Chain
from mixcli.models.images.reader import Reader
from mixcli.models.layout import Layout, Shapes, layout

STAGES = ("layer1.{}.", "layer2.", "layer3.{}.", "layer4.", "layer5.{}.")  # the single cells halve the map


def pnasnet(name: str, cell: Callable[[Reader, str, int, int], list[Step]]) -> Layout:
    """The layout of those with this cell."""

    def build(shapes: Shapes) -> ImageNetwork:
        layers = Reader(shapes)
        stem, inner = layers.unit("conv1", "bn1", 3), layers.width("conv1")
        blocks: list[Block] = []
        for stage in STAGES:
            for prefix in layers.numbered(stage, "sep_conv1.conv1"):
                blocks.append(Chain(cell(layers, prefix, inner, 1 if "{}" in stage else 2), prefix[:-1]))
                inner = layers.width(f"{prefix}sep_conv1.conv1")
        return ImageNetwork(Plan(stem, blocks), layers, layers.linear("linear", inner))

    return layout(name, build, [KUANGLIU])


def _cell_a(layers: Reader, prefix: str, inner: int, stride: int) -> list[Step]:
    chains = [_separable(layers, f"{prefix}sep_conv1", inner, 7, stride), _pooled(layers, prefix, inner, stride)]
    return [Branches(chains, [RELU], summed=True)]


def _cell_b(layers: Reader, prefix: str, inner: int, stride: int) -> list[Step]:
    """Two sums side by side: of two convolutions, and of the pool and a convolution."""
    seven, three, five = (
        _separable(layers, f"{prefix}sep_conv{i}", inner, kernel, stride) for i, kernel in ((1, 7), (2, 3), (3, 5))
    )
    left = Branches([seven, three], [RELU], summed=True)
    right = Branches([_pooled(layers, prefix, inner, stride), five], [RELU], summed=True)
    outer = layers.width(f"{prefix}sep_conv1.conv1")
    return [Branches([[left], [right]]), *layers.unit(f"{prefix}conv2", f"{prefix}bn2", 2 * outer, 1)]


def _separable(layers: Reader, at: str, inner: int, kernel: int, stride: int) -> list[Step]:
    return [
        layers.depthwise(f"{at}.conv1", inner, kernel, stride),
        layers.norm(f"{at}.bn1", layers.width(f"{at}.conv1")),
    ]


def _pooled(layers: Reader, prefix: str, inner: int, stride: int) -> list[Step]:
    """A pool, and where it halves the map a 1x1 convolution."""
    widen = layers.unit(f"{prefix}conv1", f"{prefix}bn1", inner, 1, act=None) if stride > 1 else []
    return [nn.MaxPool2d(3, stride, 1), *widen]


LAYOUTS = (pnasnet("pnasnet_a_kuangliu", _cell_a), pnasnet("pnasnet_b_kuangliu", _cell_b))
