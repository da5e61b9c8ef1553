"""What the pixels of a dataset of images say: their mean and deviation, and how the masks share them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mixcli.datasets.dataset import Dataset

LEVELS = np.arange(256) / 255
PART_BYTES = 8 << 20


def pixels(dataset: Dataset, rows: np.ndarray) -> dict[str, Any] | None:
    """Size, and of each channel mean and standard deviation over all pixels of these rows, 0 to 1, as networks are
    given them; None for clouds."""
    if dataset.data != "images":
        return None
    size = list(dataset.recipe["size"])
    if not len(rows):
        return {"size": size, "mean": None, "std": None}
    count = np.zeros((3, 256), np.int64)
    for part in _parts(dataset, "data", rows):
        count += [np.bincount(part[..., channel].ravel(), minlength=256) for channel in range(3)]
    share = count / count.sum(1, keepdims=True)
    mean = share @ LEVELS
    std = np.sqrt((share * (LEVELS - mean[:, None]) ** 2).sum(1))
    return {"size": size, "mean": mean.tolist(), "std": std.tolist()}


def lam_pixels(dataset: Dataset, rows: np.ndarray, bins: int, pure: float) -> dict[str, Any] | None:
    """Histogram of parent a's share over all pixels of these rows, and how many are within `pure` of 1 and of 0."""
    if not any(f.name == "mask" for f in dataset.fields) or not len(rows):
        return None
    count = np.zeros(256, np.int64)
    for part in _parts(dataset, "mask", rows):
        count += np.bincount(part.ravel(), minlength=256)
    return {
        "histogram": np.histogram(LEVELS, bins, (0, 1), weights=count)[0].tolist(),
        "pure_a": float(count[LEVELS > 1 - pure].sum() / count.sum()),
        "pure_b": float(count[LEVELS < pure].sum() / count.sum()),
    }


def _parts(dataset: Dataset, name: str, rows: np.ndarray) -> Iterator[np.ndarray]:
    """A field of these rows in pieces of a few megabytes."""
    (row_bytes,) = (f.row_bytes for f in dataset.fields if f.name == name)
    for part in np.array_split(rows, -(-len(rows) * row_bytes // PART_BYTES)):
        if len(part):
            yield dataset.file.take(name, part)
