"""Clouds of the Point Cloud Library (`.pcd`): text, binary and compressed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mixcli.files.columns import PCD, by_name
from mixcli.files.lzf import decompress
from mixcli.files.shape import MOST_BYTES, File, Geometry
from mixcli.files.text_rows import parse, read_rows

KEYWORDS = {"VERSION", "FIELDS", "SIZE", "TYPE", "COUNT", "WIDTH", "HEIGHT", "VIEWPOINT", "POINTS", "DATA"}
LONGEST_HEADER = 1 << 16  # bytes
KINDS = {"F": "f", "I": "i", "U": "u"}


@dataclass(frozen=True)
class Field:
    name: str
    dtype: np.dtype
    count: int  # values of one point


def read(file: File, limit: int | None) -> Geometry:
    """Points, with normals of `normal_x normal_y normal_z` and part labels of `label`, the library's own names."""
    fields, points, form = _header(file)
    rows = points if limit is None else min(points, limit)
    return by_name(file, FORMS[form](file, fields, points, rows), PCD)


def _header(file: File) -> tuple[list[Field], int, str]:
    """Fields, the number of points, and how they are stored."""
    words = _words(file)
    if "FIELDS" not in words or words.get("DATA", [""])[0] not in FORMS:
        raise file.bad(f"its header has no FIELDS, or DATA is none of {', '.join(FORMS)}")
    names = words["FIELDS"]
    sizes, types = words.get("SIZE", []), words.get("TYPE", [])
    counts = _whole(file, words.get("COUNT", ["1"] * len(names)))
    if not len(names) == len(sizes) == len(types) == len(counts):
        raise file.bad("FIELDS, SIZE, TYPE and COUNT of its header are not as many")
    points = math.prod(_whole(file, words.get("POINTS") or [*words.get("WIDTH", ["0"]), *words.get("HEIGHT", ["1"])]))
    if not points:
        raise file.bad("it holds no points")
    dtypes = [_dtype(file, kind, size) for kind, size in zip(types, sizes, strict=True)]
    return [Field(*field) for field in zip(names, dtypes, counts, strict=True)], points, words["DATA"][0]


def _words(file: File) -> dict[str, list[str]]:
    """What follows each keyword, up to DATA, which is the last; COLUMNS is the old name of FIELDS."""
    header: dict[str, list[str]] = {}
    left = LONGEST_HEADER
    while "DATA" not in header:
        line = file.line(left)
        left -= len(line)
        words = line.decode("utf-8", "replace").split()
        if not line.endswith(b"\n"):
            raise file.bad("its header has no line DATA")
        if words and not words[0].startswith("#"):
            if words[0] not in KEYWORDS or len(words) == 1:
                raise file.bad(f"its header has a line that does not fit: {line[:40].decode('latin-1')!a}")
            header[words[0]] = words[1:]
    return header


def _whole(file: File, words: list[str]) -> list[int]:
    if not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
        raise file.bad(f"its header says {' '.join(words)[:40]!a} where whole numbers below a billion belong")
    return [int(word) for word in words]


def _dtype(file: File, kind: str, size: str) -> np.dtype:
    if kind not in KINDS or size not in ("1", "2", "4", "8") or (kind == "F" and size in ("1", "2")):
        raise file.bad(f"its header has a field of TYPE {kind[:8]!a} and SIZE {size[:8]!a}")
    return np.dtype(f"<{KINDS[kind]}{size}")


def _text(file: File, fields: list[Field], points: int, rows: int) -> dict[str, np.ndarray]:
    table = read_rows(file, rows, parse).table(file, sum(f.count for f in fields))
    if len(table) < rows:
        raise file.bad(f"its header promises {points:,} points, but {len(table):,} follow: it is cut short")
    starts = np.cumsum([0, *(f.count for f in fields)])
    return {f.name: table[:, start] for f, start in zip(fields, starts, strict=False) if f.count == 1}


def _binary(file: File, fields: list[Field], points: int, rows: int) -> dict[str, np.ndarray]:
    """Point after point."""
    starts = np.cumsum([0, *(f.count * f.dtype.itemsize for f in fields)])
    file.need(points * int(starts[-1]))
    table = np.frombuffer(file.take(rows * int(starts[-1])), np.uint8).reshape(rows, -1)
    return {
        f.name: np.ascontiguousarray(table[:, start : start + f.dtype.itemsize]).view(f.dtype)[:, 0]
        for f, start in zip(fields, starts, strict=False)
        if f.count == 1
    }


def _compressed(file: File, fields: list[Field], points: int, rows: int) -> dict[str, np.ndarray]:
    """Field after field, packed as one block behind its packed and its full size."""
    packed, full = np.frombuffer(file.take(8), "<u4").tolist()
    sizes = [points * f.count * f.dtype.itemsize for f in fields]
    if full != sum(sizes) or full > MOST_BYTES:
        raise file.bad(f"its header promises {sum(sizes):,} bytes of points, but its data says {full:,}")
    data = decompress(file.take(packed), full)
    if data is None:
        raise file.bad("its compressed data is damaged")
    starts = np.cumsum([0, *sizes])
    return {
        f.name: np.frombuffer(data, f.dtype, rows, int(start))
        for f, start in zip(fields, starts, strict=False)
        if f.count == 1
    }


FORMS = {"ascii": _text, "binary": _binary, "binary_compressed": _compressed}
