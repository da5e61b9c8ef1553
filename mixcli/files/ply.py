"""Reading the Stanford polygon format (`.ply`): clouds and meshes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from mixcli.files.columns import PLY, by_name, named
from mixcli.files.meshes import triangles
from mixcli.files.ply_body import Table, read_tables
from mixcli.files.ply_header import Header, read_header
from mixcli.files.shape import ON_A_MESH, Carries, File, Geometry, opened


def read(file: File, limit: int | None) -> Geometry:
    """Points, with normals of `nx ny nz` and part labels of `seg` or `part`; with faces it is a mesh."""
    vertices, faces, _ = _read(file, limit)
    return replace(by_name(file, vertices.columns, PLY), faces=faces)


def carries(file: File) -> Carries | None:
    """By the header alone."""
    elements = read_header(file).elements
    if "face" in elements and elements["face"].count:
        return ON_A_MESH
    return named(elements["vertex"].by_name, PLY) if "vertex" in elements else None


def read_ply_columns(path: Path) -> tuple[dict[str, np.ndarray], np.ndarray | None, list[str]]:
    """Every single-valued property of the vertices (P,) in its own type, triangles (F,3) i64 or None, and comments."""
    with opened(Path(path)) as file:
        vertices, faces, header = _read(file, None)
    return vertices.columns, faces, header.comments


def _read(file: File, limit: int | None) -> tuple[Table, np.ndarray | None, Header]:
    header = read_header(file)
    elements = header.elements
    if "vertex" not in elements or not elements["vertex"].count:
        raise file.bad("it holds no vertex", "export it again")
    if "tristrips" in elements:
        raise file.bad("its faces are stored as strips (tristrips)", "export it with single faces")
    wanted = {"vertex", "face"} if "face" in elements and elements["face"].count else {"vertex"}
    last = max(i for i, name in enumerate(elements) if name in wanted)
    tables = read_tables(file, list(elements.values())[: last + 1], header.is_text, limit)
    faces = _faces(file, tables["face"], elements["vertex"].count) if "face" in wanted else None
    return tables["vertex"], faces, header


def _faces(file: File, table: Table, points: int) -> np.ndarray:
    corners = table.lists.get("vertex_indices") or table.lists.get("vertex_index")
    if corners is None:
        raise file.bad("its faces have no list vertex_indices", "export it again")
    return triangles(file, corners.entries, corners.first, corners.count, points)
