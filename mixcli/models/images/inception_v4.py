"""Inception v4 and Inception-ResNet v2 (Szegedy et al., AAAI 2017) as weiaicunzai trains them on small images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from mixcli.models.images.folding import Scale, Step
from mixcli.models.images.inception import AVERAGE, HALF_MAX, MAX, Branch, Units, chain
from mixcli.models.images.layers import RELU
from mixcli.models.images.network import Block, ImageNetwork, Plan
from mixcli.models.images.origins import WEIAICUNZAI
from mixcli.models.images.parts import Branches, Chain
from mixcli.models.images.reader import Reader
from mixcli.models.layout import Shapes, layout

STEM = (
    [Branch(["branch3x3_conv"]), Branch(pool=MAX)],
    [chain("branch7x7a", 4), chain("branch7x7b", 2)],
    [Branch(pool=MAX), Branch(["branchpoolb"])],
)
REDUCTION_A = [chain("branch3x3stack", 3, halving=True), Branch(["branch3x3"], halving=True), Branch(pool=HALF_MAX)]

# Inception v4
A = [
    chain("branch3x3stack", 3),
    chain("branch3x3", 2),
    Branch(["branch1x1"]),
    Branch(["branchpool.1"], AVERAGE),
]
B = [
    Branch(["branch1x1"]),
    chain("branch7x7", 3),
    chain("branch7x7stack", 5),
    Branch(["branchpool.1"], AVERAGE),
]
REDUCTION_B = [
    chain("branch3x3", 2, halving=True, padding=1),
    chain("branch7x7", 4, halving=True, padding=1),
    Branch(pool=nn.MaxPool2d(3, 2, 1)),
]
C = [
    Branch(["branch1x1"]),
    Branch(["branch3x3", ("branch3x3a", "branch3x3b")]),
    Branch([*(f"branch3x3stack.{i}" for i in range(3)), ("branch3x3stacka", "branch3x3stackb")]),
    Branch(["branchpool.1"], AVERAGE),
]


@dataclass(frozen=True)
class Sum:
    """A block of Inception-ResNet: what its branches give is brought to the width of a shortcut, and added to it."""

    branches: Sequence[Branch]
    factor: float
    shortcut: str = "shortcut"

    def block(self, units: Units, at: str, inner: int) -> tuple[Branches, int]:
        """The block and its width; a BatchNorm and a ReLU follow the sum."""
        layers = units.layers
        body, middle = units.block(at, self.branches, inner)
        wide = layers.convolution(f"{at}.reduction1x1", middle, 1)
        shortcut: list[Step] = [layers.convolution(f"{at}.{self.shortcut}", inner, 1)]
        chains: list[list[Step]] = [shortcut, [body, wide, Scale(self.factor)]]
        return Branches(chains, [layers.norm(f"{at}.bn", wide.out_channels), RELU], summed=True), wide.out_channels


SUM_A = Sum([Branch(["branch1x1"]), chain("branch3x3", 2), chain("branch3x3stack", 3)], 1)
SUM_B = Sum([Branch(["branch1x1"]), chain("branch7x7", 3)], 0.1)
SUM_C = Sum([Branch(["branch1x1"]), chain("branch3x3", 3)], 0.1, "shorcut")
SUM_REDUCTION = [
    chain("branch3x3a", 2, halving=True),
    chain("branch3x3b", 2, halving=True),
    chain("branch3x3stack", 3, halving=True),
    Branch(pool=HALF_MAX),
]

Kind = Sequence[Branch] | Sum
INCEPTION_V4: dict[str, Kind] = {  # with {} for the number of one of several
    "inception_a.InceptionA_{}": A,
    "reduction_a": REDUCTION_A,
    "inception_b.InceptionB_{}": B,
    "reduction_b": REDUCTION_B,
    "inception_c.InceptionC_{}": C,
}
INCEPTION_RESNET: dict[str, Kind] = {
    "inception_resnet_a.InceptionResNetA_{}": SUM_A,
    "reduction_a": REDUCTION_A,
    "inception_resnet_b.InceptionResNetB_{}": SUM_B,
    "reduction_b": SUM_REDUCTION,
    "inception_resnet_c.InceptionResNetC_{}": SUM_C,
}


def _build(kinds: Mapping[str, Kind], shapes: Shapes) -> ImageNetwork:
    layers = Reader(shapes)
    units = Units(layers)
    stem, inner = units.unit("stem.conv1.0", 3, padding=0)
    blocks: list[Block] = []
    for at in ("stem.conv1.1", "stem.conv1.2"):
        steps, inner = units.unit(at, inner)
        blocks.append(Chain(steps, at))
    for i, branches in enumerate(STEM, 1):
        block, inner = units.block("stem", branches, inner)
        blocks.append(Chain([block], "stem" if i == len(STEM) else ""))
    for pattern, kind in kinds.items():
        for at in _numbered(layers, pattern):
            block, inner = kind.block(units, at, inner) if isinstance(kind, Sum) else units.block(at, kind, inner)
            blocks.append(Chain([block], at))
    return ImageNetwork(Plan(stem, blocks), layers, layers.linear("linear", inner))


def _numbered(layers: Reader, pattern: str) -> list[str]:
    """All blocks have a 1x1 branch, but for those that halve the map."""
    return list(layers.numbered(pattern, ".branch1x1.conv"))


def _inception_v4(shapes: Shapes) -> ImageNetwork:
    return _build(INCEPTION_V4, shapes)


def _inception_resnet(shapes: Shapes) -> ImageNetwork:
    return _build(INCEPTION_RESNET, shapes)


LAYOUTS = (
    layout("inception_v4_weiaicunzai", _inception_v4, [WEIAICUNZAI]),
    layout("inception_resnet_v2_weiaicunzai", _inception_resnet, [WEIAICUNZAI]),
)
