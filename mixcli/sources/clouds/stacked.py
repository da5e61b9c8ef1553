"""Clouds stacked in one array: what `data` and the arrays beside it must look like, whatever holds them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import h5py
import numpy as np

from mixcli.errors import MixError
from mixcli.files.columns import Meaning, left_out, meaning, turned
from mixcli.files.shape import MOST_POINTS, wide_enough
from mixcli.sources.cloud_part import Wanted
from mixcli.sources.foreign import Foreign
from mixcli.sources.stacked_arrays import Declared, described, looks_like_clouds

MOST_PART = 1 << 24  # part labels travel as float32, which holds whole numbers up to here
LOOKED_AT, POINTS_LOOKED_AT = 8, 64  # clouds, and points of each, that tell what channels mean
UNSAID = ("faceId",)  # in ModelNet40's files: which face of the mesh a point was drawn from
BACKGROUND = -1  # in ScanObjectNN's `mask`


def check_data(path: Path, name: str, data: Declared, channels: str = "3", fits: tuple[int, ...] | None = None) -> None:
    """(n,P,C) floats; `fits`: the C that are allowed, else 3 or more. Foreign where they are no clouds at all."""
    shape = tuple(data.shape)
    if len(shape) != 3 or np.dtype(data.dtype).kind != "f" or not (shape[2] in fits if fits else shape[2] >= 3):
        kind = MixError if looks_like_clouds(data) or len(shape) == 2 else Foreign
        raise kind(f"'{name}' is {described(data)}", at=path, advice=f"expected (clouds, points, {channels}) floats")
    if not shape[1]:
        raise MixError(f"'{name}' has clouds of no points", at=path, advice="write it again")
    if shape[1] > MOST_POINTS:
        raise MixError(f"'{name}' declares {shape[1]:,} points in a cloud", at=path, advice="that is no point cloud")


def check_point_labels(path: Path, name: str, item: Declared, shape: tuple[int, int], kinds: str = "iu") -> None:
    """(n,P) or (n,P,1), a whole number for every point. shape: (n,P)."""
    if tuple(item.shape) not in (shape, (*shape, 1)) or np.dtype(item.dtype).kind not in kinds:
        raise MixError(
            f"'{name}' is {described(item)}", at=path, advice=f"expected {shape} integers, one for every point"
        )


def joined(path: Path, columns: list[np.ndarray], seg: np.ndarray | None = None) -> np.ndarray:
    """x y z, the normal and the part label side by side. (r,P,3)..., (r,P) or (r,P,1) -> (r,P,C) f32 or f64."""
    if seg is not None:
        if seg.size and max(int(seg.max()), -int(seg.min())) > MOST_PART:
            raise MixError(f"a part label beyond {MOST_PART:,}", at=path, advice="number the parts from 0")
        columns = [*columns, seg.reshape(*seg.shape[:2], 1)]
    if len(columns) == 1 and columns[0].dtype in (np.float32, np.float64):
        return columns[0]
    return np.concatenate(columns, axis=2, dtype=wide_enough(columns[0].dtype), casting="unsafe")


class Rowed(Declared, Protocol):
    """An array that is read by rows: in memory, on disk, or a dataset of HDF5."""

    def __getitem__(self, rows: slice | np.ndarray, /) -> np.ndarray: ...


class Arranged:
    """How `data` and what lies beside it are clouds: which axis has the points, what the channels mean.

    turned: whether data is (n,C,P). Normals stand beside it or in its channels 4 to 6, part labels beside it or in
    channel 7.
    """

    def __init__(self, path: Path, name: str, data: Rowed, normal: Rowed | None = None, seg: Rowed | None = None):
        """MixError where both axes may be the points'; Foreign where there are no clouds."""
        self.path, self.data, self.seg, self.notes = path, data, seg, list[str]()
        shape = tuple(data.shape)
        way = turned(shape[1], shape[2]) if len(shape) == 3 and np.dtype(data.dtype).kind == "f" else False
        if way is None:
            advice = "write it as (clouds, points, 3)"
            raise MixError(
                f"'{name}' is {described(data)}: either axis may be that of the points", at=path, advice=advice
            )
        self.turned = way
        self.points, self.channels = (
            (shape[2], shape[1]) if way else (shape[1], shape[2]) if len(shape) == 3 else (0, 0)
        )
        check_data(path, name, _Turned(data) if way else data)
        if way:
            self.notes.append(f"{path}: '{name}' is {described(data)}, which was read as (clouds, channels, points)")
        self.normal, self.normal_turned = self._normals(normal)
        self.in_channels = Meaning(False, False, "")
        if self.channels > 3:
            self.in_channels = meaning(self._some()) if self.channels > 5 else meaning(np.ones((1, self.channels)))
        if self.in_channels.remark:
            said = self.in_channels.remark.replace("column", "channel")
            self.notes.append(f"{path}: of '{name}', {said}")

    @property
    def has_normals(self) -> bool:
        return self.normal is not None or self.in_channels.normals

    @property
    def has_seg(self) -> bool:
        return self.seg is not None or self.in_channels.seg

    def _normals(self, normal: Rowed | None) -> tuple[Rowed | None, bool]:
        """Those that fit, and whether their axes are (n,3,P)."""
        if normal is None:
            return None, False
        straight, crossed = (self.data.shape[0], self.points, 3), (self.data.shape[0], 3, self.points)
        if tuple(normal.shape) == straight:
            return normal, False
        return (normal, True) if tuple(normal.shape) == crossed else (None, False)

    def _some(self) -> np.ndarray:
        """Some points of some clouds, to tell by what their channels mean. (R,C)"""
        clouds = min(LOOKED_AT, self.data.shape[0])
        some = self.taken(self.data, slice(0, clouds), POINTS_LOOKED_AT, self.turned)
        return some.reshape(-1, self.channels)

    @staticmethod
    def taken(array: Rowed, rows: slice | np.ndarray, limit: int | None, is_turned: bool) -> np.ndarray:
        """Rows of an array, of each its first points. (r,P,C)"""
        if is_turned:
            return array[rows][:, :, :limit].transpose(0, 2, 1)
        if isinstance(array, h5py.Dataset):
            return array[rows, :limit]
        return array[rows][:, :limit]

    def joined(self, rows: slice | np.ndarray, wanted: Wanted, limit: int | None) -> np.ndarray:
        """See CloudPart.read."""
        data = self.taken(self.data, rows, limit, self.turned)
        columns, seg = [data[:, :, :3]], None
        if wanted.normals:
            normals = self.normal
            columns.append(data[:, :, 3:6] if normals is None else self.taken(normals, rows, limit, self.normal_turned))
        if wanted.seg:
            seg = data[:, :, 6] if self.seg is None else self.taken(self.seg, rows, limit, False)
        return joined(self.path, columns, seg)


class _Turned(NamedTuple):
    """(n,C,P) as (n,P,C), declared."""

    of: Declared

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.of.shape[0], self.of.shape[2], self.of.shape[1])

    @property
    def dtype(self) -> np.dtype:
        return self.of.dtype


def left_out_beside(path: Path, arrays: Mapping[str, tuple[int, ...]], clouds: int, points: int) -> list[str]:
    """A note on arrays that hold something for every point and are not read; none where there are none."""
    names = [name for name, shape in arrays.items() if shape[:2] == (clouds, points) and name not in UNSAID]
    return [f"{path}: {left_out(names)}"] if names else []


def foreground(clouds: np.ndarray, mask: np.ndarray, points: int | None) -> list[np.ndarray | str]:
    """Each cloud without its background, its first `points` points. (r,P,C), (r,P) -> (P_i,C), or why there is none."""
    kept = [cloud[keep][:points] for cloud, keep in zip(clouds, mask != BACKGROUND, strict=True)]
    return [cloud if len(cloud) else "all of its points are background ('mask' is -1)" for cloud in kept]
