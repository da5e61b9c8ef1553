"""How a row is kept in files: what a writer and a reader of a folder need to know of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mixcli.data.fields import Field
from mixcli.datasets.metadata import Naming
from mixcli.errors import UsageError

if TYPE_CHECKING:
    from mixcli.files.picture_files import Encoding

FILES = "files"  # beside the arrays of a row: the bytes of its picture's file
READY = "ready"  # beside arrays that are to be written: the files of each row, which are taken as they are


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


def codec_of(fields: tuple[Field, ...], path: Path, how: Encoding | None = None) -> Codec:
    """Images become pictures, by default `.png`, clouds `.ply`; MixError where the fields are of neither."""
    data = next((f for f in fields if f.name == "data"), None)
    if data is not None and len(data.shape) == 3 and data.dtype == "|u1":
        from mixcli.datasets.picture_rows import PictureRows

        return PictureRows(fields, path, how)
    if how is not None:
        raise UsageError(f"{path}: {how.suffix} files are of images, and these are clouds; leave the format out")
    from mixcli.datasets.ply_rows import PlyRows

    return PlyRows(fields, path)


def is_lossy(codec: Codec) -> bool:
    """Whether rows come back other than they were written."""
    return codec.naming.suffix not in (".ply", ".png")


def told(codec: Codec) -> dict[str, str]:
    """What a manifest beside the files says of them; it does not go with the rows to another container."""
    return {"pictures": codec.naming.suffix} if is_lossy(codec) else {}


def changed(codec: Codec, files: list[tuple[Any, ...]]) -> dict[str, np.ndarray]:
    """What the files of some rows, just packed, will give back otherwise than it was, and their bytes as `FILES`."""
    if not is_lossy(codec):
        return {}
    pictures = codec.pictures(codec.in_files[0], len(files), lambda i: ("", files[i][0]))
    return {"data": pictures, FILES: np.frombuffer(b"".join(row[0] for row in files), np.uint8)}


def as_stored(arrays: dict[str, np.ndarray], parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The rows of every field with what is `changed` in their consecutive parts."""
    return {**arrays, **{name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}}
