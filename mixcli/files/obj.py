"""Meshes and clouds in Wavefront's format (`.obj`). Open3D leaves out every polygon of more than three corners."""

from __future__ import annotations

import re

import numpy as np

from mixcli.files.meshes import triangles
from mixcli.files.shape import File, Geometry, floats
from mixcli.files.text_rows import Rows, lines_of, parse, rest_of

COMMENT = re.compile(rb"#[^\n]*")


def read(file: File, limit: int | None) -> Geometry:
    """Points and triangles. Nothing that the file names (materials, other files) is opened.

    Normals only of a file without faces, with one for each point: those of a mesh belong to corners, not to points.
    """
    text = _plain(rest_of(file))
    vertices = parse(file, lines_of(text, b"v"))
    if not len(vertices):
        raise file.bad("it has no line 'v x y z'", "check its suffix, or export it again")
    points = floats(vertices.leading(file, 3))
    faces = _faces(file, text, vertices)
    if faces is not None:
        return Geometry(points, None, None, faces)
    normals = parse(file, lines_of(text, b"vn"))
    return Geometry(points, floats(normals.table(file, 3)) if len(normals) == len(points) else None)


def _plain(text: bytes) -> bytes:
    """Without comments and line continuations."""
    if b"\\" in text:
        text = text.replace(b"\\\r\n", b" ").replace(b"\\\n", b" ")
    return COMMENT.sub(b"", text) if b"#" in text else text


def _faces(file: File, text: bytes, vertices: Rows) -> np.ndarray | None:
    """Triangles of all `f` lines. A corner is v, v/vt, v//vn or v/vt/vn; only v counts."""
    lines = lines_of(text, b"f")
    rows = parse(file, lines.replace(b"/", b" "))
    if not len(rows):
        return None
    before = np.frombuffer(b" " + lines, np.uint8)[rows.start]
    is_point = before != ord("/")
    number = np.concatenate([[0], np.cumsum(is_point)])  # points before each value
    first, count = number[rows.first], number[rows.first + rows.count] - number[rows.first]
    corners = rows.values[is_point]
    seen = np.searchsorted(vertices.line, np.repeat(rows.line, count))  # -1 is the latest point before the face
    corners = np.where(corners < 0, corners + seen, corners - 1)
    return triangles(file, corners, first, count, len(vertices))
