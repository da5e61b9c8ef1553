"""Pictures in .npz and HDF5: `data`, `images` or `x` with `label`, `labels` or `y`, or such a pair for each split.

Pictures (n,H,W,3), (n,H,W,1) or (n,H,W) u8. Labels (n,) or (n,1) integers, (n,C) integers with a single 1 a row, or
(n,C) floats, shares of the classes; `soft_label` beside integers, as mixcli writes it, goes before them. A pair for
each split is named as Keras does, `x_train` and `y_train`, or as MedMNIST does, `train_images` and `train_labels`.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

import h5py
import numpy as np

from mixcli.datasets.manifest_text import parsed_names
from mixcli.errors import MixError
from mixcli.files import hdf5
from mixcli.files.npz_arrays import Npz
from mixcli.files.rows_on_disk import RowsOnDisk
from mixcli.sources.file_splits import H5
from mixcli.sources.images.labels import MOST_CLASSES, names_beside
from mixcli.sources.images.splits import WORDS, wanted
from mixcli.sources.images.stacked import Pixels, Stack, Stacked, check_pictures
from mixcli.sources.labels import DenseShares, Labels
from mixcli.sources.stacked_arrays import Declared, class_numbers, described, looks_like_clouds

DATA, LABEL = ("data", "images", "image", "x"), ("label", "labels", "y")
NAMES = ("class_names", "names", "classes")
FORMS = {"": ("{}",)} | {split: ("{}_" + split, split + "_{}") for split in WORDS}  # x_train, train_images


def array_file(path: Path, split: str = "auto") -> Stacked | None:
    """The pictures of a file; None where it has none, as a file of clouds."""
    if path.suffix.lower() not in H5:
        return _opened(NpzStore(path), split)
    try:
        return _opened(H5Store(path), split)
    except hdf5.TORN as e:
        raise hdf5.damaged(path, e) from e


class Chunked:
    """Rows of an HDF5 dataset that is stored in chunks."""

    def __init__(self, path: Path, item: h5py.Dataset):
        self.path, self.item, self.shape, self.dtype = path, item, item.shape, item.dtype

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        distinct, place = np.unique(rows, return_inverse=True)
        values = np.empty((len(distinct), *self.shape[1:]), self.dtype)
        at = 0
        for run in np.split(distinct, np.flatnonzero(np.diff(distinct) != 1) + 1):
            if len(run):
                values[at : at + len(run)] = self._slice(int(run[0]), int(run[-1]) + 1)
            at += len(run)
        return values[place]

    def _slice(self, start: int, stop: int) -> np.ndarray:
        try:
            return self.item[start:stop]
        except OSError as e:
            what = f"cannot read pictures {start}..{stop - 1} ({hdf5.short(e)})"
            raise MixError(what, at=self.path, advice="the file is damaged") from e


class Store(Protocol):
    """A file of arrays."""

    @property
    def path(self) -> Path: ...

    @property
    def names(self) -> list[str]: ...

    @property
    def random_access(self) -> bool:
        """Whether a row of the pictures that were taken can be read without decoding others."""

    @property
    def preload(self) -> bool: ...

    def item(self, name: str) -> Declared:
        """An array of which only the header is read."""

    def pictures(self, name: str) -> Pixels:
        """An array that is read by rows."""

    def whole(self, name: str) -> np.ndarray: ...

    def class_names(self) -> tuple[str, ...] | None: ...


class NpzStore:
    """The arrays of an .npz file. A large stored one is read by rows, others are decoded whole."""

    random_access, preload = True, False

    def __init__(self, path: Path):
        self.path, self.arrays = path, Npz(path)
        self.names = self.arrays.names

    def item(self, name: str) -> Declared:
        return self.arrays.member(name)

    def pictures(self, name: str) -> Pixels:
        return self.arrays.member(name).rows()

    def whole(self, name: str) -> np.ndarray:
        return self.arrays.member(name).array()

    def class_names(self) -> tuple[str, ...] | None:
        return _names(self)


class H5Store:
    """The datasets of an HDF5 file. One in a single piece is read past the library, others by runs of rows."""

    def __init__(self, path: Path):
        self.path, self.file = path, hdf5.open_h5(path)
        self.names = list(self.file)
        self.random_access, self.preload = True, False

    def item(self, name: str) -> Declared:
        return hdf5.checked(self.path, self.file, name)

    def pictures(self, name: str) -> Pixels:
        item = hdf5.checked(self.path, self.file, name)
        start = item.id.get_offset()
        if start is not None and start + item.nbytes <= self.path.stat().st_size:
            return RowsOnDisk(self.path, item.dtype, item.shape, start)
        self.random_access, self.preload = item.chunks is not None and item.chunks[0] == 1, True
        return Chunked(self.path, item)

    def whole(self, name: str) -> np.ndarray:
        return hdf5.checked(self.path, self.file, name)[()]

    def class_names(self) -> tuple[str, ...] | None:
        """A JSON list as mixcli writes it, or a dataset of text."""
        text = self.file.attrs.get("class_names")
        return (parsed_names(text) if isinstance(text, str) else None) or _names(self)


class Pair(NamedTuple):
    """The names of an array of pictures and of that of their labels."""

    data: str
    label: str | None


def _opened(store: Store, split: str) -> Stacked | None:
    path, pairs = store.path, _pairs(store.names)
    if not pairs or any(looks_like_clouds(store.item(pair.data)) for pair in pairs.values()):
        return None
    notes: list[str] = []
    told = {name: name or None for name in pairs}
    if split in WORDS and "" in pairs:
        notes.append(f"{path}: does not tell train from test, so all of it is read, whatever --split says")
    chosen = list(pairs.values()) if "" in pairs else [pairs[name] for name in wanted(path, told, split, notes)]
    for pair in chosen:
        check_pictures(path, pair.data, store.item(pair.data))
    labels = _joined(store, [_labels(store, pair) for pair in chosen])
    part = Stacked(path, [path], [Stack(path, store.pictures(pair.data)) for pair in chosen], labels, notes)
    part.random_access, part.preload = store.random_access, store.preload
    return part


def _pairs(names: list[str]) -> dict[str, Pair]:
    """Pictures and labels by split; '' where there is one pair that tells no split."""
    known = {name.lower(): name for name in names}
    pairs = {split: pair for split, forms in FORMS.items() if (pair := _pair(known, forms))}
    return {"": pairs[""]} if "" in pairs else pairs


def _pair(known: dict[str, str], forms: tuple[str, ...]) -> Pair | None:
    for form in forms:
        data, label = (
            next((known[key] for key in map(form.format, keys) if key in known), None) for keys in (DATA, LABEL)
        )
        if data is not None:
            return Pair(data, label)
    return None


def _labels(store: Store, pair: Pair) -> Labels:
    count, label = store.item(pair.data).shape[0], pair.label
    if label is None:
        raise MixError(
            f"no {' or '.join(map(repr, LABEL))} beside '{pair.data}'", at=store.path, advice="add the labels"
        )
    item = store.item(label)
    shape, kind = tuple(item.shape), np.dtype(item.dtype).kind
    if len(shape) == 2 and 1 < shape[1] <= MOST_CLASSES and shape[0] == count and kind in "fiu":
        return _by_class(store, label, kind)
    if shape not in ((count,), (count, 1)) or kind not in "iuf":
        raise MixError(
            f"'{label}' is {described(item)}", at=store.path, advice=f"expected {count} integers, one a picture"
        )
    hard = class_numbers(store.path, store.whole(label))
    if pair.data == "data" and "soft_label" in store.names:
        return Labels(hard, None, _by_class(store, "soft_label", "f", count).soft)
    return Labels(hard)


def _by_class(store: Store, name: str, kind: str, count: int | None = None) -> Labels:
    """Of (n,C): integers with one 1 in each row, or shares."""
    item = store.item(name)
    if count is not None and (len(item.shape) != 2 or item.shape[0] != count or np.dtype(item.dtype).kind != "f"):
        raise MixError(f"'{name}' is {described(item)}", at=store.path, advice=f"expected ({count}, classes) floats")
    values = store.whole(name)
    hard = values.argmax(1).astype(np.int64)
    if kind == "f":
        return Labels(hard, None, DenseShares(store.path, name, values))
    odd = np.flatnonzero((values != 0).sum(1) != 1)
    if len(odd):
        raise MixError(
            f"several classes or none in '{name}'", at=f"{store.path}[{odd[0]}]", advice="expected one a picture"
        )
    return Labels(hard)


def _joined(store: Store, labels: list[Labels]) -> Labels:
    names = store.class_names() or names_beside(store.path.parent)[0]
    if len(labels) == 1:
        return labels[0]._replace(names=names)
    if any(label.soft for label in labels):
        raise MixError("soft labels in several splits", at=store.path, advice="--split takes one of them")
    return Labels(np.concatenate([label.hard for label in labels]), names)


def _names(store: Store) -> tuple[str, ...] | None:
    name = next((name for name in NAMES if name in store.names), None)
    if name is None or len(store.item(name).shape) != 1 or np.dtype(store.item(name).dtype).kind not in "USO":
        return None
    if store.item(name).shape[0] > MOST_CLASSES:
        raise MixError(
            f"'{name}' has {store.item(name).shape[0]:,} names of classes", at=store.path, advice="write it again"
        )
    try:
        names = store.whole(name).tolist()
    except ValueError as e:  # four bytes that are no letter
        raise MixError(f"'{name}' holds what is no text", at=store.path, advice="write it again") from e
    return tuple(s.decode("utf-8", "surrogateescape") if isinstance(s, bytes) else str(s) for s in names)
