"""One row, one `.ply`: binary little-endian, x y z and every field of points as vertex properties.

All files of a dataset have one header length, since the numbers in its comments are padded, and so one size: rows are
packed and read as records of one numpy type, and a file that is not exactly such a record is none of the dataset.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from mixcli.data.fields import Field
from mixcli.datasets.contract import RowFiles, Rows
from mixcli.datasets.metadata import CLOUDS
from mixcli.datasets.plain_files import check_folders, open_plain
from mixcli.errors import MixError

OF_ROWS = ("label", "soft_label", "parent", "parent_label", "weight", "draw", "query")  # never of points
NAMES = {"data": ("x", "y", "z"), "normal": ("nx", "ny", "nz")}
TYPES = {
    "i1": "char", "u1": "uchar", "i2": "short", "u2": "ushort", "i4": "int", "u4": "uint",
    "i8": "int",  # .ply knows no longer one
    "f4": "float", "f8": "double",
}  # fmt: skip
SLOT = 20  # digits of the longest i64, with its sign


def split_fields(fields: tuple[Field, ...], path: Path) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
    """Fields of points, which go to the .ply files, and the others."""
    data = next((f for f in fields if f.name == "data"), None)
    if data is None or len(data.shape) != 2 or data.shape[1] != 3 or data.dtype != "<f4":
        reason = "a folder is of clouds, 'data' (N, 3) <f4 a row, or of images, (H, W, 3) |u1"
        raise MixError(reason, at=path, advice="write .h5 or .npz")
    points = tuple(f for f in fields if f.name not in OF_ROWS and f.shape[:1] == data.shape[:1])
    for f in points:
        if np.dtype(f.dtype).str[1:] not in TYPES:
            reason = f".ply has no type for field '{f.name}' ({f.dtype})"
            raise MixError(reason, at=path, advice="write .h5 or .npz")
    return points, tuple(f for f in fields if f not in points)


class PlyRows:
    """The record that each file of a dataset is."""

    naming, together = CLOUDS, True
    loss = None  # nothing comes back otherwise

    def __init__(self, fields: tuple[Field, ...], path: Path):
        self.in_files, self.others = split_fields(fields, path)
        self.count = next(f.shape[0] for f in self.in_files if f.name == "data")
        self.slots = [f for f in self.others if f.name in ("label", "parent") and np.dtype(f.dtype).kind == "i"]
        self.template = self._template()
        blank = [self.template % ((int(digit * SLOT),) * self.template.count(b"%")) for digit in "12"]
        self.header = np.frombuffer(blank[0], np.uint8)
        self.fixed = self.header == np.frombuffer(blank[1], np.uint8)  # what no comment's number changes
        vertex = [(f.name, _stored(f), f.shape[1:]) for f in self.in_files]
        self.record = np.dtype([("header", "u1", self.header.shape), ("vertex", vertex, (self.count,))])
        self.bytes = self.expected = self.least = self.record.itemsize  # of one file

    def _template(self) -> bytes:
        lines = ["ply", "format binary_little_endian 1.0", f"comment row %-{SLOT}d"]
        for f in self.slots:
            lines += [f"comment {f.name} %-{SLOT}d"] * int(np.prod(f.shape, dtype=int))
        lines.append(f"element vertex {self.count}")
        for f in self.in_files:
            lines += [f"property {TYPES[np.dtype(f.dtype).str[1:]]} {name}" for name in property_names(f)]
        return "\n".join([*lines, "end_header\n"]).encode()

    def pack(self, first: int, arrays: Rows) -> list[tuple[memoryview, ...]]:
        """Consecutive rows from row `first` -> the files of each."""
        rows = np.arange(first, first + len(arrays["data"]))
        numbers = np.column_stack([rows, *(arrays[f.name].reshape(len(rows), -1) for f in self.slots)]).tolist()
        headers = b"".join([self.template % tuple(values) for values in numbers])
        records = np.empty(len(rows), self.record)
        records["header"] = np.frombuffer(headers, np.uint8).reshape(len(rows), -1)
        for f in self.in_files:
            records["vertex"][f.name] = _fitting(f, arrays[f.name], first)
        return [(row.data,) for row in records.view(np.uint8).reshape(len(rows), self.bytes)]

    def changed(self, files: RowFiles) -> Rows:
        """Nothing."""
        return {}

    def read(self, root: Path, names: list[str], rows: np.ndarray, wanted: str | None = None) -> Rows:
        """Views (m,N,...) of records, which are what they should be to the byte, or MixError; all fields of them."""
        check_folders(root, names)
        records = np.empty(len(names), self.record)
        raw = records.view(np.uint8).reshape(len(names), self.bytes)
        prefix = f"{root}{os.sep}"
        for view, name, row in zip(raw, names, rows, strict=True):
            self._read_one(prefix + name, int(row) + 1, view)
        wrong = (records["header"][:, self.fixed] != self.header[self.fixed]).any(1)
        if wrong.any():
            raise MixError("its header is not as mixcli wrote it", at=f"{prefix}{names[wrong.argmax()]}")
        return {f.name: records["vertex"][f.name] for f in self.in_files}

    def _read_one(self, path: str, line: int, into: np.ndarray) -> None:
        descriptor, size = open_plain(path, line)
        try:
            if size != self.bytes or os.readv(descriptor, [into.data]) != size:
                reason = f"holds {size:,} bytes, a row of this dataset {self.bytes:,}"
                raise MixError(reason, at=path, advice="it was changed")
        finally:
            os.close(descriptor)


def property_names(f: Field) -> tuple[str, ...]:
    """What a field of points is called in the header.

    >>> property_names(Field("seg", (1024, 2), "<i8"))
    ('seg_0', 'seg_1')
    """
    if f.name in NAMES and f.shape[1:] == (3,):
        return NAMES[f.name]
    columns = int(np.prod(f.shape[1:], dtype=int))
    return (f.name,) if columns == 1 else tuple(f"{f.name}_{i}" for i in range(columns))


def _stored(f: Field) -> np.dtype:
    return np.dtype("<i4") if np.dtype(f.dtype).str[1:] == "i8" else np.dtype(f.dtype).newbyteorder("<")


def _fitting(f: Field, array: np.ndarray, first: int) -> np.ndarray:
    """Integers are stored as 32 bits; what does not fit is refused."""
    if np.dtype(f.dtype).str[1:] == "i8" and array.size:
        limits = np.iinfo(np.int32)
        if array.min() < limits.min or array.max() > limits.max:
            outside = (array < limits.min) | (array > limits.max)
            row = int(np.flatnonzero(outside.reshape(len(array), -1).any(1))[0])
            value = int(array[outside].flat[0])
            reason = f"'{f.name}' holds {value}, too large for a .ply"
            raise MixError(reason, at=f"row {first + row}", advice="write .h5 or .npz")
    return array
