"""Inception v3 (Szegedy et al., CVPR 2016) as torchvision and timm save it; its head for training is not run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from mixcli.models.images.network import ImageNetwork, Plan, Step
from mixcli.models.images.parts import Branches, Chain
from mixcli.models.images.pieces import Rescaled
from mixcli.models.images.sized import Sized
from mixcli.models.images.tops import Style, both, network
from mixcli.models.images.torchvision.googlenet import unit
from mixcli.models.layout import Layout, Shape

HEAD = Style("fc", ("",))
SMALLER = nn.MaxPool2d(3, 2)
MEANS = nn.AvgPool2d(3, 1, 1)

# the branches of each kind of block: names of convolutions in order, "/" before one that has no padding and a stride of
# 2, and a tuple where two stand side by side
Branch = tuple[str | tuple[str, ...], ...]
POOLED: Branch = ("branch_pool",)
DOUBLE: Branch = ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")
SEVENS: Branch = ("branch7x7dbl_1", "branch7x7dbl_2", "branch7x7dbl_3", "branch7x7dbl_4", "branch7x7dbl_5")
A = (("branch1x1",), ("branch5x5_1", "branch5x5_2"), DOUBLE, POOLED)
B = (("/branch3x3",), ("branch3x3dbl_1", "branch3x3dbl_2", "/branch3x3dbl_3"), ())
C = (("branch1x1",), ("branch7x7_1", "branch7x7_2", "branch7x7_3"), SEVENS, POOLED)
D = (
    ("branch3x3_1", "/branch3x3_2"),
    ("branch7x7x3_1", "branch7x7x3_2", "branch7x7x3_3", "/branch7x7x3_4"),
    (),
)
E = (
    ("branch1x1",),
    ("branch3x3_1", ("branch3x3_2a", "branch3x3_2b")),
    ("branch3x3dbl_1", "branch3x3dbl_2", ("branch3x3dbl_3a", "branch3x3dbl_3b")),
    POOLED,
)
MIXED: dict[str, Sequence[Branch]] = {
    **dict.fromkeys(("Mixed_5b", "Mixed_5c", "Mixed_5d"), A),
    "Mixed_6a": B,
    **dict.fromkeys(("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"), C),
    "Mixed_7a": D,
    **dict.fromkeys(("Mixed_7b", "Mixed_7c"), E),
}


def inception(name: str, rescaled: bool) -> list[Layout]:
    """The layout; ``rescaled`` for weights that began as torchvision's own, whose inputs come in another range."""

    def build(shapes: Mapping[str, Shape], stride: int = 2, activation: str | None = None) -> ImageNetwork:
        layers = Sized(shapes, eps=1e-3)
        stem = unit(layers, "Conv2d_1a_3x3", 3, stride, 0)
        channels, blocks = layers.outer("Conv2d_1a_3x3.conv"), list[Chain | Branches]()
        for at, padding in (("Conv2d_2a_3x3", 0), ("Conv2d_2b_3x3", 1), ("Conv2d_3b_1x1", 0), ("Conv2d_4a_3x3", 0)):
            blocks.append(Chain(unit(layers, at, channels, 1, padding), at))
            channels = layers.outer(f"{at}.conv")
            if at in ("Conv2d_2b_3x3", "Conv2d_4a_3x3"):
                blocks.append(Chain([SMALLER], "maxpool1" if at == "Conv2d_2b_3x3" else "maxpool2"))
        for at, branches in MIXED.items():
            if at == "Mixed_7a":
                _auxiliary(layers, channels)
            block, channels = _mixed(layers, at, channels, branches)
            blocks.append(block)
        plan = Plan([Rescaled(), *stem] if rescaled else stem, blocks)
        return network(plan, layers, HEAD, channels, activation).at_least(75)

    return both(name, build, HEAD, stride=2)


def _mixed(layers: Sized, at: str, channels: int, branches: Sequence[Branch]) -> tuple[Branches, int]:
    """The block and its channels."""
    made, outer = list[list[Step]](), 0
    for names in branches:
        steps, inner = _branch(layers, at, channels, names)
        made.append(([MEANS] if names == POOLED else []) + steps)
        outer += inner
    return Branches(made, name=at), outer


def _branch(layers: Sized, at: str, inner: int, names: Branch) -> tuple[list[Step], int]:
    """A branch and its channels; one without convolutions is a pool."""
    steps: list[Step] = [] if names else [SMALLER]
    for name in names:
        if isinstance(name, tuple):
            pair = [unit(layers, f"{at}.{each}", inner) for each in name]
            steps.append(Branches(pair))
            inner = sum(layers.outer(f"{at}.{each}.conv") for each in name)
        else:
            path = f"{at}.{name.removeprefix('/')}"
            steps += unit(layers, path, inner, *((2, 0) if name.startswith("/") else ()))
            inner = layers.outer(f"{path}.conv")
    return steps, inner


def _auxiliary(layers: Sized, inner: int) -> None:
    """The weights of the head that only training runs, where the checkpoint has it."""
    if layers.has("AuxLogits.conv0.conv"):
        unit(layers, "AuxLogits.conv0", inner)
        unit(layers, "AuxLogits.conv1", layers.outer("AuxLogits.conv0.conv"))
        layers.dense("AuxLogits.fc", layers.outer("AuxLogits.conv1.conv"))


LAYOUTS = [*inception("inception_v3", rescaled=False), *inception("inception_v3_transform_input", rescaled=True)]
