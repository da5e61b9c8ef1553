"""Reading ModelNet40-style HDF5: `data` (n,P,3) float, `label` (n,) or (n,1) of any integer type, `normal` (n,P,3)."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from mixcli.errors import MixError

MOST_POINTS = 10_000_000  # of one cloud: more is a header that lies, or no cloud
DEFLATE_LIMIT = 1100  # no filter of HDF5 shrinks further than deflate's 1032:1


class H5Clouds:
    """One file. Nothing but the labels is read before `read` asks for it."""

    def __init__(self, path: Path):
        self.path = path
        self.file = open_h5(path)
        self.data = self._dataset("data")
        if self.data.ndim != 3 or self.data.shape[2] < 3 or self.data.dtype.kind != "f":
            raise MixError(f"{path}: 'data' is {_describe(self.data)}; expected (clouds, points, 3) floats")
        if self.data.shape[1] > MOST_POINTS:
            raise MixError(f"{path}: 'data' declares {self.data.shape[1]:,} points in a cloud; that is no point cloud")
        self.labels = self._labels()
        self.points = self.data.shape[1]

    def __len__(self) -> int:
        return self.data.shape[0]

    def _dataset(self, name: str) -> h5py.Dataset:
        if name not in self.file:
            found = ", ".join(repr(k) for k in list(self.file)[:8]) or "nothing"
            raise MixError(f"{self.path}: no '{name}' in the file (it holds {found}); expected ModelNet40's layout")
        return checked(self.path, self.file, name)

    def _labels(self) -> np.ndarray:
        """(n,) i64."""
        label = self._dataset("label")
        if label.dtype.kind not in "iu" or label.shape not in ((len(self),), (len(self), 1)):
            raise MixError(f"{self.path}: 'label' is {_describe(label)}; expected {len(self)} integers, one a cloud")
        return label[()].reshape(-1).astype(np.int64)

    @property
    def has_normals(self) -> bool:
        return "normal" in self.file and self.file["normal"].shape == (*self.data.shape[:2], 3)

    @property
    def random_access(self) -> bool:
        """Whether one cloud can be read without decoding others."""
        return self.data.chunks is None or self.data.chunks[0] == 1

    def read(self, rows: slice | np.ndarray, points: int, normals: bool = False) -> np.ndarray:
        """First `points` of the clouds of `rows` (a slice, or sorted indices) -> (r,points,3), with normals 6, f32."""
        names = ["data", "normal"] if normals else ["data"]
        try:
            parts = [checked(self.path, self.file, name)[rows, :points, :3] for name in names]
        except OSError as e:
            raise MixError(f"{self.path}: cannot read clouds {_span(rows)} ({short(e)}); the file is damaged") from e
        return np.concatenate(parts, axis=2).astype(np.float32, copy=False)


def open_h5(path: Path) -> h5py.File:
    """The file, or one sentence that says why it cannot be read."""
    if not path.is_file():
        raise MixError(f"{path}: no such file")
    try:
        return h5py.File(path, "r")
    except OSError as e:
        why = "it is cut short" if "truncated" in str(e) else short(e)
        raise MixError(f"{path}: not a readable HDF5 file ({why}); copy or download it again") from e


def checked(path: Path, file: h5py.File, name: str) -> h5py.Dataset:
    """A dataset whose bytes are in this very file, and as many as its header says."""
    link = file.get(name, getlink=True)
    item = file[name] if isinstance(link, h5py.HardLink) else None
    if not isinstance(item, h5py.Dataset) or item.external or item.is_virtual:
        raise MixError(f"{path}: '{name}' is no plain dataset of this file; links to other files are not followed")
    stored = item.id.get_storage_size()
    if item.nbytes > max(1, stored) * DEFLATE_LIMIT:
        raise MixError(f"{path}: '{name}' declares {item.nbytes:,} bytes but holds {stored:,}; the file is incomplete")
    return item


def short(error: Exception) -> str:
    """The part of an HDF5 message that a person can use."""
    text = str(error)
    return text[text.find("(") + 1 : text.rfind(")")] if "(" in text else text


def _describe(dataset: h5py.Dataset) -> str:
    return f"{dataset.shape} {dataset.dtype}"


def _span(rows: slice | np.ndarray) -> str:
    return f"{rows.start}..{rows.stop - 1}" if isinstance(rows, slice) else f"{rows[0]}..{rows[-1]}"
