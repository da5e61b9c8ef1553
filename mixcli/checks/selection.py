"""Rows to look at: which ones, and all that can be drawn of them. Runs without torch.

Parents come from the source that the manifest names. The point of b that each point of a was mixed with is not
stored: it is found again by the same assignment, for the few rows shown.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mixcli.data.prepared_clouds import Clouds
from mixcli.data.prepared_images import Pictures
from mixcli.datasets.dataset import Dataset, spread
from mixcli.datasets.recognise import is_mixed
from mixcli.errors import MixError, UsageError
from mixcli.methods import restored
from mixcli.rng import permutation
from mixcli.sources.any_source import open_any
from mixcli.sources.cloud_reader import Carried, Preparation, Reader
from mixcli.sources.image_reader import PictureReader, size_of
from mixcli.sources.image_source import PictureSource
from mixcli.sources.origin import reopened
from mixcli.typed import is_count

MANY = 48  # rows from which the source is decoded once instead of row by row


@dataclass(frozen=True)
class Shown:
    """One row with all that can be drawn of it."""

    row: int
    method: str  # "original" for an unmixed row, "source" for a row of a source dataset
    data: np.ndarray  # (N,3) f32, of an image (H,W,3) u8
    lam: np.ndarray | None  # (N,) f32, share of A at each point; (H,W) at each pixel
    parent: tuple[int, ...]  # source indices; none for a source dataset
    label: tuple[int, ...]  # classes of the parents, or of the sample itself
    weight: tuple[float, ...]  # their shares
    names: tuple[str, ...]  # their classes' names
    parents: tuple[np.ndarray, ...] = ()  # their clouds (N,3) f32, each in its own order; none where the source is gone
    partner: np.ndarray | None = None  # (N,) i64, the point of b that each point of a was mixed with
    index: np.ndarray | None = None  # (N,2) i64, points of a and b that each point was made of, -1 none; with saliency
    saliency: np.ndarray | None = None  # (N,) f32
    parent_saliency: tuple[np.ndarray, ...] = ()  # (N,) f32 each, in the parents' own order


class Selection:
    """Rows of a mixed dataset, in the order in which they are to be shown."""

    def __init__(self, path: Path, source: list[str] | None = None):
        self.dataset = Dataset(path).require()
        self.title, self.total = path.name, self.dataset.rows
        if self.dataset.data == "hidden":
            reason = "holds hidden states of a network, which cannot be seen"
            raise UsageError(reason, at=path, advice="try mixcli inspect")
        names = self.dataset.file.class_names
        self.classes = names or tuple(str(i) for i in range(self.dataset.recipe["classes"]))
        self.reader, self.note = _reader(self.dataset, source)
        self.rows = np.arange(self.total)
        self.method = restored(self.dataset.recipe)
        self._last: tuple[tuple[int, ...], np.ndarray | None] = (), None

    @cached_property
    def lam(self) -> np.ndarray:
        """λ of every row (M,)."""
        return self.dataset.file.read("weight", 0, self.total)[:, 0]

    def of_class(self, label: int) -> np.ndarray:
        """Which rows have a parent of this class with a share -> (M,) bool."""
        label_of, weight = (self.dataset.file.read(n, 0, self.total) for n in ("parent_label", "weight"))
        return ((label_of == label) & (weight > 0)).any(1)

    def load(self, rows: np.ndarray) -> list[Shown]:
        if len(rows) > MANY and self.reader and self.reader.kept is None:
            self.reader.load("skip")
        return [self._load(int(row)) for row in rows]

    def _load(self, row: int) -> Shown:
        values = {name: array[0] for name, array in self.dataset.read(row, 1).items()}
        used = values["parent"] >= 0
        parent, label = values["parent"][used], values["parent_label"][used]
        parents = tuple(_bodies(self.reader.read(parent))) if self.reader else ()
        return Shown(
            row=row,
            method=self.dataset.recipe["method"] if row < self.dataset.mixes else "original",
            data=values["data"],
            lam=self._lam(values),
            parent=tuple(parent.tolist()),
            label=tuple(label.tolist()),
            weight=tuple(values["weight"][used].tolist()),
            names=tuple(self.classes[i] for i in label),
            parents=parents,
            partner=self._partner(tuple(parent.tolist()), parents) if len(parents) > 1 else None,
        )

    def _lam(self, values: dict[str, np.ndarray]) -> np.ndarray | None:
        """Parent a's share of each point or pixel, f32; of an image only where masks were kept."""
        if self.dataset.data == "images":
            return values["mask"].astype(np.float32) / 255 if "mask" in values else None
        return values.get("point_weight", np.full(len(values["data"]), values["weight"][0], np.float32))

    def _partner(self, parent: tuple[int, ...], clouds: tuple[np.ndarray, ...]) -> np.ndarray | None:
        """Found once for neighbouring rows of one pair."""
        from mixcli.algorithms import assignment

        if not self.dataset.manifest["assignment"]:
            return None
        if self._last[0] != parent:
            a, b = clouds
            if self.method.poses:
                b = self.method.posed(b, self.method.pose(a), self.method.pose(b))
            self._last = parent, assignment.assign(a, b)
        return self._last[1]


class SourceSelection:
    """Rows of a source dataset."""

    def __init__(self, path: Path, points: int = 1024):
        self.source = open_any([str(path)])
        self.title, self.total, self.note = path.name, len(self.source), ""
        count = self.source.known_classes()
        self.classes = self.source.class_names or tuple(str(i) for i in range(count))
        self.reader: Reader | PictureReader
        if isinstance(self.source, PictureSource):
            self.reader = PictureReader(self.source, count, size_of(self.source, None, lambda note: None))
        else:
            how = Preparation(points=min(points, self.source.points or points), pad="repeat")
            self.reader = Reader(self.source, count, how)
        self.rows = np.arange(self.total)

    @property
    def lam(self) -> np.ndarray:
        return np.ones(self.total)

    def of_class(self, label: int) -> np.ndarray:
        return self.source.labels == label

    def load(self, rows: np.ndarray) -> list[Shown]:
        bodies, labels = _bodies(self.reader.read(np.asarray(rows))), self.source.labels[rows]
        names = [self.classes[i] if 0 <= i < len(self.classes) else str(i) for i in labels.tolist()]
        return [
            Shown(
                row=int(row),
                method="source",
                data=body,
                lam=None,
                parent=(),
                label=(int(label),),
                weight=(1.0,),
                names=(name,),
            )
            for row, body, label, name in zip(rows, bodies, labels, names, strict=True)
        ]


def select(
    path: str | Path,
    count: int | None = 12,
    rows: str | None = None,
    klass: str | None = None,
    sort: str | None = None,
    worst: bool = False,
    seed: int | None = None,
    source: list[str] | None = None,
) -> Selection | SourceSelection:
    """Open a dataset and choose rows: those named, or `count` of all, spread evenly or drawn by `seed`."""
    chosen = _open(Path(path), source)
    if worst:
        chosen.rows = _worst(Path(path), chosen.total)
    if rows is not None:
        chosen.rows = parse_rows(rows, chosen.total)
    if klass is not None:
        chosen.rows = chosen.rows[chosen.of_class(_class_number(klass, chosen.classes))[chosen.rows]]
    if sort in ("lam", "even"):
        lam = chosen.lam[chosen.rows]
        chosen.rows = chosen.rows[np.argsort(lam if sort == "lam" else abs(lam - 0.5), kind="stable")]
    if rows is None and count is not None:
        chosen.rows = _some(chosen.rows, count, sort is not None or worst, seed)
    if not len(chosen.rows):
        raise UsageError("no row to show" + (f" of class {klass}" if klass else ""), at=path)
    return chosen


def _open(path: Path, source: list[str] | None) -> Selection | SourceSelection:
    return Selection(path, source) if is_mixed(path) else SourceSelection(path)


def _bodies(prepared: Clouds | Pictures) -> np.ndarray:
    """Clouds (m,N,3), or images (m,H,W,3)."""
    return prepared.xyz if isinstance(prepared, Clouds) else prepared.values


def _reader(dataset: Dataset, moved: list[str] | None) -> tuple[Reader | PictureReader | None, str]:
    """Prepared parents, or why there are none."""
    try:
        source = reopened(dataset, moved)
    except MixError as e:
        return None, f"parents are not shown: {e}"
    if len(source) != dataset.manifest["source"]["count"]:
        return None, "parents are not shown: the source is another than the manifest's"
    recipe = dataset.recipe
    if isinstance(source, PictureSource):
        return PictureReader(source, recipe["classes"], tuple(recipe["size"])), ""
    return Reader(source, recipe["classes"], Preparation.of(recipe), Carried(normals=recipe["normals"])), ""


def parse_rows(text: str, total: int) -> np.ndarray:
    """`3,7-9` -> rows.

    >>> parse_rows("3,7-9", 20).tolist()
    [3, 7, 8, 9]
    """
    chosen: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not is_count(first) or (dash and not is_count(last)):
            raise UsageError(f"{part.strip()!r} is no row and no range, as in 3,7-9", at=f"--rows {text}")
        stop = int(last) if dash else int(first)
        if max(int(first), stop) >= total:
            raise UsageError(f"the dataset has rows 0 to {total - 1}", at=f"--rows {text}")
        chosen += range(int(first), stop + 1)
    return np.array(chosen, np.int64)


def _class_number(name: str, classes: tuple[str, ...]) -> int:
    if name in classes:
        return classes.index(name)
    if is_count(name) and int(name) < len(classes):
        return int(name)
    listed = ", ".join(classes[:12]) + (", ..." if len(classes) > 12 else "")
    raise UsageError("no such class", at=f"--class {name}", advice=f"there are {listed}")


def _some(rows: np.ndarray, count: int, ordered: bool, seed: int | None) -> np.ndarray:
    if seed is not None:
        return np.sort(rows[permutation(seed, "view", len(rows))[:count]])
    return rows[:count] if ordered else rows[spread(len(rows), count)]


def _worst(path: Path, total: int) -> np.ndarray:
    """Rows that `inspect --score` found worst."""
    scores = path.with_name(path.name + ".scores.json")
    if not scores.is_file():
        advice = f"make it with mixcli inspect {path} --score --ckpt CKPT"
        raise UsageError(f"--worst needs {scores}", advice=advice)
    scored: Any = json.loads(scores.read_text())
    return np.array([entry["row"] for entry in scored["worst"] if 0 <= entry["row"] < total], np.int64)
