"""What the readers of a folder share, whether its rows are files of their own or lie in archives.

A folder is untrusted: no link is followed, no name leads out of it, no file is read that is not of the right size.
"""

from __future__ import annotations

import math
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from mixcli.data.fields import Field
from mixcli.datasets.codec import kind_of, own
from mixcli.datasets.codecs import codec_of
from mixcli.datasets.contract import PictureFiles, Rows
from mixcli.datasets.folder_names import MANIFEST, files_in
from mixcli.datasets.manifest_text import unpack
from mixcli.datasets.metadata import check_fields
from mixcli.datasets.recognise import text_of_folder
from mixcli.errors import MixError
from mixcli.files.threads import in_threads

if TYPE_CHECKING:
    from mixcli.files.picture_files import Encoding

TYPE = re.compile(r"[<|][iu]1|<[iu][248]|<f[248]")
CHUNK = 16 << 20  # bytes decoded at a time
CACHED = 64 << 20  # bytes of the last request that are kept, since fields are asked for one by one
MOST_TOLD = 8  # faults of one kind
MOST_NUMBERS = 10_000_000  # in a row of a field; more is a manifest that lies

Kept = TypeVar("Kept")


class WholeColumn(NamedTuple):
    """A field of all rows."""

    shape: tuple[int, ...]
    dtype: np.dtype


class RowIndex(Protocol):
    """Where each row's line is."""

    def __len__(self) -> int: ...

    @property
    def longest(self) -> int:
        """Bytes of the longest line."""

    def lines(self, numbers: np.ndarray) -> list[bytes]:
        """Of rows by their numbers."""

    def close(self) -> None: ...


class Last(Generic[Kept]):
    """What was made last, if it is asked for again for the same rows."""

    def __init__(self) -> None:
        self._key: bytes | None = None
        self._kept: Kept | None = None

    def get(self, rows: np.ndarray, make: Callable[[np.ndarray], Kept]) -> Kept:
        """What was kept for these rows (m,) i64, or now is made."""
        key = rows.tobytes()
        if self._kept is None or key != self._key:
            self._key, self._kept = key, make(rows)
        return self._kept


class FolderReader(ABC):
    """A finished dataset in a folder, read by rows. A container says where lines and files are and what is a fault."""

    container: ClassVar[str]

    def __init__(self, path: Path):
        self.path = path
        self.described, self.class_names = unpack(path, text_of_folder(path))
        self.fields = _fields(self.described, path / MANIFEST)
        self.codec = codec_of(self.fields, path, _pictures(self.described, path / MANIFEST))
        check_fields(self.codec.others, path)
        self._kept_lines = Last[tuple[list[str], Rows]]()
        self._kept_files: dict[str, Last[Rows]] = {}

    @property
    @abstractmethod
    def index(self) -> RowIndex:
        """Of the lines, which are the rows."""

    @abstractmethod
    def _decoded_chunk(self, fields: tuple[Field, ...], rows: np.ndarray) -> tuple[list[str], Rows]:
        """File names and fields of rows that fit in memory together."""

    @abstractmethod
    def _read_files(self, rows: np.ndarray, name: str) -> Rows:
        """Of rows: what `own` takes a field from."""

    @abstractmethod
    def _files(self, first: int, count: int) -> Iterator[tuple[bytes, ...]]:
        """The pictures' files of consecutive rows as they are, in the order of `naming.files`."""

    @abstractmethod
    def _fault(self, numbered: tuple[int, str]) -> str | None:
        """What is wrong with the files of a row, given by its number and the name of its file."""

    @abstractmethod
    def _strays(self, named: set[str]) -> Iterator[str | None]:
        """Entries of the folder that belong to no row, whose files are `named`."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """What it is, in words."""

    @property
    def pictures(self) -> PictureFiles | None:
        """The pictures' files; None where no file is a picture."""
        kind = kind_of(self.codec)
        return PictureFiles(kind, self._files) if kind else None

    @property
    def names(self) -> list[str]:
        return [f.name for f in self.fields]

    @property
    def size(self) -> int:
        return sum(entry.stat(follow_symlinks=False).st_size for entry in files_in(self.path))

    def field(self, name: str) -> WholeColumn:
        """Its shape with all rows, and its type."""
        f = self._field(name)
        return WholeColumn((len(self.index), *f.shape), np.dtype(f.dtype))

    def _field(self, name: str) -> Field:
        for f in self.fields:
            if f.name == name:
                return f
        raise MixError(f"no field '{name}'", at=self.path, advice=f"it has {', '.join(self.names)}")

    def read(self, name: str, first: int, count: int) -> np.ndarray:
        return self.take(name, np.arange(first, min(first + count, len(self.index))))

    def take(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Rows from anywhere: only their lines are parsed, and only their files opened if the field is of points."""
        f, rows = self._field(name), np.asarray(rows, np.int64)
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self.index):
            raise IndexError(f"{self.path} has rows 0 to {len(self.index) - 1}")
        if f in self.codec.in_files:
            return self._from_files(f, rows)
        if len(rows) * self.line_memory <= CACHED:
            return self._kept_lines.get(rows, self._table)[1][name].copy()
        return self._decoded((f,), rows)[1][name]

    def _from_files(self, f: Field, rows: np.ndarray) -> np.ndarray:
        if len(rows) * self.codec.bytes <= CACHED:
            kept = self._kept_files.setdefault("all" if self.codec.together else f.name, Last[Rows]())
            return own(f, kept.get(rows, lambda rows: self._read_files(rows, f.name)))
        parts = [own(f, self._read_files(chunk, f.name)) for chunk in _chunks(rows, self.codec.bytes)]
        return np.concatenate(parts)

    def _file_names(self, rows: np.ndarray) -> list[str]:
        """From the lines, which are kept where they are few."""
        small = len(rows) * self.line_memory <= CACHED
        return (self._kept_lines.get(rows, self._table) if small else self._decoded((), rows))[0]

    def _table(self, rows: np.ndarray) -> tuple[list[str], Rows]:
        return self._decoded(self.codec.others, rows)

    @cached_property
    def line_memory(self) -> int:
        """Bytes that a decoded line takes."""
        return 100 + sum(f.row_bytes for f in self.codec.others)

    def _decoded(self, fields: tuple[Field, ...], rows: np.ndarray) -> tuple[list[str], Rows]:
        """File names and fields of rows."""
        names: list[str] = []
        parts = {f.name: [np.empty((0, *f.shape), f.dtype)] for f in fields}
        for chunk in self._line_chunks(rows):
            more, arrays = self._decoded_chunk(fields, chunk)
            names += more
            for name, array in arrays.items():
                parts[name].append(array)
        return names, {name: np.concatenate(arrays) for name, arrays in parts.items()}

    def _line_chunks(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        return _chunks(rows, 10 * self.index.longest + self.line_memory)

    def manifest(self) -> dict[str, Any]:
        """What made the dataset."""
        return self.described

    def faults(self) -> Iterator[str]:
        """Lines that are no rows; files that are named but missing, linked or changed; files that no line names."""
        named: list[str] = []
        try:
            for chunk in self._line_chunks(np.arange(len(self.index))):
                named += self._decoded(self.codec.others, chunk)[0]
        except MixError as e:
            yield self._told(e)
            return
        yield from _first_few(in_threads(self._fault, list(enumerate(named))), "files of rows are damaged")
        files = {file for name in named for file in self.codec.naming.files(name)}
        yield from _first_few(self._strays(files), "entries of the folder belong to no row")

    def _told(self, error: MixError) -> str:
        """An error's sentence, its place named from the folder."""
        place = error.address.removeprefix(f"{self.path}{os.sep}")
        return str(MixError(error.reason, at=place, advice=error.advice))

    def close(self) -> None:
        if "index" in self.__dict__:
            self.index.close()


def _fields(manifest: dict[str, Any], path: Path) -> tuple[Field, ...]:
    """The fields that the manifest promises, if files can hold them."""
    try:
        fields = tuple(Field(f["name"], tuple(f["shape"]), f["dtype"]) for f in manifest["fields"])
    except (KeyError, TypeError) as e:
        raise MixError("has no usable list of fields", at=path) from e
    for f in fields:
        if not _is_sound(f):
            raise MixError(f"field {str(f.name)[:40]!r} is none that mixcli writes", at=path)
    if len({f.name for f in fields}) != len(fields):
        raise MixError("names a field twice", at=path)
    return fields


def _is_sound(f: Field) -> bool:
    """Of what a manifest says: whatever may stand there."""
    if not (isinstance(f.name, str) and f.name.isidentifier() and isinstance(f.dtype, str) and TYPE.fullmatch(f.dtype)):
        return False
    return all(type(n) is int and 0 <= n <= MOST_NUMBERS for n in f.shape) and math.prod(f.shape) <= MOST_NUMBERS


def _pictures(manifest: dict[str, Any], path: Path) -> Encoding | None:
    """How its pictures are kept; takes what says so out of the manifest, since copies may keep them otherwise."""
    suffix = manifest.pop("pictures", None)
    if suffix is None:
        return None
    from mixcli.files.picture_files import KINDS

    for kind in KINDS.values():
        if kind.suffix == suffix:
            return kind()
    reason = f"pictures {str(suffix)[:40]!r} are none that mixcli writes"
    raise MixError(reason, at=path, advice="it was changed")


def _chunks(rows: np.ndarray, row_bytes: int) -> Iterator[np.ndarray]:
    """Rows in pieces that fit in memory."""
    size = max(1, CHUNK // max(1, row_bytes))
    return (rows[at : at + size] for at in range(0, len(rows), size))


def _first_few(told: Iterable[str | None], what: str) -> Iterator[str]:
    """The first faults in full, the others as a number."""
    faults = [fault for fault in told if fault]
    yield from faults[:MOST_TOLD]
    if len(faults) > MOST_TOLD:
        yield f"{len(faults) - MOST_TOLD:,} more {what}"
