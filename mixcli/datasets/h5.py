"""The `.h5` container of a mixed dataset: writer and reader.

All fields stand at top level with M rows each; the manifest and the class names are each one JSON string attribute.
The file is laid out in full first, contiguous and with its space reserved, and then closed: rows are written to their
places in a valid HDF5 file, past the library, so a kill at any moment leaves a readable `.part`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mixcli.data.fields import Field
from mixcli.datasets.contract import Column
from mixcli.datasets.manifest_text import H5_CLASS_NAMES, H5_MANIFEST, parsed_manifest, parsed_names
from mixcli.datasets.recognise import text_of_h5
from mixcli.datasets.row_file import RowFile, reserve
from mixcli.files.hdf5 import checked, damaged, open_h5
from mixcli.files.rows_on_disk import RowsOnDisk


class H5Sink(RowFile):
    """Rows of an HDF5 file."""

    container = "h5"

    def lay_out(self, path: Path) -> dict[str, int]:
        return lay_out(path, self.fields, self.rows)

    def is_laid_out(self, offsets: dict[str, int]) -> bool:
        return h5py.is_hdf5(self.part) and _readable_offsets(self.part) == offsets

    def conclude(self, manifest: dict[str, Any], class_names: tuple[str, ...] | None) -> None:
        """Write the attributes."""
        self.close()
        with h5py.File(self.part, "r+") as file:
            file.attrs[H5_MANIFEST] = json.dumps(manifest)
            if class_names:
                file.attrs[H5_CLASS_NAMES] = json.dumps(list(class_names))


def lay_out(path: Path, fields: tuple[Field, ...], rows: int) -> dict[str, int]:
    """Create the file with every field in one piece and its space reserved -> where each field's rows begin."""
    with h5py.File(path, "x", track_order=True) as file:
        for f in fields:
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_layout(h5py.h5d.CONTIGUOUS)
            plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            space = h5py.h5s.create_simple((rows, *f.shape))
            h5py.h5d.create(file.id, f.name.encode(), h5py.h5t.py_create(np.dtype(f.dtype)), space, plist)
    reserve(path)
    return _offsets(path)


def _offsets(path: Path) -> dict[str, int]:
    with h5py.File(path, "r") as file:
        return {name: file[name].id.get_offset() or 0 for name in file}


def _readable_offsets(path: Path) -> dict[str, int] | None:
    try:
        return _offsets(path)
    except (OSError, RuntimeError, KeyError):  # HDF5's several ways to say that the metadata is torn
        return None


class MixedH5:
    """A finished dataset, read in ranges of rows."""

    container, kind, pictures = "h5", "hdf5", None

    def __init__(self, path: Path):
        self.path = path
        self.file = open_h5(path)
        self.manifest_text = text_of_h5(self.file)
        names = self.file.attrs.get(H5_CLASS_NAMES)
        self.class_names = parsed_names(names) if isinstance(names, str) else None

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    @property
    def names(self) -> list[str]:
        return list(self.file)

    def field(self, name: str) -> Column:
        """Its shape and type; MixError where it is not in this very file."""
        return self._dataset(name)

    def _dataset(self, name: str) -> h5py.Dataset:
        try:
            return checked(self.path, self.file, name)
        except KeyError as e:  # HDF5's word for what is not there, or torn
            raise damaged(self.path, e) from e

    def read(self, name: str, first: int, count: int) -> np.ndarray:
        return self._dataset(name)[first : first + count]

    def take(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Rows from anywhere: past the library where they lie in one piece, since its point selections crawl."""
        field = self._dataset(name)
        offset = field.id.get_offset()
        if offset is None or not field.size:
            return field[rows] if len(rows) else field[:0]
        return RowsOnDisk(self.path, field.dtype, field.shape, offset)[rows]

    def manifest(self) -> dict[str, Any]:
        """What made the dataset; MixError where there is none or it does not parse."""
        return parsed_manifest(self.path, self.manifest_text)

    def faults(self) -> Iterator[str]:
        """None: HDF5 keeps no checksum of contiguous data."""
        return iter(())

    def close(self) -> None:
        self.file.close()
