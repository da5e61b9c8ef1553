"""Turning clouds about the up axis until their mirror planes agree: what PointMixup does before it assigns.

A reflection is its own inverse, so ‖p − Rq‖ = ‖Rp − q‖: the Chamfer distance between a cloud and its reflection is
twice one direction's, and one direction is all that is computed. N² distances a plane, 60 planes.
"""

from __future__ import annotations

import numpy as np

from mixcli.jit import have_numba, njit

PLANES = 60
LEVEL = {"y": (0, 2), "z": (1, 0), "x": (2, 1)}  # the two horizontal axes, in the order that keeps the handedness
# As published, in float32: 3.1415927 of them to a half turn.
ANGLES = np.arange(PLANES, dtype=np.float32) / np.float32(PLANES) * np.float32(3.1415927)
COS, SIN = (f(2.0 * ANGLES.astype(np.float64)).astype(np.float32) for f in (np.cos, np.sin))


def mirror_angle(cloud: np.ndarray, up: str = "y") -> float:
    """Angle of the vertical mirror plane that fits best, one of 60 from 0 to π. (N,3) f32 -> radians.

    Best: least Chamfer distance, squared, between the cloud and its reflection; of equal ones the lowest angle. The
    plane's normal is (sin θ, −cos θ) in the two horizontal axes. The loops run without the GIL.

    >>> arrow = np.array([[0, 0, 2], [1, 0, 0], [-1, 0, 0]], np.float32)  # left and right of the y-z plane
    >>> round(float(np.degrees(mirror_angle(arrow))), 3)
    90.0
    """
    first, second = LEVEL[up]
    x, height, z = (np.ascontiguousarray(cloud[:, i], np.float32) for i in (first, 3 - first - second, second))
    if have_numba():
        return float(ANGLES[_best_plane(x, height, z, COS, SIN)])
    return float(ANGLES[_best_plane_scipy(x, height, z, COS, SIN)])


def turned(b: np.ndarray, angle_a: float, angle_b: float, up: str = "y") -> np.ndarray:
    """b turned about the up axis until its mirror plane is a's. (N,3) f32, two angles in radians -> (N,3) f32.

    >>> turned(np.array([[1, 5, 0]], np.float32), np.pi / 2, 0.0).round(3).tolist()  # a point of z = 0, to x = 0
    [[-0.0, 5.0, 1.0]]
    """
    first, second = LEVEL[up]
    turn = np.float64(np.float32(angle_a) - np.float32(angle_b))  # as published, in float32
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    out = np.array(b, np.float32)
    out[:, first] = b[:, first] * cos - b[:, second] * sin
    out[:, second] = b[:, first] * sin + b[:, second] * cos
    return out


def _best_plane_scipy(x: np.ndarray, height: np.ndarray, z: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> int:
    """(N,) ×3, (60,) ×2 -> index."""
    from scipy.spatial import cKDTree

    tree = cKDTree(np.stack([x, height, z], 1))
    total = np.empty(len(cos))
    for k in range(len(cos)):
        image = np.stack([x * cos[k] + z * sin[k], height, x * sin[k] - z * cos[k]], 1)
        total[k] = np.square(tree.query(image)[0]).sum()
    return int(total.argmin())


@njit()
def _best_plane(x: np.ndarray, height: np.ndarray, z: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> int:
    """(N,) f32 ×3, (60,) f32 ×2 -> index."""
    strip = 128
    away = np.empty(strip, np.float32)
    best, least = 0, np.inf
    for k in range(len(cos)):
        total = 0.0
        for low in range(0, len(x), strip):
            xs, zs, level = x[low : low + strip], z[low : low + strip], height[low : low + strip]
            u, v = xs * cos[k] + zs * sin[k], xs * sin[k] - zs * cos[k]
            away[:] = np.inf
            for j in range(len(x)):  # the long loop outside: the inner one has no running minimum, and vectorises
                px, py, pz = x[j], height[j], z[j]
                for i in range(len(u)):
                    dx, dy, dz = u[i] - px, level[i] - py, v[i] - pz
                    d = dx * dx + dy * dy + dz * dz
                    away[i] = d if d < away[i] else away[i]
            for i in range(len(u)):
                total += away[i]
            if total >= least:  # it can only grow
                break
        if total < least:
            best, least = k, total
    return best
