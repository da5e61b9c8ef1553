"""Clouds as rows of numbers: `.txt`, `.xyz`, `.pts` and `.csv`.

Numbers stand between spaces, tabs, commas or semicolons; a comma within a number is a decimal point. Comments begin
with `#` or `//`; a first line of words is a header; a `.pts` file may begin with its number of points. Columns have
no names, so their number decides:

- 3: x y z.
- 6: x y z and the normal (modelnet40_normal_resampled).
- 7: x y z, the normal and the part label (ShapeNetPart).
- any other number: x y z; a fourth may be an intensity, a label or a weight, so the rest is left out.
- 6 or 7 of which columns 4 to 6 are whole numbers beyond ±1: those are colours, and the rest is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from mixcli.files.geometry import File, Geometry, floats, whole
from mixcli.files.text_rows import parse, read_rows

COMMENT = re.compile(rb"(?:#|//)[^\n]*")
FIRST_LINE = re.compile(rb"\S[^\n]*")
WORD = re.compile(rb"(?![-+.\d]|nan\b|inf)", re.I)  # begins as no number does


def read(file: File, limit: int | None) -> Geometry:
    rows = read_rows(file, limit, lambda file, text: parse(file, _plain(text)))
    if not len(rows):
        raise file.bad("it holds no row of numbers", "write one point a line: x y z")
    return cloud(file, rows.table(file))


def cloud(file: File, table: np.ndarray) -> Geometry:
    """A cloud of rows whose columns have no names, by the rule above. (P,C) numbers."""
    columns = table.shape[1]
    if columns < 3:
        raise file.bad(f"its rows have {columns} numbers", "a point needs three: x y z")
    points = floats(table[:, :3])
    if columns not in (6, 7) or _are_colours(table[:, 3:6]):
        return Geometry(points)
    seg = whole(file, table[:, 6], "the part label of point") if columns == 7 else None
    return Geometry(points, floats(table[:, 3:6]), seg)


def _are_colours(values: np.ndarray) -> bool:
    return bool((np.floor(values) == values).all() and (np.abs(values) > 1).any())


def _plain(text: bytes) -> bytes:
    """The text with only numbers in it, separated by spaces, in the lines where they were."""
    text = text.removeprefix(b"\xef\xbb\xbf")
    if b"\n" not in text:
        text = text.replace(b"\r", b"\n")
    if b"#" in text or b"//" in text:
        text = COMMENT.sub(b"", text)
    text, first = _without(text, _is_header)
    text, first = _without(text, _is_number_of_points)
    table = _separators(first)
    return text.translate(table) if table else text


def _without(text: bytes, unwanted: Callable[[bytes], bool]) -> tuple[bytes, bytes]:
    """The text with its first line blanked if it is unwanted, and what is then its first line."""
    first = FIRST_LINE.search(text)
    if first and unwanted(first[0].strip()):
        text = text[: first.start()] + text[first.end() :]
        first = FIRST_LINE.search(text)
    return text, first[0] if first else b""


def _is_header(line: bytes) -> bool:
    return all(map(WORD.match, re.findall(rb"[^\s,;]+", line)))


def _is_number_of_points(line: bytes) -> bool:
    return line.isdigit()


def _separators(line: bytes) -> bytes | None:
    """A table for `bytes.translate`, by the first line of numbers; None where spaces separate them already."""
    if b";" in line:
        return bytes.maketrans(b";,", b" .")
    if b"," not in line:
        return None
    decimal = any(len(field.split()) > 1 for field in line.split(b","))  # 1,5 2,5 3,5
    return bytes.maketrans(b",", b"." if decimal else b" ")
