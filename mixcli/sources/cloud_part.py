"""What every source of clouds offers, whatever its format: a numbered part of a source."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np


class Part(Protocol):
    """Labelled clouds of one file, folder or list of files. Nothing but labels and headers is read before `read`."""

    path: Path  # what opens this part again: the file, the folder, or the list
    files: list[Path]  # every file that its clouds and labels come from, in a fixed order
    labels: np.ndarray  # (n,) i64: the class, for soft labels the largest
    class_names: tuple[str, ...] | None
    points: int | None  # of every cloud, where the format says so; None: known only when a cloud is read
    has_normals: bool
    has_seg: bool  # whether points have part labels
    is_soft: bool  # whether labels are distributions: mixcli's own datasets
    random_access: bool  # whether one cloud can be read without decoding others
    notes: list[str]  # for the user, about how it was read
    preload: bool  # whether decoding everything once, in file order, beats reading rows as they are wanted

    def __len__(self) -> int: ...

    def address(self, row: int) -> tuple[str, int | None]:
        """The file of a cloud, and its index in it; None where the file is the cloud."""

    def soft(self, rows: np.ndarray) -> np.ndarray:
        """Soft labels (r,C) f32 of rows; only where `is_soft`."""

    def read(
        self, rows: slice | np.ndarray, points: int, first: bool, normals: bool = False, seg: bool = False
    ) -> np.ndarray | list[np.ndarray | str]:
        """Clouds of `rows` (a slice, or sorted indices): one (r,P,C) f32 array, or a list of (P_i,C) f32.

        Channels: x y z, then the normal, then the part label, as asked for. `first`: the first `points` points are
        enough, and one more where a cloud has more; else all are wanted. A mesh gives exactly `points`. In a list a
        cloud that cannot be read is a string, the reason. A file of many clouds that cannot be read raises MixError.
        """
