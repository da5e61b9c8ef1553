"""Clouds as rows of numbers: `.txt`, `.xyz`, `.pts` and `.csv`.

Numbers stand between spaces, tabs, commas or semicolons, in quotes or not; a comma within a number is a decimal point.
Comments begin with `#` or `//`. A first line of words is a header, and so is a comment that names x, y and z: it says
what the columns mean (`columns.by_name`); without one their places do (`columns.by_place`). A `.pts` file may begin
with its number of points.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mixcli.files.columns import ROWS, TEXT, XYZ, by_name, by_place
from mixcli.files.shape import File, Geometry
from mixcli.files.text_rows import parse, read_rows, unix

COMMENT = re.compile(rb"(?:#|//)[^\n]*")
FIRST_LINE = re.compile(rb"\S[^\n]*")
WORD = re.compile(rb"(?![-+.\d]|nan\b|inf)", re.I)  # begins as no number does
QUOTED = re.compile(rb'"([^"\n]*)"')
UNIT = re.compile(r"\s*[\[(].*")  # behind a name: x [m], y(mm)
MOST_COMMENTS = 64  # that are looked at for the names of columns
AXES = {  # what else they are called
    **{form.format(axis): axis for axis in XYZ for form in ("p{}", "pos_{}", "point_{}", "{}_coord", "coord_{}")},
    **{f"points:{place}": axis for place, axis in enumerate(XYZ)},
}


@dataclass
class Head:
    """What a text says before its rows."""

    names: tuple[str, ...] = ()
    is_header: bool = False  # whether they stand in a line of their own, not in a comment
    points: int | None = None


def read(file: File, limit: int | None) -> Geometry:
    head = Head()
    wanted = None if limit is None else max(limit, ROWS)  # so many tell what the columns mean
    rows = read_rows(file, wanted, lambda file, text: parse(file, _plain(text, head)))
    if not len(rows):
        raise file.bad("it holds no row of numbers", "write one point a line: x y z")
    if head.points is not None and len(rows) < min(head.points, head.points if wanted is None else wanted):
        raise file.bad(f"it promises {head.points:,} points, but {len(rows):,} follow: it is cut short")
    table = rows.table(file)
    names = _names_of(file, head, table)
    if not names:
        return by_place(file, table, limit)
    return by_name(file, {name: table[:limit, at] for at, name in enumerate(names) if name}, TEXT)


def _names_of(file: File, head: Head, table: np.ndarray) -> tuple[str, ...]:
    """The name of each column, '' of an index; nothing where they have none."""
    names, columns = head.names, table.shape[1]
    has_axes = set(XYZ) <= set(names)
    if len(names) == columns - 1 and has_axes:
        index = table[:, 0]
        if bool((np.diff(index) == 1).all()):  # as data frames are printed: their index has no name
            return ("", *names)
    if len(names) == columns and has_axes:
        return names
    if head.is_header and len(names) == columns > 3:
        raise file.bad(f"its header names no x, y and z but {', '.join(names)[:60]!r}", "name its columns x, y and z")
    if head.is_header and has_axes:
        raise file.bad(f"its header names {len(names)} columns, and its rows have {columns}")
    return ()


def _plain(text: bytes, head: Head) -> bytes:
    """The text with only numbers in it, separated by spaces, in the lines where they were."""
    text = unix(text.removeprefix(b"\xef\xbb\xbf"))
    if b"#" in text or b"//" in text:
        head.names = _of_comments(text)
        text = COMMENT.sub(b"", text)
    text, first, header = _without(text, _is_header)
    if header:
        head.names, head.is_header = _words(header), True
    text, first, points = _without(text, bytes.isdigit)
    if points and len(points) < 19:
        head.points = int(points)
    if b'"' in first:
        text = QUOTED.sub(lambda quoted: quoted[1].replace(b",", b"."), text)
        first = QUOTED.sub(lambda quoted: quoted[1].replace(b",", b"."), first)
    table = _separators(first)
    return text.translate(table) if table else text


def _of_comments(text: bytes) -> tuple[str, ...]:
    """Names in the last comment, among the first lines, that has x, y and z; none where none does."""
    lines = [line.strip() for line in text[: 1 << 14].split(b"\n")[:MOST_COMMENTS]]
    told = [_words(line.lstrip(b"#/ \t")) for line in lines if line.startswith((b"#", b"//"))]
    return next((names for names in reversed(told) if set(XYZ) <= set(names)), ())


def _words(line: bytes) -> tuple[str, ...]:
    """The names of a header in lower case; the axes' by their usual names, those of an index empty.

    >>> _words(b'"X [m]";Y;Z;Intensity'), _words(b",x,y,z")
    (('x', 'y', 'z', 'intensity'), ('', 'x', 'y', 'z'))
    """
    text = line.decode("utf-8", "replace").lower()
    between = next((mark for mark in ";,\t" if mark in text), None)
    names = [UNIT.sub("", word.strip().strip("\"'").strip()) for word in text.split(between)]
    names = [AXES.get(name, name) for name in names]
    return tuple(name if names.index(name) == at else f"{name} {at + 1}" for at, name in enumerate(names))


def _without(text: bytes, unwanted: Callable[[bytes], bool]) -> tuple[bytes, bytes, bytes]:
    """The text with its first line blanked if it is unwanted, what is then its first line, and the unwanted one."""
    first = FIRST_LINE.search(text)
    taken = b""
    if first and unwanted(first[0].strip()):
        taken = first[0].strip()
        text = text[: first.start()] + text[first.end() :]
        first = FIRST_LINE.search(text)
    return text, first[0] if first else b"", taken


def _is_header(line: bytes) -> bool:
    words = [word.strip(b"\"'") for word in re.findall(rb"[^\s,;]+", line)]
    return all(map(WORD.match, filter(None, words)))


def _separators(line: bytes) -> bytes | None:
    """A table for `bytes.translate`, by the first line of numbers; None where spaces separate them already."""
    if b";" in line:
        return bytes.maketrans(b";,", b" .")
    if b"," not in line:
        return None
    decimal = any(len(field.split()) > 1 for field in line.split(b","))  # 1,5 2,5 3,5
    return bytes.maketrans(b",", b"." if decimal else b" ")
