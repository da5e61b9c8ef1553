"""A finished dataset as its manifest describes it: windows, and the rows that belong to each.

Everything here comes from the file alone, so that it can be checked and merged where the source is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mixcli.data.fields import Field
from mixcli.datasets.codec import FILES
from mixcli.datasets.container import open_mixed
from mixcli.datasets.contract import Rows
from mixcli.datasets.digest import Digests, WindowDigest, runs
from mixcli.datasets.journal import check_finished
from mixcli.datasets.recipe import read_fields
from mixcli.datasets.schema import disallowed, wrong
from mixcli.errors import MixError
from mixcli.values import MOST_SHARDS

if TYPE_CHECKING:
    from mixcli.files.picture_files import Lossy

BLOCK_BYTES = 32 << 20
MOST_ROW = 1 << 32  # bytes of one field of one row


@dataclass(frozen=True)
class WrittenWindow:
    """A window as the manifest tells it."""

    index: int
    first: int  # row of its mixes
    rows: int  # of them
    sha256: str


class Layout(NamedTuple):
    """How a folder with the same files is made."""

    container: str  # "folder" or "tar"
    loss: Lossy | None  # what its pictures went through, if they lost something


class Dataset:
    """Rows of a mixed dataset by window."""

    def __init__(self, path: Path):
        self.path = path
        check_finished(path)
        self.file = open_mixed(path)
        self.manifest = self.file.manifest()
        if fault := next(wrong(self.manifest), None):
            raise MixError(f"its manifest cannot be followed: {fault}", at=path)
        self.fields = read_fields(self.manifest)
        self.recipe: dict[str, Any] = self.manifest["recipe"]
        self.rows, self.mixes = self.manifest["rows"], self.manifest["mixes"]
        self.windows = [
            WrittenWindow(w["window"], w["first_row"], w["rows"], w["sha256"]) for w in self.manifest["windows"]
        ]
        self.skipped = [(s["window"], s["sample"]) for s in self.manifest["skipped"]]
        if not self._is_consistent():
            fault = next(disallowed(self.recipe), "")
            how = "contradicts itself: rows, windows, fields and recipe do not agree"
            raise MixError(f"its manifest {f'cannot be followed: {fault}' if fault else how}", at=path)

    def _is_consistent(self) -> bool:
        recipe, sizes = self.recipe, {f.name: f.shape for f in self.fields}
        names = self.file.class_names
        return (
            sizes.get("soft_label") == (recipe["classes"],)
            and (self.data == "hidden" or sizes.get("data") == self._row_shape)
            and sizes.get("parent") == sizes.get("parent_label") == sizes.get("weight")
            and len(sizes.get("parent", ())) == 1
            and sizes.get("label") == ()
            and all(f.row_bytes < MOST_ROW for f in self.fields)
            and self.mixes <= self.rows
            and all(w.first + w.rows <= self.rows for w in self.windows)
            and min(recipe["k"], recipe["partners"], recipe["classes"], recipe["window"]) > 0
            and len(recipe["shard"]) == 2
            and recipe["shard"][1] <= MOST_SHARDS
            and (names is None or len(names) >= recipe["classes"])
        )

    def require(self) -> Dataset:
        """The dataset itself, if its fields are as large as the manifest says."""
        for f in self.fields:
            if f.name not in self.file.names or not self._is_as_promised(f):
                reason = f"'{f.name}' is not as the manifest says"
                raise MixError(reason, at=self.path, advice="mixcli verify tells more")
        return self

    def _is_as_promised(self, f: Field) -> bool:
        column = self.file.field(f.name)
        return column.shape == (self.rows, *f.shape) and column.dtype == f.dtype

    @property
    def data(self) -> str:
        """What its rows are: "points", "images" or "hidden" states of images."""
        if not self.recipe["size"]:
            return "points"
        return "images" if any(f.name == "data" and f.dtype == "|u1" for f in self.fields) else "hidden"

    @property
    def _row_shape(self) -> tuple[int | None, ...]:
        return (*self.recipe["size"], 3) if self.recipe["size"] else (self.recipe["points"], 3)

    @property
    def layout(self) -> Layout:
        """How a folder with the same files is made."""
        pictures = self.file.pictures
        loss = pictures.kind.loss if pictures else None
        return Layout("tar" if self.file.container == "tar" else "folder", loss)

    @property
    def places(self) -> int:
        """Points or pixels of a row."""
        return int(np.prod(self.recipe["size"])) if self.recipe["size"] else self.recipe["points"]

    @property
    def block(self) -> int:
        """Rows read at a time."""
        return max(1, BLOCK_BYTES // sum(f.row_bytes for f in self.fields))

    def read(self, first: int, count: int) -> Rows:
        """Consecutive rows of every field."""
        return {f.name: self.file.read(f.name, first, count) for f in self.fields}

    def samples_of(self, window: WrittenWindow) -> np.ndarray:
        """Source samples of a window, sorted: all good ones are a parent a of it, the bad ones are listed."""
        good = self.file.read("parent", window.first, window.rows)[:, 0]
        return np.unique([*good.tolist(), *(sample for w, sample in self.skipped if w == window.index)])

    @cached_property
    def _all_samples(self) -> np.ndarray:
        """In the order of the originals' rows."""
        samples = [self.samples_of(w) for w in self.windows]
        return np.sort(np.concatenate(samples)) if samples else np.empty(0, np.int64)

    def original_rows(self, window: WrittenWindow) -> np.ndarray:
        """Rows of the window's unmixed samples, ascending -> (w,) i64; none unless they were included."""
        if self.rows == self.mixes:
            return np.empty(0, np.int64)
        return self.mixes + np.searchsorted(self._all_samples, self.samples_of(window))

    def blocks(self, window: WrittenWindow) -> list[tuple[int, int]]:
        """First row and count of the pieces of a window in the order of its digest."""
        stop = window.first + window.rows
        mixes = [(at, min(self.block, stop - at)) for at in range(window.first, stop, self.block)]
        originals = self.original_rows(window)
        return [*mixes, *((int(run[0]), len(run)) for run in runs(originals) if len(run))]

    def digest(self, window: WrittenWindow) -> str:
        return self.digests(window)["sha256"]

    def digests(self, window: WrittenWindow) -> Digests:
        """What the manifest should say of a window, that of its files included where they are lossy."""
        digest = WindowDigest(self.fields)
        for first, count in self.blocks(window):
            digest.update(self.read(first, count) | self.lossy_files(first, count))
        return digest.entries()

    def lossy_files(self, first: int, count: int) -> Rows:
        """The bytes of the pictures' files of consecutive rows, where those decide what the pixels are."""
        pictures = self.file.pictures
        if pictures is None or pictures.kind.loss is None:
            return {}
        data = b"".join(row[0] for row in pictures.of_rows(first, count))
        return {FILES: np.frombuffer(data, np.uint8)}

    def close(self) -> None:
        self.file.close()


def spread(rows: int, count: int | None) -> np.ndarray:
    """Evenly spread rows, the first and the last among them -> (count,) i64.

    >>> spread(101, 3).tolist()
    [0, 50, 100]
    """
    if count is None or count >= rows:
        return np.arange(rows)
    return np.unique(np.linspace(0, rows - 1, count).round().astype(np.int64))
