"""The clouds that `--in` names, as one numbered source."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixcli.datasets.recognise import is_mixed
from mixcli.errors import MixError, UsageError
from mixcli.files.regular import require_file
from mixcli.sources.arguments import READABLE, expand
from mixcli.sources.cloud_part import Part
from mixcli.sources.clouds.class_folders import class_folders
from mixcli.sources.clouds.id_lists import id_list, listed_clouds
from mixcli.sources.clouds.modelnet import H5Clouds, short
from mixcli.sources.clouds.npz_clouds import NpzClouds
from mixcli.sources.clouds.shapenet import is_shapenet, split_list, whole_shapenet
from mixcli.sources.file_splits import H5
from mixcli.sources.named_files import Listed, Root
from mixcli.sources.own_clouds import OwnClouds

SPLITS = ("auto", "train", "test", "all")


@dataclass(frozen=True)
class Reading:
    """How files are read; part of the recipe."""

    split: str = "auto"  # auto: the train split where the source tells train from test, else everything
    drop_background: bool = False  # points that ScanObjectNN's `mask` marks

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise UsageError(f"--split {self.split}: must be one of {', '.join(SPLITS)}")


class Source:
    """Labelled clouds of one or several parts, numbered through in their order."""

    def __init__(self, paths: Sequence[Path | str | Listed], reading: Reading = Reading()):
        self.parts = [self._opened(p if isinstance(p, Listed) else Path(p), reading) for p in paths]
        self.paths = [
            Root(part.path) if isinstance(path, Listed) else part.path
            for part, path in zip(self.parts, paths, strict=True)
        ]
        self.labels = np.concatenate([part.labels for part in self.parts])
        self.class_names = _agreed(self.parts)
        self.starts = np.cumsum([0, *map(len, self.parts)])
        self.notes = [note for part in self.parts for note in part.notes]
        self._width = _soft_width(self.parts, self.class_names)
        if reading.drop_background and all(getattr(part, "mask", None) is None for part in self.parts):
            raise UsageError(f"--drop-background: {self.paths[0]} has no 'mask' as ScanObjectNN's files; leave it out")

    def _opened(self, path: Path | Listed, reading: Reading) -> Part:
        part = _part(path, reading)
        if not len(part):
            raise MixError(f"{path}: holds no cloud; leave it out")
        return part

    def __len__(self) -> int:
        return len(self.labels)

    def address(self, sample: int) -> tuple[str, int | None]:
        """File, and index within it; None where the file is the cloud."""
        part = int(np.searchsorted(self.starts, sample, side="right")) - 1
        return self.parts[part].address(int(sample - self.starts[part]))

    def known_classes(self) -> int:
        """As many as there are names, else up to the highest label."""
        return len(self.class_names) if self.class_names else max(self._width, int(self.labels.max(initial=0)) + 1)

    @property
    def points(self) -> int | None:
        """Of every cloud; None where parts differ or do not say."""
        found = {part.points for part in self.parts}
        return found.pop() if len(found) == 1 else None

    @property
    def has_normals(self) -> bool:
        return all(part.has_normals for part in self.parts)

    @property
    def has_seg(self) -> bool:
        return all(part.has_seg for part in self.parts)

    @property
    def is_soft(self) -> bool:
        return any(part.is_soft for part in self.parts)

    def soft(self, samples: np.ndarray) -> np.ndarray:
        """Soft labels of source indices (m,) -> (m,C) f32; for a part of hard labels one-hot rows."""
        found = np.zeros((len(samples), self.known_classes()), np.float32)
        inside = (self.labels[samples] >= 0) & (self.labels[samples] < found.shape[1])
        at = np.flatnonzero(inside)
        found[at, self.labels[samples[at]]] = 1
        for part, start in zip(self.parts, self.starts, strict=False):
            if part.is_soft:
                at = np.flatnonzero((samples >= start) & (samples < start + len(part)))
                found[at] = 0
                found[at, : self._width] = part.soft(samples[at] - start)
        return found


def open_source(arguments: Sequence[str | Listed], reading: Reading = Reading()) -> tuple[Source, list[str]]:
    """The source that the `--in` arguments name, and notes for the user about how they were read."""
    notes: list[str] = []
    named = [path for argument in arguments for path in expand(argument, reading.split, notes)]
    source = Source(once(named, notes), reading)
    return source, notes + source.notes


def once(named: Sequence[Path | Listed], notes: list[str]) -> list[Path | Listed]:
    """Lists, then paths in a fixed order, each once, with a note if one was named more often."""
    lists, named = [p for p in named if isinstance(p, Listed)], [p for p in named if not isinstance(p, Listed)]
    places = [Path(os.path.realpath(path)) for path in named]  # which a circle of links does not stop
    paths = dict(zip(places, named, strict=True))
    if len(paths) < len(named):
        twice = next(path for i, path in enumerate(named) if places[i] in places[:i])
        notes.append(f"{twice}: named more than once, read once")
    return [*lists, *sorted(paths.values())]


def _part(path: Path | Listed, reading: Reading) -> Part:
    """What a path stands for: the one place that knows every layout."""
    if isinstance(path, Listed):
        return listed_clouds(path)
    if path.is_dir():
        if is_mixed(path):
            return OwnClouds(path)
        return whole_shapenet(path) if is_shapenet(path) else class_folders(path, reading.split)
    suffix = require_file(path).suffix.lower()
    if suffix == ".txt":
        return id_list(path)
    if suffix == ".json":
        return split_list(path)
    if suffix in H5:
        return _h5(path, reading)
    if suffix == ".npz":
        return OwnClouds(path) if is_mixed(path) else NpzClouds(path, reading.split)
    raise UsageError(f"{path}: cannot be read; {READABLE}")


def _h5(path: Path, reading: Reading) -> Part:
    try:
        return OwnClouds(path) if is_mixed(path) else H5Clouds(path, reading.drop_background)
    except (KeyError, RuntimeError, ValueError, OSError) as e:  # HDF5's several ways to say that metadata is torn
        raise MixError(f"{path}: its HDF5 metadata is damaged ({short(e)}); copy or download it again") from e


def _agreed(parts: list[Part]) -> tuple[str, ...] | None:
    """The class names of all parts that have some."""
    named = [part for part in parts if part.class_names]
    for part in named[1:]:
        if part.class_names != named[0].class_names:
            raise MixError(f"{named[0].path} and {part.path} differ in their classes; mix them one by one")
    return named[0].class_names if named else None


def _soft_width(parts: list[Part], names: tuple[str, ...] | None) -> int:
    """Classes of the soft labels, 0 without any. They must be the same for all, and not more than there are names."""
    widths = {part.path: part.soft(np.empty(0, np.int64)).shape[1] for part in parts if part.is_soft}
    first = next(iter(widths), None)
    for path, width in widths.items():
        if width != widths[first] or (names and width != len(names)):
            other = f"{len(names)} class names" if names else f"{widths[first]} classes in {first}"
            raise MixError(f"{path}: soft labels of {width} classes, but {other}; mix them one by one")
    return widths[first] if widths else 0
