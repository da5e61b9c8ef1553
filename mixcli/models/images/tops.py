"""What makes logits of the last feature maps: a pool, and one linear layer or several.

Whoever fine-tunes a published network puts another head in its place. Its layers with weights are in the keys; the
activations between them are in none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from mixcli.errors import UsageError
from mixcli.models.images.layers import Layers
from mixcli.models.images.network import ImageNetwork, Plan, Step, run
from mixcli.models.images.pieces import GELU, HARDSWISH, SILU
from mixcli.models.layout import Choices, Layout, Only, Shapes, layout, nothing_open

OWN_HEAD = "_own_head"  # what the names of layouts end with that have a head of which keys do not tell all
Build = Callable[..., nn.Module]
ACTIVATIONS: dict[str, Step] = {  # between the linear layers of a head, the usual one first
    "relu": F.relu,
    "gelu": GELU,
    "tanh": nn.Tanh(),
    "silu": SILU,
    "hardswish": HARDSWISH,
    "leaky_relu": nn.LeakyReLU(),
    "elu": nn.ELU(),
    "sigmoid": nn.Sigmoid(),
    "none": nn.Identity(),
}
TRIED = ("relu", "gelu", "tanh", "silu", "leaky_relu", "sigmoid", "none")


@dataclass(frozen=True)
class Style:
    """The published head of a family: the names of its layers with weights, and what is between its linear layers."""

    prefix: str  # of the keys
    names: tuple[str, ...]  # after the prefix, with its dot where there is one
    activation: str = "relu"
    eps: float = 1e-5  # of a LayerNorm
    side: int = 1  # of the square of windows whose means it takes

    def fits(self, shapes: Shapes, told: bool) -> bool:
        """Whether there is such a head whose keys tell all of it, or with ``told`` false one whose keys do not."""
        names = layer_names(shapes, self.prefix)
        if not names:
            return False
        return told == (all(name in self.names for name in names) or not _gaps(shapes, self))

    def choices(self, shapes: Shapes) -> Mapping[str, tuple[Any, ...]]:
        """The activations that a head may have which the keys do not tell."""
        first = self.activation
        return {"activation": (first, *(name for name in TRIED if name != first))}


def both(
    name: str,
    build: Build,
    style: Style,
    only: Only | None = None,
    choices: Choices = nothing_open,
    **options: Any,
) -> list[Layout]:
    """The layouts of a family: with heads that the keys tell, and under another name with those that they do not.

    ``build`` takes an ``activation`` beside its options.
    """

    def more(shapes: Shapes) -> Mapping[str, tuple[Any, ...]]:
        return {**choices(shapes), **style.choices(shapes)}

    def holds(told: bool, shapes: Shapes) -> bool:
        return style.fits(shapes, told) and (only is None or only(shapes))

    plain = layout(name, build, choices=choices, only=partial(holds, True), **options)
    options["activation"] = style.activation
    return [plain, layout(name + OWN_HEAD, build, choices=more, only=partial(holds, False), **options)]


def layer_names(shapes: Shapes, prefix: str) -> tuple[str, ...]:
    """What follows ``prefix`` in the names of its layers, in the order of their numbers where they have numbers.

    >>> layer_names({"conv.weight": (8, 3, 3, 3), "fc.10.weight": (2, 8), "fc.1.weight": (8, 8)}, "fc")
    ('.1', '.10')
    """
    names = [key.removesuffix(".weight") for key in shapes if key.startswith(prefix) and key.endswith(".weight")]
    mine = [name.removeprefix(prefix) for name in names if name == prefix or name.startswith(prefix + ".")]
    numbers = [[int(part) for part in name.split(".") if part.isdecimal()] for name in mine]
    order = sorted(range(len(mine)), key=lambda i: (numbers[i], i))
    return tuple(mine[i] for i in order)


def _gaps(shapes: Shapes, style: Style) -> list[int]:
    """After which layers of a head an activation may run: the first place without keys behind each linear layer but
    the last. A layer that is numbered right behind another leaves no place.
    """
    names = layer_names(shapes, style.prefix)
    linear = [i for i, name in enumerate(names) if len(shapes[f"{style.prefix}{name}.weight"]) == 2]
    places = [[i for i in range(a, b) if not _adjacent(names[i], names[i + 1])] for a, b in zip(linear, linear[1:])]  # noqa: B905
    return [rooms[0] for rooms in places if rooms]


def _adjacent(name: str, follower: str) -> bool:
    """Whether nothing lies between two layers of one sequence."""
    (one, _, i), (other, _, j) = name.rpartition("."), follower.rpartition(".")
    return one == other and i.isdecimal() and j.isdecimal() and int(j) == int(i) + 1


def head(layers: Layers, style: Style, activation: str | None) -> list[tuple[str, Step]]:
    """The steps of a head and the names of those with weights; the last is linear.

    Between two layers of the published head the published activation runs, elsewhere the one that is given.
    """
    if activation not in (None, *ACTIVATIONS):
        raise UsageError(f"--model: activation={activation} must be {', '.join(ACTIVATIONS)}")
    shapes, steps = layers.shapes, list[tuple[str, Step]]()
    names, gaps = layer_names(shapes, style.prefix), _gaps(shapes, style)
    for i, short in enumerate(names):
        name = style.prefix + short
        step = layers[name] = _layer(shapes, name, style.eps)
        steps.append((name, step))
        if i in gaps:
            known = short in style.names and names[i + 1] in style.names
            steps.append(("", ACTIVATIONS[style.activation if known or activation is None else activation]))
    if not steps or not isinstance(steps[-1][1], nn.Linear):
        raise ValueError(f"{style.prefix} does not end with a linear layer")
    return steps


def _layer(shapes: Shapes, name: str, eps: float) -> nn.Module:
    """A linear layer, a BatchNorm or a LayerNorm of the sizes that the checkpoint has."""
    outer, *inner = shapes[f"{name}.weight"]
    if len(inner) == 1 and outer and inner[0]:
        return nn.Linear(inner[0], outer, bias=f"{name}.bias" in shapes)
    if inner:
        raise ValueError(f"{name} is no layer of a head")
    return nn.BatchNorm1d(outer) if f"{name}.running_mean" in shapes else nn.LayerNorm(outer, eps)


class Topped(ImageNetwork):
    """A network whose head is more than a pool and a linear layer: it has no class activation maps."""

    tells_evidence = False

    def __init__(self, plan: Plan, layers: Layers, steps: Sequence[tuple[str, Step]], inputs: int):
        super().__init__(plan, layers, steps[-1][0])
        self.top, self.inputs = [step for _, step in steps], inputs

    def classify(self, maps: Tensor) -> Tensor:
        """Logits (B, classes) of what ``features`` gives."""
        return run(self.top, self._pooled(maps, self.inputs))


def network(plan: Plan, layers: Layers, style: Style, channels: int, activation: str | None = None) -> ImageNetwork:
    """The network with the head that the checkpoint has, for maps of so many channels."""
    return topped(plan, layers, head(layers, style, activation), channels * style.side**2)


def topped(plan: Plan, layers: Layers, steps: Sequence[tuple[str, Step]], inputs: int) -> ImageNetwork:
    """The network with these layers and their names behind its pool, whose means are so many."""
    name, first = next((name, step) for name, step in steps if isinstance(step, nn.Linear))
    if first.in_features != inputs:
        raise ValueError(f"{name} takes {first.in_features} numbers, not {inputs}")
    return ImageNetwork(plan, layers, name) if len(steps) == 1 else Topped(plan, layers, steps, inputs)
