"""Inception v3 (Szegedy et al., CVPR 2016) for images of 32 pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mixcli.models.images.inception import AVERAGE, HALF_AVERAGE, HALF_MAX, Branch, Units, chain
from mixcli.models.images.network import Block, ImageNetwork, Plan
from mixcli.models.images.origins import HUYVNPHAN, WEIAICUNZAI
from mixcli.models.images.parts import Chain
from mixcli.models.images.reader import Reader
from mixcli.models.layout import Layout, Origin, Shapes, layout

BLOCKS = {"5b": "A", "5c": "A", "5d": "A", "6a": "B", "6b": "C", "6c": "C", "6d": "C", "6e": "C", "7a": "D"}
BLOCKS |= {"7b": "E", "7c": "E"}


@dataclass(frozen=True)
class Names:
    """What published code calls the layers, and what differs between codes."""

    stem: Sequence[str]  # units
    unpadded: Sequence[str]  # those of the stem that have no padding
    kinds: Mapping[str, Sequence[Branch]]  # of blocks
    head: str
    eps: float


def inception_v3(name: str, names: Names, origins: Sequence[Origin]) -> Layout:
    """The layout of a family."""

    def build(shapes: Shapes) -> ImageNetwork:
        layers = Reader(shapes)
        units = Units(layers, names.eps)
        stem, inner = units.unit(names.stem[0], 3)
        blocks: list[Block] = []
        for at in names.stem[1:]:
            steps, inner = units.unit(at, inner, padding=0 if at in names.unpadded else None)
            blocks.append(Chain(steps, at))
        for number, kind in BLOCKS.items():
            at = f"Mixed_{number}"
            block, inner = units.block(at, names.kinds[kind], inner)
            blocks.append(Chain([block], at))
        return ImageNetwork(Plan(stem, blocks), layers, layers.linear(names.head, inner))

    return layout(name, build, origins)


HUYVNPHAN_NAMES = Names(  # torchvision's keys but for the stem
    stem=("Conv2d_1a_3x3",),
    unpadded=(),
    kinds={
        "A": [
            Branch(["branch1x1"]),
            Branch(["branch5x5_1", "branch5x5_2"]),
            Branch([f"branch3x3dbl_{i}" for i in (1, 2, 3)]),
            Branch(["branch_pool"], AVERAGE),
        ],
        "B": [
            Branch(["branch3x3"], halving=True),
            Branch([f"branch3x3dbl_{i}" for i in (1, 2, 3)], halving=True),
            Branch(pool=HALF_MAX),
        ],
        "C": [
            Branch(["branch1x1"]),
            Branch([f"branch7x7_{i}" for i in (1, 2, 3)]),
            Branch([f"branch7x7dbl_{i}" for i in range(1, 6)]),
            Branch(["branch_pool"], AVERAGE),
        ],
        "D": [
            Branch(["branch3x3_1", "branch3x3_2"], halving=True),
            Branch([f"branch7x7x3_{i}" for i in range(1, 5)], halving=True),
            Branch(pool=HALF_MAX),
        ],
        "E": [
            Branch(["branch1x1"]),
            Branch(["branch3x3_1", ("branch3x3_2a", "branch3x3_2b")]),
            Branch(["branch3x3dbl_1", "branch3x3dbl_2", ("branch3x3dbl_3a", "branch3x3dbl_3b")]),
            Branch(["branch_pool"], AVERAGE),
        ],
    },
    head="fc",
    eps=1e-3,
)
WEIAICUNZAI_NAMES = Names(
    stem=("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3"),
    unpadded=("Conv2d_4a_3x3",),
    kinds={
        "A": [
            Branch(["branch1x1"]),
            chain("branch5x5", 2),
            chain("branch3x3", 3),
            Branch(["branchpool.1"], AVERAGE),
        ],
        "B": [Branch(["branch3x3"], halving=True), chain("branch3x3stack", 3, halving=True), Branch(pool=HALF_MAX)],
        "C": [
            Branch(["branch1x1"]),
            chain("branch7x7", 3),
            chain("branch7x7stack", 5),
            Branch(["branch_pool.1"], AVERAGE),
        ],
        "D": [chain("branch3x3", 2, halving=True), chain("branch7x7", 4, halving=True), Branch(pool=HALF_AVERAGE)],
        "E": [
            Branch(["branch1x1"]),
            Branch(["branch3x3_1", ("branch3x3_2a", "branch3x3_2b")]),
            Branch(["branch3x3stack_1", "branch3x3stack_2", ("branch3x3stack_3a", "branch3x3stack_3b")]),
            Branch(["branch_pool.1"], AVERAGE),
        ],
    },
    head="linear",
    eps=1e-5,
)

LAYOUTS = (
    inception_v3("inception_v3_huyvnphan", HUYVNPHAN_NAMES, [HUYVNPHAN]),
    inception_v3("inception_v3_weiaicunzai", WEIAICUNZAI_NAMES, [WEIAICUNZAI]),
)
