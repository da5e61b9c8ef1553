"""Compressed pictures, each decoded when its row is wanted: what files, archives and tables of them share."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from mixcli.sources.images.decode import Fit, decode, size_of
from mixcli.sources.images.labels import Labelled

Item = TypeVar("Item")
Result = TypeVar("Result")

THREADS = min(8, (os.cpu_count() or 1) + 2)  # Pillow and the disk let other threads run
HANDFUL = 16  # pictures that a thread takes at a time: small ones are decoded faster than threads take turns


class Encoded(Labelled):
    """A part whose pictures are found one by one; a layout says where."""

    random_access, preload = True, False
    size = None

    def encoded(self, row: int) -> bytes | Path:
        """The compressed bytes of a picture, or the file that holds them. ValueError(reason) where there are none."""
        raise NotImplementedError

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        """See PicturePart.sizes."""
        return sizes_of(each(self.size_at, rows.tolist()))

    def size_at(self, row: int) -> tuple[int, int] | str:
        """(H, W) of a picture by its header, (-1, -1) or a reason where there is none to read."""
        return of_bytes(size_of, lambda: self.encoded(row))

    def read(self, rows: np.ndarray, fit: Fit | None = None) -> list[np.ndarray | str]:
        """See PicturePart.read."""
        if self.sixteen.scale == "range" and self.sixteen.table is None:
            self._see_range()
        return each(lambda row: self._read(row, fit, self.sixteen.eight), rows.tolist())

    def _see_range(self) -> None:
        """Decode all 16-bit pictures for the lowest and the highest of their values."""
        every = [row for row in range(len(self)) if not isinstance(self.size_at(row), str)]
        each(lambda row: self._read(row, None, self._seen), every)
        self.sixteen.settle()

    def _seen(self, row: int, values: np.ndarray) -> np.ndarray:
        return (self.sixteen.see(row, values) >> 8).astype(np.uint8)

    def _read(self, row: int, fit: Fit | None, deep: Callable[[int, np.ndarray], np.ndarray]) -> np.ndarray | str:
        return of_bytes(lambda data: decode(data, fit, partial(deep, row)), lambda: self.encoded(row))


def of_bytes(function: Callable[[Item], Result], data: Callable[[], Item]) -> Result | str:
    """What a function makes of the bytes of a picture, or of its file, or the reason why it cannot."""
    try:
        return function(data())
    except ValueError as e:
        return str(e)


def sizes_of(told: list[tuple[int, int] | str]) -> np.ndarray:
    """(r,2) i64; -1 where a reason stands for the size."""
    return np.array([(-1, -1) if isinstance(size, str) else size for size in told], np.int64).reshape(-1, 2)


def each(function: Callable[[Item], Result], items: list[Item]) -> list[Result]:
    """The function of every item, in threads, in the order of the items."""
    handful = max(1, min(HANDFUL, len(items) // (4 * THREADS)))
    handfuls = [items[at : at + handful] for at in range(0, len(items), handful)]
    with ThreadPoolExecutor(THREADS) as pool:
        return [one for made in pool.map(lambda few: [function(item) for item in few], handfuls) for one in made]
