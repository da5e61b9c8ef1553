"""ShuffleNet (Zhang et al., CVPR 2018): 1x1 convolutions in groups, with a shuffle of channels between two of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from mixcli.models.images.folding import Step
from mixcli.models.images.layers import RELU
from mixcli.models.images.network import ImageNetwork, Plan
from mixcli.models.images.origins import KUANGLIU, WEIAICUNZAI
from mixcli.models.images.parts import Branches, Shuffle
from mixcli.models.images.reader import Reader
from mixcli.models.layout import Layout, Origin, Shapes, layout

Pair = tuple[str, str]  # a convolution and its BatchNorm


@dataclass(frozen=True)
class Names:
    """What published code calls the layers, and what differs between codes."""

    stem: Pair
    stages: Sequence[str]  # the prefixes of blocks, with {} for their numbers
    narrow: Pair
    deep: Pair
    widen: Pair
    head: str
    kernel: int  # of the first convolution
    deep_relu: bool  # after the convolution of each channel by itself
    pool_first: bool  # where a block halves the map its pooled input comes before what it computes


def shufflenet(name: str, names: Names, origins: Sequence[Origin]) -> Layout:
    """The layout of a family."""

    def build(shapes: Shapes) -> ImageNetwork:
        layers = Reader(shapes)
        stem = layers.unit(*names.stem, 3, names.kernel)
        blocks, inner = [], layers.width(names.stem[0])
        for stage in names.stages:
            for i, prefix in enumerate(layers.numbered(stage, names.narrow[0])):
                block = _block(layers, names, prefix, inner, halving=not i)
                blocks.append(block)
                inner = layers.width(prefix + names.widen[0]) + (0 if i else inner)
        return ImageNetwork(Plan(stem, blocks), layers, layers.linear(names.head, inner))

    return layout(name, build, origins)


def _block(layers: Reader, names: Names, prefix: str, inner: int, halving: bool) -> Branches:
    narrow = layers.convolution(prefix + names.narrow[0], inner, 1, groups=0)
    inner = narrow.out_channels
    body: list[Step] = [narrow, layers.norm(prefix + names.narrow[1], inner), RELU, Shuffle(narrow.groups)]
    deep = layers.depthwise(prefix + names.deep[0], inner, 3, 2 if halving else 1)
    body += [deep, layers.norm(prefix + names.deep[1], inner), *([RELU] if names.deep_relu else [])]
    widen = layers.convolution(prefix + names.widen[0], inner, 1, groups=0)
    body += [widen, layers.norm(prefix + names.widen[1], widen.out_channels)]
    side: list[Step] = [nn.AvgPool2d(3, 2, 1)] if halving else []
    chains = [side, body] if names.pool_first else [body, side]
    return Branches(chains, [RELU], summed=not halving, name=prefix[:-1])


KUANGLIU_NAMES = Names(
    stem=("conv1", "bn1"),
    stages=tuple(f"layer{stage}.{{}}." for stage in range(1, 4)),
    narrow=("conv1", "bn1"),
    deep=("conv2", "bn2"),
    widen=("conv3", "bn3"),
    head="linear",
    kernel=1,
    deep_relu=True,
    pool_first=False,
)
WEIAICUNZAI_NAMES = Names(
    stem=("conv1.conv", "conv1.bn"),
    stages=tuple(f"stage{stage}.{{}}." for stage in range(2, 5)),
    narrow=("bottlneck.0.pointwise.0", "bottlneck.0.pointwise.1"),
    deep=("depthwise.depthwise.0", "depthwise.depthwise.1"),
    widen=("expand.pointwise.0", "expand.pointwise.1"),
    head="fc",
    kernel=3,
    deep_relu=False,
    pool_first=True,
)

LAYOUTS = (
    shufflenet("shufflenet_kuangliu", KUANGLIU_NAMES, [KUANGLIU]),
    shufflenet("shufflenet_weiaicunzai", WEIAICUNZAI_NAMES, [WEIAICUNZAI]),
)
