"""Which files `--in` means, and the clouds in them as one numbered source."""

from __future__ import annotations

import glob
from pathlib import Path

import numpy as np

from mixcli.errors import MixError, UsageError
from mixcli.formats.modelnet import H5Clouds, short

SUFFIXES = (".h5", ".hdf5")


class Source:
    """Labelled clouds of one or several files, numbered through in the order of the files."""

    def __init__(self, paths: list[Path]):
        self.parts = [_opened(path) for path in paths]
        self.paths = paths
        self.labels = np.concatenate([part.labels for part in self.parts])
        self.class_names = read_class_names(paths)
        self.starts = np.cumsum([0, *map(len, self.parts)])

    def __len__(self) -> int:
        return len(self.labels)

    def address(self, sample: int) -> tuple[str, int]:
        """File and index within it."""
        part = int(np.searchsorted(self.starts, sample, side="right")) - 1
        return str(self.paths[part]), int(sample - self.starts[part])

    def known_classes(self) -> int:
        """As many as there are names, else up to the highest label."""
        return len(self.class_names) if self.class_names else int(self.labels.max(initial=0)) + 1


def _opened(path: Path) -> H5Clouds:
    try:
        return H5Clouds(path)
    except (KeyError, RuntimeError, ValueError, OSError) as e:  # HDF5's several ways to say that metadata is torn
        raise MixError(f"{path}: its HDF5 metadata is damaged ({short(e)}); copy or download it again") from e


def open_source(arguments: list[str]) -> tuple[Source, list[str]]:
    """The source that the `--in` arguments name, and notes for the user about how they were read."""
    notes: list[str] = []
    paths = sorted({path.resolve(): path for argument in arguments for path in expand(argument, notes)}.values())
    for path in paths:
        if path.suffix.lower() not in SUFFIXES:
            raise UsageError(f"{path}: this version reads {' and '.join(SUFFIXES)} in ModelNet40's layout")
    return Source(paths), notes


def expand(argument: str, notes: list[str]) -> list[Path]:
    """One `--in`: a file, a glob, a folder, or a list of files like ModelNet40's train_files.txt."""
    path = Path(argument)
    if path.is_dir():
        return _folder(path, notes)
    if path.suffix == ".txt" and path.is_file():
        return _listed(path)
    if path.exists() or not glob.has_magic(argument):
        return [_existing(path)]
    found = sorted(map(Path, glob.glob(argument)))
    if not found:
        raise UsageError(f"--in {argument}: no file matches")
    return found


def _existing(path: Path) -> Path:
    if not path.exists():
        raise UsageError(f"--in {path}: no such file or folder")
    return path


def _folder(folder: Path, notes: list[str]) -> list[Path]:
    """The train files where a folder tells train from test: a mixed set must not learn from test data."""
    listing = folder / "train_files.txt"
    if listing.is_file():
        notes.append(f"{folder}: read the files of train_files.txt")
        return _listed(listing)
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not _is_ours(p))
    train = [p for p in found if "train" in p.name]
    if train and len(train) < len(found):
        notes.append(f"{folder}: read the {len(train)} of {len(found)} files with 'train' in their name")
        return train
    if not found:
        raise UsageError(f"--in {folder}: no {' or '.join(SUFFIXES)} file in the folder")
    return found


def _is_ours(path: Path) -> bool:
    """A mixed dataset that was written beside its source is no source, unless it is named."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return "mixcli" in file.attrs
    except OSError:
        return False  # damaged: a source, which is refused in words when it is opened


def _listed(listing: Path) -> list[Path]:
    """Files of a list, which writes them relative to some folder above it: the last parts of the path decide."""
    lines = [line.strip() for line in listing.read_text(errors="replace").splitlines()]
    found = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        here = [listing.parent / line, listing.parent / Path(line).name]
        inside = [p for p in here if p.is_file() and p.resolve().is_relative_to(listing.parent.resolve())]
        if not inside:
            raise UsageError(f"{listing}, line {number}: {line!r} is not in {listing.parent}")
        found.append(inside[0])
    if not found:
        raise UsageError(f"{listing}: the list is empty")
    return found


def read_class_names(paths: list[Path]) -> tuple[str, ...] | None:
    """One name a line, from `shape_names.txt` beside the files."""
    listings = sorted({p.parent / "shape_names.txt" for p in paths if (p.parent / "shape_names.txt").is_file()})
    contents = {tuple(f.read_text(errors="replace").split("\n")) for f in listings}
    if len(contents) > 1:
        raise MixError(f"{listings[0]} and {listings[1]} differ; the sources do not have the same classes")
    if not contents:
        return None
    return tuple(name.strip() for name in contents.pop() if name.strip()) or None
