"""CIFAR's binary version: records of one byte of label (CIFAR-100: coarse, then fine) and 3072 of a picture."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from mixcli.errors import MixError
from mixcli.files.regular import require_file, require_inside
from mixcli.sources.class_names import read_names
from mixcli.sources.images.cifar import AGAIN, MOST_BYTES, SIDE
from mixcli.sources.images.splits import wanted
from mixcli.sources.images.stacked import Stack, Stacked
from mixcli.sources.labels import Labels

NAME = re.compile(r"(?P<ten>data_batch_\d+|test_batch)\.bin|(?P<hundred>train|test)\.bin")
NAMES = {"ten": "batches.meta.txt", "hundred": "fine_label_names.txt"}
FOLDERS = ("", "cifar-10-batches-bin", "cifar-100-binary")  # as the archives unpack
PIXELS = 3 * SIDE * SIDE


def binary_folder(root: Path, split: str = "auto", coarse: bool = False) -> Stacked | None:
    """The batches of a split; None where the folder has none."""
    for name in FOLDERS:
        folder = root / name
        batches = sorted(folder.iterdir()) if folder.is_dir() else []
        batches = [path for path in batches if NAME.fullmatch(path.name) and path.is_file()]
        if any(_names_list(path) for path in batches):
            notes: list[str] = []
            told = {path.name: "test" if path.name.startswith("test") else "train" for path in batches}
            chosen = wanted(root, told, split, notes)
            return _stacked(root, [require_inside(p, folder) for p in batches if p.name in chosen], coarse, notes)
    return None


def binary_file(path: Path, coarse: bool = False) -> Stacked | None:
    """One batch; None where the file is not named as one and has no list of names beside it."""
    return _stacked(path, [path], coarse, []) if NAME.fullmatch(path.name) and _names_list(path) else None


def _names_list(path: Path) -> Path | None:
    """The list of names beside a batch."""
    match = NAME.fullmatch(path.name)
    listing = path.parent / NAMES[match.lastgroup or "ten"] if match else None
    return listing if listing and os.path.isfile(listing) else None


def _stacked(path: Path, batches: list[Path], coarse: bool, notes: list[str]) -> Stacked:
    lists = {_names_list(batch) for batch in batches} - {None}
    if len(lists) != 1:
        raise MixError("has batches of CIFAR-10 and of CIFAR-100", at=path, advice="name one of them")
    listing = lists.pop()
    assert listing is not None  # since a list is what makes a file a batch
    before = 2 if listing.name == NAMES["hundred"] else 1
    if coarse and before == 2:
        listing = listing.parent / "coarse_label_names.txt"
    records = [_records(batch, before) for batch in batches]
    labels = np.concatenate([rows[:, 0 if coarse else before - 1] for rows in records]).astype(np.int64)
    pictures = [rows[:, before:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1) for rows in records]
    stacks = [Stack(home, pixels) for home, pixels in zip(batches, pictures, strict=True)]
    return Stacked(path, [listing, *batches], stacks, Labels(labels, read_names(listing)), notes)


def _records(path: Path, before: int) -> np.ndarray:
    """(n,before+3072) u8."""
    size, record = require_file(path).stat().st_size, before + PIXELS
    if not size or size > MOST_BYTES or size % record:
        raise MixError(f"{size:,} bytes are no whole number of records of {record:,}", at=path, advice=AGAIN)
    return np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, record)
