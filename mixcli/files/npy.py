"""Clouds as one numpy array (`.npy`): (P,C) numbers, columns as in a text file. Pickled objects are not read."""

from __future__ import annotations

import math
import re

import numpy as np

from mixcli.files.columns import ROWS, by_place
from mixcli.files.shape import File, Geometry

MAGIC = b"\x93NUMPY"
LONGEST_HEADER = 4096
KEYS = {  # numpy writes its header as a Python dict; it is matched, never evaluated
    "descr": re.compile(rb"""'descr':\s*(['"])([^'"]*)\1"""),
    "order": re.compile(rb"'fortran_order':\s*(True|False)"),
    "shape": re.compile(rb"'shape':\s*\(([\dL, ]*)\)"),
}


def read(file: File, limit: int | None) -> Geometry:
    dtype, by_columns, shape = _header(file)
    if len(shape) != 2 or shape[1] < 3 or shape[0] == 0:
        raise file.bad(f"its shape is {shape}", "save one cloud as (points, 3), (points, 6) or (points, 7)")
    if math.prod(shape) * dtype.itemsize > file.left:
        raise file.bad(f"its header promises {shape} {dtype.name}, but {file.left:,} bytes follow: it is cut short")
    if by_columns:
        table = np.frombuffer(file.take(math.prod(shape) * dtype.itemsize), dtype).reshape(shape[::-1]).T
    else:
        rows = shape[0] if limit is None else min(shape[0], max(limit, ROWS))
        table = np.frombuffer(file.take(rows * shape[1] * dtype.itemsize), dtype).reshape(rows, shape[1])
    return by_place(file, table, limit)


def _header(file: File) -> tuple[np.dtype, bool, tuple[int, ...]]:
    """dtype, whether columns follow each other, and shape."""
    start = file.take(min(8, file.left))
    if len(start) < 8 or not start.startswith(MAGIC):
        raise file.bad("it is no .npy file", "save it with numpy.save")
    length = int.from_bytes(file.take(2 if start[6] == 1 else 4), "little")
    if length > LONGEST_HEADER:
        raise file.bad("it holds a structured array or its header is damaged", "save one cloud as (points, 3) floats")
    text = file.take(length)
    descr, order, shape = (KEYS[key].search(text) for key in ("descr", "order", "shape"))
    if not (descr and order and shape):
        raise file.bad("it holds no plain array of numbers", "save one cloud as (points, 3) floats")
    sides = tuple(map(int, re.findall(rb"\d+", shape[1])))
    return _dtype(file, descr[2].decode("latin-1")), order[1] == b"True", sides


def _dtype(file: File, text: str) -> np.dtype:
    if text.startswith("|O"):
        raise file.bad("it holds pickled Python objects, which are not read", "save one cloud as (points, 3) floats")
    if not re.fullmatch(r"[<>|=]?(f[248]|[iu][1248])", text):
        raise file.bad(f"its values are {text[:16]!a}, not floats or integers", "save one cloud as (points, 3) floats")
    return np.dtype(text)
