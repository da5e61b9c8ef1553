"""Parquet as Hugging Face's `datasets` writes it: a column of {bytes, path} pictures and one of labels.

A label is a number, whose name may stand in the schema's metadata, or a name. Row groups are decoded from their start,
so rows are best read in their order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixcli.errors import MixError, UsageError
from mixcli.files.npz_arrays import DEFLATE_LIMIT
from mixcli.files.regular import require_file
from mixcli.sources.images.decode import Fit, decode, size_of
from mixcli.sources.images.encoded import Result, each, of_bytes, sizes_of
from mixcli.sources.images.labels import Collector, Labelled, names_beside

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

LABEL = ("label", "labels", "fine_label")
BATCH = 64  # rows that are decoded at a time


class Cursor:
    """How far a row group has been decoded, so that rows which come in their order are decoded once."""

    def __init__(self, table: ParquetFile, group: int, column: str):
        self.table, self.group = table, group
        self.batches = table.iter_batches(BATCH, row_groups=[group], columns=[column])
        self.start, self.batch = 0, None  # row of the group that the batch begins with

    def leads_to(self, table: ParquetFile, group: int, row: int) -> bool:
        return self.table is table and self.group == group and self.start <= row

    def upto(self, row: int) -> tuple[int, Any]:
        """The batch that holds a row, and the row that it begins with. ValueError where the group ends before."""
        while self.batch is None or row >= self.start + len(self.batch):
            self.start += 0 if self.batch is None else len(self.batch)
            self.batch = next(self.batches, None)
            if self.batch is None:
                raise ValueError(f"it ends at row {self.start:,}")
        return self.start, self.batch


class Parquet(Labelled):
    """The rows of some files, one after the other."""

    random_access, preload = False, True
    size = None

    def __init__(self, path: Path, files: list[Path], notes: Sequence[str] = ()):
        self.tables = [_table(file) for file in files]
        self.columns = [_required_column(table, file) for table, file in zip(self.tables, files, strict=True)]
        names, listing = names_beside(files[0].parent)
        labels = Collector()
        for table, file in zip(self.tables, files, strict=True):
            known = _add_labels(table, file, labels)
            if known and names and known != names:
                raise MixError(f"its classes are not those of {files[0]} or of the list beside it", at=file)
            names = names or known
        super().__init__(path, labels.labels(path, names), notes)
        self.files = [*files, *listing]
        self.groups = [(f, g) for f, table in enumerate(self.tables) for g in range(table.num_row_groups)]
        self.starts = np.cumsum([0, *(self.tables[f].metadata.row_group(g).num_rows for f, g in self.groups)])
        self.firsts = np.cumsum([0, *(table.metadata.num_rows for table in self.tables)])
        self.cursor: Cursor | None = None

    def address(self, row: int) -> tuple[str, int]:
        file = int(np.searchsorted(self.firsts, row, side="right")) - 1
        return str(self.files[file]), int(row - self.firsts[file])

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        """See PicturePart.sizes."""
        return sizes_of(self._of_each(rows, lambda row, data: size_of(data)))

    def read(self, rows: np.ndarray, fit: Fit | None = None) -> list[np.ndarray | str]:
        """See PicturePart.read."""
        if self.sixteen.scale == "range" and self.sixteen.table is None:
            self._of_each(np.arange(len(self)), lambda row, data: decode(data, None, partial(self._seen, row)).shape)
            self.sixteen.settle()
        return self._of_each(rows, lambda row, data: decode(data, fit, partial(self.sixteen.eight, row)))

    def _seen(self, row: int, values: np.ndarray) -> np.ndarray:
        return (self.sixteen.see(row, values) >> 8).astype(np.uint8)

    def _of_each(self, rows: np.ndarray, function: Callable[[int, bytes], Result]) -> list[Result | str]:
        """The function of every row and its bytes, or the reason why there are none."""
        distinct, place = np.unique(rows, return_inverse=True)
        made: list[Result | str] = []
        for batch in self._bytes(distinct):
            numbered = list(zip(distinct[len(made) :].tolist(), batch, strict=False))
            made += each(lambda one: of_bytes(partial(function, one[0]), lambda: _present(one[1])), numbered)
        return [made[at] for at in place.tolist()]

    def _bytes(self, rows: np.ndarray) -> Iterator[list[bytes | str | None]]:
        """Sorted rows, some at a time: the bytes of each picture, else the path that stands in their place."""
        for (file, group), start, stop in zip(self.groups, self.starts, self.starts[1:], strict=False):
            wanted = rows[(rows >= start) & (rows < stop)] - start
            if len(wanted):
                yield from self._of_group(file, group, wanted)

    def _of_group(self, file: int, group: int, wanted: np.ndarray) -> Iterator[list[bytes | str | None]]:
        table, column = self.tables[file], self.columns[file]
        try:
            cursor = self.cursor
            if cursor is None or not cursor.leads_to(table, group, int(wanted[0])):
                cursor = self.cursor = Cursor(table, group, column)
            while len(wanted):
                start, batch = cursor.upto(int(wanted[0]))
                inside, wanted = np.split(wanted, [np.searchsorted(wanted, start + len(batch))])
                yield _values(batch.column(0).take(_indices(inside - start)))
        except _torn() as e:
            self.cursor = None
            what = f"row group {group} cannot be read ({_short(e)})"
            raise MixError(what, at=self.files[file], advice="download it again") from e


def holds_pictures(file: Path) -> bool:
    """Whether a file has a column of pictures. UsageError where the library that reads it is not installed."""
    return _picture_column(_table(file)) is not None


def _table(file: Path) -> ParquetFile:
    require_file(file)
    try:
        import pyarrow.parquet
    except ImportError as e:
        how = "pip install '.[parquet]' in mixcli's folder"
        raise UsageError("reading Parquet needs the package pyarrow", at=file, advice=how) from e
    try:
        table = pyarrow.parquet.ParquetFile(file)
    except _torn() as e:
        raise MixError(f"is no readable Parquet file ({_short(e)})", at=file, advice="download it again") from e
    _check_sizes(table, file)
    return table


def _check_sizes(table: ParquetFile, file: Path) -> None:
    """A row takes at least a byte, and nothing shrinks further than zeros do."""
    held, told = file.stat().st_size, table.metadata
    groups = [told.row_group(g) for g in range(told.num_row_groups)]
    columns = [group.column(c) for group in groups for c in range(group.num_columns)]
    grown = any(c.total_uncompressed_size > DEFLATE_LIMIT * max(1, min(c.total_compressed_size, held)) for c in columns)
    if grown or told.num_rows > held or sum(group.num_rows for group in groups) != told.num_rows:
        raise MixError(f"declares more than its {held:,} bytes can hold", at=file, advice="download it again")


def _required_column(table: ParquetFile, file: Path) -> str:
    column = _picture_column(table)
    if column is None:
        raise MixError("has no column of pictures", at=file, advice="leave it out")
    return column


def _picture_column(table: ParquetFile) -> str | None:
    """A struct with `bytes` in it, else bytes under a name that says what they are."""
    import pyarrow.types as types

    def fits(field: Any) -> bool:
        if types.is_struct(field.type):
            return any(inner.name == "bytes" and _is_binary(inner.type) for inner in field.type)
        return _is_binary(field.type) and field.name in ("image", "img", "picture")

    return next((field.name for field in table.schema_arrow if fits(field)), None)


def _is_binary(kind: Any) -> bool:
    import pyarrow.types as types

    return types.is_binary(kind) or types.is_large_binary(kind)


def _add_labels(table: ParquetFile, file: Path, labels: Collector) -> tuple[str, ...] | None:
    """Returns the class names that the schema knows."""
    name = next((name for name in LABEL if name in table.schema_arrow.names), None)
    if name is None:
        has = ", ".join(map(repr, table.schema_arrow.names[:6]))
        raise MixError(f"has no column 'label' (it has {has})", at=file, advice="add one")
    try:
        values = table.read(columns=[name]).column(0).to_pylist()
    except _torn() as e:
        raise MixError(f"column {name!r} cannot be read ({_short(e)})", at=file, advice="download it again") from e
    for row, label in enumerate(values):
        labels.add(label, f"{file}[{row}]")
    return _known_names(table, name)


def _known_names(table: ParquetFile, label: str) -> tuple[str, ...] | None:
    """Names of the classes, which `datasets` keeps as JSON in the schema's metadata."""
    try:
        told = json.loads((table.schema_arrow.metadata or {}).get(b"huggingface", b"{}"))
        names = told["info"]["features"][label]["names"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


def _values(column: Any) -> list[bytes | str | None]:
    import pyarrow.types as types

    if not types.is_struct(column.type):
        return column.to_pylist()
    entries = column.to_pylist()
    return [entry and (entry["bytes"] if entry["bytes"] is not None else entry.get("path")) for entry in entries]


def _present(data: bytes | str | None) -> bytes:
    if isinstance(data, bytes):
        return data
    where = f"only its path, {data[:80]!r}, is in the file; embed the pictures" if data else "no picture in this row"
    raise ValueError(where)


def _indices(rows: np.ndarray) -> Any:
    import pyarrow

    return pyarrow.array(rows)


def _torn() -> tuple[type[Exception], ...]:
    """What pyarrow raises on damage."""
    import pyarrow

    return pyarrow.ArrowException, OSError, ValueError


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:100]
