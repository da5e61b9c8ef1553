"""What every container of a mixed dataset can do: one that is made, `Sink`, and one that is finished, `Mixed`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from mixcli.datasets.metadata import Naming
    from mixcli.files.picture_files import Lossy

Json = dict[str, Any]  # an object of JSON; what a manifest must hold, `schema` says
Rows = dict[str, np.ndarray]  # consecutive rows of every field, by its name
FileBytes = bytes | memoryview  # what is in a file
RowFiles = Sequence[tuple[FileBytes, ...]]  # of some rows: the files of each, in the order of `Naming.files`


class Column(Protocol):
    """A field of all rows."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...


class PictureKind(NamedTuple):
    """Pictures that are files of their own, and not arrays: what they are called, and how they lose something."""

    naming: Naming
    loss: Lossy | None  # None: nothing


@dataclass(frozen=True)
class PictureFiles:
    """The pictures' files of a finished dataset."""

    kind: PictureKind
    of_rows: Callable[[int, int], Iterator[tuple[bytes, ...]]]  # (first row, count) -> as they are, row by row


class Sink(Protocol):
    """A dataset under construction: rows go where they belong, window after window."""

    @property
    def container(self) -> str:
        """As `open_sink` calls it."""

    @property
    def part(self) -> Path:
        """A file or a folder."""

    @property
    def layout(self) -> Json:
        """What a later run needs to go on with the part."""

    @property
    def bytes(self) -> int:
        """Expected."""

    @property
    def pictures(self) -> PictureKind | None:
        """What pictures are kept as; None where no file is a picture."""

    def create(self) -> None:
        """A new part; MixError where the disk has no room for it."""

    def reopen(self, layout: Json) -> None:
        """Go on with the part of an earlier run; MixError where it is none of this container."""

    def write(self, window: int, first: int, arrays: Rows, ready: RowFiles | None = None) -> Rows:
        """Consecutive rows of every field, from row `first`. One window at a time, rows ascending within it.

        ready: the pictures' files of the rows, taken as they are, where `pictures` has their names. Returns the rows
        as they will be read, which a lossy encoding changes, then with its bytes as `FILES`.
        """

    def finish(self, window: int) -> None:
        """The window is complete and may be named in the journal."""

    def read(self, window: int, first: int, count: int) -> Rows:
        """Consecutive rows of a window as written; damaged ones are other rows, or MixError."""

    def seal(self, manifest: Json, class_names: tuple[str, ...] | None) -> None:
        """The final name, all at once. Killed anywhere, it can be done again after `reopen`."""

    def discard(self) -> None:
        """Remove the part."""

    def close(self) -> None: ...


class Mixed(Protocol):
    """A finished dataset, read by rows."""

    @property
    def container(self) -> str:
        """As `open_sink` calls it."""

    @property
    def path(self) -> Path: ...

    @property
    def kind(self) -> str:
        """What it is, in words."""

    @property
    def size(self) -> int:
        """Bytes on the disk."""

    @property
    def names(self) -> list[str]:
        """Of the fields."""

    @property
    def class_names(self) -> tuple[str, ...] | None: ...

    @property
    def pictures(self) -> PictureFiles | None:
        """The pictures' files; None where no file is a picture."""

    def field(self, name: str) -> Column:
        """Shape (M, ...) and type; MixError where it is unusable."""

    def read(self, name: str, first: int, count: int) -> np.ndarray:
        """Consecutive rows; a range ends where the rows end."""

    def take(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Rows from anywhere, in any order."""

    def manifest(self) -> Json:
        """What made the dataset; MixError where there is none or it does not parse."""

    def faults(self) -> Iterator[str]:
        """What is wrong with the container itself, apart from the values in it."""

    def close(self) -> None: ...
