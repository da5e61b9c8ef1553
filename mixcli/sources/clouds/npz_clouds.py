"""Clouds in .npz: `data` or `points` (n,P,3), or (n,P,6) with normals, `label` or `labels` (n,), and what may be there:

`normal` (n,P,3), `seg` or `pid` (n,P), `class_names` or `names`, and `split` (n,), which says train or test.
"""

from __future__ import annotations

import sys
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mixcli.errors import MixError, UsageError
from mixcli.files.npz_arrays import Member, Npz
from mixcli.sources.class_names import names_beside
from mixcli.sources.cloud_part import Wanted
from mixcli.sources.clouds.stacked import check_data, check_point_labels, joined
from mixcli.sources.foreign import Foreign
from mixcli.sources.stacked_arrays import check_labels, class_numbers, described

STRINGS = "US"
MOST_CLASSES = 100_000  # more names are no list of classes


class Values(NamedTuple):
    """The arrays of a file."""

    data: np.ndarray
    normal: np.ndarray | None
    part: np.ndarray | None


class NpzClouds:
    """One file, the rows of one split. Nothing but the labels is read before `read` asks for it."""

    random_access, preload = True, False
    shares = None
    drops_background = False
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __init__(self, path: Path, split: str = "auto"):
        """Foreign where the file has no clouds."""
        self.path, self.files = path, [path]
        self.arrays = Npz(path)
        self.data = self._required("data", "points", missing=Foreign)
        label = self._required("label", "labels", missing=MixError)
        check_data(path, self.data.name, self.data, "3 or 6", (3, 6))
        check_labels(path, label.name, label, self.data.shape[0])
        self.normal = self._first("normal", "normals")
        if self.normal is not None and self.normal.shape != (*self.data.shape[:2], 3):
            self.normal = None
        self.part = self._first("seg", "pid")
        if self.part is not None:
            check_point_labels(path, self.part.name, self.part, self.data)
        self.rows = self._of_split(split)
        self.labels = class_numbers(path, label.array())[self.rows]
        self.points = self.data.shape[1]
        self.has_normals = self.normal is not None or self.data.shape[2] == 6
        self.has_seg = self.part is not None
        self.class_names = self._class_names() or names_beside(path)

    def __len__(self) -> int:
        return len(self.rows)

    def address(self, row: int) -> tuple[str, int]:
        return str(self.path), int(self.rows[row])

    def read(self, rows: slice | np.ndarray, wanted: Wanted) -> np.ndarray:
        """See CloudPart.read."""
        every, limit = self.rows[rows], wanted.limit
        data, normal, part = self._values
        columns = [data[every, :limit, :3]]
        if wanted.normals:
            columns.append(data[every, :limit, 3:] if normal is None else normal[every, :limit])
        seg = part[every, :limit] if wanted.seg and part is not None else None
        return joined(self.path, columns, seg)

    @cached_property
    def _values(self) -> Values:
        """Decoded once."""
        normal, part = (None if member is None else member.array() for member in (self.normal, self.part))
        return Values(self.data.array(), normal, part)

    def _first(self, *names: str) -> Member | None:
        return next((self.arrays.member(name) for name in names if name in self.arrays.names), None)

    def _required(self, *names: str, missing: type[MixError]) -> Member:
        """missing: what its absence is."""
        member = self._first(*names)
        if member is None:
            holds = ", ".join(map(repr, self.arrays.names[:8])) or "no array"
            raise missing(f"no {' or '.join(map(repr, names))} in the file (it holds {holds})", at=self.path)
        return member

    def _class_names(self) -> tuple[str, ...] | None:
        names = self._first("class_names", "names")
        if names is None or names.dtype.kind not in STRINGS or len(names.shape) != 1:
            return None
        if names.shape[0] > MOST_CLASSES:
            raise MixError(
                f"'{names.name}' has {names.shape[0]:,} names of classes", at=self.path, advice="write it again"
            )
        return _strings(names)

    def _of_split(self, split: str) -> np.ndarray:
        """Rows (r,) i64 of a split, ascending; with a note where that is not all of them."""
        every = np.arange(self.data.shape[0])
        told = self._first("split")
        if told is None and split in ("train", "test"):
            self.notes = (f"{self.path}: does not tell train from test, so all of it is read, whatever --split says",)
        if told is None or split == "all":
            return every
        if told.dtype.kind not in STRINGS or told.shape != every.shape:
            raise MixError(
                f"'split' is {described(told)}", at=self.path, advice=f"expected {len(every)} strings like 'train'"
            )
        wanted = "train" if split == "auto" else split
        rows = np.flatnonzero(told.array() == (wanted if told.dtype.kind == "U" else wanted.encode()))
        if split != "auto" and not len(rows):
            raise UsageError(
                f"no cloud of {self.path} is of that split", at=f"--split {split}", advice="leave --split out"
            )
        if split == "auto" and 0 < len(rows) < len(every):
            more = "--split all reads everything"
            self.notes = (f"{self.path}: read the {len(rows):,} of {len(every):,} clouds of split 'train'; {more}",)
        return rows if len(rows) else every


def _strings(member: Member) -> tuple[str, ...]:
    """Values of an array of text (n,)."""
    values = member.array()
    if values.dtype.kind == "S":
        return tuple(s.decode("utf-8", "surrogateescape") for s in values.tolist())
    codes = np.ascontiguousarray(values).view(np.dtype("u4").newbyteorder(values.dtype.byteorder))
    if codes.size and codes.max() > sys.maxunicode:
        raise MixError(f"'{member.name}' holds what is no text", at=member.path, advice="write it again")
    return tuple(values.tolist())
