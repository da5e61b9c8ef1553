"""What the columns of a cloud mean, by their names or by their places: the one rule for all formats.

Names count whatever their case. Without names, columns 4 to 6 are normals only where they look like it, and column 7
behind them is a part label only where it looks like one. Colours, intensities and the like are never read; a remark
says what was left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mixcli.files.shape import Carries, File, Geometry, floats, whole

XYZ = ("x", "y", "z")
NORMALS = tuple(
    tuple(form.format(axis) for axis in XYZ) for form in ("n{}", "normal_{}", "normal{}", "n_{}", "norm_{}", "{}n")
)
SEG = ("seg", "part", "part_label", "part_id", "pid", "seg_label")
COLOURS = ("r", "g", "b", "red", "green", "blue", "rgb", "rgba", "alpha", "diffuse_red", "diffuse_green")
ROWS = 64  # are looked at to tell what columns without names mean
NEAR_ONE, NEARLY_ALL = 0.02, 0.9  # of normals: how far a length may be off, in how many of the rows
MOST_PART, MOST_PARTS = 100, 50  # of part labels without a name: below that number, so many different ones
MOST_CHANNELS = 9  # numbers of one point that are a usual file's: a place, a normal and a colour
LEAST_POINTS = 4  # fewer are no cloud
WIDE = 32  # more numbers a row than any point has


class Names(NamedTuple):
    """What a format calls its points, and the part label beside the usual names."""

    rows: str
    seg: tuple[str, ...] = ()


PLY = Names("vertices")  # its `label` is mostly the class
PCD = Names("points", ("label",))  # the library's own name
TEXT = Names("columns")


class Meaning(NamedTuple):
    """Which columns behind x y z are read."""

    normals: bool  # columns 4 to 6
    seg: bool  # column 7
    remark: str  # what is left out, or ''


def by_name(file: File, columns: Mapping[str, np.ndarray], names: Names) -> Geometry:
    """A cloud of named columns (P,); those of other names are left out."""
    plain: dict[str, str] = {}
    for name in columns:
        plain.setdefault(name.lower(), name)
    if not all(axis in plain for axis in XYZ):
        raise file.bad(f"its {names.rows} have no x, y and z", "export it again")
    points = _together(columns, plain, XYZ)
    three = next((three for three in NORMALS if all(name in plain for name in three)), None)
    seg_name = next((name for name in (*SEG, *names.seg) if name in plain), None)
    seg = whole(file, columns[plain[seg_name]], f"the {plain[seg_name]} of point") if seg_name else None
    read = {plain[name] for name in (*XYZ, *(three or ()), *((seg_name,) if seg_name else ()))}
    remark = left_out([name for name in columns if name not in read])
    return Geometry(points, _together(columns, plain, three) if three else None, seg, None, (remark,) if remark else ())


def named(columns: Iterable[str], names: Names) -> Carries:
    """What `by_name` finds beside x, y and z."""
    plain = {name.lower() for name in columns}
    return Carries(any(plain.issuperset(three) for three in NORMALS), not plain.isdisjoint((*SEG, *names.seg)))


def left_out(names: Sequence[str]) -> str:
    """A remark on columns that are not read.

    >>> left_out(["red", "green", "blue"]), left_out([])
    ("colours are left out ('red', 'green', 'blue')", '')
    """
    if not names:
        return ""
    colours = all(name.lower() in COLOURS for name in names)
    told = ", ".join(repr(name) for name in names[:6]) + (", ..." if len(names) > 6 else "")
    return f"{'colours are' if colours else 'these are'} left out ({told})"


def by_place(file: File, table: np.ndarray, limit: int | None = None) -> Geometry:
    """A cloud of rows (P,C) whose columns have no names; the first `limit` points of it.

    The first rows tell what the columns mean, so a table that is only the head of a file has at least `ROWS` of them.
    """
    remarks: list[str] = []
    if table.shape[1] > MOST_CHANNELS:
        way = turned(*table.shape)
        if way is None:
            told = f"its {table.shape[0]} rows of {table.shape[1]:,} numbers may be points or columns"
            raise file.bad(told, "write one point a line: x y z")
        if way:
            remarks.append("a row for each coordinate was taken as a column")
            table = table.T
    columns = table.shape[1]
    if columns < 3:
        raise file.bad(f"its rows have {columns} numbers", "a point needs three: x y z")
    if columns > 3 and _numbers_the_points(table[:, 0]):
        remarks.append("column 1 only numbers the points and is left out")
        table = table[:, 1:]
    means = meaning(table[:ROWS])
    table = table[:limit]
    seg = whole(file, table[:, 6], "the part label of point") if means.seg else None
    normals = floats(table[:, 3:6]) if means.normals else None
    return Geometry(floats(table[:, :3]), normals, seg, None, (*remarks, *filter(None, (means.remark,))))


def turned(rows: int, columns: int) -> bool | None:
    """Whether only (C,P) makes sense of (P,C) numbers; None where both do, or neither does.

    >>> turned(1024, 3), turned(3, 1024), turned(6, 8)
    (False, True, None)
    """
    if rows == 3:
        return True if columns >= LEAST_POINTS else None
    if 3 < rows <= MOST_CHANNELS and columns >= LEAST_POINTS:
        return True if columns > WIDE else None
    return False


def meaning(rows: np.ndarray) -> Meaning:
    """What columns without names mean, by some rows of them (R,C)."""
    columns = rows.shape[1]
    if columns == 3:
        return Meaning(False, False, "")
    values = rows.astype(np.float64)
    if columns < 6 or not are_normals(values[:, 3:6]):
        what = "colours" if columns >= 6 and _are_colours(values[:, 3:6]) else "no normals"
        return Meaning(False, False, f"{_columns(4, columns)} left out ({what})")
    seg = columns == 7 and _are_parts(values[:, 6])
    first = 8 if seg else 7
    return Meaning(True, seg, f"{_columns(first, columns)} left out" if first <= columns else "")


def are_normals(values: np.ndarray) -> bool:
    """Whether (R,3) f64 look like directions: of length 1 in nearly all rows, and not all to one side, as colours."""
    with np.errstate(invalid="ignore", over="ignore"):
        length = np.linalg.norm(values, axis=1)
    some = np.isfinite(length) & (length > 0)
    return bool((values < 0).any() and some.any() and (np.abs(length[some] - 1) < NEAR_ONE).mean() >= NEARLY_ALL)


def _are_parts(values: np.ndarray) -> bool:
    whole_ones = np.isfinite(values).all() and (np.floor(values) == values).all()
    small = whole_ones and values.min() >= -1 and values.max() < MOST_PART
    return bool(small and len(np.unique(values)) <= MOST_PARTS)


def _are_colours(values: np.ndarray) -> bool:
    whole_ones = np.isfinite(values).all() and (np.floor(values) == values).all()
    return bool((values >= 0).all() and (values.max() <= 1 or (whole_ones and values.max() <= 255)))


def _numbers_the_points(values: np.ndarray) -> bool:
    """Whether a column is 0, 1, 2 and so on, or 1, 2, 3: what a table's index is."""
    return len(values) >= 8 and values[0] in (0, 1) and bool((np.diff(values) == 1).all())


def _columns(first: int, last: int) -> str:
    return f"column {first} is" if first == last else f"columns {first} to {last} are"


def _together(columns: Mapping[str, np.ndarray], plain: Mapping[str, str], names: Sequence[str]) -> np.ndarray:
    """Three columns as (P,3) floats."""
    return floats(np.stack([columns[plain[name]] for name in names], 1))
