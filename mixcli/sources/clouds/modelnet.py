"""Clouds in HDF5: ModelNet40's layout, ScanObjectNN's with its background `mask`, ShapeNetPart's with parts in `pid`.

`data` (n,P,3) float, `label` (n,) or (n,1) of any integer type, and, where they are, `normal` (n,P,3), `mask` (n,P)
with -1 at background points, `pid` or `seg` (n,P) with the part of every point.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from mixcli.errors import MixError
from mixcli.files.regular import require_file
from mixcli.sources.class_names import SCANOBJECTNN, SHAPENET_PART, names_beside
from mixcli.sources.clouds.stacked import (
    check_data,
    check_labels,
    check_point_labels,
    foreground,
    joined,
    whole,
)

DEFLATE_LIMIT = 1100  # no filter of HDF5 shrinks further than deflate's 1032:1


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


def open_h5(path: Path) -> h5py.File:
    """The file, or one sentence that says why it cannot be read."""
    require_file(path)
    try:
        return h5py.File(path, "r")
    except OSError as e:
        why = "it is cut short" if "truncated" in str(e) else short(e)
        raise MixError(f"not a readable HDF5 file ({why})", at=path, advice="copy or download it again") from e


def holds(file: h5py.File, name: str) -> bool:
    """Whether there is an entry of this name; asking for it the usual way would follow links."""
    return file.id.links.exists(name.encode())


def checked(path: Path, file: h5py.File, name: str) -> h5py.Dataset:
    """A dataset whose bytes are in this very file, and as many as its header says."""
    hard = holds(file, name) and file.id.links.get_info(name.encode()).type == h5py.h5l.TYPE_HARD
    item = file[name] if hard else None
    if not isinstance(item, h5py.Dataset) or item.external or item.is_virtual:
        raise MixError(
            f"'{name}' is no plain dataset of this file", at=path, advice="links to other files are not followed"
        )
    if item.shape is None:
        raise MixError(f"'{name}' has no values at all", at=path, advice="write the file again")
    stored = item.id.get_storage_size()
    if item.nbytes > max(1, stored) * DEFLATE_LIMIT:
        raise MixError(
            f"'{name}' declares {item.nbytes:,} bytes but holds {stored:,}", at=path, advice="the file is incomplete"
        )
    return item


def short(error: Exception) -> str:
    """The part of an HDF5 message that a person can use."""
    text = str(error)
    return text[text.find("(") + 1 : text.rfind(")")] if "(" in text else text


def _span(rows: slice | np.ndarray) -> str:
    return f"{rows.start}..{rows.stop - 1}" if isinstance(rows, slice) else f"{rows[0]}..{rows[-1]}"
