"""What `.h5` and `.npz` share: every field in one piece of fixed-size rows, so a row has its place before it is made.

The file is laid out in full first, its space reserved; rows are written to their places, past any library.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar, TypeGuard

import numpy as np

from mixcli.data.fields import Field
from mixcli.datasets.contract import RowFiles, Rows
from mixcli.datasets.place import clear, no_room, part_of, put_in_place, settle
from mixcli.datasets.plain_files import is_plain, remove, sync_path
from mixcli.datasets.system import claim, sync_data
from mixcli.errors import MixError

BLOCK = 1 << 24  # bytes copied or read at a time


class RowFile:
    """Rows of `OUT.part`, by pwrite; `seal` makes it `OUT`. A container says how it is laid out and how it ends."""

    container: ClassVar[str]
    pictures = None

    def __init__(self, out: Path, fields: tuple[Field, ...], rows: int):
        self.out, self.fields, self.rows = out, fields, rows
        self.part = part_of(out)
        self.fresh = self.part.with_name(self.part.name + ".new")  # while a torn part is laid out again
        self.offsets: dict[str, int] = {}
        self.descriptor = -1

    def lay_out(self, path: Path) -> dict[str, int]:
        """Create the file with its space reserved -> where each field's rows begin."""
        raise NotImplementedError

    def is_laid_out(self, offsets: dict[str, int]) -> bool:
        """Whether everything but the rows is as `lay_out` would make it."""
        raise NotImplementedError

    def conclude(self, manifest: dict[str, Any], class_names: tuple[str, ...] | None) -> None:
        """Write what comes after the rows. May be done again."""
        raise NotImplementedError

    @property
    def layout(self) -> dict[str, Any]:
        return {"container": self.container, "offsets": self.offsets}

    @property
    def bytes(self) -> int:
        return self.rows * sum(f.row_bytes for f in self.fields)

    def create(self) -> None:
        """Lay the file out and reserve its space."""
        self.discard()
        self.offsets = self._laid_out(self.part)
        self.descriptor = os.open(self.part, os.O_RDWR)

    def reopen(self, layout: dict[str, Any]) -> None:
        """Go on with a `.part`. One that was killed while its end was written is laid out again."""
        offsets = known_layout(self.part, self.container, layout).get("offsets")
        if not is_plain(self.part):
            raise MixError("is no file as this run makes it", at=self.part, advice="--overwrite starts again")
        if not self._are_offsets(offsets):
            raise MixError("its journal is damaged", at=self.part, advice="--overwrite starts again")
        self.offsets = offsets
        if not self.is_laid_out(offsets):
            remove(self.fresh)
            self.offsets = self._laid_out(self.fresh)
            self._copy_rows(offsets, self.fresh)
            os.replace(self.fresh, self.part)
        self.descriptor = os.open(self.part, os.O_RDWR)

    def _are_offsets(self, value: object) -> TypeGuard[dict[str, int]]:
        """Whether a journal's word for where each field begins is one."""
        if not isinstance(value, dict) or set(value) != {f.name for f in self.fields}:
            return False
        return all(type(o) is int and o >= 0 for o in value.values())

    def _laid_out(self, path: Path) -> dict[str, int]:
        try:
            return self.lay_out(path)
        except (OSError, RuntimeError) as e:  # HDF5 has words of its own for a disk that fills under it
            remove(path)
            raise no_room(e, self.out, self.bytes) from e

    def _copy_rows(self, offsets: dict[str, int], new: Path) -> None:
        with open(self.part, "rb") as source, open(new, "r+b") as target:
            for f in self.fields:
                source.seek(offsets[f.name])
                target.seek(self.offsets[f.name])
                left = self.rows * f.row_bytes
                while left and (block := source.read(min(left, BLOCK))):
                    target.write(block)
                    left -= len(block)

    def write(self, window: int, first: int, arrays: Rows, ready: RowFiles | None = None) -> Rows:
        """Consecutive rows of every field, from row `first` -> the same, since nothing is lost."""
        check_rows(self.fields, arrays)
        for f in self.fields:
            array = np.ascontiguousarray(arrays[f.name])
            write_all(self.descriptor, array, self.offsets[f.name] + first * f.row_bytes)
        return arrays

    def finish(self, window: int) -> None:
        """Its rows are on the disk when this returns."""
        sync_data(self.descriptor)

    def read(self, window: int, first: int, count: int) -> Rows:
        """Consecutive rows of every field, as written."""
        return {
            f.name: read_rows(self.descriptor, f.dtype, (count, *f.shape), self.offsets[f.name] + first * f.row_bytes)
            for f in self.fields
        }

    def seal(self, manifest: dict[str, Any], class_names: tuple[str, ...] | None) -> None:
        """Write the end of the file, then rename: the final name never holds half a dataset."""
        self.conclude(manifest, class_names)
        self.close()
        sync_path(self.part)
        put_in_place(self.part, self.out)

    def discard(self) -> None:
        """Remove the part, and what a kill in the last step left beside it."""
        self.close()
        clear(self.part)
        remove(self.fresh)
        settle(self.out)

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = -1


def known_layout(part: Path, container: str, layout: dict[str, Any]) -> dict[str, Any]:
    """The layout of an earlier run, if that run made this container."""
    if layout.get("container") != container:
        reason = f"belongs to a run that wrote {layout.get('container')!r}, not {container!r}"
        raise MixError(reason, at=part, advice="--overwrite starts again")
    return layout


def check_rows(fields: tuple[Field, ...], arrays: dict[str, np.ndarray]) -> None:
    """A wrong row is a bug of the caller, not of a file."""
    for f in fields:
        array = arrays[f.name]
        if array.dtype != f.dtype or array.shape[1:] != f.shape:
            raise AssertionError(f"{f.name}: {array.dtype}{array.shape[1:]} is not {f.dtype}{f.shape}")


def write_all(descriptor: int, array: np.ndarray | bytes, offset: int) -> None:
    """All bytes of a contiguous array, at a place of a file."""
    view = _bytes_of(array)
    while view:
        done = os.pwrite(descriptor, view, offset)
        view, offset = view[done:], offset + done


def read_rows(descriptor: int, dtype: str | np.dtype, shape: tuple[int, ...], offset: int) -> np.ndarray:
    """An array at a place of a file; zeros where the file has ended."""
    array = np.zeros(shape, dtype)
    view = _bytes_of(array)
    while view and (done := os.preadv(descriptor, [view], offset)):
        view, offset = view[done:], offset + done
    return array


def _bytes_of(array: np.ndarray | bytes) -> memoryview:
    """What lies in memory, without a copy; `cast` refuses what is empty."""
    view = memoryview(array) if isinstance(array, bytes) else array.data
    return view.cast("B") if view.nbytes else memoryview(b"")


def reserve(path: Path) -> None:
    """Claim the blocks now, so that a full disk shows before any work is done."""
    with open(path, "r+b") as file:
        claim(file.fileno(), os.fstat(file.fileno()).st_size)
        os.fsync(file.fileno())
