"""What a checkpoint's keys and shapes say about the network that wrote it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import nn

from mixcli.models.network import Network, adapted

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]


Choices = Callable[[Shapes], Mapping[str, tuple[Any, ...]]]
Only = Callable[[Shapes], bool]


def nothing_open(shapes: Shapes) -> Mapping[str, tuple[Any, ...]]:
    """The choices of a network that its keys and shapes tell altogether."""
    return {}


@dataclass(frozen=True)
class Origin:
    """A repository that a network was published in, and what it trains on: hints where several layouts fit."""

    repository: str  # on GitHub
    normalize: tuple[str, ...]  # of its images, as in ``--normalize``
    size: int  # side of the images


@dataclass(frozen=True)
class Layout:
    """One published set of ``state_dict`` keys, and how to build the network that it belongs to.

    Several may match the same keys and shapes: networks that differ in what no key tells, as a stride, a pool or an
    activation. Those with an equal ``forward`` compute the same.
    """

    name: str
    matches: Callable[[Shapes], bool]  # {key: shape} -> is it this layout
    build: Callable[..., nn.Module]  # build({key: shape}, **options) -> module with these keys, weights not yet loaded
    options: dict[str, Any] = field(default_factory=dict)  # what keys cannot tell, with the defaults
    wrap: Callable[[nn.Module], Network] = adapted  # the module with its weights -> what mixcli asks
    forward: str = ""  # what it computes at those defaults; empty for what no other layout does
    origins: tuple[Origin, ...] = ()
    choices: Choices = nothing_open  # {key: shape} -> the options that would have to be tried, and their values

    def set_to(self, options: Mapping[str, Any]) -> Layout:
        """The same, with these values for options of its own."""
        values = dict(self.options) | {key: value for key, value in options.items() if key in self.options}
        build = partial(self.build, **values)
        return replace(self, matches=partial(fits, build), build=build, options=values, choices=nothing_open)

    def candidates(self, shapes: Shapes) -> list[dict[str, Any]]:
        """The options of each network that has these keys and shapes, the likeliest first."""
        open_options = self.choices(shapes)
        values = product(*open_options.values())
        return [dict(self.options) | dict(zip(open_options, each, strict=True)) for each in values]


def layout(
    name: str,
    build: Callable[..., nn.Module],
    origins: Sequence[Origin] = (),
    forward: str = "",
    *,
    choices: Choices = nothing_open,
    only: Only | None = None,
    **options: Any,
) -> Layout:
    """A layout that matches exactly the keys and shapes which its own network has, where ``only`` holds of them."""

    def matches(shapes: Shapes) -> bool:
        return (only is None or only(shapes)) and fits(build, shapes)

    return Layout(name, matches, build, options, forward=forward, origins=tuple(origins), choices=choices)


def fits(build: Callable[..., nn.Module], shapes: Shapes) -> bool:
    """Whether the network inferred from ``shapes`` has those keys and shapes, no more and no fewer.

    ``num_batches_tracked`` may be missing: checkpoints older than torch 0.4.1 have none.
    """
    try:
        with torch.device("meta"):
            state = build(shapes).state_dict()
    except (KeyError, IndexError, ValueError):
        return False
    want = {key: tuple(value.shape) for key, value in state.items()}
    missing = want.keys() - shapes.keys()
    return all(key.endswith("num_batches_tracked") for key in missing) and all(
        want.get(key) == tuple(shape) for key, shape in shapes.items()
    )
