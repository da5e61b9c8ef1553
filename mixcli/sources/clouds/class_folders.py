"""Class folders: root/<class>/<file>, or with splits as ModelNet has them, root/<class>/{train,test}/<file>."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mixcli.errors import UsageError
from mixcli.files.geometry import SUFFIXES
from mixcli.files.regular import is_litter, require_folder, require_inside
from mixcli.sources.class_names import SHAPE_NAMES, read_names
from mixcli.sources.clouds.cloud_files import CloudFiles, Placed
from mixcli.sources.clouds.recognise import holds_clouds
from mixcli.sources.file_splits import is_no_class, split_of
from mixcli.sources.foreign import ForeignArgument
from mixcli.sources.images.splits import SPLIT_OF
from mixcli.sources.labels import Labels

SPLITS = ("train", "test", "val")
LISTS = (SHAPE_NAMES, "modelnet40_shape_names.txt")  # either may say the order of the classes


class Scan(NamedTuple):
    """What lies in one folder, each by name, sorted."""

    files: list[str]
    folders: list[str]
    others: list[str]


class Found(NamedTuple):
    """A cloud of a class; sorts by class, then file name."""

    label: int
    file: str
    split: str  # '' where the class folder holds it directly
    name: str  # posix path under the root


def class_folders(root: Path, split: str = "auto") -> CloudFiles:
    """The clouds and meshes of a split. UsageError where a class has none, or its folder is no class folder.

    Foreign where no folder seems to have any.
    """
    top = scan(root, root)
    if inner := _wrapped(root, top):
        return class_folders(inner, split)
    if splits := _splits(root, top):
        return _of_split_folders(root, top, splits, split)
    names, listing = _order(root, top)
    if len({told for told in map(split_of, names) if told}) > 1:
        train = next((name for name in names if split_of(name) == "train"), names[0])
        raise UsageError("its folders are splits, not classes", at=root, advice=f"give {root / train}")
    others = [name for name in (*top.files, *top.others) if name not in LISTS]
    clouds: list[Found] = []
    for label, name in enumerate(names):
        members = _class(root, label, name, others)
        if not members:
            raise _empty(root, names, name)
        clouds += members
    notes = [_left_out(root, others)] if others else []
    chosen = sorted(_of_split(root, clouds, split, names, notes))
    notes += _one_class(root, names)
    labels = Labels(np.array([f.label for f in chosen], np.int64), names)
    return CloudFiles(root, Placed(root, [f.name for f in chosen]), labels, listing, notes)


def _wrapped(root: Path, top: Scan) -> Path | None:
    """The folder inside `root` that holds splits, or splits below classes, where it stands there alone."""
    if top.files or len(top.folders) != 1 or top.folders[0].lower() in SPLIT_OF:
        return None
    only = root / top.folders[0]
    inner = scan(only, root)
    return only if not inner.files and _splits(only, inner) else None


def _splits(root: Path, top: Scan) -> dict[str, str]:
    """Folders that are splits and hold the classes' folders; none where folders are classes."""
    named = {name: SPLIT_OF[name.lower()] for name in top.folders if name.lower() in SPLIT_OF}
    inner = [scan(root / name, root) for name in named]
    return named if len(named) == len(top.folders) and any(i.folders and not i.files for i in inner) else {}


def _of_split_folders(root: Path, top: Scan, splits: dict[str, str], split: str) -> CloudFiles:
    """root/<split>/<class>/<file>."""
    others, clouds = [name for name in (*top.files, *top.others) if name not in LISTS], list[Found]()
    inner = {name: scan(root / name, root) for name in splits}
    folders = sorted({folder for of in inner.values() for folder in of.folders})
    names, listing = _order(root, Scan(top.files, folders, []))
    for name, of in inner.items():
        others += [f"{name}/{other}" for other in (*of.files, *of.others)]
        for folder in of.folders:
            place = f"{name}/{folder}"
            direct = scan(root / place, root)
            clouds += [Found(names.index(folder), file, splits[name], f"{place}/{file}") for file in direct.files]
            others += [f"{place}/{other}" for other in (*direct.folders, *direct.others)]
    notes = [_left_out(root, others)] if others else []
    chosen = sorted(_of_split(root, clouds, split, names, notes))
    if not chosen:
        advice = "give the folder that holds a folder for each class"
        raise UsageError("no cloud in the class folders of its splits", at=root, advice=advice)
    notes += _one_class(root, names)
    labels = Labels(np.array([f.label for f in chosen], np.int64), names)
    return CloudFiles(root, Placed(root, [f.name for f in chosen]), labels, listing, notes)


def _one_class(root: Path, names: tuple[str, ...]) -> list[str]:
    """A note that all clouds are of one class, if they are; UsageError where it is named as no class is."""
    if len(names) > 1:
        return []
    if is_no_class(names[0]):
        advice = "give the folder that holds a folder for each class"
        raise UsageError(f"all of its clouds would be of one class, {names[0]!r}", at=root, advice=advice)
    return [f"{root}: all of its clouds are of one class, {names[0]!r}"]


def scan(folder: Path, root: Path) -> Scan:
    """Files that hold geometry, folders, and the rest. MixError where one of the first two leads out of `root`."""
    files: list[str] = []
    folders: list[str] = []
    others: list[str] = []
    for entry in os.scandir(require_folder(folder)):
        if is_litter(entry.name):
            continue
        kind = _kind(entry, files, folders, others)
        if entry.is_symlink() and kind is not others:
            require_inside(Path(entry.path), root)
        kind.append(entry.name)
    return Scan(sorted(files), sorted(folders), sorted(others))


def _kind(entry: os.DirEntry[str], files: list[str], folders: list[str], others: list[str]) -> list[str]:
    linked = entry.is_symlink()  # of a link, os.path bears what a loop of links does to the entry's own answers
    if os.path.isdir(entry.path) if linked else entry.is_dir():
        return folders
    fits = os.path.splitext(entry.name)[1].lower() in SUFFIXES
    return files if fits and (os.path.isfile(entry.path) if linked else entry.is_file()) else others


def _order(root: Path, top: Scan) -> tuple[tuple[str, ...], tuple[Path, ...]]:
    """Class names in the order of their numbers, and the list that says so; without a list they are sorted."""
    listing = next((root / name for name in LISTS if name in top.files), None)
    if not top.folders:
        has = "clouds but no class folders" if set(top.files) - set(LISTS) else "no class folders"
        raise _refusal(root)(
            f"has {has}", at=root, advice="make a folder for each class, named as it, and put its clouds there"
        )
    if listing is None:
        return tuple(top.folders), ()
    names = read_names(listing) or ()
    if odd := sorted(set(names) ^ set(top.folders)):
        where = "has no folder" if odd[0] in names else "is a folder but not in the list"
        raise _refusal(root)(
            f"class {odd[0]!r} {where}", at=listing, advice="the list and the folders must name the same classes"
        )
    if len(set(names)) < len(names):
        raise UsageError("names a class twice", at=listing, advice="name each once")
    return names, (listing,)


def _class(root: Path, label: int, name: str, others: list[str]) -> list[Found]:
    """All clouds of a class; adds what is none to `others`."""
    direct = scan(root / name, root)
    clouds = [Found(label, file, "", f"{name}/{file}") for file in direct.files]
    others += [f"{name}/{other}" for other in direct.others]
    for folder in direct.folders:
        if folder.lower() not in SPLIT_OF:
            others.append(f"{name}/{folder}")
            continue
        inner = scan(root / name / folder, root)
        clouds += [Found(label, file, SPLIT_OF[folder.lower()], f"{name}/{folder}/{file}") for file in inner.files]
        others += [f"{name}/{folder}/{other}" for other in (*inner.folders, *inner.others)]
    return clouds


def _refusal(root: Path) -> type[UsageError]:
    """What a folder that cannot be read is: clouds in disorder, or nothing of ours."""
    return UsageError if holds_clouds(root) else ForeignArgument


def _empty(root: Path, names: tuple[str, ...], name: str) -> UsageError:
    refusal = _refusal(root)
    if set(names) <= set(SPLITS):
        return refusal("its folders are splits, not classes", at=root, advice=f"give {root / name}")
    return refusal(
        f"no cloud in this class folder nor in its {', '.join(SPLITS)}",
        at=root / name,
        advice=f"remove it, or give it files that end in {', '.join(SUFFIXES)}",
    )


def _of_split(root: Path, clouds: list[Found], split: str, names: tuple[str, ...], notes: list[str]) -> list[Found]:
    """What is to be read, with notes on what that leaves out."""
    told = {f.split for f in clouds} - {""}
    if split in SPLITS and split not in told:
        raise UsageError(
            f"no class folder of {root} has a folder {split!r}", at=f"--split {split}", advice="leave --split out"
        )
    wanted = "train" if split == "auto" and "train" in told else split
    if wanted not in SPLITS:
        return clouds
    chosen = [f for f in clouds if f.split == wanted]
    if split == "auto" and len(chosen) < len(clouds):
        more = "--split all reads everything"
        notes.append(f"{root}: read the {len(chosen):,} of {len(clouds):,} files in folders {wanted!r}; {more}")
    missing = sorted(set(range(len(names))) - {f.label for f in chosen})
    if missing:
        notes.append(f"{root}: class {names[missing[0]]!r} has no file in {wanted!r} (classes without: {len(missing)})")
    return chosen


def _left_out(root: Path, others: list[str]) -> str:
    if len(others) == 1:
        return f"{root}: left out {others[0]!r}, which is no cloud of a class"
    return f"{root}: left out {len(others):,} files or folders that are no clouds of a class, the first {others[0]!r}"
