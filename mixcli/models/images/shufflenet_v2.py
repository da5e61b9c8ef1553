"""ShuffleNetV2 (Ma et al., ECCV 2018): half of the channels passes by each block, and all are shuffled after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mixcli.models.images.folding import Step
from mixcli.models.images.layers import RELU
from mixcli.models.images.network import Block, ImageNetwork, Plan
from mixcli.models.images.origins import CHENYAOFO, KUANGLIU, WEIAICUNZAI
from mixcli.models.images.parts import Branches, Chain, Halves, Shuffle
from mixcli.models.images.reader import Reader
from mixcli.models.layout import Layout, Origin, Shapes, layout

Pair = tuple[str, str]  # a convolution and its BatchNorm


@dataclass(frozen=True)
class Names:
    """What published code calls the layers."""

    stem: Pair
    stages: Sequence[str]  # the prefixes of blocks, with {} for their numbers
    side: Sequence[Pair]  # of a block that halves the map: 3x3 of each channel by itself, and 1x1
    body: Sequence[Pair]  # 1x1, 3x3 of each channel by itself, and 1x1
    first_body: Sequence[Pair]  # the same, of a block that halves the map
    tail: Pair
    head: str
    stem_relu: bool = True


def shufflenet_v2(name: str, names: Names, origins: Sequence[Origin]) -> Layout:
    """The layout of a family."""

    def build(shapes: Shapes) -> ImageNetwork:
        layers = Reader(shapes)
        stem = layers.unit(*names.stem, 3, act=RELU if names.stem_relu else None)
        blocks: list[Block] = []
        inner = layers.width(names.stem[0])
        for stage in names.stages:
            for i, prefix in enumerate(layers.numbered(stage, names.body[0][0])):
                if i:
                    half = Halves(_body(layers, prefix, names.body, inner // 2, 1))
                    blocks.append(Chain([half, Shuffle(2)], prefix[:-1]))
                else:
                    side = _side(layers, prefix, names.side, inner)
                    body = _body(layers, prefix, names.first_body, inner, 2)
                    blocks.append(Branches([side, body], [Shuffle(2)], name=prefix[:-1]))
                    inner = layers.width(prefix + names.side[-1][0]) + layers.width(prefix + names.first_body[-1][0])
        tail = layers.unit(*names.tail, inner, 1)
        return ImageNetwork(Plan(stem, blocks, tail), layers, layers.linear(names.head, layers.width(names.tail[0])))

    return layout(name, build, origins)


def _side(layers: Reader, prefix: str, pairs: Sequence[Pair], inner: int) -> list[Step]:
    (deep, norm), last = ((prefix + conv, prefix + norm) for conv, norm in pairs)
    return [layers.depthwise(deep, inner, 3, 2), layers.norm(norm, inner), *layers.unit(*last, inner, 1)]


def _body(layers: Reader, prefix: str, pairs: Sequence[Pair], inner: int, stride: int) -> list[Step]:
    first, (deep, norm), last = ((prefix + conv, prefix + norm) for conv, norm in pairs)
    steps = layers.unit(*first, inner, 1)
    inner = layers.width(first[0])
    return [*steps, layers.depthwise(deep, inner, 3, stride), layers.norm(norm, inner), *layers.unit(*last, inner, 1)]


def _numbered(pattern: str, numbers: Sequence[int]) -> list[Pair]:
    """In a sequence, each convolution comes right before its BatchNorm."""
    return [(pattern.format(i), pattern.format(i + 1)) for i in numbers]


TORCHVISION = Names(  # its keys, and the first convolution for images of 32 pixels
    stem=("conv1.0", "conv1.1"),
    stages=tuple(f"stage{stage}.{{}}." for stage in range(2, 5)),
    side=_numbered("branch1.{}", (0, 2)),
    body=_numbered("branch2.{}", (0, 3, 5)),
    first_body=_numbered("branch2.{}", (0, 3, 5)),
    tail=("conv5.0", "conv5.1"),
    head="fc",
)
FLAT = [(f"conv{i}", f"bn{i}") for i in range(1, 6)]
KUANGLIU_NAMES = Names(
    stem=FLAT[0],
    stages=tuple(f"layer{stage}.{{}}." for stage in range(1, 4)),
    side=FLAT[:2],
    body=FLAT[:3],
    first_body=FLAT[2:],
    tail=FLAT[1],
    head="linear",
)
WEIAICUNZAI_NAMES = Names(
    stem=("pre.0", "pre.1"),
    stages=tuple(f"stage{stage}.{{}}." for stage in range(2, 5)),
    side=_numbered("shortcut.{}", (0, 2)),
    body=_numbered("residual.{}", (0, 3, 5)),
    first_body=_numbered("residual.{}", (0, 3, 5)),
    tail=("conv5.0", "conv5.1"),
    head="fc",
    stem_relu=False,
)

LAYOUTS = (
    shufflenet_v2("shufflenet_v2_cifar", TORCHVISION, [CHENYAOFO]),
    shufflenet_v2("shufflenet_v2_kuangliu", KUANGLIU_NAMES, [KUANGLIU]),
    shufflenet_v2("shufflenet_v2_weiaicunzai", WEIAICUNZAI_NAMES, [WEIAICUNZAI]),
)
