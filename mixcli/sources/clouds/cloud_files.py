"""A part of a source where every cloud is a file of its own. Files are read in parallel, as their rows are wanted."""

from __future__ import annotations

import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np

from mixcli.errors import MixError
from mixcli.files.geometry import read_geometry
from mixcli.files.meshes import sample_surface
from mixcli.files.shape import Geometry
from mixcli.sources.clouds.stacked import joined

THREADS = min(8, (os.cpu_count() or 1) + 2)
LOOKED_AT = 16  # files that are opened in search of one that can be read
FEW = 16  # points that show what the points of a file carry


class CloudFiles:
    """Files by their place under `root`, numbered in the order given. names: posix paths, 'chair/chair_0001.txt'."""

    points, is_soft, random_access, preload = None, False, True, False

    def __init__(
        self,
        path: Path,
        root: Path,
        names: list[str],
        labels: list[int],
        class_names: tuple[str, ...],
        lists: tuple[Path, ...] = (),
        notes: tuple[str, ...] = (),
    ):
        self.path, self.names, self.class_names, self.notes = path, names, class_names, notes
        self.labels = np.array(labels, np.int64)
        self.clouds = [root / name for name in names]
        self.files = [*lists, *self.clouds]

    def __len__(self) -> int:
        return len(self.names)

    def address(self, row: int) -> tuple[str, None]:
        return str(self.clouds[row]), None

    @property
    def has_normals(self) -> bool:
        return self._looked_at[0]

    @property
    def has_seg(self) -> bool:
        return self._looked_at[1]

    @cached_property
    def _looked_at(self) -> tuple[bool, bool]:
        """Whether the first file that can be read has normals, and part labels."""
        for row in range(min(len(self), LOOKED_AT)):
            found = self._geometry(row, FEW, True)
            if not isinstance(found, str):
                return found.normals is not None, found.seg is not None
        return False, False

    def read(
        self, rows: slice | np.ndarray, points: int, first: bool, normals: bool = False, seg: bool = False
    ) -> list[np.ndarray | str]:
        """See Part.read."""
        wanted = np.arange(len(self))[rows].tolist()
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(lambda row: self._read(row, points, first, normals, seg), wanted))

    def _read(self, row: int, points: int, first: bool, normals: bool, seg: bool) -> np.ndarray | str:
        found = self._geometry(row, points, first)
        if isinstance(found, str):
            return found
        for wanted, values, what in ((normals, found.normals, "normals"), (seg, found.seg, "part labels")):
            if wanted and values is None:
                return f"no {what} in it, and other files of {self.path} have them"
        columns = [found.points[None], found.normals[None]] if normals else [found.points[None]]
        cloud = joined(self.clouds[row], columns, found.seg[None] if seg else None)[0]
        return cloud[: points + 1] if first else cloud

    def _geometry(self, row: int, points: int, first: bool) -> Geometry | str:
        """A cloud, or `points` points on the surface of a mesh, or why there is neither."""
        file = self.clouds[row]
        try:
            found = read_geometry(file, points + 1 if first else None)  # one more tells that there are more
            if found.faces is None:
                return found
            return sample_surface(found, points, zlib.crc32(os.fsencode(self.names[row])))
        except MixError as e:
            return str(e).removeprefix(f"{file}: ")
        except ValueError as e:
            return str(e)
