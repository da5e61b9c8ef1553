"""A folder of `.ply` or pictures, one a row, with `metadata.jsonl` and `manifest.json`: how it looks, and its reader.

mixed/00000/000000.ply         a sub-folder a window; of images 000000.png, .jpg or .webp
mixed/00000/000000.mask.png    beside it, with --keep mask
mixed/metadata.jsonl           a line a row, in the order of the rows: the image-folder convention of Hugging Face
mixed/manifest.json            what made it, with the class names
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property

import numpy as np

from mixcli.data.fields import Field
from mixcli.datasets.contract import Rows
from mixcli.datasets.folder_names import BESIDE, MANIFEST, METADATA, files_in
from mixcli.datasets.folder_reader import FolderReader
from mixcli.datasets.metadata import LineIndex, decode, longest
from mixcli.datasets.plain_files import check_folders
from mixcli.errors import MixError


class MixedFolder(FolderReader):
    """A finished dataset, read by rows."""

    container = "folder"

    @property
    def kind(self) -> str:
        return f"folder of {self.codec.naming.suffix}"

    @cached_property
    def index(self) -> LineIndex:
        return LineIndex(self.path / METADATA, longest(self.codec.others))

    def _decoded_chunk(self, fields: tuple[Field, ...], rows: np.ndarray) -> tuple[list[str], Rows]:
        lines = self.index.lines(rows)
        return decode(fields, lines, rows, lambda i: self._address(int(rows[i])), self.codec.naming)

    def _address(self, row: int) -> str:
        return f"{self.path / METADATA}, line {row + 1}"

    def _read_files(self, rows: np.ndarray, name: str) -> Rows:
        return self.codec.read(self.path, self._file_names(rows), rows, name)

    def _files(self, first: int, count: int) -> Iterator[tuple[bytes, ...]]:
        from mixcli.datasets.picture_rows import PictureRows  # which is not needed to read clouds

        codec, rows = self.codec, np.arange(first, first + count)
        if not isinstance(codec, PictureRows):
            raise AssertionError("files of clouds are no pictures")
        names = self._decoded((), rows)[0]
        check_folders(self.path, names)
        contents = [codec.contents(f, self.path, names, rows) for f in codec.in_files]
        return (tuple(read(i)[1] for read in contents) for i in range(count))

    def _fault(self, numbered: tuple[int, str]) -> str | None:
        row, name = numbered
        try:
            self.codec.read(self.path, [name], np.array([row]))
        except MixError as e:
            return self._told(e)
        return None

    def _strays(self, named: set[str]) -> Iterator[str | None]:
        for entry in files_in(self.path):
            name = os.path.relpath(entry.path, self.path)
            top = name in (METADATA, MANIFEST, *BESIDE) or (name.startswith(".") and os.sep not in name)
            if not top and name.replace(os.sep, "/") not in named:
                yield f"{name}: no line of {METADATA} names it"
