"""GoogLeNet (Szegedy et al., CVPR 2015) with BatchNorm, for images of 32 pixels: four branches side by side.

In place of 5x5 convolutions all published codes have one 3x3 convolution or two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from mixcli.models.images.folding import Step
from mixcli.models.images.layers import RELU
from mixcli.models.images.network import ImageNetwork, Plan
from mixcli.models.images.origins import HUYVNPHAN, KUANGLIU, WEIAICUNZAI
from mixcli.models.images.parts import Branches, Chain
from mixcli.models.images.reader import Reader
from mixcli.models.layout import Layout, Origin, Shapes, layout

Pair = tuple[str, str]  # a convolution and its BatchNorm
BLOCKS = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")


@dataclass(frozen=True)
class Names:
    """What published code calls the layers, and what differs between codes."""

    stem: Sequence[Pair]  # of 3x3 convolutions
    block: str  # with {0} for its stage and {1} for its letter
    branches: Sequence[Sequence[Pair]]  # the first convolution of each is 1x1, the others are 3x3
    head: str
    pooled: Sequence[str] = ("4a", "5a")  # before these blocks a max-pool halves the map
    eps: float = 1e-5
    slip: str = ""  # the BatchNorm whose eps is its number of channels


def googlenet(name: str, names: Names, origins: Sequence[Origin]) -> Layout:
    """The layout of a family."""

    def build(shapes: Shapes) -> ImageNetwork:
        layers = Reader(shapes)
        stem, inner = _units(layers, names, names.stem, 3, [3] * len(names.stem))
        blocks = []
        for block in BLOCKS:
            at = names.block.format(*block)
            steps, inner = _inception(layers, names, at, inner)
            pool: list[Step] = [nn.MaxPool2d(3, 2, 1)] if block in names.pooled else []
            blocks.append(Chain([*pool, steps], at))
        return ImageNetwork(Plan(stem, blocks), layers, layers.linear(names.head, inner))

    return layout(name, build, origins)


def _inception(layers: Reader, names: Names, at: str, inner: int) -> tuple[Branches, int]:
    """The last of the four branches begins with a pool that keeps the size of the map."""
    chains: list[list[Step]] = []
    outer = 0
    for i, branch in enumerate(names.branches):
        pairs = [(f"{at}.{conv}", f"{at}.{norm}") for conv, norm in branch]
        steps, width = _units(layers, names, pairs, inner, [1, 3, 3][: len(pairs)])
        chains.append([nn.MaxPool2d(3, 1, 1), *steps] if i == 3 else steps)
        outer += width
    return Branches(chains), outer


def _units(
    layers: Reader, names: Names, pairs: Sequence[Pair], inner: int, kernels: Sequence[int]
) -> tuple[list[Step], int]:
    """Convolutions with BatchNorm and ReLU, and how many channels they give."""
    steps: list[Step] = []
    for (conv, norm), kernel in zip(pairs, kernels, strict=True):
        steps.append(layers.convolution(conv, inner, kernel))
        inner = layers.width(conv)
        eps = inner if names.slip and norm.endswith(names.slip) else names.eps
        steps += [layers.norm(norm, inner, eps), RELU]
    return steps, inner


def _numbered(prefix: str, *numbers: int) -> list[Pair]:
    """In a sequence, each convolution comes right before its BatchNorm."""
    return [(f"{prefix}.{i}", f"{prefix}.{i + 1}") for i in numbers]


def _inside(*prefixes: str) -> list[Pair]:
    return [(f"{prefix}.conv", f"{prefix}.bn") for prefix in prefixes]


BRANCHES = (_numbered("b1", 0), _numbered("b2", 0, 3), _numbered("b3", 0, 3, 6), _numbered("b4", 1))
KUANGLIU_NAMES = Names(_numbered("pre_layers", 0), "{1}{0}", BRANCHES, "linear")
WEIAICUNZAI_NAMES = Names(
    _numbered("prelayer", 0, 3, 6), "{1}{0}", BRANCHES, "linear", pooled=("3a", "4a", "5a"), slip=".b3.4"
)
HUYVNPHAN_NAMES = Names(
    _inside("conv1"),
    "inception{0}{1}",
    (
        _inside("branch1"),
        _inside("branch2.0", "branch2.1"),
        _inside("branch3.0", "branch3.1"),
        _inside("branch4.1"),
    ),
    "fc",
    eps=1e-3,
)

LAYOUTS = (
    googlenet("googlenet_kuangliu", KUANGLIU_NAMES, [KUANGLIU]),
    googlenet("googlenet_weiaicunzai", WEIAICUNZAI_NAMES, [WEIAICUNZAI]),
    googlenet("googlenet_huyvnphan", HUYVNPHAN_NAMES, [HUYVNPHAN]),
)
