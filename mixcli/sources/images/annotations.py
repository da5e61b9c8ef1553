"""Tiny ImageNet's `val`: pictures in `images`, and a line of `val_annotations.txt` for each with its name and class."""

from __future__ import annotations

import os
from pathlib import Path

from mixcli.errors import MixError
from mixcli.files.regular import read_lines, require_inside
from mixcli.sources.images.class_folders import PictureFiles, is_picture, pictures_in
from mixcli.sources.images.labels import Collector

LIST, PICTURES = "val_annotations.txt", "images"


def annotated_folder(root: Path, split: str = "auto") -> PictureFiles | None:
    """The pictures that the list names; None where there is none."""
    listing = root / LIST
    if not os.path.isfile(listing) or not (root / PICTURES).is_dir():
        return None
    names, labels = list[str](), Collector()
    for number, line in enumerate(read_lines(require_inside(listing, root)), 1):
        words = line.split("\t")
        where = f"{listing}, line {number}"
        if line and (len(words) < 2 or "/" in words[0] or not is_picture(words[0])):
            raise MixError("expected a picture's name, a tab and its class", at=where, advice="download it again")
        if line:
            names.append(f"{PICTURES}/{words[0]}")
            labels.add(words[1], where)
    there = pictures_in(root, PICTURES)
    if missing := sorted(set(names) - set(there)):
        raise MixError(f"{missing[0]!r} is not there", at=listing, advice="copy or download it again")
    return PictureFiles(root, names, labels.labels(root, _of_train(root)), [listing], unnamed(root, there, names))


def unnamed(root: Path, there: list[str], names: list[str]) -> list[str]:
    """A note on pictures that no list names, as one that was cut short."""
    left = sorted(set(there) - set(names))
    if not left:
        return []
    some = f"{len(left):,} pictures" if len(left) > 1 else "a picture"
    return [f"{root}: left out {some} that the list does not name, the first {left[0]!r}: check that it is complete"]


def _of_train(root: Path) -> tuple[str, ...] | None:
    """The classes' names, sorted, as the folders of `train` beside it number them."""
    train = root.parent / "train"
    if not train.is_dir():
        return None
    return tuple(sorted(entry.name for entry in os.scandir(train) if entry.is_dir() and entry.name[0] != ".")) or None
