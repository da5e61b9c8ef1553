"""Labels of many samples: class numbers, their names, and shares of the classes where labels are soft."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from mixcli.errors import MixError
from mixcli.sources.contract import SoftLabels

SUM = 1e-3  # how far the shares of a row may be from 1 together


class Labels(NamedTuple):
    """Labels of all rows."""

    hard: np.ndarray  # (n,) i64: the class, for soft labels the largest
    names: tuple[str, ...] | None = None
    soft: SoftLabels | None = None


class SparseShares:
    """Soft labels of many rows, as the shares that are not 0."""

    def __init__(self, classes: list[np.ndarray], shares: list[np.ndarray], width: int):
        """classes, shares: of each row, (s,) i64 and (s,) f32. width: how many classes there are."""
        self.classes = width
        self.starts = np.cumsum([0, *map(len, classes)])
        self.which = np.concatenate([np.empty(0, np.int64), *classes])
        self.shares = np.concatenate([np.empty(0, np.float32), *shares])

    def dense(self, rows: np.ndarray) -> np.ndarray:
        """See SoftLabels.dense."""
        dense = np.zeros((len(rows), self.classes), np.float32)
        for at, row in enumerate(rows.tolist()):
            of = slice(self.starts[row], self.starts[row + 1])
            dense[at, self.which[of]] = self.shares[of]
        return dense


class DenseShares:
    """Soft labels (n,C) as a file has them, checked as they are read."""

    def __init__(self, path: Path, name: str, shares: np.ndarray):
        self.path, self.name, self.shares = path, name, shares
        self.classes = shares.shape[1]

    def dense(self, rows: np.ndarray) -> np.ndarray:
        """See SoftLabels.dense."""
        dense = self.shares[rows].astype(np.float32)
        bad = no_distributions(dense)
        if bad.any():
            row = int(rows[bad.argmax()])
            raise MixError(
                f"the shares in '{self.name}' do not add up to 1", at=f"{self.path}[{row}]", advice="write them again"
            )
        return dense


class RowsOfShares:
    """Soft labels of some rows of another's."""

    def __init__(self, of: SoftLabels, rows: np.ndarray):
        self.of, self.rows, self.classes = of, rows, of.classes

    def dense(self, rows: np.ndarray) -> np.ndarray:
        """See SoftLabels.dense."""
        return self.of.dense(self.rows[rows])


def no_distributions(shares: np.ndarray) -> np.ndarray:
    """Which rows of (r,C) floats are none -> (r,) bool; NaN is none."""
    return ~((shares >= 0).all(1) & (abs(shares.sum(1, dtype=np.float64) - 1) < SUM))
