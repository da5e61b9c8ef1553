"""CIFAR-10 and CIFAR-100 as published for Python: batches of (n,3072) u8 with labels, and the names in a meta file.

The batches are pickles; they are read without unpickling anything.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mixcli.errors import MixError
from mixcli.files.plain_pickle import Array, Refused, read_plain
from mixcli.files.regular import require_file, require_inside
from mixcli.sources.images.splits import wanted
from mixcli.sources.images.stacked import Stack, Stacked
from mixcli.sources.labels import Labels

SIDE = 32
MOST_BYTES = 1 << 30  # of one file
BATCH = re.compile(r"(data_batch_\d+)|(test_batch)|(train)|(test)")
META = ("batches.meta", "meta")
FOLDERS = ("", "cifar-10-batches-py", "cifar-100-python")  # as the archives unpack
LABELS = ("labels", "fine_labels", "coarse_labels")
NAMES = {"labels": "label_names", "fine_labels": "fine_label_names", "coarse_labels": "coarse_label_names"}
AGAIN = "copy or download it again"


class Batch(NamedTuple):
    """What one file holds."""

    pixels: np.ndarray  # (n,32,32,3) u8
    labels: np.ndarray  # (n,) i64
    kind: str  # which of `LABELS` they are


def cifar_folder(root: Path, split: str = "auto", coarse: bool = False) -> Stacked | None:
    """The batches of a split; None where the folder has none. coarse: CIFAR-100's 20 classes instead of its 100."""
    for name in FOLDERS:
        batches = _batches(root / name)
        if batches:
            notes: list[str] = []
            told = {path.name: "test" if path.name.startswith("test") else "train" for path in batches}
            chosen = wanted(root, told, split, notes)
            return _stacked(root, [path for path in batches if path.name in chosen], coarse, notes)
    return None


def cifar_file(path: Path, coarse: bool = False) -> Stacked | None:
    """One batch; None where the file is not named as one and has no meta file beside it."""
    beside = any(os.path.isfile(path.parent / name) for name in META)
    return _stacked(path, [path], coarse, []) if BATCH.fullmatch(path.name) and beside else None


def _batches(folder: Path) -> list[Path]:
    """The files of batches beside a meta file, training first; none where there is no meta file."""
    if not any(os.path.isfile(folder / name) for name in META):
        return []
    batches = sorted(path for path in folder.iterdir() if BATCH.fullmatch(path.name) and not path.is_dir())
    batches = [require_inside(path, folder) for path in batches]
    numbers = sorted(int(path.name.rpartition("_")[2]) for path in batches if path.name.startswith("data_batch_"))
    if missing := set(range(1, numbers[-1] if numbers else 1)) - set(numbers):
        raise MixError(f"no data_batch_{min(missing)} beside data_batch_{numbers[-1]}", at=folder, advice=AGAIN)
    return sorted(batches, key=lambda path: (path.name.startswith("test"), path.name))


def _stacked(path: Path, batches: list[Path], coarse: bool, notes: list[str]) -> Stacked:
    meta = next(batches[0].parent / name for name in META if os.path.isfile(batches[0].parent / name))
    read = [_batch(batch, coarse) for batch in batches]
    kinds = {batch.kind for batch in read}
    names = _plain(require_inside(meta, meta.parent)).get(NAMES[max(kinds)])
    if len(kinds) > 1 or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise MixError(f"has no names for the labels of {batches[0].name}", at=meta, advice=AGAIN)
    labels = Labels(np.concatenate([batch.labels for batch in read]), tuple(names))
    stacks = [Stack(home, batch.pixels) for home, batch in zip(batches, read, strict=True)]
    return Stacked(path, [meta, *batches], stacks, labels, notes)


def _batch(path: Path, coarse: bool) -> Batch:
    values = _plain(path)
    order = LABELS[::-1] if coarse else LABELS
    kind = next((name for name in order if name in values), None)
    data = values.get("data")
    if kind is None or not isinstance(data, Array):
        raise MixError("has no 'data' with 'labels' in it", at=path, advice=AGAIN)
    try:
        pixels = data.load(path)
        labels = values[kind].load(path) if isinstance(values[kind], Array) else values[kind]
    except Refused as e:
        raise MixError(str(e), at=path, advice=AGAIN) from e
    return Batch(_pictures(path, pixels), _numbers(path, labels, len(pixels)), kind)


def _pictures(path: Path, pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != 3 * SIDE * SIDE:
        raise MixError(f"'data' is {pixels.shape} {pixels.dtype}", at=path, advice="expected (pictures, 3072) uint8")
    return pixels.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)


def _numbers(path: Path, labels: Any, count: int) -> np.ndarray:
    whole = isinstance(labels, np.ndarray) and labels.ndim == 1
    whole = whole or (isinstance(labels, list) and all(type(n) is int and abs(n) < 1 << 31 for n in labels))
    if not whole or len(labels) != count:
        raise MixError(f"has no list of {count:,} whole numbers as labels", at=path, advice=AGAIN)
    return np.asarray(labels, np.int64)


def _plain(path: Path) -> dict[str, Any]:
    """The values of a batch or of the meta file, texts as str. MixError where it is no such pickle."""
    size = require_file(path).stat().st_size
    if not 0 < size <= MOST_BYTES:
        raise MixError("the file is empty" if not size else f"{size:,} bytes are no batch", at=path, advice=AGAIN)
    try:
        values = read_plain(path.read_bytes())
    except Refused as e:
        raise MixError(f"is no batch of CIFAR's, {e}", at=path, advice=AGAIN) from e
    if not isinstance(values, dict):
        raise MixError("is no batch of CIFAR's, it holds no dict", at=path, advice=AGAIN)
    return {
        _text(key): [_text(v) for v in value] if isinstance(value, list) else value for key, value in values.items()
    }


def _text(value: Any) -> Any:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
