"""Clouds in HDF5: ModelNet40's layout, ScanObjectNN's with its background `mask`, ShapeNetPart's with parts in `pid`.

`data` (n,P,3) float, `label` (n,) or (n,1) of whole numbers or (n,C) one-hot, and, where they are, `normal` (n,P,3),
`mask` (n,P) with -1 at background points, `pid` or `seg` (n,P) with the part of every point.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from mixcli.errors import MixError
from mixcli.files.hdf5 import checked, holds, open_h5, short
from mixcli.sources.class_names import SCANOBJECTNN, SHAPENET_PART, names_beside
from mixcli.sources.cloud_part import Wanted
from mixcli.sources.clouds.stacked import Arranged, check_point_labels, foreground, left_out_beside
from mixcli.sources.foreign import Foreign
from mixcli.sources.remarks import Remarks
from mixcli.sources.stacked_arrays import labels_of

READ = ("data", "label", "normal", "pid", "seg", "mask")


class H5Clouds:
    """One file. Nothing but the labels is read before `read` asks for it."""

    preload = True
    names: tuple[str, ...] = ()

    def __init__(self, path: Path, drop_background: bool = False):
        """Foreign where the file has no clouds."""
        self.path, self.files, self.remarks = path, [path], Remarks()
        self.file = open_h5(path)
        data = self._dataset("data", Foreign)
        normal = checked(path, self.file, "normal") if holds(self.file, "normal") else None
        self.clouds = Arranged(path, "data", data, normal)
        self.points: int | None = self.clouds.points
        self.count, self.chunks = data.shape[0], data.chunks
        label = self._dataset("label", MixError)
        self.labels, _, self.shares = labels_of(path, "label", label, lambda: label[()], self.count)
        self.clouds.seg = self._of_points("pid", "seg", kinds="iu")
        self.mask = self._of_points("mask", kinds="if") if drop_background else None
        beside = left_out_beside(path, self._others(), self.count, self.clouds.points)
        self.notes = (*self.clouds.notes, *beside)
        if self.mask is not None:
            self.points = None
        self.class_names = names_beside(path) or self._published_names()

    def __len__(self) -> int:
        return self.count

    def _dataset(self, name: str, missing: type[MixError]) -> h5py.Dataset:
        """missing: what its absence is."""
        if not holds(self.file, name):
            there = ", ".join(repr(k) for k in list(self.file)[:8]) or "nothing"
            raise missing(
                f"no '{name}' in the file (it holds {there})", at=self.path, advice="expected ModelNet40's layout"
            )
        return checked(self.path, self.file, name)

    def _of_points(self, *names: str, kinds: str) -> h5py.Dataset | None:
        """The first of these datasets that is there: a number for every point."""
        for name in names:
            if holds(self.file, name):
                item = checked(self.path, self.file, name)
                check_point_labels(self.path, name, item, (self.count, self.clouds.points), kinds)
                return item
        return None

    def _published_names(self) -> tuple[str, ...] | None:
        """Of the layouts that never come with a list of names."""
        highest = self.labels.max(initial=0)
        if "objectdataset" in self.path.name and highest < len(SCANOBJECTNN):
            return SCANOBJECTNN
        return SHAPENET_PART if holds(self.file, "pid") and highest < len(SHAPENET_PART) else None

    def _others(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the datasets that are not read."""
        links = {name: self.file.id.links.get_info(name.encode()).type for name in self.file if name not in READ}
        items = {name: self.file[name] for name, kind in links.items() if kind == h5py.h5l.TYPE_HARD}
        return {name: item.shape for name, item in items.items() if isinstance(item, h5py.Dataset) and item.shape}

    @property
    def has_normals(self) -> bool:
        return self.clouds.has_normals

    @property
    def has_seg(self) -> bool:
        return self.clouds.has_seg

    @property
    def since(self) -> int:
        """Plain float32 clouds are what they always were; normals are brought to length 1 since 2."""
        data = self.clouds.data
        return 1 if data.dtype == np.float32 and not self.clouds.turned and not self.has_normals else 2

    @property
    def drops_background(self) -> bool:
        return self.mask is not None

    @property
    def random_access(self) -> bool:
        chunks = self.chunks
        return chunks is None or chunks[0] == 1

    def address(self, row: int) -> tuple[str, int]:
        return str(self.path), int(row)

    def read(self, rows: slice | np.ndarray, wanted: Wanted) -> np.ndarray | list[np.ndarray | str]:
        """See CloudPart.read. A list only where the background is dropped."""
        limit = wanted.limit if self.mask is None else None
        try:
            clouds = self.clouds.joined(rows, wanted, limit)
            if self.mask is None:
                return clouds
            mask = self.mask[rows].reshape(clouds.shape[:2])
        except OSError as e:
            raise MixError(
                f"cannot read clouds {_span(rows)} ({short(e)})", at=self.path, advice="the file is damaged"
            ) from e
        return foreground(clouds, mask, wanted.limit)


def _span(rows: slice | np.ndarray) -> str:
    return f"{rows.start}..{rows.stop - 1}" if isinstance(rows, slice) else f"{rows[0]}..{rows[-1]}"
