"""Meshes in Geomview's Object File Format (`.off`), as ModelNet has them, the counts glued to the magic included."""

from __future__ import annotations

import re

import numpy as np

from mixcli.files.meshes import triangles
from mixcli.files.shape import ON_A_MESH, Carries, File, Geometry, floats
from mixcli.files.text_rows import Rows, parse, rest_of, unix

MAGIC = re.compile(rb"(ST)?(C)?(N)?(4)?(n)?OFF")  # OFF490 518 0: some of ModelNet's files have no line break here
HEAD = re.compile(rb"\s*(?:ST)?C?(?P<normals>N)?OFF\s*\d+\s+(?P<faces>\d+)\s")
LOOK = 4096  # bytes
COMMENT = re.compile(rb"#[^\n]*")


def carries(file: File) -> Carries | None:
    """By the counts behind the magic; None where the first bytes do not show them."""
    head = HEAD.match(COMMENT.sub(b"", unix(file.take(min(LOOK, file.left)))))
    if not head:
        return None
    return ON_A_MESH if int(head["faces"]) else Carries(bool(head["normals"]), False)


def read(file: File, limit: int | None) -> Geometry:
    """Points, triangles and, of NOFF, normals. Colours and texture coordinates are left out."""
    text = rest_of(file)
    if b"#" in text:
        text = COMMENT.sub(b"", text)
    start = len(text) - len(text.lstrip())
    magic = MAGIC.match(text, start)
    if not magic:
        raise file.bad("it does not begin with OFF", "check its suffix, or export it again")
    if magic[4] or magic[5]:
        raise file.bad("its points are not three-dimensional (4OFF or nOFF)", "export it as OFF")
    if text[magic.end() :].lstrip().startswith(b"BINARY"):
        raise file.bad("it is binary OFF", "export it as text, or as .ply")
    rows = parse(file, b"\n" * text.count(b"\n", 0, start) + text[magic.end() :])
    vertices, polygons = _counts(file, rows)
    if len(rows) - 1 < vertices + polygons:
        held = f"{len(rows) - 1:,} lines follow"
        raise file.bad(f"its header promises {vertices:,} points and {polygons:,} faces, but {held}: it is cut short")
    table = rows[1 : vertices + 1].leading(file, 6 if magic[3] else 3)
    faces = _faces(file, rows[vertices + 1 : vertices + 1 + polygons], vertices) if polygons else None
    return Geometry(floats(table[:, :3]), floats(table[:, 3:]) if magic[3] else None, None, faces)


def _counts(file: File, rows: Rows) -> tuple[int, int]:
    """Of points and of faces; the edges that follow them are not used, and some writers leave them out."""
    if not len(rows):
        raise file.bad("it ends after OFF")
    counts = rows[:1].leading(file, 2)[0]
    if not ((counts >= 0) & (counts == np.floor(counts))).all():
        raise file.bad(f"line {rows.line[0]} should say how many points and faces there are")
    if counts[0] == 0:
        raise file.bad("it holds no points")
    return int(min(counts[0], 2**62)), int(min(counts[1], 2**62))


def _faces(file: File, rows: Rows, points: int) -> np.ndarray:
    """Each row is a number of corners, the corners, and perhaps a colour."""
    sizes = rows.values[rows.first]
    wrong = ~((sizes >= 0) & (sizes == np.floor(sizes)) & (sizes < rows.count))
    if wrong.any():
        row = int(wrong.argmax())
        held = f"{rows.count[row] - 1} numbers follow"
        raise file.bad(f"line {rows.line[row]} is a face of {sizes[row]:g} corners, but {held}")
    return triangles(file, rows.values, rows.first + 1, sizes.astype(np.int64), points)
