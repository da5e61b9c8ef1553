"""Which networks a checkpoint's weights fit, by keys and shapes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mixcli.errors import CheckpointError
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


LONG_TAKEN = ("resnet", "resnet_3x3")  # by their keys alone, before others of the same keys were known


def only(path: str, found: list[Fit]) -> tuple[Fit, tuple[str, ...]]:
    """The network that is taken of those that the weights fit, and the ``--model`` of each that computes otherwise.

    Keys do not tell a stride, a pool or an activation. CheckpointError, which lists the networks, where some of them
    differ in such; but for the few that have always been taken, whose user is told of the others.
    """
    named: dict[str, str] = {}  # what is computed -> the first --model that gives it
    for fit in found:
        for options in fit.layout.candidates(shapes(fit.state)):
            other = {key: value for key, value in options.items() if value != fit.layout.options.get(key)}
            text = ",".join(f"{key}={str(value).lower()}" for key, value in other.items())
            forward = f"{fit.layout.forward or fit.layout.name}:{text}"
            named.setdefault(forward, f"{fit.layout.name}:{text}".rstrip(":"))
    first, *rivals = named.values()
    if rivals and found[0].layout.name not in LONG_TAKEN:
        told = ", ".join(f"--model {name}" for name in (first, *rivals))
        raise CheckpointError(
            f"its keys and shapes fit {1 + len(rivals)} networks that compute different things",
            at=path,
            advice=f"say which it is: {told}",
        )
    return found[0], tuple(rivals)
