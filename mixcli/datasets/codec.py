"""How a row is kept in files: what a writer and a reader of a folder need to know of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mixcli.datasets.contract import PictureKind, RowFiles, Rows

if TYPE_CHECKING:
    from mixcli.data.fields import Field
    from mixcli.datasets.metadata import Naming
    from mixcli.files.picture_files import Lossy

FILES = "files"  # beside the arrays of rows: the bytes of their pictures' files


class Codec(Protocol):
    """Rows to files and back."""

    @property
    def naming(self) -> Naming: ...

    @property
    def in_files(self) -> tuple[Field, ...]:
        """Fields that the files hold."""

    @property
    def others(self) -> tuple[Field, ...]:
        """Those that a line holds."""

    @property
    def together(self) -> bool:
        """Whether one file holds all of `in_files`; else each has its own, and is a picture."""

    @property
    def loss(self) -> Lossy | None:
        """How rows come back other than they were written; None: they do not."""

    @property
    def bytes(self) -> int:
        """Of a row in memory."""

    @property
    def expected(self) -> int:
        """Bytes of a row's files."""

    @property
    def least(self) -> int:
        """What these are hardly ever below."""

    def pack(self, first: int, arrays: Rows) -> RowFiles:
        """Consecutive rows from row `first` -> the files of each, in the order of `naming.files`."""

    def changed(self, files: RowFiles) -> Rows:
        """What files, just packed, will give back otherwise than it was, and their bytes as `FILES`."""

    def read(self, root: Path, names: list[str], rows: np.ndarray, wanted: str | None = None) -> Rows:
        """Fields of rows from files by their names, in the files' own types; MixError where one is not as it should be.

        wanted: the only field that is needed.
        """


def kind_of(codec: Codec) -> PictureKind | None:
    """What pictures are kept as, where files are pictures."""
    return None if codec.together else PictureKind(codec.naming, codec.loss)


def own(f: Field, rows: Rows) -> np.ndarray:
    """A field of what a codec has read, in its type, and the caller's own to change."""
    return rows[f.name].astype(f.dtype)


def told(codec: Codec) -> dict[str, str]:
    """What a manifest beside the files says of them; it does not go with the rows to another container."""
    return {"pictures": codec.naming.suffix} if codec.loss else {}


def as_stored(arrays: Rows, parts: list[Rows]) -> Rows:
    """The rows of every field with what is `changed` in their consecutive parts."""
    return {**arrays, **{name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}}
