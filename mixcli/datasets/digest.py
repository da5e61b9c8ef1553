"""SHA-256 of the rows of a window: of their arrays, and of lossy pictures' files."""

from __future__ import annotations

import hashlib
from typing import NotRequired, TypedDict

import numpy as np

from mixcli.data.fields import Field
from mixcli.datasets.codec import FILES


class Digest:
    """SHA-256 of one window: of the digests of its fields, each over the window's rows in order, mixes first."""

    def __init__(self, fields: tuple[Field, ...]):
        self.parts = {f.name: hashlib.sha256() for f in fields}

    def update(self, arrays: dict[str, np.ndarray]) -> None:
        """The next rows of every field."""
        for name, part in self.parts.items():
            part.update(np.ascontiguousarray(arrays[name]).data)

    def hexdigest(self) -> str:
        return _joined(self.parts)


class Digests(TypedDict):
    """What a manifest says of a window."""

    sha256: str
    files_sha256: NotRequired[str]  # with the bytes of lossy pictures' files in place of their pixels


class WindowDigest(Digest):
    """A window's digest and, where its pictures are lossy files, another with their bytes in place of their pixels.

    The decoder has a part in the first, and another version of it may see other pixels in files that nobody touched.
    """

    def __init__(self, fields: tuple[Field, ...]):
        super().__init__(fields)
        self.files: hashlib._Hash | None = None

    def update(self, arrays: dict[str, np.ndarray]) -> None:
        """The next rows of every field, and the bytes of their files where there are such."""
        super().update(arrays)
        if FILES in arrays:
            self.files = self.files or hashlib.sha256()
            self.files.update(np.ascontiguousarray(arrays[FILES]).data)

    def entries(self) -> Digests:
        """What the manifest says of the window."""
        if self.files is None:
            return {"sha256": self.hexdigest()}
        return {"sha256": self.hexdigest(), "files_sha256": _joined({**self.parts, "data": self.files})}


def _joined(parts: dict[str, hashlib._Hash]) -> str:
    return hashlib.sha256(b"".join(part.digest() for part in parts.values())).hexdigest()


def runs(rows: np.ndarray) -> list[np.ndarray]:
    """Sorted rows, split where they are not consecutive.

    >>> [run.tolist() for run in runs(np.array([3, 4, 7]))]
    [[3, 4], [7]]
    """
    return np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
