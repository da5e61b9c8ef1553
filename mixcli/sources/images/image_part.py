"""What every source of pictures offers beside what all sources do, whatever its layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from mixcli.sources.contract import Part
from mixcli.sources.images.decode import Fit


class PicturePart(Part, Protocol):
    """Labelled pictures."""

    @property
    def size(self) -> tuple[int, int] | None:
        """(H,W) of every picture, where the layout says so without a look at each."""

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        """(r,2) i64, H and W as `read` gives them without a size, from headers alone; -1 where that fails."""

    def read(self, rows: np.ndarray, fit: Fit | None = None) -> Sequence[np.ndarray | str]:
        """Pictures of rows in any order: (H,W,3) u8, or a string, the reason why one cannot be read.

        fit: the size that is wanted of every picture; without one each stays as it is. A file of many pictures that
        cannot be read raises MixError.
        """
