"""ShapeNetPart as text: <synset>/<id>.txt with rows x y z nx ny nz part, categories and splits in lists beside them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from mixcli.errors import MixError, UsageError
from mixcli.files.regular import read_lines, require_inside
from mixcli.sources.clouds.class_folders import scan
from mixcli.sources.clouds.cloud_files import CloudFiles, Placed
from mixcli.sources.clouds.id_lists import existing
from mixcli.sources.labels import Labels

CATEGORIES = "synsetoffset2category.txt"
SPLIT_LISTS = {s: f"train_test_split/shuffled_{s}_file_list.json" for s in ("train", "val", "test")}
WANTED = {
    "auto": ("train", "val"),
    "train": ("train", "val"),
    "val": ("val",),
    "test": ("test",),
    "all": ("train", "val", "test"),
}


def is_shapenet(root: Path) -> bool:
    return os.path.isfile(root / CATEGORIES)


def split_lists(root: Path, split: str, notes: list[str]) -> list[Path]:
    """The lists that a split asks for; the folder itself where it has none."""
    there = {s: root / name for s, name in SPLIT_LISTS.items() if os.path.isfile(root / name)}
    lists = [there[s] for s in WANTED[split] if s in there]
    if not lists and split == "auto":
        return list(there.values()) or [root]
    if lists and split in ("auto", "train"):
        told = " and ".join(path.name for path in lists)
        notes.append(f"{root}: read the clouds of {told}, as the published loaders train; --split all reads all")
    if not lists and split != "all":
        raise UsageError(
            f"no {SPLIT_LISTS[WANTED[split][0]]} in {root}", at=f"--split {split}", advice="leave --split out"
        )
    return lists or [root]


def split_list(path: Path) -> CloudFiles:
    """The clouds of one shuffled_*_file_list.json, numbered in its order."""
    root = path.parent.parent
    if not is_shapenet(root):
        raise UsageError(
            f"no {CATEGORIES} in {root}", at=path, advice="a .json is read only as one of ShapeNetPart's lists"
        )
    synsets, names = _categories(root)
    clouds, labels = [], []
    for at, entry in enumerate(_entries(path)):
        where = f"{path}[{at}]"
        _, synset, ident = _pieces(entry, where)
        if synset not in synsets:
            raise UsageError(f"{entry[:80]!r} is of a category that {root / CATEGORIES} does not name", at=where)
        clouds.append(existing(root, f"{synset}/{ident}.txt", where))
        labels.append(synsets[synset])
    numbers = Labels(np.array(labels, np.int64), names)
    return CloudFiles(path, Placed(root, clouds), numbers, (root / CATEGORIES, path))


def whole_shapenet(root: Path) -> CloudFiles:
    """Every cloud of every category, where no lists of splits are there."""
    synsets, names = _categories(root)
    clouds, labels = [], []
    for synset, label in synsets.items():
        folder = require_inside(root / synset, root)
        files = [file for file in scan(folder, root).files if file.endswith(".txt")]
        if not files:
            what = f"no .txt cloud of {names[label]!r} in it"
            raise UsageError(what, at=root / synset, advice=f"put them there, or take its line out of {CATEGORIES}")
        clouds += [f"{synset}/{file}" for file in files]
        labels += [label] * len(files)
    numbers = Labels(np.array(labels, np.int64), names)
    return CloudFiles(root, Placed(root, clouds), numbers, (root / CATEGORIES,))


def _categories(root: Path) -> tuple[dict[str, int], tuple[str, ...]]:
    """Synset -> class number in the order of the file, and the names."""
    listing = root / CATEGORIES
    rows = [line.split() for line in read_lines(require_inside(listing, root)) if line]
    for number, row in enumerate(rows, 1):
        if len(row) != 2 or "/" in row[1] or row[1].startswith("."):
            raise MixError(
                "expected a category and its folder, as in 'Airplane 02691156'", at=f"{listing}, line {number}"
            )
    synsets = {row[1]: i for i, row in enumerate(rows)}
    if not rows or len(synsets) < len(rows):
        raise MixError("names no category, or one folder twice", at=listing, advice="copy or download it again")
    return synsets, tuple(row[0] for row in rows)


def _entries(path: Path) -> list[str]:
    """The list of strings that the file holds."""
    text = "\n".join(read_lines(require_inside(path, path.parent.parent)))
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise MixError(f"does not parse as JSON ({e})", at=path, advice="copy or download it again") from e
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, str) for entry in entries):
        raise MixError(
            "expected a list of strings like 'shape_data/02691156/1a04e3'", at=path, advice="download it again"
        )
    return entries


def _pieces(entry: str, where: str) -> list[str]:
    pieces = entry.split("/")
    if len(pieces) != 3 or any(not p or p.startswith(".") or "\\" in p or "\0" in p for p in pieces):
        raise UsageError(
            f"{entry[:80]!r} is no entry", at=where, advice="expected one like 'shape_data/02691156/1a04e3'"
        )
    return pieces
