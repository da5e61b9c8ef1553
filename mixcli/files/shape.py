"""A file that holds one shape, and the shape: what all formats of clouds and meshes share."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from mixcli.errors import MixError

MOST_BYTES = 256 << 20  # read of one file at once: a mesh of several million faces
MOST_POINTS = 10_000_000  # of one cloud, and faces of one mesh: more is a header that lies, or no single shape
AGAIN = "export or download it again"


@dataclass(frozen=True)
class Geometry:
    """What one file holds. Values are as stored: a NaN stays, and is found where clouds are checked."""

    points: np.ndarray  # (P,3) f32, or f64 where f32 would lose some of them; P at least 1
    normals: np.ndarray | None = None  # (P,3) likewise
    seg: np.ndarray | None = None  # (P,) i64 part labels
    faces: np.ndarray | None = None  # (F,3) i64 triangles, indices into points; polygons are split into fans
    remarks: tuple[str, ...] = ()  # for the user: what was left out, and how it was read where that was a guess


class Carries(NamedTuple):
    """What the points of a file have beside their places."""

    normals: bool
    seg: bool


ON_A_MESH = Carries(True, False)


class File:
    """A regular file of known size, read from its beginning; nothing longer than what it holds is allocated."""

    def __init__(self, path: Path, file: BinaryIO, size: int):
        self.path, self.file, self.size = path, file, size
        self.lines_read = 0  # by `line`: where an address in the rest of a text begins

    @property
    def left(self) -> int:
        return self.size - self.file.tell()

    def bad(self, reason: str, advice: str = AGAIN) -> MixError:
        return MixError(reason, at=self.path, advice=advice)

    def need(self, count: int) -> None:
        """Refuse a header that promises more bytes than follow it."""
        if count > self.left:
            raise self.bad(f"its header promises {count:,} bytes more, but {self.left:,} follow: it is cut short")

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        self.need(count)
        if count > MOST_BYTES:
            raise self.bad(f"{count:,} bytes are too many for one shape", "split or simplify it")
        taken = self.file.read(count)
        if len(taken) < count:
            raise self.bad("it became shorter while it was read", "leave it alone until mixcli is done")
        return taken

    def rest(self) -> bytes:
        return self.take(max(0, self.left))

    def line(self, longest: int) -> bytes:
        """The next line with its end; of one that is longer, the first `longest` bytes."""
        self.lines_read += 1
        line = self.file.readline(longest)
        end = line.find(b"\r")
        if end < 0 or line[end + 1 : end + 2] == b"\n" or end + 1 == longest:
            return line
        self.file.seek(end + 1 - len(line), os.SEEK_CUR)  # a line that ends as those of old Macs do
        return line[:end] + b"\n"

    def skip(self, count: int) -> None:
        self.need(count)
        self.file.seek(count, os.SEEK_CUR)


@contextmanager
def opened(path: Path) -> Iterator[File]:
    """A regular file and not an empty one; anything else is refused before it is opened, as a pipe would wait."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise MixError(f"is {_kind(status.st_mode)}, not a file", at=path, advice="name a file of points or faces")
        if status.st_size == 0:
            raise MixError("the file is empty", at=path, advice=AGAIN)
        with path.open("rb") as file:
            yield File(path, file, status.st_size)
    except OSError as e:
        raise MixError(f"cannot be read ({e.strerror or e})", at=path, advice="check its name and permissions") from e


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a pipe" if stat.S_ISFIFO(mode) else "a device or socket"


def whole(file: File, values: np.ndarray, what: str) -> np.ndarray:
    """(n,) numbers that must be whole ones -> i64. `what` names them in the error: "the part label of point"."""
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    values = values.astype(np.float64)
    wrong = ~((np.abs(values) < 2**53) & (np.floor(values) == values))
    if wrong.any():
        first = int(wrong.argmax())
        raise file.bad(f"{what} {first} is {values[first]:g}, not a whole number")
    return values.astype(np.int64)


def floats(values: np.ndarray) -> np.ndarray:
    """(P,C) numbers -> floats of their own that hold each of them: f32, or f64; rows contiguous."""
    return values.astype(wide_enough(values.dtype), order="C")


def wide_enough(dtype: np.dtype) -> type[np.float32] | type[np.float64]:
    """The floats that hold numbers of a type: f32 where it loses nothing."""
    return np.float32 if np.can_cast(dtype, np.float32) else np.float64
