"""Preparing clouds before any model sees them: fewer points, unit sphere."""

from __future__ import annotations

import numpy as np

from mixcli.jit import have_numba, njit
from mixcli.rng import uniforms

SUBSAMPLE = ("first", "random", "fps")
NORMALIZE = ("none", "unit-sphere")


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
    """Mean to the origin, farthest point to distance 1; normals, channels 3 to 5, stay. (B,P,C) f32 -> (B,P,C) f32."""
    xyz = clouds[:, :, :3].astype(np.float64)
    xyz -= xyz.mean(axis=1, keepdims=True)
    radius = np.sqrt((xyz**2).sum(axis=2).max(axis=1))
    xyz /= np.where(radius > 0, radius, 1.0)[:, None, None]
    return np.concatenate([xyz.astype(np.float32), clouds[:, :, 3:]], axis=2)


def farthest(points: np.ndarray, count: int, start: int) -> np.ndarray:
    """Farthest-point sampling: each next point is the farthest from those taken. (P,3) f32 -> (count,) i64.

    >>> farthest(np.array([[0, 0, 0], [1, 0, 0], [5, 0, 0]], np.float32), 3, 0).tolist()
    [0, 2, 1]
    """
    return (_farthest_compiled if have_numba() else _farthest_numpy)(points, count, start)


@njit()
def _farthest_compiled(points, count, start):
    taken = np.empty(count, np.int64)
    gap = np.full(len(points), np.inf, np.float32)
    at = start
    for i in range(count):
        taken[i] = at
        x, y, z = points[at]
        best = np.float32(-1.0)
        for j in range(len(points)):
            d = (points[j, 0] - x) ** 2 + (points[j, 1] - y) ** 2 + (points[j, 2] - z) ** 2
            gap[j] = min(gap[j], d)
            if gap[j] > best:
                best, at = gap[j], j
    return taken


def _farthest_numpy(points, count, start):
    taken = np.empty(count, np.int64)
    gap = np.full(len(points), np.inf, np.float32)
    at = start
    for i in range(count):
        taken[i] = at
        dx, dy, dz = (points - points[at]).T
        gap = np.minimum(gap, dx * dx + dy * dy + dz * dz)
        at = gap.argmax()
    return taken
