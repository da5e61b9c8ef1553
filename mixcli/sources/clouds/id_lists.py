"""Lists of clouds: of the files themselves, or modelnet40_normal_resampled's of ids.

Of ids: `airplane_0001`, and each cloud at <class>/<id>.txt beside the list.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from mixcli.errors import UsageError
from mixcli.files.regular import read_lines, require_inside
from mixcli.sources.class_names import read_names
from mixcli.sources.clouds.class_folders import SPLITS
from mixcli.sources.clouds.cloud_files import CloudFiles, Placed
from mixcli.sources.labels import Labels
from mixcli.sources.named_files import Listed, classes

ID = re.compile(r"[^/\\\0]+_[^/\\\0_]+")
NAME = re.compile(r"modelnet(10|40)_(train|test)\.txt")


def is_id_list(path: Path) -> bool:
    """Whether a .txt file is a list of ids: by its name, or because its first line is the id of a file."""
    if NAME.fullmatch(path.name):
        return True
    first = next(filter(None, read_lines(path)), "")
    return bool(ID.fullmatch(first)) and os.path.isfile(path.parent / cloud_of(first))


def cloud_of(ident: str) -> str:
    """The class is all but the last word of an id.

    >>> cloud_of("night_stand_0012")
    'night_stand/night_stand_0012.txt'
    """
    return f"{ident.rpartition('_')[0]}/{ident}.txt"


def id_lists(root: Path, split: str, notes: list[str]) -> list[Path]:
    """The lists of a folder that a split asks for; none where it has no such lists."""
    sizes = {match[1] for match in map(NAME.fullmatch, os.listdir(root)) if match}
    if not sizes:
        return []
    size = max(sizes)  # '40' before '10'
    if len(sizes) > 1:
        notes.append(f"{root}: has lists for 10 and for 40 classes; read ModelNet40's, name the list to read the other")
    there = {s: root / f"modelnet{size}_{s}.txt" for s in ("train", "test")}
    there = {s: path for s, path in there.items() if os.path.isfile(path)}
    wanted = "train" if split == "auto" and "train" in there else split
    if wanted not in ("train", "val", "test"):
        return list(there.values())
    if wanted not in there:
        raise UsageError(f"no modelnet{size}_{wanted}.txt in {root}", at=f"--split {split}", advice="leave --split out")
    if split == "auto":
        notes.append(f"{root}: read the clouds of {there['train'].name}; --split all reads the test clouds too")
    return [there[wanted]]


def id_list(path: Path) -> CloudFiles:
    """The clouds of one list, numbered in its order."""
    root, names_list = path.parent, _names_list(path)
    names = read_names(names_list) or ()
    number = {name: i for i, name in enumerate(names)}
    clouds, labels = [], []
    for line, ident in enumerate(read_lines(path), 1):
        if ident:
            clouds.append(listed(root, ident, f"{path}, line {line}"))
            labels.append(_label(number, ident, f"{path}, line {line}", names_list))
    if not clouds:
        raise UsageError("the list is empty", at=path, advice="it should hold ids like airplane_0001")
    numbers = Labels(np.array(labels, np.int64), names)
    return CloudFiles(path, Placed(root, clouds), numbers, (path, names_list))


def listed_clouds(files: Listed) -> CloudFiles:
    """Clouds that were named one by one, in the order of class folders."""
    named = classes(files, SPLITS)
    return CloudFiles(files.root, Placed(files.root, list(named.names)), named.labels, named.lists)


def listed(root: Path, ident: str, where: str) -> str:
    """Where the cloud of an id lies under `root`, checked to be a file there."""
    if not ID.fullmatch(ident) or ident.startswith("."):
        raise UsageError(f"{ident[:80]!r} is no id", at=where, advice="expected one like airplane_0001")
    return existing(root, cloud_of(ident), where)


def existing(root: Path, name: str, where: str) -> str:
    """The name, if a regular file of it lies under `root`."""
    path = root / name
    if not os.path.isfile(path):
        what = f"{str(path)[:300]} is not there or is no regular file"
        raise UsageError(what, at=where, advice="copy it there, or take it out of the list")
    if os.path.islink(path) or os.path.islink(path.parent):
        require_inside(path, root)
    return name


def _names_list(path: Path) -> Path:
    """The class names that belong to a list: modelnet10_train.txt goes with modelnet10_shape_names.txt."""
    choices = [f"{path.name.split('_')[0]}_shape_names.txt", "modelnet40_shape_names.txt", "shape_names.txt"]
    listing = next((path.parent / name for name in choices if os.path.isfile(path.parent / name)), None)
    if listing is None:
        raise UsageError(f"no {choices[0]} beside it", at=path, advice="the order of its lines numbers the classes")
    return listing


def _label(number: dict[str, int], ident: str, where: str, names_list: Path) -> int:
    name = ident.rpartition("_")[0]
    if name not in number:
        raise UsageError(f"{ident[:80]!r} is of class {name[:80]!r}, which {names_list} does not name", at=where)
    return number[name]
