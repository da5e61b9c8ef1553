"""Polygons to triangles, and points drawn evenly from a mesh's surface."""

from __future__ import annotations

import numpy as np

from mixcli.files.shape import MOST_POINTS, File, Geometry
from mixcli.rng import uniforms


def sample_surface(mesh: Geometry, count: int, key: int) -> Geometry:
    """`count` points uniform over the area of a mesh, each with the unit normal of its face.

    The draws depend on `key` (its low 32 bits) and on nothing else, so one file gives one cloud whatever the run's
    seed; the first points of a larger `count` are those of a smaller. Part labels of vertices are left out.
    ValueError with the reason where the mesh has no surface to draw from.
    """
    if mesh.faces is None or not len(mesh.faces):
        raise ValueError("the mesh has no faces")
    corners = mesh.points.astype(np.float64)[mesh.faces]  # (F,3,3)
    with np.errstate(invalid="ignore"):
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])  # as long as twice the area
        area = np.linalg.norm(normal, axis=1)
    if not np.isfinite(area).all():
        raise ValueError(f"face {int(np.isfinite(area).argmin())} of the mesh has a corner that is not finite")
    if not area.any():
        raise ValueError("all faces of the mesh have zero area")
    u = uniforms(0, "mesh", np.arange(count), window=key & 0xFFFFFFFF, width=3)
    face = _faces(u[:, 0], area)
    points = (_barycentric(u[:, 1], u[:, 2])[:, :, None] * corners[face]).sum(1)
    normals = (normal[face] / area[face, None]).astype(np.float32)
    return Geometry(points.astype(mesh.points.dtype), normals, remarks=mesh.remarks)


def _faces(u: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Inverse CDF of the areas, (n,) and (F,) f64 -> (n,) i64: a face without area is never drawn."""
    cdf = np.cumsum(area / area.max())
    target = np.minimum(u * cdf[-1], np.nextafter(cdf[-1], 0))
    return np.searchsorted(cdf, target, side="right")


def _barycentric(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Uniform over a triangle (Osada et al., Shape Distributions, 2002, Eq. 1). Two (n,) uniforms -> (n,3)."""
    root = np.sqrt(u)
    return np.stack([1 - root, root * (1 - v), root * v], 1)


def triangles(file: File, corners: np.ndarray, first: np.ndarray, count: np.ndarray, points: int) -> np.ndarray:
    """Fans of polygons: corner numbers (T,), of each polygon the first and how many, (F,) i64 -> (F',3) i64.

    A polygon of n corners gives n - 2 triangles that meet in its first corner; fewer than three corners give none.
    """
    if len(first) > MOST_POINTS:
        raise file.bad(f"{len(first):,} faces are too many for one shape", "simplify it")
    fans = np.maximum(count - 2, 0)
    polygon = np.repeat(np.arange(len(first)), fans)
    start = first[polygon]
    second = start + 1 + np.arange(len(polygon)) - np.repeat(np.cumsum(fans) - fans, fans)
    faces = np.stack([corners[start], corners[second], corners[second + 1]], 1)
    wrong = ~((faces >= 0) & (faces < points) & (faces == np.floor(faces)))  # a NaN is wrong too
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        names = f"face {polygon[row]} names point {faces[row, column]:g}"
        raise file.bad(f"{names}, but the {points:,} points are numbered from 0")
    return faces.astype(np.int64)
