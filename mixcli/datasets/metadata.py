"""`metadata.jsonl`: one JSON object a row, with the names of its files and every field that is not in them.

Floats are the shortest decimal that gives the same float of their type back; NaN is null, infinity 1e999, which JSON
readers take for it. A soft label is a list up to 100 classes, above that {class: share} of the shares that are not 0.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mixcli.data.fields import Field
from mixcli.datasets.plain_files import open_plain
from mixcli.errors import MixError

LISTED = 100  # classes
NAME = re.compile(r"([0-9]{5,9})/([0-9]{6,12})(\.[a-z]{3,4})")
HEAD = b'{"file_name": "'  # of every line
BLOCK = 1 << 22  # bytes scanned at a time
MISSING = object()
WHOLE = 1 << 53  # integers that float64 has
INFINITY = {np.inf: b"1e999", -np.inf: b"-1e999"}
Address = Callable[[int], str]  # what to call the i-th of some lines where it is wrong


class Naming(NamedTuple):
    """What the files of a row are called: one by its number, those beside it with more behind the number."""

    suffix: str = ".ply"
    beside: tuple[tuple[str, str], ...] = ()  # the key of the line that names it, and its suffix

    def files(self, name: str) -> list[str]:
        """All files of a row, from the name of its first.

        >>> Naming(".png", (("mask_file_name", ".mask.png"),)).files("00000/000007.png")
        ['00000/000007.png', '00000/000007.mask.png']
        """
        stem = name[: -len(self.suffix)]
        return [name, *(stem + suffix for _, suffix in self.beside)]


CLOUDS = Naming()


def file_name(window: int, row: int, digits: int, suffix: str = ".ply") -> str:
    """Of a row, relative to the dataset's folder.

    >>> file_name(3, 3100, 6)
    '00003/003100.ply'
    """
    return f"{window:05d}/{row:0{digits}d}{suffix}"


def check_fields(fields: tuple[Field, ...], path: Path) -> None:
    """MixError where a field does not fit a line."""
    for f in fields:
        if len(f.shape) > 1 or np.dtype(f.dtype).kind not in "iuf":
            reason = f"field '{f.name}', {f.shape} {f.dtype} a row, fits no line of JSON"
            raise MixError(reason, at=path, advice="write .h5")


def line_bytes(fields: tuple[Field, ...]) -> int:
    """About as long a line will be."""
    return 60 + sum(len(f.name) + 10 + (6 if f.name == "soft_label" else 14) * _numbers_of(f) for f in fields)


def longest(fields: tuple[Field, ...]) -> int:
    """No line is longer, however it is spaced."""
    return 4096 + 64 * sum(_numbers_of(f) for f in fields)


def encode(
    fields: tuple[Field, ...], names: list[str], arrays: dict[str, np.ndarray], naming: Naming | None = CLOUDS
) -> list[bytes]:
    """A line a row, with its end. names: of the rows' files. naming: None leaves their names out.

    >>> weight = {"weight": np.array([[0.1, 0.9]], "<f4")}
    >>> encode((Field("weight", (2,), "<f4"),), ["00000/000000.ply"], weight)
    [b'{"file_name": "00000/000000.ply", "weight": [0.1, 0.9]}\\n']
    """
    columns = [[_named(name, naming) for name in names]] if naming else []
    for f in fields:
        _check_nans(f, arrays[f.name], names)
        key = f'"{f.name}": '.encode()
        columns.append([key + value for value in _values(f, arrays[f.name])])
    return [b"{" + b", ".join(parts) + b"}\n" for parts in zip(*columns, strict=True)]


def _named(name: str, naming: Naming) -> bytes:
    keys = ["file_name", *(key for key, _ in naming.beside)]
    return ", ".join(f'"{key}": "{file}"' for key, file in zip(keys, naming.files(name), strict=True)).encode()


def _values(f: Field, array: np.ndarray) -> list[bytes]:
    if _is_sparse(f):
        return _shares(f, array)
    texts = _texts(array).tolist()
    return [b"[" + b", ".join(row) + b"]" for row in texts] if f.shape else texts


def _check_nans(f: Field, array: np.ndarray, names: list[str]) -> None:
    """A NaN becomes null, so it must be the one that null becomes."""
    if array.dtype.kind != "f":
        return
    other = np.isnan(array) & (_bits(array) != _bits(np.array([np.nan], array.dtype)))
    if other.any():
        name = names[int(np.nonzero(other)[0][0])]
        reason = f"'{f.name}' is a NaN with a sign or a payload, which JSON lacks"
        raise MixError(reason, at=name, advice="write .h5 or .npz")


def _shares(f: Field, array: np.ndarray) -> list[bytes]:
    """{class: share} of each row."""
    rows, classes = np.nonzero(_bits(array))
    texts = _texts(array[rows, classes]).tolist()
    pairs = [b'"%d": %b' % pair for pair in zip(classes.tolist(), texts, strict=True)]
    ends = np.searchsorted(rows, np.arange(len(array) + 1)).tolist()
    return [b"{" + b", ".join(pairs[start:end]) + b"}" for start, end in zip(ends, ends[1:], strict=False)]


def _texts(array: np.ndarray) -> np.ndarray:
    """Every number as bytes."""
    if array.dtype.kind != "f":
        return array.astype("S")
    texts = np.full(array.shape, b"0.0", "S32")
    some = _bits(array) != 0  # not by value: -0.0 keeps its sign
    texts[some] = _floats(array[some])
    return texts


def _floats(values: np.ndarray) -> np.ndarray:
    """(n,) -> (n,) texts that give the very same bits back."""
    texts = values.astype("S32")
    lost = _bits(texts.astype(np.float64).astype(values.dtype)) != _bits(values)
    texts[lost] = [repr(float(v)).encode() for v in values[lost]]
    texts[np.isnan(values)] = b"null"
    for value, text in INFINITY.items():
        texts[values == value] = text
    return texts


def _bits(array: np.ndarray) -> np.ndarray:
    return array.view(f"u{array.dtype.itemsize}")


def _is_sparse(f: Field) -> bool:
    return f.name == "soft_label" and len(f.shape) == 1 and f.shape[0] > LISTED


def _numbers_of(f: Field) -> int:
    return int(np.prod(f.shape, dtype=np.int64))


def decode(
    fields: tuple[Field, ...], lines: list[bytes], rows: np.ndarray, address: Address, naming: Naming = CLOUDS
) -> tuple[list[str], dict[str, np.ndarray]]:
    """File names and fields of rows (m,) from their lines."""
    entries = [_parsed(line, address, i) for i, line in enumerate(lines)]
    names = [_name(entry, row, naming, address, i) for i, (entry, row) in enumerate(zip(entries, rows, strict=True))]
    return names, _arrays(fields, entries, address)


def decode_fields(fields: tuple[Field, ...], lines: list[bytes], address: Address) -> dict[str, np.ndarray]:
    """`decode` of lines that name no files."""
    return _arrays(fields, [_parsed(line, address, i) for i, line in enumerate(lines)], address)


def _arrays(fields: tuple[Field, ...], entries: list[dict[str, Any]], address: Address) -> dict[str, np.ndarray]:
    arrays = {}
    for f in fields:
        values = [entry.get(f.name, MISSING) for entry in entries]
        array = _array(f, values)
        if array is None:
            bad = next(i for i, value in enumerate(values) if _array(f, [value]) is None)
            raise MixError(f"'{f.name}' is not {_expected(f)}", at=address(bad))
        arrays[f.name] = array
    return arrays


def _parsed(line: bytes, address: Address, i: int) -> dict[str, Any]:
    """The object of the i-th line."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as e:
        raise MixError(f"does not parse as JSON ({e})", at=address(i)) from e
    if not isinstance(entry, dict):
        raise MixError("is no JSON object", at=address(i))
    return entry


def _name(entry: dict[str, Any], row: int, naming: Naming, address: Address, i: int) -> str:
    """The file of a row: a name as mixcli gives it, so none that leads out of the folder, and the row's own."""
    name = entry.get("file_name")
    parts = NAME.fullmatch(name) if isinstance(name, str) else None
    if not isinstance(name, str) or not parts or int(parts[2]) != row or parts[3] != naming.suffix:
        want = f"'00000/{row:06d}{naming.suffix}'"
        raise MixError(f"file_name {str(name)[:80]!r} is not that of row {row}, like {want}", at=address(i))
    for (key, _), want in zip(naming.beside, naming.files(name)[1:], strict=True):
        if entry.get(key) != want:
            raise MixError(f"{key} {str(entry.get(key))[:80]!r} is not {want!r}", at=address(i))
    return name


def _array(f: Field, values: list[Any]) -> np.ndarray | None:
    """(m, *shape), or None where a value is of another shape or type."""
    if _is_sparse(f):
        return _dense(f, values)
    flat = values
    if f.shape:
        if any(type(value) is not list or len(value) != f.shape[0] for value in values):
            return None
        flat = list(chain.from_iterable(values))
    array = _numbers(flat, np.dtype(f.dtype))
    return None if array is None else array.reshape(len(values), *f.shape)


def _dense(f: Field, values: list[Any]) -> np.ndarray | None:
    """Shares by class -> (m,C)."""
    array = np.zeros((len(values), *f.shape), f.dtype)
    if any(type(value) is not dict for value in values):
        return None
    keys = list(chain.from_iterable(values))
    if not all(key.isdecimal() and len(key) < 10 and int(key) < f.shape[0] for key in keys):
        return None
    shares = _numbers(list(chain.from_iterable(value.values() for value in values)), np.dtype(f.dtype))
    if shares is not None:
        rows = np.repeat(np.arange(len(values)), [len(value) for value in values])
        array[rows, list(map(int, keys))] = shares
    return None if shares is None else array


def _numbers(flat: list[Any], dtype: np.dtype) -> np.ndarray | None:
    """JSON numbers as an array, or None where one is no number of this type."""
    kinds = set(map(type, flat))
    if dtype.kind != "f":
        info = np.iinfo(dtype)
        fits = kinds <= {int} and (not flat or (info.min <= min(flat) and max(flat) <= info.max))
        return np.array(flat, dtype) if fits else None
    if int in kinds and any(type(v) is int and abs(v) > WHOLE for v in flat):
        return None
    if not kinds <= {float, int, type(None)}:
        return None
    with np.errstate(over="ignore"):
        return np.array(flat, np.float64).astype(dtype)


def _expected(f: Field) -> str:
    kind = "number" if np.dtype(f.dtype).kind == "f" else "integer"
    if _is_sparse(f):
        return f"an object of shares by class, 0 to {f.shape[0] - 1}"
    return f"a list of {f.shape[0]} {kind}s" if f.shape else f"one {kind} ({f.dtype})"


class LineIndex:
    """Where each line of a file begins, found in one pass."""

    def __init__(self, path: Path, most: int):
        self.path = path
        descriptor, size = open_plain(path)
        self.file = open(descriptor, "rb", buffering=0)  # noqa: SIM115 - open for the life of the index
        self.starts = np.concatenate([[0], *self._ends(size, most)]).astype(np.int64)
        if self.starts[-1] != size:
            raise MixError("its last line is cut short", at=path)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def _ends(self, size: int, most: int) -> list[np.ndarray]:
        """One past each line's end, block by block. A line too short or long for a row is refused at once."""
        blocks: list[np.ndarray] = []
        last, count = 0, 0
        for at in range(0, size, BLOCK):
            block = np.frombuffer(self.raw(at, BLOCK), np.uint8)
            ends = np.flatnonzero(block == ord("\n")) + at + 1
            lengths = np.diff(ends, prepend=last)
            wrong = np.flatnonzero((lengths <= len(HEAD)) | (lengths > most))
            last, open_ = (ends[-1] if len(ends) else last), at + len(block)
            if len(wrong) or open_ - last > most:
                line = count + 1 + (int(wrong[0]) if len(wrong) else len(ends))
                at_line = f"{self.path}, line {line}"
                raise MixError("is too short or too long for a row of this dataset", at=at_line)
            blocks.append(ends)
            count += len(ends)
        return blocks

    @property
    def longest(self) -> int:
        """Bytes of the longest line."""
        return int(np.diff(self.starts).max(initial=0))

    def lines(self, numbers: np.ndarray) -> list[bytes]:
        """Lines by their numbers from 0; one read where they follow each other."""
        spans = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1) if len(numbers) else []
        return list(chain.from_iterable(self._span(int(span[0]), int(span[-1]) + 1) for span in spans))

    def _span(self, first: int, end: int) -> list[bytes]:
        starts = self.starts[first : end + 1]
        text = self.raw(int(starts[0]), int(starts[-1] - starts[0]))
        cuts = (starts - starts[0]).tolist()
        return [text[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]

    def raw(self, at: int, count: int) -> bytes:
        """As they are in the file, whatever process asks."""
        return os.pread(self.file.fileno(), count, at)

    def close(self) -> None:
        self.file.close()
