"""Labels as people write them: numbers, names, or shares of the classes; and the class names beside them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mixcli.errors import MixError
from mixcli.sources.class_names import SHAPE_NAMES, read_names
from mixcli.sources.images.sixteen import Sixteen
from mixcli.sources.labels import SUM, Labels, SparseShares
from mixcli.sources.remarks import Remarks

LISTS = ("classes.txt", "class_names.txt", SHAPE_NAMES)  # one name a line, in the order of their numbers
MOST_CLASSES = 1 << 20
NUMBER = re.compile(r"-?\d{1,18}")
WHOLE = re.compile(r"-?\d{1,18}\.0*")  # a number that was kept as a float
KINDS = {int: "a number", str: "a name", list: "a list of shares", dict: "shares by class"}


class Labelled:
    """What all parts of pictures have: where they are, their labels, what to tell the user."""

    names: Sequence[str] = ()
    since = 2

    def __init__(self, path: Path, labels: Labels, notes: Sequence[str] = ()):
        self.path, self.notes, self.kept_remarks = path, tuple(notes), Remarks()
        self.sixteen = Sixteen()
        self.labels, self.class_names, self.shares = labels

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def remarks(self) -> Remarks:
        self.sixteen.remark(self.kept_remarks)
        return self.kept_remarks


class Collector:
    """Labels in the order of the rows, all of one kind."""

    def __init__(self) -> None:
        self.kind: type | None = None
        self.hard: list[Any] = []
        self.classes: list[np.ndarray] = []
        self.shares: list[np.ndarray] = []
        self.width = 0  # classes of the shares

    def add(self, label: Any, where: str, soft: Any = None) -> None:
        """soft: shares beside a label. MixError, which begins with `where`, for what is no label, or another kind."""
        label = int(label) if type(label) is float and label.is_integer() else label
        value = label if soft is None else soft
        kind = type(value)
        if kind not in KINDS or (soft is not None and kind not in (list, dict)):
            raise MixError(
                f"label {_cut(value)} is no whole number, no name and no list of shares", at=where, advice="write one"
            )
        if self.kind not in (None, kind):
            what = f"{KINDS[kind]}, those before it are {KINDS[self.kind]}"
            raise MixError(f"label {_cut(value)} is {what}", at=where, advice="write all labels alike")
        if kind is int and not NUMBER.fullmatch(str(value)):
            raise MixError(f"label {_cut(value)} is no class number", at=where, advice="write it again")
        self.kind = kind
        self.hard.append(self._add_shares(value, label, where) if kind in (list, dict) else value)

    def _add_shares(self, value: list | dict, label: Any, where: str) -> int:
        """Returns the class: the one that stands beside the shares, else that of the largest."""
        classes, shares, width = _sparse(value, where)
        if isinstance(value, list) and self.width not in (0, width):
            raise MixError(f"{width} shares, the labels before it have {self.width}", at=where, advice="write as many")
        self.width = max(self.width, width)
        self.classes.append(classes)
        self.shares.append(shares)
        if type(label) is int and not NUMBER.fullmatch(str(label)):
            raise MixError(f"label {_cut(label)} is no class number", at=where, advice="write it again")
        return label if type(label) is int else int(classes[shares.argmax()])

    def labels(self, path: Path, names: tuple[str, ...] | None = None) -> Labels:
        """names: those of a list beside the pictures. MixError where they are not the names of these labels."""
        if self.kind is str:
            return _named(path, self.hard, names)
        hard = np.array(self.hard, np.int64)
        if self.kind not in (list, dict):
            return Labels(hard, names)
        if names and (self.width > len(names) or (self.kind is list and self.width < len(names))):
            raise MixError(
                f"labels of {self.width} shares, but {len(names)} class names", at=path, advice="make them agree"
            )
        return Labels(hard, names, SparseShares(self.classes, self.shares, len(names) if names else self.width))


def number_or_name(text: str) -> int | str:
    """What a label is that was written as text.

    >>> number_or_name(" 7\\n"), number_or_name("7.0"), number_or_name("cat")
    (7, 7, 'cat')
    """
    text = text.strip()
    text = text[: text.index(".")] if WHOLE.fullmatch(text) else text
    return int(text) if NUMBER.fullmatch(text) else text


def names_beside(folder: Path) -> tuple[tuple[str, ...] | None, tuple[Path, ...]]:
    """Class names of a list in a folder, and that list; neither where there is none."""
    listing = next((folder / name for name in LISTS if os.path.isfile(folder / name)), None)
    return (read_names(listing), (listing,)) if listing else (None, ())


def _named(path: Path, labels: list[str], names: tuple[str, ...] | None) -> Labels:
    """Without a list of names they are numbered as they sort."""
    names = names or tuple(sorted(set(labels)))
    number = {name: i for i, name in enumerate(names)}
    if unknown := set(labels) - set(number):
        raise MixError(f"label {_cut(min(unknown))} is not in the list of classes", at=path, advice="add it there")
    return Labels(np.array([number[name] for name in labels], np.int64), names)


def _sparse(value: list | dict, where: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Classes and shares of what is not 0, and how many classes there are at least."""
    numbers = list(value.values()) if isinstance(value, dict) else value
    keys = list(value) if isinstance(value, dict) else range(len(value))
    if not all(type(n) in (int, float) for n in numbers) or not all(NUMBER.fullmatch(str(key)) for key in keys):
        raise MixError(
            f"label {_cut(value)} is not made of shares", at=where, advice="expected numbers that add up to 1"
        )
    if not all(0 <= n < 2 for n in numbers) or not abs(sum(numbers) - 1) < SUM:  # NaN is neither
        raise MixError(
            f"the shares of label {_cut(value)} do not add up to 1", at=where, advice="expected a distribution"
        )
    classes, shares = np.array(list(map(int, keys)), np.int64), np.array(numbers, np.float64)
    if classes.min() < 0 or classes.max() >= MOST_CLASSES:
        raise MixError(
            f"class {classes.max():,} of label {_cut(value)} is no class number", at=where, advice="write it again"
        )
    kept = shares > 0
    return classes[kept], shares[kept].astype(np.float32), int(classes.max()) + 1


def _cut(value: Any) -> str:
    return repr(value)[:60]
