"""One row, one picture: 8-bit RGB as `.png`, `.jpg` or `.webp`, its mask, if it has one, an 8-bit grey `.mask.png`.

Files are untrusted: their size is bounded before they are read. A `.png` that another program compressed anew is as
good, as long as it is of the same colours and depth.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mixcli.data.fields import Field
from mixcli.datasets.codecs import READY
from mixcli.datasets.metadata import Naming
from mixcli.datasets.place import open_plain
from mixcli.datasets.ply_rows import check_folders
from mixcli.errors import MixError, UsageError
from mixcli.files.picture_files import Encoding, Png, decoded, encoded
from mixcli.files.threads import in_threads

SPARE = 1 << 16  # bytes that a file may have beyond twice its pixels
SMALL = 1 << 14  # bytes of pixels below which threads only wait for each other while they decode


class PictureRows:
    """The pictures that are a row of a dataset: `data` by an encoding, masks as .png."""

    together = False

    def __init__(self, fields: tuple[Field, ...], path: Path, how: Encoding | None = None):
        self.how = how or Png()
        self.in_files, self.others = split_pictures(fields, path)
        if max(self.in_files[0].shape) > self.how.most_side:
            most, size = self.how.most_side, "x".join(map(str, self.in_files[0].shape[:2]))
            raise UsageError(f"{path}: a {self.how.suffix} has at most {most:,} pixels a side, not {size}; take png")
        beside = [f.name for f in self.in_files if f.name != "data"]
        self.naming = Naming(self.how.suffix, tuple((f"{name}_file_name", f".{name}.png") for name in beside))
        self.bytes = sum(f.row_bytes for f in self.in_files)
        usual, least = ([self.of(f).shares[i] * f.row_bytes for f in self.in_files] for i in (0, 1))
        self.expected, self.least = int(sum(usual)), int(sum(least))

    def of(self, f: Field) -> Encoding:
        """How the pictures of a field are kept."""
        return Png() if self.how.lossy and f.name != "data" else self.how

    def pack(self, first: int, arrays: dict[str, np.ndarray]) -> list[tuple[bytes, ...]]:
        """Consecutive rows -> the files of each, or those that are there already."""
        if READY in arrays:
            return arrays[READY]
        columns = (in_threads(lambda p, how=self.of(f): encoded(p, how), arrays[f.name]) for f in self.in_files)
        return list(zip(*columns, strict=True))

    def read(self, root: Path, names: list[str], rows: np.ndarray, wanted: str | None = None) -> dict[str, np.ndarray]:
        """Pictures (m,H,W,...) by field, from files."""
        check_folders(root, names)
        return {
            f.name: self.pictures(f, len(rows), self.contents(f, root, names, rows))
            for f in self.in_files
            if wanted in (None, f.name)
        }

    def contents(self, f: Field, root: Path, names: list[str], rows: np.ndarray) -> Callable[[int], tuple[str, bytes]]:
        """Of rows by the names of their first files: the path and the bytes of the i-th one's picture of a field."""
        number = self.in_files.index(f)

        def read(i: int) -> tuple[str, bytes]:
            path = f"{root}{os.sep}{self.naming.files(names[i])[number]}"
            return path, _bytes_of(path, int(rows[i]) + 1, f)

        return read

    def pictures(self, f: Field, count: int, read: Callable[[int], tuple[str, bytes]]) -> np.ndarray:
        """Pictures (count, *shape) of a field, many at a time. read(i): the address and the bytes of the i-th."""
        found, how = np.empty((count, *f.shape), np.uint8), self.of(f)

        def fill(i: int) -> None:
            address, data = read(i)
            found[i] = decoded(data, f.shape, how, address)

        if f.row_bytes < SMALL:
            for i in range(count):
                fill(i)
        else:
            in_threads(fill, range(count))
        return found

    def unpack(self, records: dict[str, np.ndarray], name: str) -> np.ndarray:
        """A field of what was read."""
        return records[name].copy()


def split_pictures(fields: tuple[Field, ...], path: Path) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
    """Fields that are pictures, `data` first, and the others."""
    data = next(f for f in fields if f.name == "data")
    if data.shape[2] != 3 or 0 in data.shape:
        raise MixError(f"{path}: a folder of .png is of images, 'data' (H, W, 3) |u1 a row; write .h5 or .npz")
    masks = tuple(f for f in fields if f.name == "mask" and f.shape == data.shape[:2] and f.dtype == "|u1")
    return (data, *masks), tuple(f for f in fields if f is not data and f not in masks)


def most_bytes(f: Field) -> int:
    """No file of a picture is larger."""
    return 2 * f.row_bytes + SPARE


def _bytes_of(path: str, line: int, f: Field) -> bytes:
    descriptor, size = open_plain(path, line)
    with open(descriptor, "rb", buffering=0) as file:
        if size > most_bytes(f):
            raise MixError(f"{path}: holds {size:,} bytes, too many for {f.row_bytes:,} of pixels; it was changed")
        return file.read(size)
