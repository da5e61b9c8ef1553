"""A finished dataset as its manifest describes it: windows, and the rows that belong to each.

Everything here comes from the file alone, so that it can be checked and merged where the source is not.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixcli.datasets.codecs import FILES
from mixcli.datasets.container import open_mixed
from mixcli.datasets.digest import Digests, WindowDigest, runs
from mixcli.datasets.journal import check_finished
from mixcli.datasets.recipe import read_fields
from mixcli.datasets.schema import MOST_SHARDS, wrong
from mixcli.errors import MixError

if TYPE_CHECKING:
    from mixcli.files.picture_files import Encoding

BLOCK_BYTES = 32 << 20
MOST_ROW = 1 << 32  # bytes of one field of one row


class Dataset:
    """Rows of a mixed dataset by window."""

    def __init__(self, path: Path):
        self.path = path
        check_finished(path)
        self.file = open_mixed(path)
        self.manifest = self.file.manifest()
        if fault := next(wrong(self.manifest), None):
            raise MixError(f"{path}: its manifest cannot be followed: {fault}")
        self.fields = read_fields(self.manifest)
        self.recipe: dict[str, Any] = self.manifest["recipe"]
        self.rows, self.mixes = self.manifest["rows"], self.manifest["mixes"]
        self.windows = [(w["window"], w["first_row"], w["rows"], w["sha256"]) for w in self.manifest["windows"]]
        self.skipped = [(s["window"], s["sample"]) for s in self.manifest["skipped"]]
        if not self._is_consistent():
            raise MixError(f"{path}: its manifest contradicts itself: rows, windows, fields and recipe do not agree")

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
            and all(first + rows <= self.rows for _, first, rows, _ in self.windows)
            and min(recipe["k"], recipe["partners"], recipe["classes"], recipe["window"]) > 0
            and len(recipe["shard"]) == 2
            and recipe["shard"][1] <= MOST_SHARDS
            and (names is None or len(names) >= recipe["classes"])
        )

    def require(self) -> Dataset:
        """The dataset itself, if its fields are as large as the manifest says."""
        for f in self.fields:
            if f.name not in self.file.names or (
                self.file.field(f.name).shape != (self.rows, *f.shape) or self.file.field(f.name).dtype != f.dtype
            ):
                raise MixError(f"{self.path}: '{f.name}' is not as the manifest says; mixcli verify tells more")
        return self

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
    def layout(self) -> tuple[str, Encoding | None]:
        """How a folder with the same files is made: its container, and how its pictures lose something."""
        lossy = getattr(self.file, "lossy", False)
        return getattr(self.file, "container", "folder"), self.file.codec.how if lossy else None

    @property
    def places(self) -> int:
        """Points or pixels of a row."""
        return int(np.prod(self.recipe["size"])) if self.recipe["size"] else self.recipe["points"]

    @property
    def block(self) -> int:
        """Rows read at a time."""
        return max(1, BLOCK_BYTES // sum(f.row_bytes for f in self.fields))

    def read(self, first: int, count: int) -> dict[str, np.ndarray]:
        """Consecutive rows of every field."""
        return {f.name: self.file.read(f.name, first, count) for f in self.fields}

    def samples_of(self, window: tuple) -> np.ndarray:
        """Source samples of a window, sorted: all good ones are a parent a of it, the bad ones are listed."""
        index, first, rows, _ = window
        good = self.file.read("parent", first, rows)[:, 0]
        return np.unique([*good.tolist(), *(sample for w, sample in self.skipped if w == index)])

    @cached_property
    def _all_samples(self) -> np.ndarray:
        """In the order of the originals' rows."""
        found = [self.samples_of(w) for w in self.windows]
        return np.sort(np.concatenate(found)) if found else np.empty(0, np.int64)

    def original_rows(self, window: tuple) -> np.ndarray:
        """Rows of the window's unmixed samples, ascending -> (w,) i64; none unless they were included."""
        if self.rows == self.mixes:
            return np.empty(0, np.int64)
        return self.mixes + np.searchsorted(self._all_samples, self.samples_of(window))

    def blocks(self, window: tuple) -> list[tuple[int, int]]:
        """First row and count of the pieces of a window in the order of its digest."""
        _, first, rows, _ = window
        mixes = [(at, min(self.block, first + rows - at)) for at in range(first, first + rows, self.block)]
        originals = self.original_rows(window)
        return [*mixes, *((int(run[0]), len(run)) for run in runs(originals) if len(run))]

    def digest(self, window: tuple) -> str:
        return self.digests(window)["sha256"]

    def digests(self, window: tuple) -> Digests:
        """What the manifest should say of a window, that of its files included where they are lossy."""
        digest = WindowDigest(self.fields)
        for first, count in self.blocks(window):
            digest.update(self.read(first, count) | self.lossy_files(first, count))
        return digest.entries()

    def lossy_files(self, first: int, count: int) -> dict[str, np.ndarray]:
        """The bytes of the pictures' files of consecutive rows, where those decide what the pixels are."""
        if not getattr(self.file, "lossy", False):
            return {}
        data = b"".join(row[0] for row in self.file.files(first, count))
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
