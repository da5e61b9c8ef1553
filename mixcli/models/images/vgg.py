"""VGG (Simonyan and Zisserman, ICLR 2015) for images of 32 pixels: 3x3 convolutions, halved five times by max-pools.

Keys number the layers of one sequence, the pools too, so they tell where the pools are, but for the last, which all
published networks have. What follows the last pool is one linear layer, or three with ReLUs between them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from mixcli.models.images.folding import Step
from mixcli.models.images.heads import Headed
from mixcli.models.images.layers import RELU
from mixcli.models.images.network import ImageNetwork, Plan
from mixcli.models.images.origins import BEARPAW, CHENYAOFO, HUYVNPHAN, KUANGLIU, MELIKETOY, WEIAICUNZAI
from mixcli.models.images.parts import FRESH, Chain
from mixcli.models.images.reader import Reader
from mixcli.models.layout import Layout, Origin, Shapes, layout

NUMBERED = re.compile(r"features\.(\d+)\.weight")
POOLS = 5


def vgg(name: str, heads: Sequence[str], origins: Sequence[Origin]) -> Layout:
    """The layout of those with these linear layers."""

    def build(shapes: Shapes) -> ImageNetwork:
        layers = Reader(shapes)
        stem, *blocks = _blocks(layers)
        plan = Plan(stem.steps, blocks)
        inner = layers.width(_convolutions(layers)[-1])
        layers.dense(heads[0], inner)  # of a last map of one place, as images of 32 pixels have it
        if len(heads) == 1:
            return ImageNetwork(plan, layers, heads[0])
        for before, head in pairwise(heads):
            layers.dense(head, layers.width(before))
        return Headed(plan, layers, heads)

    return layout(name, build, origins)


def _blocks(layers: Reader) -> list[Chain]:
    """Each convolution with what follows it, under the name of the last of these."""
    names = _convolutions(layers)
    normed = f"{_after(names[0], 1)}.running_mean" in layers.shapes
    own = 3 if normed else 2  # layers to a convolution without a pool
    blocks: list[Chain] = []
    inner, pools = 3, 0
    for name, following in zip(names, [*names[1:], _after(names[-1], own + 1)], strict=True):
        distance = _number(following) - _number(name)
        if distance not in (own, own + 1):
            raise ValueError(f"{name} is followed by more than is known")
        steps: list[Step] = [layers.convolution(name, inner)]
        inner = layers.width(name)
        steps += [layers.norm(_after(name, 1), inner), RELU] if normed else [RELU if blocks else FRESH]
        if distance > own:
            steps.append(nn.MaxPool2d(2))
            pools += 1
        blocks.append(Chain(steps, _after(name, distance - 1)))
    if pools != POOLS:
        raise ValueError(f"{pools} pools are not those of a VGG")
    return blocks


def _convolutions(layers: Reader) -> list[str]:
    found = [match for key, shape in layers.shapes.items() if len(shape) == 4 and (match := NUMBERED.fullmatch(key))]
    if not found:
        raise KeyError("features")
    return [f"features.{number}" for number in sorted(int(match[1]) for match in found)]


def _number(name: str) -> int:
    return int(name.rpartition(".")[2])


def _after(name: str, steps: int) -> str:
    return f"features.{_number(name) + steps}"


LAYOUTS = (
    vgg("vgg_kuangliu", ["classifier"], [KUANGLIU, BEARPAW]),
    vgg("vgg_meliketoy", ["linear"], [MELIKETOY]),
    vgg("vgg_mlp", [f"classifier.{i}" for i in (0, 3, 6)], [WEIAICUNZAI, CHENYAOFO, HUYVNPHAN]),
)
