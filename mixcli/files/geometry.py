"""One file, one shape: a point cloud or a mesh, whatever its format, without any library but numpy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mixcli.errors import UsageError
from mixcli.files import npy, obj, off, pcd, ply, stl, text
from mixcli.files.shape import ON_A_MESH, Carries, File, Geometry, opened

READERS: dict[str, Callable[[File, int | None], Geometry]] = {
    ".ply": ply.read,
    ".off": off.read,
    ".obj": obj.read,
    ".stl": stl.read,
    ".pcd": pcd.read,
    ".npy": npy.read,
    ".xyz": text.read,
    ".txt": text.read,
    ".pts": text.read,
    ".csv": text.read,
}
SUFFIXES: tuple[str, ...] = tuple(READERS)
LOOKS: dict[str, Callable[[File], Carries | None]] = {".ply": ply.carries, ".off": off.carries, ".stl": stl.carries}
A_LOOK = 16  # points that tell it of a cloud


def read_geometry(path: Path, limit: int | None = None) -> Geometry:
    """The cloud or mesh of one file, by its suffix (`SUFFIXES`).

    `limit`: the first so many points suffice, and of a cloud stored point by point no more of the file is read.
    It does not hold for meshes. Raises MixError at `path` and nothing else.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UsageError(
            "no format with this suffix is read", at=path, advice=f"convert it to one of {', '.join(SUFFIXES)}"
        )
    with opened(path) as file:
        return reader(file, limit)


def carries(path: Path) -> Carries:
    """What a file will give its points, from as little of it as tells that; of a mesh, what points on it have.

    Raises MixError at `path` where it cannot be read.
    """
    suffix = Path(path).suffix.lower()
    if suffix in LOOKS:
        with opened(path) as file:
            told = LOOKS[suffix](file)
        if told is not None:
            return told
    shape = read_geometry(path, A_LOOK)
    if shape.faces is not None:
        return ON_A_MESH
    return Carries(shape.normals is not None, shape.seg is not None)
