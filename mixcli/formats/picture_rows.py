"""One row, one `.png`: 8-bit RGB, and its mask, if it has one, an 8-bit grey `.mask.png` beside it. Nothing is lost.

Files are untrusted: their size is bounded and their header must promise the dataset's picture before one is decoded.
A file that another program compressed anew is as good, as long as it is of the same colours and depth.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from mixcli.errors import MixError, UsageError
from mixcli.fields import Field
from mixcli.formats.metadata import Naming
from mixcli.formats.place import open_plain
from mixcli.formats.ply_rows import check_folders
from mixcli.formats.threads import in_threads

LEVEL = 1
RUNS, USUAL = 3, -1  # zlib's strategies: runs of equal bytes only, and what Pillow takes for filtered rows
HEADER = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR"
COLOURS = {2: ("L", 0), 3: ("RGB", 2)}  # by the axes of a picture: Pillow's mode, PNG's colour type
SPARE = 1 << 16  # bytes that a file may have beyond twice its pixels
SMALL = 1 << 14  # bytes of pixels below which threads only wait for each other while they decode
EXPECTED, LEAST = 0.6, 0.05  # bytes of a photograph's file to a byte of its pixels, and those of a drawing's


class PictureRows:
    """The pictures that are a row of a dataset.

    level: zlib's, 0 (none) to 9. 1 compresses runs only, which for photographs is as small as 6 and 3 times as fast;
    drawings get smaller from 6 on.
    """

    together = False

    def __init__(self, fields: tuple[Field, ...], path: Path, level: int | None = None):
        self.level = LEVEL if level is None else level
        if not 0 <= self.level <= 9:
            raise UsageError(f"{path}: a .png level of {level}; give 0 to 9")
        self.in_files, self.others = split_pictures(fields, path)
        beside = [f.name for f in self.in_files if f.name != "data"]
        self.naming = Naming(".png", tuple((f"{name}_file_name", f".{name}.png") for name in beside))
        self.bytes = sum(f.row_bytes for f in self.in_files)
        self.expected, self.least = (int(share * self.bytes) for share in (EXPECTED, LEAST))

    def pack(self, first: int, arrays: dict[str, np.ndarray]) -> list[tuple[bytes, ...]]:
        """Consecutive rows -> the files of each."""
        return list(zip(*(in_threads(self._encoded, arrays[f.name]) for f in self.in_files), strict=True))

    def _encoded(self, picture: np.ndarray) -> bytes:
        file, strategy = BytesIO(), RUNS if self.level == LEVEL else USUAL
        image = Image.fromarray(np.ascontiguousarray(picture))
        image.save(file, "PNG", compress_level=self.level, compress_type=strategy)
        return file.getvalue()

    def read(self, root: Path, names: list[str], rows: np.ndarray, wanted: str | None = None) -> dict[str, np.ndarray]:
        """Pictures (m,H,W,...) by field, from files."""
        check_folders(root, names)
        found = {}
        for number, f in enumerate(self.in_files):
            if wanted in (None, f.name):
                paths = [f"{root}{os.sep}{self.naming.files(name)[number]}" for name in names]
                found[f.name] = decoded(f, len(rows), lambda i, p=paths, f=f: _contents(p[i], int(rows[i]) + 1, f))
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


def decoded(f: Field, count: int, contents: Callable[[int], tuple[str, bytes]]) -> np.ndarray:
    """Pictures (count, *shape), many at a time. contents(i): the address and the bytes of the i-th."""
    pictures = np.empty((count, *f.shape), np.uint8)

    def fill(i: int) -> None:
        address, data = contents(i)
        pictures[i] = _decoded(f, address, data)

    if f.row_bytes < SMALL:
        for i in range(count):
            fill(i)
    else:
        in_threads(fill, range(count))
    return pictures


def most_bytes(f: Field) -> int:
    """No file of a picture is larger."""
    return 2 * f.row_bytes + SPARE


def _decoded(f: Field, address: str, data: bytes) -> np.ndarray:
    """(H,W) or (H,W,3) u8; nothing is decoded that is not of just this size, colour and depth."""
    height, width = f.shape[:2]
    mode, colour = COLOURS[len(f.shape)]
    if data[:26] != HEADER + struct.pack(">IIBB", width, height, 8, colour):
        what = f"{'RGB' if colour else 'grey'} .png of {width} x {height} pixels, 8 bits deep"
        raise MixError(f"{address}: is no {what}, as the rows of this dataset are; it was changed")
    try:
        image = PngImageFile(BytesIO(data))
        if image.size == (width, height) and image.mode == mode:  # a second header may have said otherwise
            return np.asarray(image)
    except Exception as e:  # Pillow's reader raises whatever a damaged byte leads it to
        reason = " ".join(str(e).split())[:80] or type(e).__name__
        raise MixError(f"{address}: is damaged or cut short ({reason})") from e
    raise MixError(f"{address}: is damaged, it has two headers")


def _contents(path: str, line: int, f: Field) -> tuple[str, bytes]:
    descriptor, size = open_plain(path, line)
    with open(descriptor, "rb", buffering=0) as file:
        if size > most_bytes(f):
            raise MixError(f"{path}: holds {size:,} bytes, too many for {f.row_bytes:,} of pixels; it was changed")
        return path, file.read(size)
