"""A folder of one tar a window, as WebDataset has them: how it looks, and its reader.

    mixed/00000.tar        of a window: 000000.png, 000000.mask.png with --keep mask, 000000.json, then the next row;
                           or 000000.jpg, 000000.webp
    mixed/manifest.json    what made it, with the class names

Where the members lie is found in one pass over the archives; they are read in place. Nothing is unpacked, only regular
members count, and each is of a size that a row of the dataset can have.
"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from mixcli.data.fields import Field
from mixcli.datasets.contract import Rows
from mixcli.datasets.folder_names import BESIDE, MANIFEST, TAR, tars_of
from mixcli.datasets.folder_reader import FolderReader
from mixcli.datasets.metadata import decode_fields, longest
from mixcli.datasets.picture_rows import PictureRows, most_bytes
from mixcli.datasets.plain_files import open_plain
from mixcli.errors import MixError
from mixcli.files.tar_index import members

MEMBER = re.compile(r"([0-9]{6,12})(\.[a-z.]{3,9})")
JSON = ".json"


def kinds_of(codec: PictureRows) -> list[str]:
    """What stands behind the number in the names of a row's members, in their order."""
    return [codec.naming.suffix, *(suffix for _, suffix in codec.naming.beside), JSON]


class TarIndex:
    """Where the members of every row lie. Rows ascend, whatever archive they are in."""

    def __init__(self, tars: list[Path], codec: PictureRows):
        self.tars, self.kinds = tars, kinds_of(codec)
        self.most = dict(zip(self.kinds, [*map(most_bytes, codec.in_files), longest(codec.others)], strict=True))
        entries = {kind: array("q") for kind in self.kinds}
        for number, path in enumerate(tars):
            for kind, row, offset, size in self._members(path):
                entries[kind].extend((row, number, offset, size))
        self.rows, self.where = self._joined(entries)
        self.digits = max(6, len(str(self.rows.max(initial=0))))

    def __len__(self) -> int:
        return len(self.rows)

    def _members(self, path: Path) -> Iterator[tuple[str, int, int, int]]:
        """Kind, row, offset and size of each."""
        os.close(open_plain(path)[0])
        for member in members(path):
            parts = MEMBER.fullmatch(member.name)
            if member.kind != "file" or not parts or parts[2] not in self.most:
                reason = f"holds {member.name[:80]!r}, which is none of a row's files"
                raise MixError(reason, at=path, advice="it was changed")
            if member.size > self.most[parts[2]]:
                reason = f"{member.name} of {member.size:,} bytes is too large for a row of this dataset"
                raise MixError(reason, at=path)
            yield parts[2], int(parts[1]), member.offset, member.size

    def _joined(self, entries: dict[str, array[int]]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Rows (M,), and (M,3) of each kind: number of the archive, offset, size."""
        tables = {kind: _by_row(np.array(flat, np.int64).reshape(-1, 4)) for kind, flat in entries.items()}
        rows = tables[JSON][:, 0]
        for kind, table in tables.items():
            again = np.flatnonzero(np.diff(table[:, 0]) == 0)
            if len(again):
                _, number, _, _ = table[again[0] + 1]
                reason = f"{table[again[0], 0]:06d}{kind} is there twice"
                raise MixError(reason, at=self.tars[number], advice="it was changed")
            if len(lone := np.setxor1d(rows, table[:, 0])):
                reason = f"row {lone[0]} lacks its {kind} or {JSON}"
                raise MixError(reason, at=self.tars[0].parent, advice="it was changed")
        return rows, {kind: table[:, 1:] for kind, table in tables.items()}

    @property
    def longest(self) -> int:
        """Bytes of the longest line."""
        return int(self.where[JSON][:, 2].max(initial=0))

    def lines(self, numbers: np.ndarray) -> list[bytes]:
        """The JSON of rows, by their places in the index."""
        return [self.contents(JSON, int(place))[1] for place in numbers]

    def contents(self, kind: str, place: int) -> tuple[str, bytes]:
        """Address and bytes of a member."""
        number, offset, size = self.where[kind][place].tolist()
        with open(open_plain(self.tars[number])[0], "rb", buffering=0) as file:
            return self.address(kind, place), os.pread(file.fileno(), size, offset)

    def address(self, kind: str, place: int) -> str:
        return f"{self.tars[self.where[kind][place, 0]]}/{self.rows[place]:0{self.digits}d}{kind}"

    def pictures(self, codec: PictureRows, f: Field, places: np.ndarray) -> np.ndarray:
        """(m,*shape) u8 of rows by their places."""
        kind = self.kinds[codec.in_files.index(f)]
        return codec.pictures(f, len(places), lambda i: self.contents(kind, int(places[i])))

    def close(self) -> None:
        """Nothing stays open."""


def _by_row(table: np.ndarray) -> np.ndarray:
    return table[np.argsort(table[:, 0], kind="stable")]


class MixedTars(FolderReader):
    """A finished dataset, read by rows."""

    container, kind = "tar", "folder of .tar"

    @cached_property
    def picture_rows(self) -> PictureRows:
        """The codec; MixError where it is none of pictures."""
        if not isinstance(self.codec, PictureRows):
            reason = f"archives are of images, and its {MANIFEST} is of clouds"
            raise MixError(reason, at=self.path, advice="it was changed")
        return self.codec

    @cached_property
    def index(self) -> TarIndex:
        """Of the rows, all of them."""
        index = TarIndex(tars_of(self.path), self.picture_rows)
        if (index.rows != np.arange(len(index))).any():
            missing = int((index.rows != np.arange(len(index))).argmax())
            raise MixError(f"row {missing} is missing", at=self.path, advice="an archive was removed")
        return index

    def _decoded_chunk(self, fields: tuple[Field, ...], rows: np.ndarray) -> tuple[list[str], Rows]:
        names = [""] * len(rows)
        return names, decode_fields(fields, self.index.lines(rows), lambda i: self.index.address(JSON, int(rows[i])))

    def _read_files(self, rows: np.ndarray, name: str) -> Rows:
        return {name: self.index.pictures(self.picture_rows, self._field(name), rows)}

    def _files(self, first: int, count: int) -> Iterator[tuple[bytes, ...]]:
        kinds = kinds_of(self.picture_rows)[:-1]
        return (tuple(self.index.contents(kind, row)[1] for kind in kinds) for row in range(first, first + count))

    def _fault(self, numbered: tuple[int, str]) -> str | None:
        try:
            for f in self.codec.in_files:
                self.index.pictures(self.picture_rows, f, np.array([numbered[0]]))
        except MixError as e:
            return self._told(e)
        return None

    def _strays(self, named: set[str]) -> Iterator[str | None]:
        for entry in os.scandir(self.path):
            known = entry.name in (MANIFEST, *BESIDE) or entry.name.startswith(".") or TAR.fullmatch(entry.name)
            if not known:
                yield f"{entry.name}: is no part of the dataset"
