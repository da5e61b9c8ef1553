"""Clouds as they are prepared before any model sees them: as many points as wanted, unit sphere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixcli.jit import have_numba, njit
from mixcli.rng import uniforms

SUBSAMPLE = ("first", "random", "fps")
NORMALIZE = ("none", "unit-sphere")
PAD = ("none", "repeat")


@dataclass(frozen=True)
class Clouds:
    """Clouds of equal size, and what their points carry."""

    values: np.ndarray  # (w,N,C) f32: x y z, then the normal, then the part label
    has_normals: bool = False
    has_seg: bool = False

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: np.ndarray) -> Clouds:
        return Clouds(self.values[rows], self.has_normals, self.has_seg)

    @property
    def xyz(self) -> np.ndarray:
        """(w,N,3) f32."""
        return self.values[:, :, :3]

    @property
    def normals(self) -> np.ndarray | None:
        """(w,N,3) f32."""
        return self.values[:, :, 3:6] if self.has_normals else None

    @property
    def seg(self) -> np.ndarray | None:
        """Part labels (w,N) i64."""
        return self.values[:, :, -1].astype(np.int64) if self.has_seg else None


def sized(cloud: np.ndarray, count: int, how: str, seed: int, sample: int) -> np.ndarray:
    """A cloud of any size brought to `count` points; of too few, all are taken again and again. (P,C) -> (count,C)."""
    if len(cloud) < count:
        return cloud[np.arange(count) % len(cloud)]
    return choose(cloud[None], count, how, seed, np.array([sample]))[0]


def choose(clouds: np.ndarray, count: int, how: str, seed: int, samples: np.ndarray) -> np.ndarray:
    """`count` points of each cloud. (B,P,C) f32, source indices (B,) -> (B,count,C) f32.

    first: as the published loaders do. random: without replacement, drawn for the source index, so the same in any
    window. fps: farthest-point sampling from point 0.
    """
    if clouds.shape[1] == count:
        return clouds
    if how == "first":
        return clouds[:, :count]
    if how == "random":
        # One counter cell per cloud, as many blocks as it has points: independent of the other clouds.
        u = uniforms(seed, "subsample", samples, width=clouds.shape[1])
        index = np.argsort(u, axis=1, kind="stable")[:, :count]
    else:
        index = np.stack([farthest(np.ascontiguousarray(cloud[:, :3]), count, 0) for cloud in clouds])
    return np.take_along_axis(clouds, index[:, :, None], axis=1)


def unit_sphere(clouds: np.ndarray) -> np.ndarray:
    """Mean to the origin, farthest point to distance 1; the rest stays. (B,P,C) f32 or f64 -> (B,P,C) f32."""
    xyz = clouds[:, :, :3].astype(np.float64)
    xyz -= xyz.mean(axis=1, keepdims=True)
    radius = np.sqrt((xyz**2).sum(axis=2).max(axis=1))
    xyz /= np.where(radius > 0, radius, 1.0)[:, None, None]
    return np.concatenate([xyz, clouds[:, :, 3:]], axis=2, dtype=np.float32, casting="same_kind")


def farthest(points: np.ndarray, count: int, start: int) -> np.ndarray:
    """Farthest-point sampling: each next point is the farthest from those taken. (P,3) -> (count,) i64.

    Of equally far points the lowest index wins.

    >>> farthest(np.array([[0, 0, 0], [1, 0, 0], [5, 0, 0]], np.float32), 3, 0).tolist()
    [0, 2, 1]
    """
    picked, sample = np.empty(count, np.int64), _farthest if have_numba() else _farthest_numpy
    sample(np.ascontiguousarray(points.T), start, picked)
    return picked


def _farthest_numpy(xyz: np.ndarray, here: int, picked: np.ndarray) -> None:  # (3, N) -> (count,)
    away = np.full(xyz.shape[1], np.inf, xyz.dtype)
    for i in range(len(picked)):
        picked[i] = here
        x, y, z = xyz - xyz[:, here, None]
        away = np.minimum(away, x * x + y * y + z * z)
        here = away.argmax()


@njit()
def _farthest(xyz: np.ndarray, here: int, picked: np.ndarray) -> None:  # (3, N) -> (count,)
    x, y, z = xyz[0], xyz[1], xyz[2]
    lanes, points = 16, len(x)
    away = np.full(points, np.inf, xyz.dtype)
    most, who = np.empty(lanes, xyz.dtype), np.empty(lanes, np.int32)
    for i in range(len(picked)):
        picked[i] = here
        cx, cy, cz = x[here], y[here], z[here]
        for j in range(points):
            dx, dy, dz = x[j] - cx, y[j] - cy, z[j] - cz
            d = dx * dx + dy * dy + dz * dz
            away[j] = d if d < away[j] else away[j]
        most[:] = -1
        who[:] = 0
        whole = points - points % lanes
        for j in range(0, whole, lanes):  # one running maximum a lane, which vectorises
            part = away[j : j + lanes]
            for m in range(lanes):
                larger = part[m] > most[m]
                most[m] = part[m] if larger else most[m]
                who[m] = j + m if larger else who[m]
        here, d = who[0], most[0]
        for m in range(1, lanes):
            if most[m] > d or (most[m] == d and who[m] < here):
                here, d = who[m], most[m]
        for j in range(whole, points):
            if away[j] > d:
                here, d = j, away[j]
