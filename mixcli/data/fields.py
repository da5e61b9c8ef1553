"""The fields of a mixed dataset, the same in every container, and the digest of some of their rows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Field:
    """One array of M rows."""

    name: str
    shape: tuple[int, ...]  # of one row
    dtype: str  # numpy's short form, little-endian

    @property
    def row_bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


def cloud_fields(
    points: int,
    classes: int,
    parents: int = 2,
    draws: int = 0,
    query: bool = False,
    point_weight: bool = True,
    normals: bool = False,
    seg: bool = False,
    keep: tuple[str, ...] = (),
) -> tuple[Field, ...]:
    """Fields of a dataset of mixed clouds of `points` points."""
    kept = [Field("data", (points, 3), "<f4"), *_label_fields(classes, parents)]
    optional = [
        (draws > 0, Field("draw", (draws,), "<f4")),
        (query, Field("query", (2,), "<i4")),  # as indices into each parent
        (normals, Field("normal", (points, 3), "<f4")),
        (point_weight, Field("point_weight", (points,), "<f4")),  # parent a's share of each point
        (seg, Field("seg", (points, parents), "<i8")),  # each parent's part label at each point, -1: none
        ("point_source" in keep, Field("point_source", (points, parents), "<i4")),  # each parent's point, -1: none
        ("saliency" in keep, Field("saliency", (points,), "<f4")),  # mixed like the points
    ]
    return tuple(kept + [field for wanted, field in optional if wanted])


def image_fields(
    size: tuple[int, int], classes: int, parents: int, draws: int, query: bool, keep: tuple[str, ...], raw: bool = False
) -> tuple[Field, ...]:
    """Fields of a dataset of mixed images of H x W pixels."""
    optional = [
        (draws > 0, Field("draw", (draws,), "<f4")),
        (query, Field("query", (2,), "<i4")),  # pixels y·W + x, of each parent
        (raw, Field("weight_raw", (parents,), "<f4")),  # the shares as published, of any sum
        ("mask" in keep, Field("mask", tuple(size), "|u1")),  # parent a's share of each pixel, of 255
    ]
    kept = [Field("data", (*size, 3), "|u1"), *_label_fields(classes, parents)]
    return tuple(kept + [field for wanted, field in optional if wanted])


def hidden_fields(shape: tuple[int, ...], classes: int, parents: int, draws: int) -> tuple[Field, ...]:
    """Fields of a dataset of mixed hidden states of this shape, mostly C x H x W."""
    return (Field("data", shape, "<f4"), *_label_fields(classes, parents), Field("draw", (draws,), "<f4"))


def _label_fields(classes: int, parents: int) -> list[Field]:
    """What every row says of its label."""
    return [
        Field("label", (), "<i8"),  # argmax of soft_label, ties: parent a
        Field("soft_label", (classes,), "<f4"),
        Field("parent", (parents,), "<i8"),  # source indices, column 0 is parent a, -1 an unused slot
        Field("parent_label", (parents,), "<i8"),
        Field("weight", (parents,), "<f4"),  # each parent's share of the label
    ]


def labels(
    parent_label: np.ndarray, weight: np.ndarray, classes: int, parent_soft: list[np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Soft label and its argmax from the parents. (m,P) i64, (m,P) f64 -> (m,classes) f32, (m,) i64.

    parent_soft: each parent's own soft label (m,C) where the source has them; that of an unused slot does not count.

    >>> soft, hard = labels(np.array([[0, 2], [1, 1]]), np.array([[0.25, 0.75], [0.4, 0.6]]), 3)
    >>> soft.tolist(), hard.tolist()
    ([[0.25, 0.0, 0.75], [0.0, 1.0, 0.0]], [2, 1])
    """
    rows = np.arange(len(parent_label))
    soft = np.zeros((len(rows), classes))
    for p, (label, share) in enumerate(zip(parent_label.T, weight.T, strict=True)):
        used = label >= 0
        if parent_soft is None:
            soft[rows[used], label[used]] += share[used]
        else:
            theirs = parent_soft[p][used]
            soft[used, : theirs.shape[1]] += share[used, None] * theirs
    best = soft.argmax(1)
    first = parent_label[:, 0]
    return soft.astype(np.float32), np.where(soft[rows, first] >= soft[rows, best], first, best)


class Digest:
    """SHA-256 of one window: of the digests of its fields, each over the window's rows in order, mixes first."""

    def __init__(self, fields: tuple[Field, ...]):
        self.parts = {f.name: hashlib.sha256() for f in fields}

    def update(self, arrays: dict[str, np.ndarray]) -> None:
        """The next rows of every field."""
        for name, part in self.parts.items():
            part.update(np.ascontiguousarray(arrays[name]).data)

    def hexdigest(self) -> str:
        return hashlib.sha256(b"".join(part.digest() for part in self.parts.values())).hexdigest()
