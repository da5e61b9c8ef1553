"""16-bit pictures of a part: how they become 8 bits, and a word where most of the range is not used."""

from __future__ import annotations

import threading

import numpy as np

from mixcli.sources.images.decode import all_of_range
from mixcli.sources.remarks import Remarks

MOST = 65535
SMALL = MOST // 4  # a range below this leaves pictures with under 64 of 256 levels


class Sixteen:
    """What was seen of them, whichever thread saw it.

    scale: "full" brings 0..65535 to 0..255; "range" what lies between `low` and `high`, once these are known.
    """

    def __init__(self, scale: str = "full"):
        self.scale, self.lock = scale, threading.Lock()
        self.low, self.high = MOST, 0
        self.rows: set[int] = set()
        self.table: np.ndarray | None = None

    def see(self, row: int, values: np.ndarray) -> np.ndarray:
        """Take note of a picture's values; they are returned as they are."""
        low, high = int(values.min(initial=MOST)), int(values.max(initial=0))
        with self.lock:
            self.rows.add(row)
            self.low, self.high = min(self.low, low), max(self.high, high)
        return values

    def eight(self, row: int, values: np.ndarray) -> np.ndarray:
        """16 bits to 8."""
        if self.table is not None:
            return self.table[values]
        return all_of_range(self.see(row, values))

    def settle(self) -> None:
        """From now on the range that was seen becomes 0..255."""
        levels = (np.arange(MOST + 1) - self.low) * 255 / max(1, self.high - self.low)
        self.table = levels.round().clip(0, 255).astype(np.uint8)

    def remark(self, remarks: Remarks) -> None:
        if not self.rows or (self.scale == "full" and self.high - self.low >= SMALL):
            return
        what = f"16-bit pixels go from {self.low:,} to {self.high:,} of {MOST:,}"
        if self.scale == "full":
            what += f" and come out as {self.low // 257} to {self.high // 257} (--scale-16bit range takes 0 to 255)"
        else:
            what += ", which was made 0 to 255"
        for row in self.rows:
            remarks.add(what, row)
