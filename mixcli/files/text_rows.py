"""Numbers of a text, line by line: what all formats that are text share."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixcli.files.decimals import POWERS, decimals
from mixcli.files.shape import MOST_POINTS, File
from mixcli.jit import have_numba

SLACK = 64  # lines read beyond the wanted ones, for headers, comments and blank lines
BYTES_A_LINE = 100  # the first guess: seven columns of fourteen characters
LONGEST_LINE = 4096  # bytes, on average
MOST_LINES = 3 * MOST_POINTS
WORTH_COMPILING = 1 << 15  # bytes
END = 7654321.0  # parsed behind the text: what stands there was reached
ODD_EXPONENT = re.compile(rb"(?<=[\d.])(?:[dD](?=[-+]?\d)|([-+])[eEdD](?=\d))")  # 1.5D-3 of Fortran, 3.1+e2
NOT_A_NUMBER = re.compile(
    rb"(?<!\S)(?![-+]?(?:\d+(?:\.\d*)?(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?|nan|inf(?:inity)?)(?!\S))\S+", re.I
)


@dataclass(frozen=True)
class Rows:
    """The lines of a text that hold numbers."""

    values: np.ndarray  # (T,) f64
    first: np.ndarray  # (R,) i64, each row's first value
    count: np.ndarray  # (R,) i64, how many it has, at least 1
    line: np.ndarray  # (R,) i64, which line of the file it is, from 1
    start: np.ndarray  # (T,) i64, where in the text each value begins

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, rows: slice) -> Rows:
        return Rows(self.values, self.first[rows], self.count[rows], self.line[rows], self.start)

    def table(self, file: File, columns: int | None = None) -> np.ndarray:
        """(R,C) f64, a view: every row has exactly `columns` values, by default as many as the first."""
        columns = int(self.count[0]) if columns is None else columns
        self._checked(file, self.count != columns, f"{columns} are expected")
        start = int(self.first[0]) if len(self) else 0
        return self.values[start : start + len(self) * columns].reshape(-1, columns)

    def leading(self, file: File, columns: int) -> np.ndarray:
        """(R,columns) f64: the first values of every row, which may have more."""
        self._checked(file, self.count < columns, f"{columns} or more are expected")
        return self.values[self.first[:, None] + np.arange(columns)]

    def _checked(self, file: File, wrong: np.ndarray, expected: str) -> None:
        if wrong.any():
            row = int(wrong.argmax())
            raise file.bad(f"line {self.line[row]} has {self.count[row]} numbers where {expected}")


def read_rows(file: File, limit: int | None, parse: Callable[[File, bytes], Any]) -> Any:
    """The first `limit` rows of what is left of the file, all without it; `parse` makes rows of lines."""
    if limit is None:
        return parse(file, rest_of(file))
    begin = file.file.tell()
    text, is_all = _head(file, limit + SLACK)
    rows = parse(file, text)
    if len(rows) < limit and not is_all:  # many comments or blank lines
        file.file.seek(begin)
        rows = parse(file, rest_of(file))
    return rows[:limit]


def rest_of(file: File) -> bytes:
    """What is left of a text, if it has no more lines than a shape can need."""
    text = unix(file.rest())
    if text.count(b"\n") > MOST_LINES:
        raise file.bad(f"its more than {MOST_LINES:,} lines are too many for one shape", "split or simplify it")
    return text


def unix(text: bytes) -> bytes:
    """Lines that end as those of old Macs do get the usual end."""
    return text.replace(b"\r", b"\n") if b"\r" in text and b"\n" not in text else text


def _head(file: File, lines: int) -> tuple[bytes, bool]:
    """The next `lines` lines, and whether these are all."""
    text = file.take(min(lines * BYTES_A_LINE, file.left))
    if b"\r" in text and b"\n" not in text:
        return unix(text + file.rest()), True
    while file.left and text.count(b"\n") < lines:
        if len(text) > lines * LONGEST_LINE:
            raise file.bad(f"its lines are longer than {LONGEST_LINE:,} bytes", "write one point a line: x y z")
        text += file.take(min(len(text), file.left))
    ends = np.flatnonzero(np.frombuffer(text, np.uint8) == 10)
    if len(ends) < lines:
        return text, True
    return text[: ends[lines - 1] + 1], False


def parse(file: File, text: bytes) -> Rows:
    """Numbers separated by white space."""
    characters = np.frombuffer(b" " + text + b"\n", np.uint8)
    visible = characters > 32
    start = np.flatnonzero(visible[1:] > visible[:-1])
    values = np.empty(len(start))
    if len(text) < WORTH_COMPILING or not have_numba() or not decimals(characters[1:], start, values, POWERS):
        values = _numbers(file, text, len(start))
    ends = np.searchsorted(start, np.flatnonzero(characters[1:-1] == 10))  # values before the end of each line
    bounds = np.concatenate([[0], ends, [len(start)]])
    line = np.flatnonzero(np.diff(bounds))
    return Rows(values, bounds[line], np.diff(bounds)[line], line + 1 + file.lines_read, start)


def _numbers(file: File, text: bytes, count: int) -> np.ndarray:
    """(count,) f64."""
    values = _parsed(text, count)
    if values is None and ODD_EXPONENT.search(text):
        values = _parsed(ODD_EXPONENT.sub(rb"e\1", text), count)
    if values is None:
        raise _not_a_number(file, text)
    return values


def _parsed(text: bytes, count: int) -> np.ndarray | None:
    """numpy stops at what is no number and splits 1.2.3 into two: both are seen at the end, and give None."""
    try:
        values = np.fromstring(text + b" %d" % END, sep=" ")
    except (ValueError, DeprecationWarning):  # versions of numpy differ in how they say that they stopped
        return None
    return values[:-1] if len(values) == count + 1 and values[-1] == END else None


def _not_a_number(file: File, text: bytes) -> Exception:
    word = NOT_A_NUMBER.search(text)
    if not word:
        return file.bad("its text is not made of numbers")
    line = text.count(b"\n", 0, word.start()) + 1 + file.lines_read
    return file.bad(f"line {line}: {word[0][:24].decode('latin-1')!a} is not a number")


def lines_of(text: bytes, keyword: bytes) -> bytes:
    """Only the numbers of the lines that begin with a word: it and all other lines are blanked, where they stand."""
    characters = np.frombuffer(b"\n" + text + b"\n" * (len(keyword) + 1), np.uint8).copy()
    ends = np.flatnonzero(characters == 10)
    visible = characters > 32
    words = np.flatnonzero(visible[1:] > visible[:-1]) + 1
    before = np.searchsorted(words, ends)  # words before each end of a line
    line = np.flatnonzero(np.diff(before))
    word = words[before[line]]  # the first of each line that has one
    chosen = characters[word + len(keyword)] <= 32
    for i, letter in enumerate(keyword):
        chosen &= characters[word + i] == letter
    kept = np.zeros(len(ends) - 1, bool)
    kept[line[chosen]] = True
    blanked = ~kept.repeat(np.diff(ends))
    blanked[ends[:-1]] = False
    characters[: len(blanked)][blanked] = 32
    for i in range(len(keyword)):
        characters[word[chosen] + i] = 32
    return characters[1 : len(text) + 1].tobytes()
