"""Clouds stacked in one array: what `data` and the arrays beside it must look like, whatever holds them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mixcli.errors import MixError
from mixcli.files.shape import MOST_POINTS
from mixcli.sources.foreign import Foreign
from mixcli.sources.stacked_arrays import Declared, described, looks_like_clouds

MOST_PART = 1 << 24  # part labels travel as float32, which holds whole numbers up to here
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


def check_point_labels(path: Path, name: str, item: Declared, data: Declared, kinds: str = "iu") -> None:
    """(n,P) or (n,P,1), a whole number for every point of `data`."""
    shape = tuple(data.shape[:2])
    if tuple(item.shape) not in (shape, (*shape, 1)) or np.dtype(item.dtype).kind not in kinds:
        raise MixError(
            f"'{name}' is {described(item)}", at=path, advice=f"expected {shape} integers, one for every point"
        )


def joined(path: Path, columns: list[np.ndarray], seg: np.ndarray | None = None) -> np.ndarray:
    """x y z, the normal and the part label side by side. (r,P,3)..., (r,P) or (r,P,1) -> (r,P,C) f32."""
    if seg is not None:
        if seg.size and max(int(seg.max()), -int(seg.min())) > MOST_PART:
            raise MixError(f"a part label beyond {MOST_PART:,}", at=path, advice="number the parts from 0")
        columns = [*columns, seg.reshape(*seg.shape[:2], 1)]
    if len(columns) == 1 and columns[0].dtype == np.float32:
        return columns[0]
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which is reported for its cloud
        return np.concatenate(columns, axis=2, dtype=np.float32, casting="unsafe")


def foreground(clouds: np.ndarray, mask: np.ndarray, points: int | None) -> list[np.ndarray | str]:
    """Each cloud without its background, its first `points` points. (r,P,C), (r,P) -> (P_i,C), or why there is none."""
    kept = [cloud[keep][:points] for cloud, keep in zip(clouds, mask != BACKGROUND, strict=True)]
    return [cloud if len(cloud) else "all of its points are background ('mask' is -1)" for cloud in kept]
