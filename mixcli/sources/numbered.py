"""Parts of a source, numbered through: what clouds and images have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from mixcli.errors import MixError, UsageError
from mixcli.files.regular import require_file
from mixcli.sources.class_names import read_names
from mixcli.sources.contract import Part, SoftLabels
from mixcli.sources.named_files import Listed, Root
from mixcli.sources.reading import Reading
from mixcli.sources.stacked_arrays import MOST_CLASSES

AnyPart = TypeVar("AnyPart", bound=Part)


class Rows(NamedTuple, Generic[AnyPart]):
    """Those of some samples that lie in one part."""

    part: AnyPart
    at: np.ndarray  # (r,) i64, their positions among the samples
    rows: np.ndarray  # (r,) i64, their rows in the part


class Numbered(Generic[AnyPart]):
    """See contract.Source; a source of clouds or of images adds what only it knows."""

    data: str  # "points" or "images"
    reading = Reading()

    def __init__(self, paths: Sequence[Path | Listed], parts: Sequence[AnyPart], reading: Reading):
        """paths: what each part was opened by."""
        self.parts, self.reading = list(parts), reading
        self.paths = [
            Root(part.path) if isinstance(path, Listed) else part.path for path, part in zip(paths, parts, strict=True)
        ]
        self.labels = np.concatenate([part.labels for part in parts])
        self.class_names = _given(reading, _agreed(parts), self.labels)
        self.starts = np.cumsum([0, *map(len, parts)])
        self.notes = [note for part in parts for note in part.notes]
        self._soft_classes = _soft_classes(parts, self.class_names)
        self.notes += (
            _about_labels(self.paths[0], self.labels, bool(self.class_names)) if not self._soft_classes else []
        )

    def __len__(self) -> int:
        return len(self.labels)

    def address(self, sample: int) -> tuple[str, int | None]:
        """See Source.address."""
        part = int(np.searchsorted(self.starts, sample, side="right")) - 1
        return self.parts[part].address(int(sample - self.starts[part]))

    def known_classes(self) -> int:
        """See Source.known_classes."""
        if self.class_names:
            return len(self.class_names)
        return max(self._soft_classes, int(self.labels.max(initial=0)) + 1)

    @property
    def is_soft(self) -> bool:
        return any(part.shares is not None for part in self.parts)

    def soft(self, samples: np.ndarray) -> np.ndarray:
        """See Source.soft."""
        soft = np.zeros((len(samples), self.known_classes()), np.float32)
        inside = (self.labels[samples] >= 0) & (self.labels[samples] < soft.shape[1])
        at = np.flatnonzero(inside)
        soft[at, self.labels[samples[at]]] = 1
        for of in self.of_each_part(samples):
            if of.part.shares is not None:
                soft[of.at] = 0
                soft[of.at, : self._soft_classes] = of.part.shares.dense(of.rows)
        return soft

    def of_each_part(self, samples: np.ndarray) -> Iterator[Rows[AnyPart]]:
        """Source indices (m,), part by part; parts without any are left out."""
        for part, start in zip(self.parts, self.starts, strict=False):
            at = np.flatnonzero((samples >= start) & (samples < start + len(part)))
            if len(at):
                yield Rows(part, at, samples[at] - start)


def _agreed(parts: Sequence[Part]) -> tuple[str, ...] | None:
    """The class names of all parts that have some."""
    named = [part for part in parts if part.class_names]
    for part in named[1:]:
        if part.class_names != named[0].class_names:
            raise MixError(f"{named[0].path} and {part.path} differ in their classes", advice="mix them one by one")
    return named[0].class_names if named else None


def _given(reading: Reading, known: tuple[str, ...] | None, labels: np.ndarray) -> tuple[str, ...] | None:
    """Class names: the source's own, or those of the list that --class-names gives."""
    if reading.class_names is None:
        return known
    where = f"--class-names {reading.class_names}"
    given = read_names(require_file(reading.class_names)) or ()
    if not given or len(set(given)) < len(given):
        raise UsageError("names a class twice" if given else "names no class", at=where, advice="one name a line")
    if known and known != given:
        raise UsageError("the source names its classes itself, and otherwise", at=where, advice="leave it out")
    if labels.max(initial=0) >= len(given):
        told = f"names {len(given):,} classes, and there is a label {labels.max():,}"
        raise UsageError(told, at=where, advice="labels count the names from 0")
    return given


def _about_labels(path: Path | str, labels: np.ndarray, named: bool) -> list[str]:
    """Notes on classes without a sample, as those of labels that start at 1, and without names."""
    notes = []
    low, high = int(labels.min(initial=0 if not len(labels) else labels[0])), int(labels.max(initial=0))
    if low > 0:
        notes.append(f"{path}: its labels start at {low:,}, so there is no sample of class 0")
    elif not named and low == 0 and high <= MOST_CLASSES:
        empty = np.flatnonzero(np.bincount(labels, minlength=high + 1) == 0)
        if len(empty):
            are = f"{len(empty):,} of the {high + 1:,} classes have" if len(empty) > 1 else "a class has"
            notes.append(f"{path}: {are} no sample, the first is {empty[0]:,}")
    if not named:
        notes.append(f"{path}: its classes have no names; --class-names FILE gives them, one a line")
    return notes


def _soft_classes(parts: Sequence[Part], names: tuple[str, ...] | None) -> int:
    """Classes of the soft labels, 0 without any. They must be the same for all, and not more than there are names."""
    soft: list[tuple[Path, SoftLabels]] = [(part.path, part.shares) for part in parts if part.shares is not None]
    if not soft:
        return 0
    first, shares = soft[0]
    for path, others in soft:
        if others.classes != shares.classes or (names and others.classes != len(names)):
            there = f"{len(names)} class names" if names else f"{shares.classes} classes in {first}"
            raise MixError(
                f"soft labels of {others.classes} classes, but {there}", at=path, advice="mix them one by one"
            )
    return shares.classes
