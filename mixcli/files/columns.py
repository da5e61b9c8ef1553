"""What the columns of a cloud mean, by their names or by their places: the one rule for all formats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mixcli.files.shape import File, Geometry, floats, whole

XYZ = ("x", "y", "z")


class Names(NamedTuple):
    """What a format calls the columns that are read beside x, y and z."""

    rows: str  # what it calls its points, for the user
    normals: tuple[str, str, str]
    seg: tuple[str, ...]  # the first of these that is there is the part label


PLY = Names("vertices", ("nx", "ny", "nz"), ("seg", "part"))  # its `label` is mostly the class
PCD = Names("points", ("normal_x", "normal_y", "normal_z"), ("label",))  # the library's own names


def by_name(file: File, columns: Mapping[str, np.ndarray], names: Names) -> Geometry:
    """A cloud of named columns (P,); those of other names are left out."""
    points, normals = _together(columns, XYZ), _together(columns, names.normals)
    if points is None:
        raise file.bad(f"its {names.rows} have no x, y and z", "export it again")
    name = next((name for name in names.seg if name in columns), None)
    seg = whole(file, columns[name], f"the {name} of point") if name else None
    return Geometry(points, normals, seg)


def by_place(file: File, table: np.ndarray) -> Geometry:
    """A cloud of rows (P,C) whose columns have no names, so their number decides.

    - 3: x y z.
    - 6: x y z and the normal (modelnet40_normal_resampled).
    - 7: x y z, the normal and the part label (ShapeNetPart).
    - any other number: x y z; a fourth may be an intensity, a label or a weight, so the rest is left out.
    - 6 or 7 of which columns 4 to 6 are whole numbers beyond ±1: those are colours, and the rest is left out.
    """
    columns = table.shape[1]
    if columns < 3:
        raise file.bad(f"its rows have {columns} numbers", "a point needs three: x y z")
    points = floats(table[:, :3])
    if columns not in (6, 7) or _are_colours(table[:, 3:6]):
        return Geometry(points)
    seg = whole(file, table[:, 6], "the part label of point") if columns == 7 else None
    return Geometry(points, floats(table[:, 3:6]), seg)


def _are_colours(values: np.ndarray) -> bool:
    return bool((np.floor(values) == values).all() and (np.abs(values) > 1).any())


def _together(columns: Mapping[str, np.ndarray], names: tuple[str, str, str]) -> np.ndarray | None:
    """Three columns as (P,3) f32; None where one is missing."""
    if not all(name in columns for name in names):
        return None
    return np.stack([floats(columns[name]) for name in names], 1)
