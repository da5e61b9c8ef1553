"""DenseNet (Huang et al., CVPR 2017): each layer's maps are laid beside all that came before them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from mixcli.models.images.folding import Step
from mixcli.models.images.layers import RELU
from mixcli.models.images.network import Block, ImageNetwork, Plan
from mixcli.models.images.origins import BEARPAW, HUYVNPHAN, KUANGLIU, WEIAICUNZAI
from mixcli.models.images.parts import FRESH, Branches, Chain
from mixcli.models.images.reader import Reader
from mixcli.models.layout import Layout, Origin, Shapes, layout

Pair = tuple[str, str]  # a BatchNorm, and the convolution after it


@dataclass(frozen=True)
class Names:
    """What published code calls the layers, and what differs between codes."""

    stages: Sequence[str]  # the prefixes of the layers, with {} for their numbers
    layer: tuple[Pair, Pair]  # the convolutions are 1x1 and 3x3; where the second has no keys the first is 3x3
    transitions: Sequence[Pair]
    final: str
    head: str
    stem: tuple[str, ...] = ("conv1",)  # a convolution, and its BatchNorm where it has one, with a ReLU and a pool
    first: int = 0  # the number of a stage's first layer
    transition_relu: bool = True
    new_first: bool = False  # of what is laid side by side
    final_relu: str = ""  # the last ReLU, where it is a layer of the sequence that all others lie in


def densenet(name: str, names: Names, origins: Sequence[Origin]) -> Layout:
    """The layout of a family."""

    def build(shapes: Shapes) -> ImageNetwork:
        layers = Reader(shapes)
        stem: list[Step] = [layers.convolution(names.stem[0], 3)]
        inner = layers.width(names.stem[0])
        if names.stem[1:]:
            stem += [layers.norm(names.stem[1], inner), RELU, nn.MaxPool2d(3, 2, 1)]
        blocks: list[Block] = []
        for i, stage in enumerate(names.stages):
            for prefix in _numbered(layers, names, stage):
                blocks.append(_layer(layers, names, prefix, inner))
                inner += layers.width(_convolutions(layers, names, prefix)[-1][1])
            for pair in names.transitions[i : i + 1]:
                blocks.append(_transition(layers, names, pair, inner))
                inner = layers.width(pair[1])
        tail: list[Step] = [layers.norm(names.final, inner), RELU]
        if "." in names.final:
            blocks.append(Chain(tail[:1], names.final))
            blocks += [Chain([FRESH], names.final_relu)] if names.final_relu else []
            tail = [] if names.final_relu else [FRESH]
        return ImageNetwork(Plan(stem, blocks, tail), layers, layers.linear(names.head, inner))

    return layout(name, build, origins)


def _numbered(layers: Reader, names: Names, stage: str) -> Iterator[str]:
    """The prefixes of a stage's layers; at least one."""
    number = names.first
    while number == names.first or layers.has(stage.format(number) + names.layer[0][1]):
        yield stage.format(number)
        number += 1


def _convolutions(layers: Reader, names: Names, prefix: str) -> list[Pair]:
    pairs = [(prefix + norm, prefix + conv) for norm, conv in names.layer]
    return pairs if layers.has(pairs[1][1]) else pairs[:1]


def _layer(layers: Reader, names: Names, prefix: str, inner: int) -> Branches:
    pairs = _convolutions(layers, names, prefix)
    steps: list[Step] = []
    for (norm, conv), kernel in zip(pairs, (1, 3) if pairs[1:] else (3,), strict=True):
        steps += [layers.norm(norm, inner), RELU, layers.convolution(conv, inner, kernel)]
        inner = layers.width(conv)
    chains: list[list[Step]] = [steps, []] if names.new_first else [[], steps]
    return Branches(chains, name=prefix[:-1])


def _transition(layers: Reader, names: Names, pair: Pair, inner: int) -> Chain:
    norm, conv = pair
    relu = [RELU] if names.transition_relu else []
    steps = [layers.norm(norm, inner), *relu, layers.convolution(conv, inner, 1), nn.AvgPool2d(2)]
    return Chain(steps, norm.rpartition(".")[0])


FLAT = (("bn1", "conv1"), ("bn2", "conv2"))
KUANGLIU_NAMES = Names(
    stages=tuple(f"dense{stage}.{{}}." for stage in range(1, 5)),
    layer=FLAT,
    transitions=tuple((f"trans{stage}.bn", f"trans{stage}.conv") for stage in range(1, 4)),
    final="bn",
    head="linear",
    new_first=True,
)
BEARPAW_NAMES = Names(
    stages=tuple(f"dense{stage}.{{}}." for stage in range(1, 4)),
    layer=FLAT,
    transitions=tuple((f"trans{stage}.bn1", f"trans{stage}.conv1") for stage in range(1, 3)),
    final="bn",
    head="fc",
)
WEIAICUNZAI_NAMES = Names(
    stages=(
        *(f"features.dense_block_layer_{stage}.bottle_neck_layer_{{}}." for stage in range(3)),
        "features.dense_block3.bottle_neck_layer_{}.",
    ),
    layer=(("bottle_neck.0", "bottle_neck.2"), ("bottle_neck.3", "bottle_neck.5")),
    transitions=tuple(
        (f"features.transition_layer_{stage}.down_sample.0", f"features.transition_layer_{stage}.down_sample.1")
        for stage in range(3)
    ),
    final="features.bn",
    final_relu="features.relu",
    head="linear",
    transition_relu=False,
)
HUYVNPHAN_NAMES = Names(  # torchvision's keys
    stages=tuple(f"features.denseblock{stage}.denselayer{{}}." for stage in range(1, 5)),
    layer=(("norm1", "conv1"), ("norm2", "conv2")),
    transitions=tuple(
        (f"features.transition{stage}.norm", f"features.transition{stage}.conv") for stage in range(1, 4)
    ),
    final="features.norm5",
    head="classifier",
    stem=("features.conv0", "features.norm0"),
    first=1,
)

LAYOUTS = (
    densenet("densenet_kuangliu", KUANGLIU_NAMES, [KUANGLIU]),
    densenet("densenet_bearpaw", BEARPAW_NAMES, [BEARPAW]),
    densenet("densenet_weiaicunzai", WEIAICUNZAI_NAMES, [WEIAICUNZAI]),
    densenet("densenet_huyvnphan", HUYVNPHAN_NAMES, [HUYVNPHAN]),
)
