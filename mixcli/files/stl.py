"""Meshes for printing (`.stl`), text and binary. Three corners a triangle: a point is stored once for every face."""

from __future__ import annotations

import struct

import numpy as np

from mixcli.files.shape import MOST_POINTS, ON_A_MESH, Carries, File, Geometry, floats
from mixcli.files.text_rows import lines_of, parse, rest_of, unix

LOOK = 512  # bytes behind the header that tell text from binary
HEADER = 84  # 80 bytes of anything, then how many triangles
TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def carries(file: File) -> Carries:
    """It is a mesh."""
    return ON_A_MESH


def read(file: File, limit: int | None) -> Geometry:
    """Points (3F,3) and triangles, no normals: those of the file are of faces, and often wrong."""
    start = file.take(min(HEADER, file.size))
    promised = struct.unpack("<I", start[80:])[0] if len(start) == HEADER else 0
    if _is_text(file, start):
        corners = _text(file, unix(start + rest_of(file)))
    else:
        corners = _binary(file, promised)
    if not len(corners):
        raise file.bad("it holds no triangle")
    return Geometry(floats(corners), None, None, np.arange(len(corners)).reshape(-1, 3))


def _is_text(file: File, start: bytes) -> bool:
    """Many a binary file begins with `solid` too, but no text holds a byte of 0, and no few triangles are without."""
    if not start.lstrip().lower().startswith(b"solid"):
        return False
    at = file.file.tell()
    more = file.take(min(LOOK, file.left))
    file.file.seek(at)
    return 0 not in start and 0 not in more


def _binary(file: File, promised: int) -> np.ndarray:
    if promised > MOST_POINTS:
        raise file.bad(f"its header promises {promised:,} triangles, too many for one shape")
    return np.frombuffer(file.take(promised * TRIANGLE.itemsize), TRIANGLE)["corners"].reshape(-1, 3)


def _text(file: File, text: bytes) -> np.ndarray:
    text = text.lower()
    if b"endsolid" not in text:
        raise file.bad("it has no line 'endsolid': it is cut short")
    corners = parse(file, lines_of(text, b"vertex")).table(file, 3)
    if len(corners) % 3:
        raise file.bad(f"it has {len(corners)} lines 'vertex x y z', which are no whole triangles")
    return corners
