"""The `.npz` container of a mixed dataset: writer and reader.

An uncompressed zip of one `.npy` a field, as `numpy.load` reads it, and `mixcli.json` with the manifest and the class
names. Sizes are known beforehand, so the file is laid out in full like the `.h5`; at the end the checksums, which stand
before the data, are filled in and the table of contents is written behind it (PKWARE's APPNOTE 6.3.10, 4.3).
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mixcli.data.fields import Field
from mixcli.datasets.manifest_text import NPZ_MANIFEST, pack, unpack
from mixcli.datasets.recognise import check_ratio, text_of_npz
from mixcli.datasets.row_file import BLOCK, RowFile, reserve, write_all
from mixcli.errors import MixError
from mixcli.files.npz_arrays import TORN, Member, Npz

ALIGNED = 64  # bytes, as numpy aligns arrays in its files
WIDE = 0xFFFFFFFF  # stands where zip64 says the size or place
LIMIT = WIDE  # of what needs no zip64
DATE = 0x21  # 1980-01-01: equal data gives equal files
CRC_AT = 14  # in a member's header


@dataclass(frozen=True)
class Entry:
    """One file in the zip, uncompressed."""

    name: str
    at: int  # of its header
    head: bytes  # what comes before the rows: the .npy header
    size: int  # with `head`

    @cached_property
    def header(self) -> bytes:
        """Without the checksum; padded so that what follows is aligned."""
        wide = struct.pack("<HHQQ", 1, 16, self.size, self.size) if self.size >= LIMIT else b""
        bare = self.at + 30 + len(self.name) + len(wide)
        padding = -bare % ALIGNED
        padding += ALIGNED if 0 < padding < 4 else 0
        extra = wide + (struct.pack("<HH", 0xD935, padding - 4) + bytes(padding - 4) if padding else b"")
        size = WIDE if wide else self.size
        numbers = (45 if wide else 20, 0, 0, 0, DATE, 0, size, size, len(self.name), len(extra))
        return struct.pack("<4s5H3L2H", b"PK\3\4", *numbers) + self.name.encode() + extra

    @property
    def start(self) -> int:
        return self.at + len(self.header)

    @property
    def end(self) -> int:
        return self.start + self.size

    def listing(self, crc: int) -> bytes:
        """Its line in the table of contents."""
        sizes = [self.size, self.size] if self.size >= LIMIT else []
        place = [self.at] if self.at >= LIMIT else []
        large = sizes + place
        wide = struct.pack(f"<HH{len(large)}Q", 1, 8 * len(large), *large) if large else b""
        need, size, at = (45 if wide else 20), WIDE if sizes else self.size, WIDE if place else self.at
        numbers = (0x0300 + need, need, 0, 0, 0, DATE, crc, size, size, len(self.name), len(wide), 0, 0, 0)
        packed = struct.pack("<4s6H3L5H2L", b"PK\1\2", *numbers, 0o644 << 16, at)
        return packed + self.name.encode() + wide


def entries_of(fields: tuple[Field, ...], rows: int) -> list[Entry]:
    """The arrays, one behind the other."""
    entries: list[Entry] = []
    at = 0
    for f in fields:
        head = io.BytesIO()
        described = {"descr": np.dtype(f.dtype).str, "fortran_order": False, "shape": (rows, *f.shape)}
        np.lib.format.write_array_header_1_0(head, described)
        entries.append(Entry(f"{f.name}.npy", at, head.getvalue(), len(head.getvalue()) + rows * f.row_bytes))
        at = entries[-1].end
    return entries


class NpzSink(RowFile):
    """Rows of a zip of arrays."""

    container = "npz"

    @cached_property
    def entries(self) -> list[Entry]:
        return entries_of(self.fields, self.rows)

    @property
    def end(self) -> int:
        return self.entries[-1].end if self.entries else 0

    def lay_out(self, path: Path) -> dict[str, int]:
        with open(path, "xb") as file:
            for entry in self.entries:
                file.seek(entry.at)
                file.write(entry.header + entry.head)
            file.truncate(self.end)
        reserve(path)
        return self.places

    @property
    def places(self) -> dict[str, int]:
        """Where each field's rows begin."""
        return {f.name: e.start + len(e.head) for f, e in zip(self.fields, self.entries, strict=True)}

    def is_laid_out(self, offsets: dict[str, int]) -> bool:
        """The checksums may be there already, and what follows the arrays is written again anyhow."""
        with open(self.part, "rb") as file:
            descriptor = file.fileno()
            whole = os.fstat(descriptor).st_size >= self.end and offsets == self.places
            return whole and all(_has_header(descriptor, e) for e in self.entries)

    def conclude(self, manifest: dict[str, Any], class_names: tuple[str, ...] | None) -> None:
        """Checksums, `mixcli.json`, table of contents. One pass over the file."""
        os.ftruncate(self.descriptor, self.end)
        table = b""
        for entry in self.entries:
            crc = _crc(self.descriptor, entry.start, entry.size)
            write_all(self.descriptor, struct.pack("<L", crc), entry.at + CRC_AT)
            table += entry.listing(crc)
        text = pack(manifest, class_names).encode()
        last, crc = Entry(NPZ_MANIFEST, self.end, b"", len(text)), zlib.crc32(text)
        table += last.listing(crc)
        header = last.header[:CRC_AT] + struct.pack("<L", crc) + last.header[CRC_AT + 4 :]
        end = _end(last.end, len(table), len(self.entries) + 1)
        write_all(self.descriptor, header + text + table + end, last.at)


def _has_header(descriptor: int, entry: Entry) -> bool:
    want = entry.header + entry.head
    have = os.pread(descriptor, len(want), entry.at)
    return have[:CRC_AT] == want[:CRC_AT] and have[CRC_AT + 4 :] == want[CRC_AT + 4 :]


def _crc(descriptor: int, at: int, size: int) -> int:
    crc, end = 0, at + size
    while at < end and (block := os.pread(descriptor, min(BLOCK, end - at), at)):
        crc, at = zlib.crc32(block, crc), at + len(block)
    return crc


def _end(at: int, size: int, count: int) -> bytes:
    """The end of the zip, whose table of contents lies at `at`."""
    wide = b""
    if at >= LIMIT:
        wide = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, at)
        wide += struct.pack("<4sLQL", b"PK\6\7", 0, at + size, 1)
    return wide + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, size, WIDE if wide else at, 0)


class MixedNpz:
    """A finished dataset, read in ranges of rows. A compressed copy is read too, each field as a whole."""

    container, kind, pictures = "npz", "npz", None

    def __init__(self, path: Path):
        self.path, self.arrays = path, Npz(path)
        self.kept: dict[str, np.ndarray] = {}
        with zipfile.ZipFile(path) as archive:
            self.infos = archive.infolist()
            for info in self.infos:
                check_ratio(path, info)
            text = text_of_npz(path, archive)
        self.described: dict[str, Any] | None = None
        self.class_names: tuple[str, ...] | None = None
        if text is not None:
            self.described, self.class_names = unpack(path, text)

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    @property
    def names(self) -> list[str]:
        return self.arrays.names

    def field(self, name: str) -> Member:
        """Its shape and type; MixError where its headers do not say the truth."""
        if name not in self.names:
            advice = f"it holds {', '.join(self.names) or 'nothing'}"
            raise MixError(f"no '{name}' in it", at=self.path, advice=advice)
        member = self.arrays.member(name)
        if not member.shape:
            raise MixError(f"'{name}' is a single number, no rows", at=self.path)
        return member

    def _array(self, name: str) -> np.ndarray:
        """Mapped where it is stored as it is; of unpacked ones the last is kept."""
        if name not in self.kept:
            member = self.field(name)
            if member.info.compress_type != zipfile.ZIP_STORED:
                self.kept.clear()
            self.kept[name] = member.array()
        return self.kept[name]

    def read(self, name: str, first: int, count: int) -> np.ndarray:
        return np.array(self._array(name)[first : first + count])

    def take(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Rows from anywhere."""
        return self._array(name)[rows]

    def manifest(self) -> dict[str, Any]:
        """What made the dataset; MixError where there is none."""
        if self.described is None:
            raise MixError("no manifest in it", at=self.path, advice="mixcli did not write this file")
        return self.described

    def faults(self) -> Iterator[str]:
        """Members whose checksum is wrong, that are in it twice, or that are none of a dataset."""
        times = Counter(info.filename for info in self.infos)
        with zipfile.ZipFile(self.path) as archive:
            for info in self.infos:
                if info.filename != NPZ_MANIFEST and not info.filename.endswith(".npy"):
                    yield f"{info.filename}: is no part of a dataset"
                elif times[info.filename] > 1:
                    yield f"{info.filename}: is in it more than once"
                elif why := _damage(archive, info):
                    yield f"{info.filename}: {why}"

    def close(self) -> None:
        self.kept.clear()


def _damage(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> str | None:
    """Reading to the end compares the checksum."""
    try:
        with archive.open(info) as file:
            while file.read(BLOCK):
                pass
    except TORN as e:
        return str(e)
    return None
