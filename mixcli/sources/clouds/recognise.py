"""Whether a folder that cannot be read as it is holds clouds at all: a look at some files of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from mixcli.files.geometry import SUFFIXES
from mixcli.files.regular import is_litter

NUMBER = re.compile(rb"[-+]?\d*\.?\d+([eE][-+]?\d+)?")
TEXTS = (".txt", ".csv")  # of which many hold no cloud but labels, lists or remarks
ENTRIES, FOLDERS = 256, 16  # that are looked at in one folder
DEPTH = 3  # root, class, split
LINES = 4  # a header and comments may stand before the first point


def holds_clouds(root: Path) -> bool:
    """By the names of its files and of those below it; of a text file, by its first lines."""
    return any(_is_cloud(path) for path in _files(root, DEPTH))


def is_row_of_numbers(line: bytes, least: int = 2) -> bool:
    """Whether a line is at least so many numbers and nothing else.

    >>> is_row_of_numbers(b"0.5, 1e-3 2"), is_row_of_numbers(b"airplane_0001"), is_row_of_numbers(b"7")
    (True, False, False)
    """
    words = re.split(rb"[,;\s]+", line.strip())
    return len(words) >= least and all(NUMBER.fullmatch(word) for word in words)


def _is_cloud(path: str) -> bool:
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in TEXTS:
        return suffix in SUFFIXES
    try:
        with open(path, "rb") as file:
            return any(is_row_of_numbers(file.readline(1000), 3) for _ in range(LINES))
    except OSError:
        return False


def _files(folder: Path | str, depth: int) -> Iterator[str]:
    try:
        with os.scandir(folder) as scan:
            paths = [entry.path for entry in islice(scan, ENTRIES) if not is_litter(entry.name)]
    except OSError:
        return
    yield from filter(os.path.isfile, paths)
    if depth > 1:
        for inner in islice(filter(os.path.isdir, paths), FOLDERS):
            yield from _files(inner, depth - 1)
