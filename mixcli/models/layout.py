"""What a checkpoint's keys and shapes say about the network that wrote it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import torch
from torch import nn

from mixcli.models.network import Network, adapted

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]


Choices = Callable[[Mapping[str, Shape]], Mapping[str, tuple[Any, ...]]]


def nothing_open(shapes: Mapping[str, Shape]) -> Mapping[str, tuple[Any, ...]]:
    """The choices of a network that its keys and shapes tell altogether."""
    return {}


@dataclass(frozen=True)
class Layout:
    """One published set of ``state_dict`` keys, and how to build the network that it belongs to."""

    name: str
    matches: Callable[[Shapes], bool]  # {key: shape} -> is it this layout
    build: Callable[..., nn.Module]  # build({key: shape}, **options) -> module with these keys, weights not yet loaded
    options: dict[str, Any] = field(default_factory=dict)  # what keys cannot tell, with the defaults
    wrap: Callable[[nn.Module], Network] = adapted  # the module with its weights -> what mixcli asks
    choices: Choices = nothing_open  # {key: shape} -> the options that would have to be tried, and their values

    def candidates(self, shapes: Mapping[str, Shape]) -> list[dict[str, Any]]:
        """The options of each network that has these keys and shapes, the likeliest first."""
        open_options = self.choices(shapes)
        values = product(*open_options.values())
        return [dict(self.options) | dict(zip(open_options, each, strict=True)) for each in values]


def layout(
    name: str,
    build: Callable[..., nn.Module],
    *,
    choices: Choices = nothing_open,
    only: Callable[[Mapping[str, Shape]], bool] | None = None,
    **options: Any,
) -> Layout:
    """A layout that matches exactly the keys and shapes which its own network has, where ``only`` holds of them."""

    def matches(shapes: Mapping[str, Shape]) -> bool:
        return (only is None or only(shapes)) and fits(build, shapes)

    return Layout(name, matches, build, options, choices=choices)


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
