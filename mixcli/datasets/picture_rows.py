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
from mixcli.datasets.codec import FILES
from mixcli.datasets.contract import RowFiles, Rows
from mixcli.datasets.metadata import Naming
from mixcli.datasets.plain_files import check_folders, open_plain
from mixcli.errors import MixError, UsageError
from mixcli.files.picture_files import Encoding, Lossy, Png, decoded, encoded
from mixcli.files.threads import in_threads

SPARE = 1 << 16  # bytes that a file may have beyond twice its pixels
SMALL = 1 << 14  # bytes of pixels below which threads only wait for each other while they decode


class PictureRows:
    """The pictures that are a row of a dataset: `data` by an encoding, masks as .png."""

    together = False

    def __init__(self, fields: tuple[Field, ...], path: Path, how: Encoding | None = None):
        self.how = how or Png()
        self.loss = self.how if isinstance(self.how, Lossy) else None
        self.in_files, self.others = split_pictures(fields, path)
        if max(self.in_files[0].shape) > self.how.most_side:
            most, size = self.how.most_side, "x".join(map(str, self.in_files[0].shape[:2]))
            reason = f"a {self.how.suffix} has at most {most:,} pixels a side, not {size}"
            raise UsageError(reason, at=path, advice="take png")
        beside = [f.name for f in self.in_files if f.name != "data"]
        self.naming = Naming(self.how.suffix, tuple((f"{name}_file_name", f".{name}.png") for name in beside))
        self.bytes = sum(f.row_bytes for f in self.in_files)
        usual, least = ([self.of(f).shares[i] * f.row_bytes for f in self.in_files] for i in (0, 1))
        self.expected, self.least = int(sum(usual)), int(sum(least))

    def of(self, f: Field) -> Encoding:
        """How the pictures of a field are kept."""
        return Png() if self.loss and f.name != "data" else self.how

    def pack(self, first: int, arrays: Rows) -> list[tuple[bytes, ...]]:
        """Consecutive rows -> the files of each."""
        columns = [self._packed(f, arrays[f.name]) for f in self.in_files]
        return list(zip(*columns, strict=True))

    def _packed(self, f: Field, pictures: np.ndarray) -> list[bytes]:
        how = self.of(f)
        return in_threads(lambda picture: encoded(picture, how), list(pictures))

    def changed(self, files: RowFiles) -> Rows:
        """Lossy pictures as their files give them back, and the bytes of those; nothing where nothing is lost."""
        if not self.loss:
            return {}
        pictures = self.pictures(self.in_files[0], len(files), lambda i: ("", bytes(files[i][0])))
        return {"data": pictures, FILES: np.frombuffer(b"".join(row[0] for row in files), np.uint8)}

    def read(self, root: Path, names: list[str], rows: np.ndarray, wanted: str | None = None) -> Rows:
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
        pictures, how = np.empty((count, *f.shape), np.uint8), self.of(f)

        def fill(i: int) -> None:
            address, data = read(i)
            pictures[i] = decoded(data, f.shape, how, address)

        if f.row_bytes < SMALL:
            for i in range(count):
                fill(i)
        else:
            in_threads(fill, range(count))
        return pictures


def split_pictures(fields: tuple[Field, ...], path: Path) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
    """Fields that are pictures, `data` first, and the others."""
    data = next(f for f in fields if f.name == "data")
    if data.shape[2] != 3 or 0 in data.shape:
        reason = "a folder of .png is of images, 'data' (H, W, 3) |u1 a row"
        raise MixError(reason, at=path, advice="write .h5 or .npz")
    masks = tuple(f for f in fields if f.name == "mask" and f.shape == data.shape[:2] and f.dtype == "|u1")
    return (data, *masks), tuple(f for f in fields if f is not data and f not in masks)


def most_bytes(f: Field) -> int:
    """No file of a picture is larger."""
    return 2 * f.row_bytes + SPARE


def _bytes_of(path: str, line: int, f: Field) -> bytes:
    descriptor, size = open_plain(path, line)
    with open(descriptor, "rb", buffering=0) as file:
        if size > most_bytes(f):
            reason = f"holds {size:,} bytes, too many for {f.row_bytes:,} of pixels"
            raise MixError(reason, at=path, advice="it was changed")
        return file.read(size)
