"""GoogLeNet (Szegedy et al., CVPR 2015) with BatchNorm, as torchvision saves it; heads for training are not run."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torch import nn

from mixcli.models.images.layers import RELU
from mixcli.models.images.network import ImageNetwork, Plan, Step
from mixcli.models.images.parts import Branches, Chain
from mixcli.models.images.pieces import Rescaled
from mixcli.models.images.sized import Sized
from mixcli.models.images.tops import Style, both, network
from mixcli.models.layout import Layout, Shape

HEAD = Style("fc", ("",))
STAGES = ("inception3{}", "inception4{}", "inception5{}")
KEEPING = nn.MaxPool2d(3, 1, 1, ceil_mode=True)  # the size of the map
AUXILIARY = ("aux1", "aux2")


def googlenet(name: str, rescaled: bool) -> list[Layout]:
    """The layout; ``rescaled`` for weights that began as torchvision's own, whose inputs come in another range."""

    def build(shapes: Mapping[str, Shape], stride: int = 2, activation: str | None = None) -> ImageNetwork:
        layers = Sized(shapes, eps=1e-3)
        stem = unit(layers, "conv1", 3, stride)
        pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        blocks: list[Chain | Branches] = [Chain([pool], "maxpool1")]
        channels = layers.outer("conv1.conv")
        for name in ("conv2", "conv3"):
            blocks.append(Chain(unit(layers, name, channels), name))
            channels = layers.outer(f"{name}.conv")
        blocks.append(Chain([pool], "maxpool2"))
        for stage, pattern in enumerate(STAGES):
            for letter in "abcde"[: 5 if stage == 1 else 2]:
                block, channels = _inception(layers, pattern.format(letter), channels)
                blocks.append(block)
            if stage < 2:
                blocks.append(Chain([nn.MaxPool2d(2, 2, ceil_mode=True) if stage else pool], f"maxpool{stage + 3}"))
        for aux, source in zip(AUXILIARY, ("inception4a", "inception4d"), strict=True):
            _auxiliary(layers, aux, sum(layers.outer(f"{source}.{last}.conv") for last in OUTER))
        plan = Plan([Rescaled(), *stem] if rescaled else stem, blocks)
        return network(plan, layers, HEAD, channels, activation).at_least(15)

    return both(name, build, HEAD, stride=2)


OUTER = ("branch1", "branch2.1", "branch3.1", "branch4.1")  # what each branch of a block ends with


def unit(layers: Sized, name: str, inner: int, stride: int = 1, padding: int | None = None) -> list[Step]:
    """A convolution, BatchNorm and ReLU."""
    return layers.unit(f"{name}.conv", f"{name}.bn", inner, RELU, stride, padding)


def _inception(layers: Sized, name: str, inner: int) -> tuple[Branches, int]:
    """A 1x1 convolution; 1x1 and then a larger one, twice; a pool and 1x1."""
    at = partial("{}.{}".format, name)
    branches = [unit(layers, at("branch1"), inner)]
    for branch in ("branch2", "branch3"):
        reduced = unit(layers, at(f"{branch}.0"), inner)
        branches.append(reduced + unit(layers, at(f"{branch}.1"), layers.outer(at(f"{branch}.0.conv"))))
    branches.append([KEEPING, *unit(layers, at("branch4.1"), inner)])
    return Branches(branches, name=name), sum(layers.outer(at(f"{last}.conv")) for last in OUTER)


def _auxiliary(layers: Sized, name: str, inner: int) -> None:
    """The weights of a head that only training runs, where the checkpoint has it."""
    if layers.has(f"{name}.conv.conv"):
        unit(layers, f"{name}.conv", inner)
        layers.dense(f"{name}.fc1")
        layers.dense(f"{name}.fc2", layers.outer(f"{name}.fc1"))


# torchvision's transform_input, which it sets where its own weights are loaded, is in no key
LAYOUTS = [*googlenet("googlenet", rescaled=False), *googlenet("googlenet_transform_input", rescaled=True)]
