"""Clouds as rows of numbers: `.txt`, `.xyz`, `.pts` and `.csv`.

Numbers stand between spaces, tabs, commas or semicolons; a comma within a number is a decimal point. Comments begin
with `#` or `//`; a first line of words is a header; a `.pts` file may begin with its number of points. What a column
means, its place says (`columns.by_place`).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from mixcli.files.columns import by_place
from mixcli.files.shape import File, Geometry
from mixcli.files.text_rows import parse, read_rows

COMMENT = re.compile(rb"(?:#|//)[^\n]*")
FIRST_LINE = re.compile(rb"\S[^\n]*")
WORD = re.compile(rb"(?![-+.\d]|nan\b|inf)", re.I)  # begins as no number does


def read(file: File, limit: int | None) -> Geometry:
    rows = read_rows(file, limit, lambda file, text: parse(file, _plain(text)))
    if not len(rows):
        raise file.bad("it holds no row of numbers", "write one point a line: x y z")
    return by_place(file, rows.table(file))


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
