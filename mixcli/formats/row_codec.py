"""How a row is kept in files: what a writer and a reader of a folder need to know of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mixcli.errors import UsageError
from mixcli.fields import Field
from mixcli.formats.metadata import Naming


class Codec(Protocol):
    """Rows to files and back."""

    naming: Naming
    in_files: tuple[Field, ...]  # fields that the files hold
    others: tuple[Field, ...]  # those that a line holds
    together: bool  # whether one file holds all of `in_files`
    bytes: int  # of a row in memory
    expected: int  # bytes of a row's files
    least: int  # what they are hardly ever below

    def pack(self, first: int, arrays: dict[str, np.ndarray]) -> list[tuple[Any, ...]]:
        """Consecutive rows from row `first` -> the files of each, in the order of `naming.files`."""

    def read(self, root: Path, names: list[str], rows: np.ndarray, wanted: str | None = None) -> Any:
        """What `unpack` takes, from files by their names; MixError where one is not as it should be.

        wanted: the only field that is needed.
        """

    def unpack(self, records: Any, name: str) -> np.ndarray:
        """A field of what was read, the caller's own."""


def codec_of(fields: tuple[Field, ...], path: Path, png_level: int | None = None) -> Codec:
    """Images become `.png`, clouds `.ply`; MixError where the fields are of neither."""
    data = next((f for f in fields if f.name == "data"), None)
    if data is not None and len(data.shape) == 3 and data.dtype == "|u1":
        from mixcli.formats.picture_rows import PictureRows

        return PictureRows(fields, path, png_level)
    if png_level is not None:
        raise UsageError(f"{path}: a level of .png is for images, and these are clouds; leave it out")
    from mixcli.formats.ply_rows import PlyRows

    return PlyRows(fields, path)
