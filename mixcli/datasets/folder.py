"""A folder of `.ply` or pictures, one a row, with `metadata.jsonl` and `manifest.json`: how it looks, and its reader.

    mixed/00000/000000.ply         a sub-folder a window; of images 000000.png, .jpg or .webp
    mixed/00000/000000.mask.png    beside it, with --keep mask
    mixed/metadata.jsonl           a line a row, in the order of the rows: the image-folder convention of Hugging Face
    mixed/manifest.json            what made it, with the class names

A folder is untrusted: no link is followed, no name leads out of it, no file is read that is not of the right size.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mixcli.data.fields import Field
from mixcli.datasets.codecs import codec_of, is_lossy
from mixcli.datasets.container import unpack
from mixcli.datasets.metadata import LineIndex, check_fields, decode, longest
from mixcli.datasets.place import open_plain
from mixcli.datasets.ply_rows import check_folders
from mixcli.errors import MixError
from mixcli.files.threads import in_threads

if TYPE_CHECKING:
    from mixcli.files.picture_files import Encoding

METADATA, MANIFEST = "metadata.jsonl", "manifest.json"
WINDOW, ROW = re.compile(r"[0-9]{5,9}(\.tmp)?"), re.compile(r"[0-9]{6,12}(\.ply|\.jpg|\.webp|(\.mask)?\.png)")
TAR = re.compile(r"[0-9]{5,9}\.tar(\.tmp)?")
BESIDE = ("README.md", ".gitattributes")  # what a dataset gets where it is published
TYPE = re.compile(r"[<|][iu]1|<[iu][248]|<f[248]")
CHUNK = 16 << 20  # bytes decoded at a time
CACHED = 64 << 20  # bytes of the last request that are kept, since fields are asked for one by one
SHOWN = 8  # faults of one kind
MOST = 10_000_000  # numbers in a row of a field; more is a manifest that lies


class Column(NamedTuple):
    """A field of all rows."""

    shape: tuple[int, ...]
    dtype: np.dtype


class MixedFolder:
    """A finished dataset, read by rows."""

    container = "folder"  # as `open_sink` calls it

    def __init__(self, path: Path):
        self.path = path
        self.described, self.class_names = self._manifest()
        self.fields = _fields(self.described, path / MANIFEST)
        self.codec = codec_of(self.fields, path, _pictures(self.described, path / MANIFEST))
        check_fields(self.codec.others, path)
        self.kept: dict[str, tuple[bytes, Any]] = {}

    def _manifest(self) -> tuple[dict[str, Any], tuple[str, ...] | None]:
        if not os.path.lexists(self.path / MANIFEST):
            raise MixError(f"{self.path}: no {MANIFEST} in it; mixcli did not write this folder")
        descriptor, _ = open_plain(self.path / MANIFEST)
        with open(descriptor, "rb") as file:
            return unpack(self.path, file.read())

    @property
    def kind(self) -> str:
        return f"folder of {self.codec.naming.suffix}"

    @property
    def lossy(self) -> bool:
        """Whether the decoder has a say in what the rows are."""
        return is_lossy(self.codec)

    @cached_property
    def index(self) -> LineIndex:
        """Of the lines, which are the rows."""
        return LineIndex(self.path / METADATA, longest(self.codec.others))

    @property
    def names(self) -> list[str]:
        return [f.name for f in self.fields]

    @property
    def size(self) -> int:
        return sum(entry.stat(follow_symlinks=False).st_size for entry in _walk(self.path))

    def field(self, name: str) -> Column:
        """Its shape with all rows, and its type."""
        f = self._field(name)
        return Column((len(self.index), *f.shape), np.dtype(f.dtype))

    def _field(self, name: str) -> Field:
        found = [f for f in self.fields if f.name == name]
        if not found:
            raise MixError(f"{self.path}: no field '{name}'; it has {', '.join(self.names)}")
        return found[0]

    def read(self, name: str, first: int, count: int) -> np.ndarray:
        return self.take(name, np.arange(first, min(first + count, len(self.index))))

    def take(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Rows from anywhere: only their lines are parsed, and only their files opened if the field is of points."""
        f, rows = self._field(name), np.asarray(rows, np.int64)
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self.index):
            raise IndexError(f"{self.path} has rows 0 to {len(self.index) - 1}")
        in_files = f in self.codec.in_files
        if len(rows) * (self.codec.bytes if in_files else self.line_memory) <= CACHED:
            return self._unpacked(rows, f) if in_files else self._kept("lines", self._table, rows)[1][name].copy()
        if not in_files:
            return self._decoded((f,), rows)[1][name]
        parts = [self.codec.unpack(self._records(chunk, name), name) for chunk in _chunks(rows, self.codec.bytes)]
        return np.concatenate(parts)

    def _unpacked(self, rows: np.ndarray, f: Field) -> np.ndarray:
        what = "files" if self.codec.together else f.name
        return self.codec.unpack(self._kept(what, lambda rows: self._records(rows, f.name), rows), f.name)

    def _kept(self, what: str, make: Callable[[np.ndarray], Any], rows: np.ndarray) -> Any:
        """What was made last, if it is asked for again."""
        key = rows.tobytes()
        if self.kept.get(what, (None,))[0] != key:
            self.kept[what] = (key, make(rows))
        return self.kept[what][1]

    def _records(self, rows: np.ndarray, name: str) -> Any:
        small = len(rows) * self.line_memory <= CACHED
        names = (self._kept("lines", self._table, rows) if small else self._decoded((), rows))[0]
        return self.codec.read(self.path, names, rows, name)

    def files(self, first: int, count: int) -> Iterator[tuple[bytes, ...]]:
        """The pictures' files of consecutive rows as they are, in the order of `naming.files`."""
        rows = np.arange(first, first + count)
        names = self._decoded((), rows)[0]
        check_folders(self.path, names)
        contents = [self.codec.contents(f, self.path, names, rows) for f in self.codec.in_files]
        return (tuple(read(i)[1] for read in contents) for i in range(count))

    def _table(self, rows: np.ndarray) -> tuple[list[str], dict[str, np.ndarray]]:
        return self._decoded(self.codec.others, rows)

    @cached_property
    def line_memory(self) -> int:
        """Bytes that a decoded line takes."""
        return 100 + sum(f.row_bytes for f in self.codec.others)

    def _decoded(self, fields: tuple[Field, ...], rows: np.ndarray) -> tuple[list[str], dict[str, np.ndarray]]:
        """File names and fields of rows."""
        names, parts = [], {f.name: [np.empty((0, *f.shape), f.dtype)] for f in fields}
        for chunk in _chunks(rows, 10 * self.index.longest + self.line_memory):
            more, arrays = self._decoded_chunk(fields, chunk)
            names += more
            for name, array in arrays.items():
                parts[name].append(array)
        return names, {name: np.concatenate(found) for name, found in parts.items()}

    def _decoded_chunk(self, fields: tuple[Field, ...], rows: np.ndarray) -> tuple[list[str], dict[str, np.ndarray]]:
        lines = self.index.lines(rows)
        return decode(fields, lines, rows, lambda i: self._address(int(rows[i])), self.codec.naming)

    def _address(self, row: int) -> str:
        return f"{self.path / METADATA}, line {row + 1}"

    def manifest(self) -> dict[str, Any]:
        """What made the dataset."""
        return self.described

    def faults(self) -> Iterator[str]:
        """Lines that are no rows; files that are named but missing, linked or changed; files that no line names."""
        named: list[str] = []
        try:
            for chunk in _chunks(np.arange(len(self.index)), 10 * self.index.longest + self.line_memory):
                named += self._decoded(self.codec.others, chunk)[0]
        except MixError as e:
            yield self._short(e)
            return
        yield from _first_few(in_threads(self._fault, list(enumerate(named))), "files of rows are damaged")
        files = {file for name in named for file in self.codec.naming.files(name)}
        yield from _first_few(self._strays(files), "entries of the folder belong to no row")

    def _fault(self, numbered: tuple[int, str]) -> str | None:
        row, name = numbered
        try:
            self.codec.read(self.path, [name], np.array([row]))
        except MixError as e:
            return self._short(e)
        return None

    def _short(self, error: MixError) -> str:
        return str(error).removeprefix(f"{self.path}{os.sep}")

    def _strays(self, named: set[str]) -> Iterator[str | None]:
        for entry in _walk(self.path):
            name = os.path.relpath(entry.path, self.path)
            top = name in (METADATA, MANIFEST, *BESIDE) or (name.startswith(".") and os.sep not in name)
            if not top and name.replace(os.sep, "/") not in named:
                yield f"{name}: no line of {METADATA} names it"

    def close(self) -> None:
        if "index" in self.__dict__:
            self.index.close()


def _fields(manifest: dict[str, Any], path: Path) -> tuple[Field, ...]:
    """The fields that the manifest promises, if files can hold them."""
    try:
        found = tuple(Field(f["name"], tuple(f["shape"]), f["dtype"]) for f in manifest["fields"])
    except (KeyError, TypeError) as e:
        raise MixError(f"{path}: has no usable list of fields") from e
    for f in found:
        sound = isinstance(f.name, str) and f.name.isidentifier() and isinstance(f.dtype, str)
        sound = sound and TYPE.fullmatch(f.dtype)
        if not sound or not all(type(n) is int and 0 <= n <= MOST for n in f.shape) or math.prod(f.shape) > MOST:
            raise MixError(f"{path}: field {str(f.name)[:40]!r} is none that mixcli writes")
    if len({f.name for f in found}) != len(found):
        raise MixError(f"{path}: names a field twice")
    return found


def _pictures(manifest: dict[str, Any], path: Path) -> Encoding | None:
    """How its pictures are kept; takes what says so out of the manifest, since copies may keep them otherwise."""
    suffix = manifest.pop("pictures", None)
    if suffix is None:
        return None
    from mixcli.files.picture_files import KINDS

    found = [kind for kind in KINDS.values() if kind.suffix == suffix]
    if not found:
        raise MixError(f"{path}: pictures {str(suffix)[:40]!r} are none that mixcli writes; it was changed")
    return found[0]()


def _chunks(rows: np.ndarray, row_bytes: int) -> Iterator[np.ndarray]:
    """Rows in pieces that fit in memory."""
    size = max(1, CHUNK // max(1, row_bytes))
    return (rows[at : at + size] for at in range(0, len(rows), size))


def _walk(folder: Path) -> Iterator[os.DirEntry]:
    """Everything in a folder that is no folder itself; links are not followed."""
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        else:
            yield entry


def _first_few(found: Iterable[str | None], what: str) -> Iterator[str]:
    """The first faults in full, the others as a number."""
    faults = [fault for fault in found if fault]
    yield from faults[:SHOWN]
    if len(faults) > SHOWN:
        yield f"{len(faults) - SHOWN:,} more {what}"


def is_of_tars(folder: Path) -> bool:
    """Whether the rows lie in archives, and not in files of their own."""
    if os.path.lexists(folder / METADATA):
        return False
    return os.path.lexists(folder / MANIFEST) and not any(entry.is_dir() for entry in os.scandir(folder))


def foreign(folder: Path) -> str | None:
    """An entry that a dataset, finished or not, does not have; None if there is none."""
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False) and WINDOW.fullmatch(entry.name):
            for inner in os.scandir(entry.path):
                if not (inner.is_file(follow_symlinks=False) and ROW.fullmatch(inner.name)):
                    return f"{entry.name}/{inner.name}"
        elif not (entry.is_file(follow_symlinks=False) and _is_own(entry.name)):
            return entry.name
    return None


def _is_own(name: str) -> bool:
    return name in (METADATA, MANIFEST) or TAR.fullmatch(name) is not None
