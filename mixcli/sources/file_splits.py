"""Which files of many clouds are read of a folder or a list: one split, and no cloud twice."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mixcli.datasets.recognise import is_mixed
from mixcli.errors import UsageError
from mixcli.files.hdf5 import SUFFIXES as H5
from mixcli.files.hdf5 import holds, open_h5
from mixcli.files.regular import is_litter, read_lines, require_inside

SET = (  # names of folders that hold a set, not a class
    "data|dataset|datasets|image|images|img|imgs|picture|pictures|pics|photo|photos|jpegimages|jpeg|jpg|png|samples|files"
    "|raw|all|clouds|points|pointclouds|point_clouds|models|meshes|objects|off|ply|pcd|obj|stl|txt|unlabeled|frames|"
)
STACKED = (*H5, ".npz")

NAMED = {
    "trainval": "train_?val(?!i?d)",
    "train": "train",
    "val": "(?<![a-z])(val|valid|validation)(?![a-z])",
    "test": "(?<![a-z])test",
}


def split_of(name: str) -> str | None:
    """What the name of a file says that it holds.

    >>> [split_of(n) for n in ("ply_data_train0.h5", "training_objectdataset.h5", "a_test.h5", "trainval.h5", "oval")]
    ['train', 'train', 'test', 'trainval', None]
    """
    for split, pattern in NAMED.items():
        if re.search(pattern, name.lower()):
            return split
    return None


def is_no_class(folder: str) -> bool:
    """Whether a folder that would be the only class is named as one that holds a set or a split.

    >>> is_no_class("images"), is_no_class("val2017"), is_no_class("chair")
    (True, True, False)
    """
    plain = folder.lower().strip("_- 0123456789")
    return re.fullmatch(SET, plain) is not None or split_of(folder) is not None


def stacked_files(folder: Path, split: str, notes: list[str]) -> list[Path]:
    """Its .h5 files, where there are none its .npz files, of the split; none where there are neither."""
    for suffixes in (H5, (".npz",)):
        files = sorted(
            p for p in folder.iterdir() if p.suffix.lower() in suffixes and not is_litter(p.name) and p.is_file()
        )
        files = [p for p in files if not is_mixed(require_inside(p, folder))]  # ours, unless it is named
        if files:
            return _checked(folder, _of_lists(folder, split, notes) or _by_name(folder, files, split, notes))
    return []


def _of_lists(folder: Path, split: str, notes: list[str]) -> list[Path]:
    """Files of ModelNet40's own lists: a mixed set must not learn from test data."""
    lists = {s: folder / f"{s}_files.txt" for s in ("train", "val", "test")}
    there = {s: path for s, path in lists.items() if os.path.isfile(path)}
    if split == "all":
        return []
    listing = there.get("train" if split == "auto" else split)
    if listing is None:
        return []
    notes.append(f"{folder}: read the files of {listing.name}")
    return listed_files(listing)


def _by_name(folder: Path, files: list[Path], split: str, notes: list[str]) -> list[Path]:
    """Never two files that hold the same clouds: `trainval` stands for `train` and `val`."""
    named = {s: [p for p in files if split_of(p.name) == s] for s in NAMED}
    train, words = named["train"], "'train'"
    if named["trainval"]:
        train, words = named["trainval"], "'trainval'"
    elif named["val"] and train and all(p.suffix.lower() in H5 and holds(open_h5(p), "pid") for p in train):
        train, words = sorted(train + named["val"]), "'train' or 'val'"  # as ShapeNetPart's loaders train
    if split == "all":
        return [p for p in files if not named["trainval"] or split_of(p.name) not in ("train", "val")]
    chosen = named[split] if split in ("test", "val") else train
    if not chosen and files[0].suffix.lower() == ".npz":
        return files  # they may tell inside
    if split != "auto" and not chosen:
        raise UsageError(
            f"no file in {folder} has {split!r} in its name", at=f"--split {split}", advice="leave --split out"
        )
    if split == "auto" and chosen and len(chosen) < len(files):
        notes.append(f"{folder}: read the {len(chosen)} of {len(files)} files with {words} in their name")
    return chosen or files


def _checked(folder: Path, chosen: list[Path]) -> list[Path]:
    """ScanObjectNN keeps its variants, which are the same objects, in one folder."""
    for split in NAMED:
        variants = [p for p in chosen if "objectdataset" in p.name and split_of(p.name) == split]
        if len(variants) > 1:
            raise UsageError(
                f"{variants[0].name} and {variants[1].name} hold the same objects",
                at=f"--in {folder}",
                advice="name one of them",
            )
    return chosen


def listed_files(listing: Path) -> list[Path]:
    """Files of a list, which writes them relative to some folder above it: the last parts of the path decide."""
    files = []
    for number, line in enumerate(read_lines(listing), 1):
        if line:
            files.append(_listed(listing, number, line))
    if not files:
        raise UsageError("the list is empty", at=listing)
    return files


def _listed(listing: Path, number: int, line: str) -> Path:
    home, where = listing.parent.resolve(), f"{listing}, line {number}"
    for path in (listing.parent / line, listing.parent / os.path.basename(line)):
        if os.path.isfile(path) and path.resolve().is_relative_to(home):
            if path.suffix.lower() not in STACKED:
                raise UsageError(
                    f"{line[:80]!r} is no {', '.join(STACKED)} file", at=where, advice="take it out of the list"
                )
            return path
    reason = f"{line[:80]!r} is not in {listing.parent}, or is no regular file there"
    raise UsageError(reason, at=where, advice="copy it there")
