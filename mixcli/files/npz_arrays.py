"""Arrays of an .npz file that nobody vouches for: nothing is unpickled, and no size is believed before it is checked.

A member is compared with its checksum when it is first read. A large one that is stored as it is is then read by rows,
others are decoded whole.
"""

from __future__ import annotations

import math
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Literal, NamedTuple

import numpy as np

from mixcli.errors import MixError
from mixcli.files.regular import require_file
from mixcli.files.rows_on_disk import RowsOnDisk

DEFLATE_LIMIT = 1100  # deflate shrinks to 1/1032 at best
MOST_HEADER = 10_000  # bytes, as numpy's own limit
MOST_DIGITS = 18  # of one side of an array: what fits in 64 bits
BLOCK = 1 << 20
MOST_KEPT = 1 << 28  # bytes of an array that is read whole, although its rows could be had one by one
LOCAL = struct.Struct("<4s22xHH")  # a member's local header: signature, length of its name and of its extra field

DESCR = re.compile(r"""['"]descr['"]\s*:\s*(['"]([<>|=]?[a-zA-Z]\d{0,8})['"]|\[)""")
PLAIN = re.compile(r"[<>|=]?([fiu][1248]|b1|[US][1-9]\d*)")
ORDER = re.compile(r"""['"]fortran_order['"]\s*:\s*(True|False)""")
SHAPE = re.compile(r"""['"]shape['"]\s*:\s*\(([\d\s,]*)\)""")

TORN = (zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, NotImplementedError, RuntimeError, ValueError)


class Member(NamedTuple):
    """One array, known by its header."""

    path: Path
    name: str
    info: zipfile.ZipInfo
    dtype: np.dtype
    shape: tuple[int, ...]
    order: Literal["C", "F"]
    start: int  # bytes of its header

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def array(self) -> np.ndarray:
        """All of it, compared with its checksum."""
        if not self.nbytes:
            return np.empty(self.shape, self.dtype)
        return np.ndarray(self.shape, self.dtype, self._decoded(), order=self.order)

    def rows(self) -> np.ndarray | RowsOnDisk:
        """The same, read by rows where it is large and lies in the file as it is."""
        stored = self.info.compress_type == zipfile.ZIP_STORED and self.order == "C" and len(self.shape) > 0
        if not stored or self.nbytes <= MOST_KEPT:
            return self.array()
        self._read_through(lambda at, block: None)
        with open(self.path, "rb") as file:
            file.seek(self.info.header_offset)
            signature, name, extra = LOCAL.unpack(file.read(LOCAL.size))
        if signature != b"PK\3\4":
            raise _damaged(self.path, self.name, "its place in the file is not where the index says")
        start = self.info.header_offset + LOCAL.size + name + extra + self.start
        return RowsOnDisk(self.path, self.dtype, self.shape, start)

    def _decoded(self) -> np.ndarray:
        raw = np.empty(self.nbytes, np.uint8)

        def keep(at: int, block: bytes) -> None:
            raw[at : at + len(block)] = np.frombuffer(block, np.uint8)

        self._read_through(keep)
        return raw

    def _read_through(self, keep: Callable[[int, bytes], None]) -> None:
        """Every byte of its values in their order; the end compares the checksum."""
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(self.info) as stream:
                stream.read(self.start)
                for at in range(0, self.nbytes, BLOCK):
                    keep(at, stream.read(min(BLOCK, self.nbytes - at)))
                rest = stream.read(1)
        except TORN as e:
            raise _damaged(self.path, self.name, str(e)) from e
        if rest:
            raise _damaged(self.path, self.name, "it goes on after its end")


class Npz:
    """The arrays of a file, of which only the index is read."""

    def __init__(self, path: Path):
        self.path, self.size = path, require_file(path).stat().st_size
        try:
            with zipfile.ZipFile(path) as archive:
                infos = archive.infolist()
        except TORN as e:
            raise MixError(f"not a readable .npz file ({e})", at=path, advice="copy or download it again") from e
        self.infos = {info.filename[:-4]: info for info in infos if info.filename.endswith(".npy")}

    @property
    def names(self) -> list[str]:
        return list(self.infos)

    def member(self, name: str) -> Member:
        """The array of this name, of which only the header is read."""
        info = self.infos[name]
        _check_sizes(self.path, name, info, self.size)
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(info) as stream:
                text, start = _header(self.path, name, stream)
        except TORN as e:
            raise _damaged(self.path, name, str(e)) from e
        member = Member(self.path, name, info, *_parsed(self.path, name, text), start)
        if start + member.nbytes != info.file_size:
            holds = f"holds {info.file_size - start:,}"
            raise _damaged(self.path, name, f"it declares {member.nbytes:,} bytes and {holds}")
        return member


def _check_sizes(path: Path, name: str, info: zipfile.ZipInfo, size: int) -> None:
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise MixError(
            f"'{name}' is encrypted or packed in an unusual way", at=path, advice="write it with numpy.savez"
        )
    packed = min(info.compress_size, size)
    if info.file_size > max(1, packed) * (1 if info.compress_type == zipfile.ZIP_STORED else DEFLATE_LIMIT):
        raise MixError(
            f"'{name}' declares {info.file_size:,} bytes but holds {packed:,}", at=path, advice="the file is damaged"
        )


def _header(path: Path, name: str, stream: IO[bytes]) -> tuple[str, int]:
    """The text of an array's header, and how many bytes come before its values."""
    lead = stream.read(8)
    if lead[:6] != b"\x93NUMPY" or lead[6] not in (1, 2, 3):
        raise _damaged(path, name, "it is no array")
    width = 2 if lead[6] == 1 else 4
    length = int.from_bytes(stream.read(width), "little")
    if length > MOST_HEADER:
        raise _damaged(path, name, f"its header declares {length:,} bytes")
    return stream.read(length).decode("latin-1"), 8 + width + length


def _parsed(path: Path, name: str, text: str) -> tuple[np.dtype, tuple[int, ...], Literal["C", "F"]]:
    """Type, shape and order. The header is a Python literal, of which only these three forms are understood."""
    descr, order, shape = (pattern.search(text) for pattern in (DESCR, ORDER, SHAPE))
    sides = shape[1].replace(",", " ").split() if shape else []
    if not (descr and order and shape) or any(len(side) > MOST_DIGITS for side in sides):
        raise _damaged(path, name, "its header is none of numpy's")
    if not PLAIN.fullmatch(descr[2] or ""):
        kind = "pickled objects" if (descr[2] or "").endswith("O") else "records" if not descr[2] else repr(descr[2])
        raise MixError(
            f"'{name}' holds {kind}, which are not read", at=path, advice="write it as an array of numbers or strings"
        )
    return np.dtype(descr[2]), tuple(map(int, sides)), "F" if order[1] == "True" else "C"


def _damaged(path: Path, name: str, why: str) -> MixError:
    return MixError(f"'{name}' cannot be read ({why})", at=path, advice="copy or download the file again")
