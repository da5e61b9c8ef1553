"""MobileNet (Howard et al., 2017): a 3x3 convolution of each channel by itself, then a 1x1 convolution of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mixcli.models.images.folding import Step
from mixcli.models.images.layers import RELU
from mixcli.models.images.network import ImageNetwork, Plan
from mixcli.models.images.origins import KUANGLIU, WEIAICUNZAI
from mixcli.models.images.parts import Chain
from mixcli.models.images.reader import Reader
from mixcli.models.layout import Layout, Origin, Shapes, layout


@dataclass(frozen=True)
class Names:
    """What published code calls the layers: of each pair, a convolution and its BatchNorm."""

    stem: tuple[str, str]
    stages: Sequence[str]  # the prefixes of blocks, with {} for their numbers
    deep: tuple[str, str]
    point: tuple[str, str]
    head: str


def mobilenet(name: str, names: Names, origins: Sequence[Origin]) -> Layout:
    """The layout of a family. Blocks that widen halve the map, but for the first, as for images of 32 pixels."""

    def build(shapes: Shapes) -> ImageNetwork:
        layers = Reader(shapes)
        stem = layers.unit(*names.stem, 3)
        blocks: list[Chain] = []
        inner = layers.width(names.stem[0])
        for stage in names.stages:
            for prefix in layers.numbered(stage, names.deep[0]):
                point, norm = (prefix + part for part in names.point)
                stride = 2 if blocks and layers.width(point) != inner else 1
                deep = layers.depthwise(prefix + names.deep[0], inner, 3, stride)
                steps: list[Step] = [deep, layers.norm(prefix + names.deep[1], inner), RELU]
                steps += layers.unit(point, norm, inner, 1)
                blocks.append(Chain(steps, prefix[:-1]))
                inner = layers.width(point)
        return ImageNetwork(Plan(stem, blocks), layers, layers.linear(names.head, inner))

    return layout(name, build, origins)


KUANGLIU_NAMES = Names(("conv1", "bn1"), ("layers.{}.",), ("conv1", "bn1"), ("conv2", "bn2"), "linear")
WEIAICUNZAI_NAMES = Names(
    ("stem.0.conv", "stem.0.bn"),
    ("stem.1.", *(f"conv{stage}.{{}}." for stage in range(1, 5))),
    ("depthwise.0", "depthwise.1"),
    ("pointwise.0", "pointwise.1"),
    "fc",
)

LAYOUTS = (
    mobilenet("mobilenet_kuangliu", KUANGLIU_NAMES, [KUANGLIU]),
    mobilenet("mobilenet_weiaicunzai", WEIAICUNZAI_NAMES, [WEIAICUNZAI]),
)
