"""Files that are named one by one, as `find` prints them: one a line, or between NULs where there are any.

A file that holds one picture or one cloud is of the class that its folder is named as. The order in which they are
named says nothing: samples come class after class, sorted by folder, then by name, as those of class folders do.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from mixcli.errors import UsageError
from mixcli.files.regular import in_litter, is_litter
from mixcli.sources.class_names import read_names
from mixcli.sources.labels import Labels

MOST_BYTES = 1 << 30
LISTS = ("classes.txt", "class_names.txt", "shape_names.txt", "modelnet40_shape_names.txt")  # of class names


class Root(str):
    """A folder of which nothing is read but the files that were named."""


@dataclass(frozen=True)
class Listed:
    """Files by their places under a folder, posix paths, sorted."""

    root: Path
    names: tuple[str, ...]

    def __str__(self) -> str:
        count = len(self.names)
        return f"the list of {count:,} file{'s' * (count != 1)} in {self.root}"

    def split(self, suffixes: tuple[str, ...]) -> tuple[list[Listed], list[Path]]:
        """Files of one sample each, by their suffixes, and the others; lists of class names are neither."""
        paths = [os.path.join(self.root, name) for name in self.names if os.path.basename(name) not in LISTS]
        one = [path for path in paths if path.lower().endswith(suffixes)]
        others = [Path(path) for path in paths if not path.lower().endswith(suffixes)]
        return [_rooted(one)] if one else [], others


def listed(stream: BinaryIO) -> Listed:
    """The files that a stream names, each once, relative to the working folder."""
    data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise UsageError(f"more than {MOST_BYTES:,} bytes are no list of files", at="--in -")
    lines = data.split(b"\0") if b"\0" in data else [line.removesuffix(b"\r") for line in data.split(b"\n")]
    named = [os.path.split(os.fsdecode(line)) for line in lines if line.strip()]
    named = [place for place in named if not (is_litter(place[1]) or in_litter(place[0].replace(os.sep, "/")))]
    if not named:
        raise UsageError("no file name came", at="--in -", advice="check the command before the pipe")
    place = {folder: _absolute(folder) for folder in {folder for folder, _ in named}}
    paths = sorted({os.path.join(place[folder], base) for folder, base in named})
    if folder := next(filter(os.path.isdir, paths), None):
        raise UsageError(f"{folder} is a folder", at="--in -", advice="name the files in it, as find -type f does")
    return _rooted(paths)


def _rooted(paths: list[str]) -> Listed:
    """Files by their paths, sorted: the folder is the one that holds all of the classes' folders."""
    folders = {os.path.dirname(path) for path in paths}
    root = os.path.join(os.path.commonpath(list(map(os.path.dirname, folders))), "")
    return Listed(Path(root), tuple(path[len(root) :].replace(os.sep, "/") for path in paths))


def _absolute(folder: str) -> str:
    """From the root. Links stay, since a folder's name is a class; '..' is what the disk makes of it."""
    return os.path.realpath(folder) if ".." in Path(folder).parts else os.path.abspath(folder)


class Classified(NamedTuple):
    """Files in the order of their samples."""

    names: tuple[str, ...]  # posix paths
    labels: Labels
    lists: tuple[Path, ...]  # the one that says the classes' names, if any


def classes(files: Listed, between: Sequence[str] = ()) -> Classified:
    """The files in the order of their samples, each of the class that its folder is named as.

    between: folders that may stand between a class's folder and its files, as splits do. A list of names counts where
    it lies beside the classes' folders.
    """
    if gone := next((path for name in files.names if not os.path.isfile(path := f"{files.root}/{name}")), None):
        raise UsageError("no such file", at=gone)
    of = {folder: _class(files.root / folder, between) for folder in set(map(os.path.dirname, files.names))}
    beside = all(folder.partition("/")[0] == name for folder, name in of.items())
    listing = next((files.root / name for name in LISTS if beside and os.path.isfile(files.root / name)), None)
    names = read_names(listing) if listing else tuple(sorted(set(of.values())))
    number = {name: i for i, name in enumerate(names or ())}
    if unknown := next((folder for folder, name in of.items() if name not in number), None):
        raise UsageError(f"class {of[unknown]!r} is not in {listing}", at=files.root / unknown, advice="add it there")
    keyed = sorted((number[of[folder]], folder, base) for folder, base in map(os.path.split, files.names))
    order = tuple(f"{folder}/{base}" for _, folder, base in keyed)
    labels = Labels(np.array([label for label, _, _ in keyed], np.int64), names)
    return Classified(order, labels, (listing,) if listing else ())


def _class(folder: Path, between: Sequence[str]) -> str:
    folder = folder.parent if folder.name in between else folder
    if not folder.name:
        raise UsageError("a file that lies there lies in no folder that could name its class", at=folder)
    return folder.name


def again(files: Sequence[dict[str, Any]], paths: Sequence[Path | str]) -> list[Listed | str]:
    """The parts of a source as a manifest describes them, where they are now -> what opens them."""
    if len(files) != len(paths):
        return list(map(str, paths))
    return [
        Listed(Path(path), _inside(path, told["names"])) if told.get("names") else str(path)
        for told, path in zip(files, paths, strict=True)
    ]


def _inside(root: Path | str, names: Sequence[str]) -> tuple[str, ...]:
    if odd := next((n for n in names if os.path.isabs(n) or "\0" in n or ".." in Path(n).parts), None):
        raise UsageError(
            f"the manifest names {odd[:80]!r} in it, which is not inside", at=root, advice="it was changed"
        )
    return tuple(names)
