"""Clouds in HDF5: ModelNet40's layout, ScanObjectNN's with its background `mask`, ShapeNetPart's with parts in `pid`.

`data` (n,P,3) float, `label` (n,) or (n,1) of any integer type, and, where they are, `normal` (n,P,3), `mask` (n,P)
with -1 at background points, `pid` or `seg` (n,P) with the part of every point.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from mixcli.errors import MixError
from mixcli.files.hdf5 import checked, holds, open_h5, short
from mixcli.sources.class_names import SCANOBJECTNN, SHAPENET_PART, names_beside
from mixcli.sources.clouds.stacked import (
    check_data,
    check_labels,
    check_point_labels,
    foreground,
    joined,
    whole,
)


class H5Clouds:
    """One file. Nothing but the labels is read before `read` asks for it."""

    is_soft, preload = False, True

    def __init__(self, path: Path, drop_background: bool = False):
        self.path, self.files, self.notes = path, [path], ()
        self.file = open_h5(path)
        self.data = self._dataset("data")
        check_data(path, "data", self.data)
        label = self._dataset("label")
        check_labels(path, "label", label, len(self))
        self.labels = whole(path, label[()])
        self.seg = self._of_points("pid", "seg", kinds="iu")
        self.mask = self._of_points("mask", kinds="if") if drop_background else None
        self.points = self.data.shape[1] if self.mask is None else None
        self.class_names = names_beside(path) or self._published_names()

    def __len__(self) -> int:
        return self.data.shape[0]

    def _dataset(self, name: str) -> h5py.Dataset:
        if not holds(self.file, name):
            found = ", ".join(repr(k) for k in list(self.file)[:8]) or "nothing"
            raise MixError(
                f"no '{name}' in the file (it holds {found})", at=self.path, advice="expected ModelNet40's layout"
            )
        return checked(self.path, self.file, name)

    def _of_points(self, *names: str, kinds: str) -> h5py.Dataset | None:
        """The first of these datasets that is there: a number for every point."""
        for name in names:
            if holds(self.file, name):
                item = checked(self.path, self.file, name)
                check_point_labels(self.path, name, item, self.data, kinds)
                return item
        return None

    def _published_names(self) -> tuple[str, ...] | None:
        """Of the layouts that never come with a list of names."""
        highest = self.labels.max(initial=0)
        if "objectdataset" in self.path.name and highest < len(SCANOBJECTNN):
            return SCANOBJECTNN
        return SHAPENET_PART if holds(self.file, "pid") and highest < len(SHAPENET_PART) else None

    @property
    def has_normals(self) -> bool:
        shape = (*self.data.shape[:2], 3)
        return holds(self.file, "normal") and checked(self.path, self.file, "normal").shape == shape

    @property
    def has_seg(self) -> bool:
        return self.seg is not None

    @property
    def random_access(self) -> bool:
        return self.data.chunks is None or self.data.chunks[0] == 1

    def address(self, row: int) -> tuple[str, int]:
        return str(self.path), int(row)

    def read(
        self, rows: slice | np.ndarray, points: int, first: bool, normals: bool = False, seg: bool = False
    ) -> np.ndarray | list[np.ndarray | str]:
        """See Part.read. A list only where the background is dropped."""
        count = points if first and self.mask is None else self.data.shape[1]
        names = ["data", "normal"] if normals else ["data"]
        try:
            columns = [checked(self.path, self.file, name)[rows, :count, :3] for name in names]
            clouds = joined(self.path, columns, self.seg[rows, :count] if seg else None)
            if self.mask is None:
                return clouds
            mask = self.mask[rows].reshape(clouds.shape[:2])
        except OSError as e:
            raise MixError(
                f"cannot read clouds {_span(rows)} ({short(e)})", at=self.path, advice="the file is damaged"
            ) from e
        return foreground(clouds, mask, points if first else None)


def _span(rows: slice | np.ndarray) -> str:
    return f"{rows.start}..{rows.stop - 1}" if isinstance(rows, slice) else f"{rows[0]}..{rows[-1]}"
