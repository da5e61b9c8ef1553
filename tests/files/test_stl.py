import struct

import numpy as np
import pytest
from rounded import read_geometry

from mixcli.errors import MixError

CORNERS = np.random.default_rng(0).normal(size=(4, 3, 3)).astype(np.float32)
FACETS = b"".join(struct.pack("<12fH", 0, 0, 1, *triangle.ravel(), 0) for triangle in CORNERS)


def text(word=str):
    lines = ["solid a thing"]
    for triangle in CORNERS:
        lines += ["facet normal 0 0 1", "  outer loop"]
        lines += [f"    vertex {x:.9g} {y:.9g} {z:.9e}" for x, y, z in triangle]
        lines += ["  endloop", "endfacet"]
    return word("\n".join([*lines, "endsolid a thing", ""])).encode()


def binary(count=4, start=b"exported", facets=FACETS):
    return start.ljust(80, b"\0") + struct.pack("<I", count) + facets


def read(folder, content):
    path = folder / "a.stl"
    path.write_bytes(content)
    return read_geometry(path)


@pytest.mark.parametrize(
    "content",
    [
        text(),
        text(str.upper),
        b"\n " + text(),
        text().replace(b"\n", b"\r\n"),
        binary(),
        binary(start=b"solid but binary"),
        binary() + b"some bytes more",
    ],
)
def test_text_and_binary(tmp_path, content):
    found = read(tmp_path, content)
    assert np.array_equal(found.points[found.faces], CORNERS) and found.normals is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (binary(count=5), "promises 250 bytes more, but 200 follow: it is cut short"),
        (binary(count=2**32 - 1), "promises 4,294,967,295 triangles, too many"),
        (binary()[:-1], "promises 200 bytes more, but 199 follow"),
        (binary(0, facets=b""), "no triangle"),
        (b"\0" * 50, "no triangle"),
        (b"solid a\nendsolid a\n", "no triangle"),
        (text()[: text().rindex(b"vertex")], "has no line 'endsolid': it is cut short"),
        (text().replace(b"vertex", b"apex", 1), "11 lines 'vertex x y z', which are no whole triangles"),
        (text().replace(b"vertex", b"vertex one", 1), "line 4: 'one' is not a number"),
        (text().replace(b"vertex", b"vertex 1", 1), "line 4 has 4 numbers where 3"),
    ],
)
def test_damaged_files(tmp_path, content, reason):
    with pytest.raises(MixError, match=reason):
        read(tmp_path, content)


def test_as_open3d_writes_it(tmp_path):
    open3d = pytest.importorskip("open3d", exc_type=ImportError)
    mesh = open3d.geometry.TriangleMesh.create_torus()
    mesh.compute_triangle_normals()
    open3d.io.write_triangle_mesh(str(tmp_path / "a.stl"), mesh)
    found = read_geometry(tmp_path / "a.stl")
    assert np.abs(found.points[found.faces] - np.asarray(mesh.vertices)[np.asarray(mesh.triangles)]).max() < 1e-6
