"""What every source of pictures offers, whatever its layout: a numbered part of a source."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from mixcli.sources.images.decode import Fit


class PicturePart(Protocol):
    """Labelled pictures of one file or folder. Nothing but labels and headers is read before `read`."""

    data: str  # "images"
    path: Path  # what opens this part again
    files: list[Path]  # every file that its pictures and labels come from, in a fixed order
    labels: np.ndarray  # (n,) i64: the class, for soft labels the largest
    class_names: tuple[str, ...] | None
    notes: tuple[str, ...]  # for the user: which split was read, and what was left out
    is_soft: bool  # whether labels are distributions
    random_access: bool  # whether one picture can be read without decoding others
    preload: bool  # whether decoding everything once, in file order, beats reading rows as they are wanted
    size: tuple[int, int] | None  # (H,W) of every picture, where the layout says so without a look at each

    def __len__(self) -> int: ...

    def address(self, row: int) -> tuple[str, int | None]:
        """The file of a picture, and its index in it; None where the file is the picture."""

    def soft(self, rows: np.ndarray) -> np.ndarray:
        """Soft labels (r,C) f32 of rows, where `is_soft`."""

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        """(r,2) i64, H and W as `read` gives them without a size, from headers alone; -1 where that fails."""

    def read(self, rows: np.ndarray, fit: Fit = Fit()) -> list[np.ndarray | str]:
        """Pictures of rows in any order: (H,W,3) u8, or a string, the reason why one cannot be read.

        A file of many pictures that cannot be read raises MixError.
        """
