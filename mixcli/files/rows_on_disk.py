"""Rows of an array that lies in one piece in a file, read when they are wanted.

Not mapped into memory: whoever cuts a mapped file short ends the processes that look at it.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np

from mixcli.errors import MixError

MOST_AT_ONCE = 1 << 24  # bytes


class RowsOnDisk:
    """(n, ...) of any plain type, in C order. Rows that follow each other are read at once."""

    def __init__(self, path: Path, dtype: np.dtype, shape: tuple[int, ...], start: int):
        """start: the byte that it begins at. MixError where the file ends before it does."""
        self.path, self.dtype, self.shape, self.start = path, dtype, shape, start
        self.row_bytes = math.prod(shape[1:]) * dtype.itemsize
        self.file = open(path, "rb", buffering=0)  # noqa: SIM115 - open as long as the array is
        if start + len(self) * self.row_bytes > os.fstat(self.file.fileno()).st_size:
            raise self._shorter()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        """Rows in any order, repeated or not; all are within the array."""
        wanted = np.arange(len(self))[rows]
        values = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        target, size = values.reshape(-1).view(np.uint8).data if values.size else memoryview(b""), self.row_bytes
        ends = [*(np.flatnonzero(np.diff(wanted) != 1) + 1).tolist(), len(wanted)]
        first = 0
        for end in ends if values.size else ():
            self._read(int(wanted[first]) * size, target[first * size : end * size])
            first = end
        return values

    def _read(self, at: int, target: memoryview) -> None:
        at += self.start
        while len(target):
            data = os.pread(self.file.fileno(), min(len(target), MOST_AT_ONCE), at)
            if not data:
                raise self._shorter()
            target[: len(data)] = data
            at, target = at + len(data), target[len(data) :]

    def _shorter(self) -> MixError:
        return MixError("became shorter while it was read", at=self.path, advice="leave it alone until mixcli is done")
