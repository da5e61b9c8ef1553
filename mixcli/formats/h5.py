"""The `.h5` container of a mixed dataset: writer and reader.

All fields stand at top level with M rows each; the manifest and the class names are each one JSON string attribute.
The file is laid out in full first, contiguous and with its space reserved, and then closed: rows are written to their
places in a valid HDF5 file, past the library, so a kill at any moment leaves a readable `.part`.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mixcli.errors import MixError
from mixcli.fields import Field
from mixcli.formats.modelnet import checked, open_h5

MANIFEST, CLASS_NAMES = "mixcli", "class_names"


class H5Sink:
    """Rows of `OUT.part`, by pwrite; `seal` makes it `OUT`."""

    def __init__(self, out: Path, fields: tuple[Field, ...], rows: int):
        self.out, self.fields, self.rows = out, fields, rows
        self.part = part_of(out)
        self.offsets: dict[str, int] = {}
        self.descriptor = -1

    def create(self) -> None:
        """Lay the file out and reserve its space."""
        self.part.unlink(missing_ok=True)
        try:
            self.offsets = lay_out(self.part, self.fields, self.rows)
        except (OSError, RuntimeError) as e:  # HDF5 has words of its own for a disk that fills under it
            self.part.unlink(missing_ok=True)
            raise _no_room(e, self.out, self.bytes) from e
        self.descriptor = os.open(self.part, os.O_RDWR)

    def reopen(self, offsets: dict[str, int]) -> None:
        """Go on with a `.part`. One that was killed while the last attributes were written is laid out again."""
        self.offsets = offsets
        if set(offsets) != {f.name for f in self.fields} or not all(isinstance(o, int) for o in offsets.values()):
            raise MixError(f"{self.part}: its journal is damaged; --overwrite starts again")
        if not _is_laid_out(self.part, offsets):
            fresh = self.part.with_name(self.part.name + ".new")
            fresh.unlink(missing_ok=True)
            self.offsets = lay_out(fresh, self.fields, self.rows)
            _copy_rows(self.part, offsets, fresh, self.offsets, self.fields, self.rows)
            os.replace(fresh, self.part)
        self.descriptor = os.open(self.part, os.O_RDWR)

    @property
    def bytes(self) -> int:
        return self.rows * sum(f.row_bytes for f in self.fields)

    def write(self, first: int, arrays: dict[str, np.ndarray]) -> None:
        """Consecutive rows of every field, from row `first`."""
        for f in self.fields:
            array = arrays[f.name]
            if array.dtype != f.dtype or array.shape[1:] != f.shape:
                raise AssertionError(f"{f.name}: {array.dtype}{array.shape[1:]} is not {f.dtype}{f.shape}")
            _write_all(self.descriptor, np.ascontiguousarray(array), self.offsets[f.name] + first * f.row_bytes)

    def read(self, first: int, count: int) -> dict[str, np.ndarray]:
        """Consecutive rows of every field, as written."""
        arrays = {}
        for f in self.fields:
            size = count * f.row_bytes
            raw = os.pread(self.descriptor, size, self.offsets[f.name] + first * f.row_bytes)
            arrays[f.name] = np.frombuffer(raw.ljust(size, b"\0"), f.dtype).reshape(count, *f.shape)
        return arrays

    def sync(self) -> None:
        getattr(os, "fdatasync", os.fsync)(self.descriptor)

    def seal(self, manifest: dict[str, Any], class_names: tuple[str, ...] | None) -> None:
        """Write the attributes, then rename: the final name never holds half a dataset."""
        self.close()
        with h5py.File(self.part, "r+") as file:
            file.attrs[MANIFEST] = json.dumps(manifest)
            if class_names:
                file.attrs[CLASS_NAMES] = json.dumps(list(class_names))
        _sync_path(self.part)
        os.replace(self.part, self.out)
        _sync_path(self.out.parent)

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = -1


def part_of(out: Path) -> Path:
    return out.with_name(out.name + ".part")


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
    _reserve(path)
    return _offsets(path)


def _offsets(path: Path) -> dict[str, int]:
    with h5py.File(path, "r") as file:
        return {name: file[name].id.get_offset() or 0 for name in file}


def _is_laid_out(path: Path, offsets: dict[str, int]) -> bool:
    return h5py.is_hdf5(path) and _readable_offsets(path) == offsets


def _readable_offsets(path: Path) -> dict[str, int] | None:
    try:
        return _offsets(path)
    except (OSError, RuntimeError, KeyError):  # HDF5's several ways to say that the metadata is torn
        return None


def _reserve(path: Path) -> None:
    """Claim the blocks now, so that a full disk shows before any work is done."""
    with open(path, "r+b") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
        os.fsync(file.fileno())


def _no_room(error: Exception, out: Path, size: int) -> Exception:
    """HDF5 reports a full disk in its own words, posix_fallocate by errno."""
    free = shutil.disk_usage(out.parent).free
    if getattr(error, "errno", None) == errno.ENOSPC or free < size:
        return MixError(
            f"{out}: needs {size / 1e6:,.1f} MB and {free / 1e6:,.1f} MB are free there; nothing was written, "
            "make room or choose another --out"
        )
    why = getattr(error, "strerror", None) or error
    return MixError(f"{out}: cannot be written ({why})")


def _write_all(descriptor: int, array: np.ndarray, offset: int) -> None:
    view = memoryview(array).cast("B") if array.size else memoryview(b"")
    while view:
        done = os.pwrite(descriptor, view, offset)
        view, offset = view[done:], offset + done


def _copy_rows(
    old: Path, old_offsets: dict[str, int], new: Path, new_offsets: dict[str, int], fields: tuple[Field, ...], rows: int
) -> None:
    with open(old, "rb") as source, open(new, "r+b") as target:
        for f in fields:
            source.seek(old_offsets[f.name])
            target.seek(new_offsets[f.name])
            left = rows * f.row_bytes
            while left and (block := source.read(min(left, 1 << 24))):
                target.write(block)
                left -= len(block)


def _sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _names(text: str) -> tuple[str, ...] | None:
    """A JSON list of strings, or nothing."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return tuple(found) if isinstance(found, list) and all(isinstance(n, str) for n in found) else None


class MixedH5:
    """A finished dataset, read in ranges of rows."""

    def __init__(self, path: Path):
        self.path = path
        self.file = open_h5(path)
        text = self.file.attrs.get(MANIFEST)
        self.manifest_text = text if isinstance(text, str) else None
        names = self.file.attrs.get(CLASS_NAMES)
        self.class_names = _names(names) if isinstance(names, str) else None

    @property
    def names(self) -> list[str]:
        return list(self.file)

    def field(self, name: str) -> h5py.Dataset:
        return checked(self.path, self.file, name)

    def read(self, name: str, first: int, count: int) -> np.ndarray:
        return self.field(name)[first : first + count]

    def take(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Rows from anywhere: past the library where they lie in one piece, since its point selections crawl."""
        field = self.field(name)
        offset = field.id.get_offset()
        if offset is None or not field.size:
            return field[rows] if len(rows) else field[:0]
        return np.memmap(self.path, field.dtype, "r", offset, field.shape)[rows]

    def manifest(self) -> dict[str, Any]:
        """What made the dataset; MixError where there is none or it does not parse."""
        if self.manifest_text is None:
            raise MixError(f"{self.path}: no manifest in it; mixcli did not write this file")
        try:
            found = json.loads(self.manifest_text)
        except (ValueError, RecursionError) as e:
            raise MixError(f"{self.path}: its manifest does not parse ({e})") from e
        if not isinstance(found, dict) or not str(found.get("schema", "")).startswith("mixcli.manifest/"):
            raise MixError(f"{self.path}: its manifest is not one of mixcli's")
        return found

    def close(self) -> None:
        self.file.close()
