"""Class folders, as torchvision's ImageFolder: root/<class>/**/<file>, and below splits: root/train/<class>/**/<file>.

Classes are the folders' names, sorted; pictures come class after class, sorted by folder, then by name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mixcli.errors import UsageError
from mixcli.files.regular import is_litter, require_file, require_folder, require_inside
from mixcli.sources.file_splits import is_no_class, split_of
from mixcli.sources.images.decode import SUFFIXES
from mixcli.sources.images.encoded import Encoded
from mixcli.sources.images.splits import SPLIT_OF, WORDS, wanted
from mixcli.sources.labels import Labels
from mixcli.sources.named_files import Listed, classes


class PictureFiles(Encoded):
    """Pictures that are files of their own, by their posix paths under `path`, in the order given."""

    def __init__(
        self, path: Path, names: list[str], labels: Labels, lists: Sequence[Path] = (), notes: Sequence[str] = ()
    ):
        """lists: the files that say the labels."""
        super().__init__(path, labels, notes)
        self.names, self.lists = names, lists

    @cached_property
    def files(self) -> list[Path]:
        return [*self.lists, *(self.path / name for name in self.names)]

    def address(self, row: int) -> tuple[str, None]:
        return str(self.path / self.names[row]), None

    def encoded(self, row: int) -> Path:
        return self.path / self.names[row]


def listed_pictures(files: Listed) -> PictureFiles:
    """Pictures that were named one by one, in the order of class folders."""
    named = classes(files)
    return PictureFiles(files.root, list(named.names), named.labels, named.lists)


class Scan(NamedTuple):
    """What lies in one folder, each by name, sorted; hidden entries do not."""

    pictures: list[str]
    folders: list[str]
    others: list[str]


def class_folders(root: Path, split: str = "auto") -> PictureFiles | None:
    """The pictures of a split; None where no folder holds any. UsageError names a class folder without pictures."""
    top = scan(root, root)
    if not any(pictures_in(root, name) for name in top.folders):
        return None
    if inner := _wrapped(root, top):
        return class_folders(inner, split)
    others, notes = [*top.pictures, *top.others], list[str]()
    splits = _splits(root, top, others)
    _refuse_other_splits(root, top, splits)
    bases = wanted(root, splits, split, notes) if splits else [""]
    names = tuple(scan(root / next(iter(splits), ""), root).folders)
    members = [member for base in bases for member in _members(root, base, names, others)]
    if not splits:
        members = _of_split(root, members, split, notes)
    if len(names) == 1:
        notes.append(_one_class(root, "/".join(filter(None, (next(iter(splits), ""), names[0])))))
    if others:
        notes.append(f"{root}: left out {_left_out(others)}")
    labels = Labels(np.array([label for label, _ in members], np.int64), names)
    return PictureFiles(root, [name for _, name in members], labels, notes=notes)


def _wrapped(root: Path, top: Scan) -> Path | None:
    """The folder inside `root` whose own folders are splits of classes, where it stands there alone."""
    if top.pictures or len(top.folders) != 1 or top.folders[0].lower() in SPLIT_OF:
        return None
    only = root / top.folders[0]
    inner = scan(only, root)
    return only if not inner.pictures and _splits(only, inner, []) else None


def _refuse_other_splits(root: Path, top: Scan, splits: Mapping[str, str]) -> None:
    """UsageError where folders that would be classes are named as splits are: seg_train, seg_test."""
    told = {name: split_of(name) for name in top.folders} if not splits else {}
    if len({split for split in told.values() if split}) > 1 and "train" in told.values():
        train = next(name for name, split in told.items() if split == "train")
        what = f"its folders look like splits ({', '.join(map(repr, top.folders[:3]))}), not classes"
        raise UsageError(what, at=root, advice=f"give {root / train}")


def _of_split(root: Path, members: list[tuple[int, str]], split: str, notes: list[str]) -> list[tuple[int, str]]:
    """Those that are wanted where class folders hold the splits: root/<class>/train/<file>."""
    told = [SPLIT_OF.get(name.split("/")[1].lower()) if name.count("/") > 1 else None for _, name in members]
    there = set(told) - {None}
    chosen = "train" if split == "auto" and "train" in there else split
    if split in WORDS and split not in there:
        what = f"the folders of {root} are classes, not splits" if not there else f"no class folder of {root} has it"
        raise UsageError(what, at=f"--split {split}", advice="leave --split out")
    if chosen not in WORDS:
        return members
    kept = [member for member, of in zip(members, told, strict=True) if of == chosen]
    if split == "auto" and len(kept) < len(members):
        more = "--split all reads everything"
        notes.append(f"{root}: read the {len(kept):,} of {len(members):,} files in folders {chosen!r}; {more}")
    return kept


def _one_class(root: Path, name: str) -> str:
    """A note that all pictures are of one class; UsageError where its folder is no class by its name or folders."""
    inner = scan(root / name, root)
    nested = not inner.pictures and any(pictures_in(root / name, folder) for folder in inner.folders)
    last = name.rpartition("/")[2]
    if nested or is_no_class(last):
        advice = f"give {root / name}" if nested else "give the folder that holds a folder for each class"
        raise UsageError(f"all of its pictures would be of one class, {last!r}", at=root, advice=advice)
    return f"{root}: all of its pictures are of one class, {last!r}"


def _left_out(others: list[str]) -> str:
    if len(others) == 1:
        return f"{others[0]!r}, which is no picture of a class"
    return f"{len(others):,} files or folders that are no picture of a class, the first {others[0]!r}"


def scan(folder: Path, root: Path) -> Scan:
    """MixError where a picture is no regular file, or where a link leads out of `root`."""
    kinds = Scan([], [], [])
    for entry in os.scandir(require_folder(folder)):
        if is_litter(entry.name):
            continue
        linked = entry.is_symlink()  # of a link, os.path bears what a loop of links does to the entry's own answers
        if os.path.isdir(entry.path) if linked else entry.is_dir():
            kind = kinds.folders
        else:
            kind = kinds.pictures if is_picture(entry.name) else kinds.others
        if linked and kind is not kinds.others:
            require_inside(Path(entry.path), root)
        if kind is kinds.pictures and (linked or not entry.is_file()):
            require_file(Path(entry.path))
        kind.append(entry.name)
    return Scan(*map(sorted, kinds))


def is_picture(name: str) -> bool:
    """By its suffix.

    >>> is_picture("IMG_1.JPG"), is_picture("notes.txt")
    (True, False)
    """
    return name.lower().endswith(SUFFIXES)


def _splits(root: Path, top: Scan, others: list[str]) -> dict[str, str]:
    """Folders that hold the class folders of a split, train first; none where folders are classes ('train' may be)."""
    named = {name: scan(root / name, root) for name in top.folders if name.lower() in SPLIT_OF}
    if not any(inner.folders and not inner.pictures for inner in named.values()):
        return {}
    rest = [name for name in top.folders if name not in named]
    if odd := next((name for name in rest if pictures_in(root, name)), None):
        raise UsageError(
            f"folder {odd!r} holds pictures beside the split {min(named)!r}", at=root, advice="give one of the two"
        )
    others += rest
    return {name: split for split in WORDS for name in named if SPLIT_OF[name.lower()] == split}


def _members(root: Path, base: str, names: tuple[str, ...], others: list[str]) -> list[tuple[int, str]]:
    """Label and path of the pictures below root/base/<class>."""
    top = scan(root / base, root)
    if base:
        others += [f"{base}/{name}" for name in (*top.pictures, *top.others)]
    if base and top.pictures and not top.folders:
        raise UsageError("has pictures but no class folders", at=root / base, advice="leave this split out")
    if odd := set(top.folders) - set(names):
        raise UsageError(
            "no other split has this class", at=root / base / min(odd), advice="give the split's own folder"
        )
    inner = {name: pictures_in(root, f"{base}/{name}" if base else name, others) for name in top.folders}
    if empty := [name for name, pictures in inner.items() if not pictures]:
        what = f"remove it, or give it files that end in {', '.join(SUFFIXES)}"
        raise UsageError("no picture in this class folder", at=root / base / empty[0], advice=what)
    return [(label, picture) for label, name in enumerate(names) for picture in inner.get(name, ())]


def pictures_in(root: Path, folder: str, others: list[str] | None = None) -> list[str]:
    """Pictures anywhere below root/folder, by folder, then by name; what is none is added to `others`."""
    others, left, pictures = [] if others is None else others, [folder], []
    while left:
        here = left.pop()
        inner = scan(root / here, root)
        pictures += [(here, name) for name in inner.pictures]
        links = [name for name in inner.folders if os.path.islink(root / here / name)]  # they may form a circle
        left += [f"{here}/{name}" for name in inner.folders if name not in links]
        others += [f"{here}/{name}" for name in (*inner.others, *links)]
    return [f"{here}/{name}" for here, name in sorted(pictures)]
