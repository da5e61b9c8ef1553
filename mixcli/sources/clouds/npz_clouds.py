"""Clouds in .npz: `data` or `points` (n,P,3) or more channels, `label` or `labels` (n,) or (n,C), and perhaps:

`normal` (n,P,3), `seg` or `pid` (n,P), `class_names` or `names`, and `split` (n,), which says train or test.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import numpy as np

from mixcli.errors import MixError, UsageError
from mixcli.files.npz_arrays import Member, Npz
from mixcli.files.rows_on_disk import RowsOnDisk
from mixcli.sources.class_names import names_beside
from mixcli.sources.cloud_part import Wanted
from mixcli.sources.clouds.stacked import Arranged, check_point_labels, left_out_beside
from mixcli.sources.foreign import Foreign
from mixcli.sources.labels import RowsOfShares
from mixcli.sources.remarks import Remarks
from mixcli.sources.stacked_arrays import described, labels_of

STRINGS = "US"
MOST_CLASSES = 100_000  # more names are no list of classes

READ = ("data", "points", "label", "labels", "normal", "normals", "seg", "pid", "class_names", "names", "split")


class Rows:
    """An array of the file, decoded or opened when its rows are first asked for."""

    def __init__(self, member: Member):
        self.member, self.shape, self.dtype = member, member.shape, member.dtype

    @cached_property
    def _values(self) -> np.ndarray | RowsOnDisk:
        return self.member.rows()

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        return self._values[rows]


class NpzClouds:
    """One file, the rows of one split. Nothing but the labels is read before `read` asks for it."""

    random_access, preload = True, False
    drops_background = False
    since = 2
    names: tuple[str, ...] = ()

    def __init__(self, path: Path, split: str = "auto"):
        """Foreign where the file has no clouds."""
        self.path, self.files, self.remarks = path, [path], Remarks()
        self.arrays = Npz(path)
        data, normal = self._required("data", "points", missing=Foreign), self._first("normal", "normals")
        label = self._required("label", "labels", missing=MixError)
        self.count = data.shape[0] if data.shape else 0
        self.clouds = Arranged(path, data.name, Rows(data), normal and Rows(normal))
        self.points = self.clouds.points
        part = self._first("seg", "pid")
        if part is not None:
            check_point_labels(path, part.name, part, (self.count, self.points))
            self.clouds.seg = Rows(part)
        labels = labels_of(path, label.name, label, label.array, self.count)
        self.rows, split_note = self._of_split(split)
        self.labels = labels.hard[self.rows]
        self.shares = labels.soft and RowsOfShares(labels.soft, self.rows)
        beside = left_out_beside(path, self._others(), self.count, self.points)
        self.notes = (*self.clouds.notes, *beside, *split_note)
        self.class_names = self._class_names() or names_beside(path)

    def __len__(self) -> int:
        return len(self.rows)

    def address(self, row: int) -> tuple[str, int]:
        return str(self.path), int(self.rows[row])

    def read(self, rows: slice | np.ndarray, wanted: Wanted) -> np.ndarray:
        """See CloudPart.read."""
        return self.clouds.joined(self.rows[rows], wanted, wanted.limit)

    @property
    def has_normals(self) -> bool:
        return self.clouds.has_normals

    @property
    def has_seg(self) -> bool:
        return self.clouds.has_seg

    def _others(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the arrays that are not read."""
        shapes = {}
        for name in self.arrays.names:
            if name not in READ:
                with suppress(MixError):  # what is not read need not be readable
                    shapes[name] = self.arrays.member(name).shape
        return shapes

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

    def _of_split(self, split: str) -> tuple[np.ndarray, tuple[str, ...]]:
        """Rows (r,) i64 of a split, ascending, and a note where that is not all of them."""
        every, notes = np.arange(self.count), tuple[str, ...]()
        told = self._first("split")
        if told is None and split in ("train", "val", "test"):
            notes = (f"{self.path}: does not tell train from test, so all of it is read, whatever --split says",)
        if told is None or split == "all":
            return every, notes
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
            notes = (f"{self.path}: read the {len(rows):,} of {len(every):,} clouds of split 'train'; {more}",)
        return rows if len(rows) else every, notes


def _strings(member: Member) -> tuple[str, ...]:
    """Values of an array of text (n,)."""
    values = member.array()
    if values.dtype.kind == "S":
        return tuple(s.decode("utf-8", "surrogateescape") for s in values.tolist())
    codes = np.ascontiguousarray(values).view(np.dtype("u4").newbyteorder(values.dtype.byteorder))
    if codes.size and codes.max() > sys.maxunicode:
        raise MixError(f"'{member.name}' holds what is no text", at=member.path, advice="write it again")
    return tuple(values.tolist())
