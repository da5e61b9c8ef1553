"""Which networks a checkpoint's weights fit, by keys and shapes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mixcli.models.checkpoint import State, shapes, variants
from mixcli.models.layout import Layout
from mixcli.models.pickles import wording


@dataclass(frozen=True)
class Fit:
    """A network that the weights fit."""

    layout: Layout
    state: State  # under the network's own names
    prefix: str  # what was taken off the names in the file


def fits(path: str, state: State, known: Iterable[Layout]) -> Iterator[Fit]:
    """Every network of ``known`` that the weights fit, in that order, under the fewest prefixes first."""
    parts = [(part, prefix, shapes(part)) for part, prefix in variants(state)]
    for layout in known:
        for part, prefix, have in parts:
            with wording(path, f"cannot be compared with {layout.name}"):
                same = layout.matches(have)
            if same:
                yield Fit(layout, part, prefix)
