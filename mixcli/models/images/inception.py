"""What Inception networks are made of: blocks of branches, of convolutions with BatchNorm and ReLU.

A branch keeps the size of the map; one that halves it does so with its last convolution, which has no padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from mixcli.models.images.folding import Step
from mixcli.models.images.layers import RELU
from mixcli.models.images.parts import Branches
from mixcli.models.images.reader import Reader

AVERAGE, MAX = nn.AvgPool2d(3, 1, 1), nn.MaxPool2d(3, 1, 1)
HALF_AVERAGE, HALF_MAX = nn.AvgPool2d(3, 2), nn.MaxPool2d(3, 2)


@dataclass(frozen=True)
class Branch:
    """A pool, or none, and then units by their names; in place of one there may be several, side by side."""

    units: Sequence[str | Sequence[str]] = ()
    pool: Step | None = None
    halving: bool = False
    padding: int = 0  # of the convolution that halves


def chain(prefix: str, count: int, halving: bool = False, padding: int = 0) -> Branch:
    """A branch of units that are numbered from 0."""
    return Branch([f"{prefix}.{i}" for i in range(count)], halving=halving, padding=padding)


@dataclass(frozen=True)
class Units:
    """Reads units: a convolution, its BatchNorm with this eps, and a ReLU."""

    layers: Reader
    eps: float = 1e-5

    def unit(self, at: str, inner: int, halving: bool = False, padding: int | None = None) -> tuple[list[Step], int]:
        """The steps of a unit, and how many channels it gives; without ``padding`` it keeps the size of the map."""
        if padding is None:
            conv = self.layers.same(f"{at}.conv", inner)
        else:
            conv = self.layers.convolution(f"{at}.conv", inner, 3, 2 if halving else 1, padding)
        return [conv, self.layers.norm(f"{at}.bn", conv.out_channels, self.eps), RELU], conv.out_channels

    def block(self, at: str, branches: Sequence[Branch], inner: int) -> tuple[Branches, int]:
        """Branches side by side."""
        chains, outer = [], 0
        for branch in branches:
            steps, width = self.branch(at, branch, inner)
            chains.append(steps)
            outer += width
        return Branches(chains), outer

    def branch(self, at: str, branch: Branch, inner: int) -> tuple[list[Step], int]:
        """The steps of a branch, and how many channels it gives."""
        steps: list[Step] = [branch.pool] if branch.pool else []
        for i, name in enumerate(branch.units):
            halving = branch.halving and i == len(branch.units) - 1
            if isinstance(name, str):
                part, inner = self.unit(f"{at}.{name}", inner, halving, branch.padding if halving else None)
                steps += part
            else:
                fork, inner = self.block(at, [Branch([one]) for one in name], inner)
                steps.append(fork)
        return steps, inner
