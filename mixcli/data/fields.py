"""The fields of a mixed dataset, the same in every container."""

from __future__ import annotations

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


@dataclass(frozen=True)
class Mixing:
    """What the rows of a method hold beside their data."""

    classes: int
    parents: int = 2  # P, slots of a row
    draws: int = 0  # columns of `draw`
    query: bool = False  # whether there are query points or pixels
    raw: bool = False  # whether the shares are kept as published, of any sum


@dataclass(frozen=True)
class PerPoint:
    """What the rows of clouds tell of each point."""

    point_weight: bool = True
    normals: bool = False
    seg: bool = False
    keep: tuple[str, ...] = ()  # of "point_source" and "saliency"


def cloud_fields(points: int, mixing: Mixing, per_point: PerPoint = PerPoint()) -> tuple[Field, ...]:
    """Fields of a dataset of mixed clouds of `points` points."""
    kept = [Field("data", (points, 3), "<f4"), *_label_fields(mixing)]
    seg = Field("seg", (points, mixing.parents), "<i8")  # each parent's part label at each point, -1: none
    source = Field("point_source", (points, mixing.parents), "<i4")  # each parent's point, -1: none
    optional = [
        (mixing.draws > 0, _draw(mixing)),
        (mixing.query, Field("query", (2,), "<i4")),  # as indices into each parent
        (per_point.normals, Field("normal", (points, 3), "<f4")),
        (per_point.point_weight, Field("point_weight", (points,), "<f4")),  # parent a's share of each point
        (per_point.seg, seg),
        ("point_source" in per_point.keep, source),
        ("saliency" in per_point.keep, Field("saliency", (points,), "<f4")),  # mixed like the points
    ]
    return tuple(kept + [field for wanted, field in optional if wanted])


def image_fields(size: tuple[int, int], mixing: Mixing, keep: tuple[str, ...] = ()) -> tuple[Field, ...]:
    """Fields of a dataset of mixed images of H x W pixels. keep: "mask", or nothing."""
    kept = [Field("data", (*size, 3), "|u1"), *_label_fields(mixing)]
    optional = [
        (mixing.draws > 0, _draw(mixing)),
        (mixing.query, Field("query", (2,), "<i4")),  # pixels y·W + x, of each parent
        (mixing.raw, Field("weight_raw", (mixing.parents,), "<f4")),
        ("mask" in keep, Field("mask", tuple(size), "|u1")),  # parent a's share of each pixel, of 255
    ]
    return tuple(kept + [field for wanted, field in optional if wanted])


def hidden_fields(shape: tuple[int, ...], mixing: Mixing) -> tuple[Field, ...]:
    """Fields of a dataset of mixed hidden states of this shape, mostly C x H x W."""
    return (Field("data", shape, "<f4"), *_label_fields(mixing), _draw(mixing))


def _label_fields(mixing: Mixing) -> list[Field]:
    """What every row says of its label."""
    return [
        Field("label", (), "<i8"),  # argmax of soft_label, ties: parent a
        Field("soft_label", (mixing.classes,), "<f4"),
        Field("parent", (mixing.parents,), "<i8"),  # source indices, column 0 is parent a, -1 an unused slot
        Field("parent_label", (mixing.parents,), "<i8"),
        Field("weight", (mixing.parents,), "<f4"),  # each parent's share of the label
    ]


def _draw(mixing: Mixing) -> Field:
    return Field("draw", (mixing.draws,), "<f4")


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
