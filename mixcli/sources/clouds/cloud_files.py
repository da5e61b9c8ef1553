"""A part of a source where every cloud is a file of its own. Files are read in parallel, as their rows are wanted."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mixcli.errors import MixError
from mixcli.files.geometry import carries, read_geometry
from mixcli.files.meshes import sample_surface
from mixcli.files.shape import Carries, Geometry
from mixcli.sources.cloud_part import Wanted
from mixcli.sources.clouds.stacked import joined
from mixcli.sources.labels import Labels
from mixcli.sources.remarks import Remarks

THREADS = min(8, (os.cpu_count() or 1) + 2)


class Placed(NamedTuple):
    """Files by their posix paths under a folder, 'chair/chair_0001.txt'."""

    root: Path
    names: Sequence[str]


class CloudFiles:
    """Labelled files, numbered in the order given."""

    random_access, preload = True, False
    points = shares = None
    since = 2
    drops_background = False

    def __init__(
        self, path: Path, files: Placed, labels: Labels, lists: Sequence[Path] = (), notes: Sequence[str] = ()
    ):
        """path: what opens this part again. lists: the files that say the labels or their names."""
        self.path, self.names, self.notes, self.remarks = path, files.names, tuple(notes), Remarks()
        self.labels, self.class_names = labels.hard, labels.names
        self.clouds = [files.root / name for name in files.names]
        self.files = [*lists, *self.clouds]

    def __len__(self) -> int:
        return len(self.names)

    def address(self, row: int) -> tuple[str, None]:
        return str(self.clouds[row]), None

    @property
    def has_normals(self) -> bool:
        """Whether all files have some; where only some do, they are left out, and that is remarked."""
        return self._all_have("normals", [one is not None and one.normals for one in self._looked_at])

    @property
    def has_seg(self) -> bool:
        """The same of part labels."""
        return self._all_have("part labels", [one is not None and one.seg for one in self._looked_at])

    def _all_have(self, what: str, have: list[bool]) -> bool:
        without = sum(one is not None for one in self._looked_at) - sum(have)
        if not any(have) or not without:
            return any(have)
        for row, has in enumerate(have):
            if has:
                self.remarks.add(f"{what} are left out, since {_others(without)} none", row)
        return False

    @cached_property
    def _looked_at(self) -> list[Carries | None]:
        """Of every file; None where it cannot be read."""
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(self._look, self.clouds, chunksize=64))

    @staticmethod
    def _look(path: Path) -> Carries | None:
        try:
            return carries(path)
        except (MixError, ValueError):
            return None

    def read(self, rows: slice | np.ndarray, wanted: Wanted) -> list[np.ndarray | str]:
        """See CloudPart.read."""
        every = np.arange(len(self))[rows].tolist()
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(lambda row: self._read(row, wanted), every))

    def _read(self, row: int, wanted: Wanted) -> np.ndarray | str:
        shape = self._geometry(row, wanted)
        if isinstance(shape, str):
            return shape
        for remark in shape.remarks:
            self.remarks.add(remark, row)
        columns, seg = [shape.points[None]], None
        if wanted.normals:
            if shape.normals is None:
                return self._lacks("normals")
            columns.append(shape.normals[None])
        if wanted.seg:
            if shape.seg is None:
                return self._lacks("part labels")
            seg = shape.seg[None]
        cloud = joined(self.clouds[row], columns, seg)[0]
        return cloud[: wanted.points + 1] if wanted.first else cloud

    def _lacks(self, what: str) -> str:
        return f"no {what} in it, and other files of {self.path} have them"

    def _geometry(self, row: int, wanted: Wanted) -> Geometry | str:
        """A cloud, or as many points as wanted on the surface of a mesh, or why there is neither."""
        try:
            shape = read_geometry(self.clouds[row], wanted.points + 1 if wanted.first else None)  # one more tells more
            if shape.faces is None:
                return shape
            return sample_surface(shape, wanted.points, zlib.crc32(os.fsencode(self.names[row])))
        except MixError as e:  # its address is the file, as the sample's is
            return f"{e.reason}; {e.advice}" if e.advice else e.reason
        except ValueError as e:
            return str(e)


def _others(count: int) -> str:
    return f"{count:,} other files have" if count > 1 else "another file has"
