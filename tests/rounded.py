"""Clouds and meshes of files in float32, as they are after all that is done to them in float64."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from mixcli.files import geometry
from mixcli.files.shape import Geometry


def read_geometry(path: Path, limit: int | None = None) -> Geometry:
    shape = geometry.read_geometry(path, limit)
    with np.errstate(over="ignore"):
        normals = None if shape.normals is None else shape.normals.astype(np.float32)
        return replace(shape, points=shape.points.astype(np.float32), normals=normals)
