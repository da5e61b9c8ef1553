import struct

import numpy as np
import pytest
from ply_files import write_ply
from rounded import read_geometry

from mixcli.errors import MixError
from mixcli.files.ply import read_ply_columns

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(50, 3)).astype(np.float32)
XYZ = {name: POINTS[:, i] for i, name in enumerate("xyz")}
STRUCT = {"char": "b", "uchar": "B", "short": "h", "ushort": "H", "int": "i", "uint": "I", "float": "f", "double": "d"}


def make(form, *elements, comments=""):
    """A file from (name, [(property, type or (length type, type))], rows), each row a list of numbers and lists."""
    order = ">" if "big" in form else "<"
    head, body = f"ply\nformat {form} 1.0\n{comments}", b""
    for name, properties, rows in elements:
        head += f"element {name} {len(rows)}\n"
        for key, kind in properties:
            head += f"property {kind if isinstance(kind, str) else 'list ' + ' '.join(kind)} {key}\n"
        for row in rows:
            values = zip(properties, row, strict=True)
            body += _line(row) if form == "ascii" else b"".join(_packed(order, kind, v) for (_, kind), v in values)
    return head.encode() + b"end_header\n" + body


def _line(row):
    words = [f"{len(v)} {' '.join(map(str, v))}" if isinstance(v, list) else str(v) for v in row]
    return " ".join(words).encode() + b"\n"


def _packed(order, kind, value):
    if isinstance(kind, str):
        return struct.pack(order + STRUCT[kind], value)
    return struct.pack(f"{order}{STRUCT[kind[0]]}{len(value)}{STRUCT[kind[1]]}", len(value), *value)


FORMS = ("ascii", "binary_little_endian", "binary_big_endian")
SQUARE = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]
FLOATS = [("x", "float"), ("y", "float"), ("z", "float")]


def put(folder, content):
    path = folder / "a.ply"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("form", FORMS)
def test_any_order_of_properties_types_and_elements(tmp_path, form):
    camera = ("camera", [("fov", "double"), ("name", ("uchar", "char"))], [[0.5, [1, 2, 3]], [0.25, []]])
    vertex = (
        "vertex",
        [
            *[("nz", "float"), ("red", "uchar"), ("z", "double"), ("seg", "short"), ("y", "int")],
            *[("near", ("int", "ushort")), ("x", "float"), ("ny", "float"), ("nx", "double")],
        ],
        [[1.0, 255, 3.5, -2, 2, [7, 8], 1.0, 0.25, 0.0], [0.5, 0, 6.5, 4, 5, [], 4.0, 0.75, 1.0]],
    )
    material = ("material", [("k", "uint")], [[5]] * 3)
    path = put(tmp_path, make(form, camera, material, vertex, ("tail", [("v", ("uchar", "float"))], [[[1.5]]])))
    found = read_geometry(path)
    assert found.points.tolist() == [[1, 2, 3.5], [4, 5, 6.5]]
    assert found.normals.tolist() == [[0, 0.25, 1], [1, 0.75, 0.5]]
    assert found.seg.tolist() == [-2, 4] and found.faces is None
    columns, faces, _ = read_ply_columns(path)
    assert columns["red"].tolist() == [255, 0] and columns["red"].dtype == np.uint8 and columns["y"].dtype == np.int32
    assert "near" not in columns and faces is None


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["vertex_indices", "vertex_index"])
@pytest.mark.parametrize("kinds", [("uchar", "int"), ("int", "uint"), ("ushort", "short"), ("uint", "uchar")])
def test_polygons_become_fans(tmp_path, form, name, kinds):
    faces = [[[0, 1, 2], 1.0], [[3, 0, 1, 2], 2.0], [[], 0.0], [[1, 2], 0.0], [[0, 1, 2, 3, 0], 3.0]]
    content = make(form, ("vertex", FLOATS, SQUARE), ("face", [(name, kinds), ("area", "float")], faces))
    found = read_geometry(put(tmp_path, content), limit=2)
    assert len(found.points) == 4, "a limit does not cut a mesh"
    assert found.faces.tolist() == [[0, 1, 2], [3, 0, 1], [3, 1, 2], [0, 1, 2], [0, 2, 3], [0, 3, 0]]


@pytest.mark.parametrize("form", FORMS)
def test_triangles_alone_and_faces_before_vertices(tmp_path, form):
    triangles = RNG.integers(0, 4, (200, 3)).tolist()
    face = ("face", [("flags", "ushort"), ("vertex_indices", ("uchar", "int"))], [[7, t] for t in triangles])
    found = read_geometry(put(tmp_path, make(form, face, ("vertex", FLOATS, SQUARE))))
    assert found.faces.tolist() == triangles and found.points.tolist() == SQUARE


@pytest.mark.parametrize("form", FORMS)
def test_a_face_element_without_faces_is_a_cloud(tmp_path, form):
    face = ("face", [("vertex_indices", ("uchar", "int"))], [])
    found = read_geometry(put(tmp_path, make(form, ("vertex", FLOATS, SQUARE), face)), limit=2)
    assert found.faces is None and found.points.tolist() == SQUARE[:2]


def test_part_labels_are_named_seg_or_part(tmp_path):
    for name, taken in (("seg", True), ("part", True), ("label", False)):
        rows = [[*p, i] for i, p in enumerate(SQUARE)]
        seg = read_geometry(put(tmp_path, make("ascii", ("vertex", [*FLOATS, (name, "float")], rows)))).seg
        assert (seg is not None and seg.tolist() == [0, 1, 2, 3]) == taken


def test_what_is_written_is_read_back(tmp_path):
    columns = {
        **XYZ,
        "nx": -POINTS[:, 0],
        "seg": np.arange(50, dtype=np.int32) - 7,
        "weight": RNG.random(50),
        "red": np.arange(50, dtype=np.uint8),
    }
    comments = ['mixcli {"seed": 1}', "", "two\nlines", "é — ¾", "a  b "]
    write_ply(tmp_path / "a.ply", columns, comments)
    read, faces, said = read_ply_columns(tmp_path / "a.ply")
    assert list(read) == list(columns) and faces is None
    for name, column in columns.items():
        assert read[name].dtype == column.dtype and np.array_equal(read[name], column)
    assert said == ['mixcli {"seed": 1}', "", "two lines", "é — ¾", "a  b "]
    assert np.array_equal(read_geometry(tmp_path / "a.ply").points, POINTS)


def test_a_comment_that_is_not_ascii_or_very_long(tmp_path):
    comments = b"comment caf\xe9 \xff\ncomment " + b"x" * 70_000 + b"\nobj_info made\n\n"
    content = make("binary_little_endian", ("vertex", FLOATS, SQUARE)).replace(b"element", comments + b"element")
    path = put(tmp_path, content.replace(b"\n", b"\r\n", 3))
    assert read_geometry(path).points.tolist() == SQUARE
    said = read_ply_columns(path)[2]
    assert said[0].startswith("caf") and said[0].isprintable() and len(said[1]) == 70_000


TRIANGLE = ("face", [("vertex_indices", ("uchar", "int"))], [[[0, 1, 2]]])
GOOD, ASCII = (make(form, ("vertex", FLOATS, SQUARE), TRIANGLE) for form in ("binary_little_endian", "ascii"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (GOOD[:-1], "promises 1 of 'face', but fewer follow: it is cut short"),
        (GOOD[:-20], "promises 4 of 'vertex', but fewer follow"),
        (GOOD.replace(b"vertex 4", b"vertex 1000000000000"), "promises 1,000,000,000,000 of 'vertex'"),
        (GOOD.replace(b"face 1", b"face 1000000000000"), "promises 1,000,000,000,000 of 'face'"),
        (GOOD.replace(b"vertex 4", b"vertex 4000000000000000000000"), "'element vertex 4000000000000000000000'"),
        (GOOD.replace(b"vertex 4", b"vertex -4"), "'element vertex -4'"),
        (GOOD.replace(b"vertex 4", b"vertex 0"), "holds no vertex"),
        (GOOD[:-13] + b"\xff" + GOOD[-12:], "promises 1 of 'face', but fewer follow"),
        (GOOD.replace(b"uchar", b"char")[:-13] + b"\xff" + GOOD[-12:], "negative length"),
        (GOOD[:-4] + struct.pack("<i", 4), "face 0 names point 4, but the 4 points"),
        (GOOD[:-4] + struct.pack("<i", -1), "face 0 names point -1"),
        (GOOD.replace(b"end_header", b"end_healer"), "no line 'end_header'"),
        (GOOD.replace(b"end_header\n", b"comment " + b"x" * (2 << 20)), "no line 'end_header'"),
        (GOOD.replace(b"float x", b"floaty x"), "'property floaty x'"),
        (GOOD.replace(b"float y", b"float x"), "'property float x'"),
        (GOOD.replace(b"float x", b"float u"), "no x, y and z"),
        (GOOD.replace(b"uchar int", b"float int"), "'property list float int vertex_indices'"),
        (GOOD.replace(b"vertex_indices", b"corners"), "no list vertex_indices"),
        (GOOD.replace(b"element face", b"element vertex"), "'element vertex 1'"),
        (GOOD.replace(b"face 1", b"tristrips 1"), "strips"),
        (GOOD.replace(b"binary_little", b"binary_middle"), "format is 'binary_middle_endian'"),
        (GOOD.replace(b"ply", b"plyx"), "does not begin with the line 'ply'"),
        (b"ply\nformat ascii 1.0\nproperty float x\nend_header\n", "'property float x'"),
        (b"ply\nformat ascii 1.0\nelement vertex 3\nend_header\n", "gives 'vertex' no property"),
        (ASCII.replace(b"vertex 4", b"vertex 1000000000000"), "promises 1,000,000,000,000 of 'vertex'"),
        (ASCII.replace(b"3 0 1 2", b"4 0 1 2"), "line 14 has 4 numbers, not those that its header promises"),
        (ASCII.replace(b"3 0 1 2", b"-3 0 1 2"), "'vertex_indices length' of row 0 is -3, which is no uint8"),
        (ASCII.replace(b"3 0 1 2", b"3 0 1 2.5"), "of row 0 is 2.5, which is no int32|face 0 names point 2.5"),
        (ASCII.replace(b"1.0 1.0 0.0", b"1.0 one 0.0"), "line 12: 'one' is not a number"),
        (ASCII.replace(b"1.0 1.0 0.0", b"1.0 1.0"), "line 12 has 2 numbers"),
        (ASCII.replace(b"float x", b"uchar x").replace(b"1.0 1.0", b"300 1.0"), "'x' of row 2 is 300, .*no uint8"),
    ],
)
def test_damaged_files(tmp_path, content, reason):
    path = put(tmp_path, content)
    with pytest.raises(MixError, match=reason) as e:
        read_geometry(path)
    assert str(e.value).startswith(f"{path}: ") and "; " in str(e.value) and "\n" not in str(e.value)


def test_columns_need_not_be_points(tmp_path):
    path = put(tmp_path, make("ascii", ("vertex", [("u", "float"), ("v", "float")], [[1.0, 2.0]])))
    assert {name: column.tolist() for name, column in read_ply_columns(path)[0].items()} == {"u": [1], "v": [2]}
    with pytest.raises(MixError, match="No such file"):
        read_ply_columns(tmp_path / "none.ply")


@pytest.mark.parametrize("form", FORMS)
def test_random_polygons_in_every_form(tmp_path, form):
    """Against fans made one by one."""
    sizes = RNG.integers(0, 7, 300)
    faces = [[RNG.integers(0, 4, n).tolist(), 1] for n in sizes]
    properties = [("vertex_indices", ("uchar", "int")), ("f", "char")]
    content = make(form, ("vertex", FLOATS, SQUARE), ("face", properties, faces))
    expected = [[f[0], f[i], f[i + 1]] for f, _ in faces for i in range(1, len(f) - 1)]
    assert read_geometry(put(tmp_path, content)).faces.tolist() == expected


@pytest.mark.parametrize("ascii", [True, False])
def test_open3d_reads_ours_and_we_read_open3ds(tmp_path, ascii):
    open3d = pytest.importorskip("open3d", exc_type=ImportError)
    write_ply(tmp_path / "ours.ply", {**XYZ, "seg": np.arange(50, dtype=np.int32)}, ["x" * 900])
    cloud = open3d.io.read_point_cloud(str(tmp_path / "ours.ply"))
    assert np.array_equal(np.asarray(cloud.points), POINTS)
    mesh = open3d.geometry.TriangleMesh.create_torus()
    open3d.io.write_triangle_mesh(str(tmp_path / "theirs.ply"), mesh, write_ascii=ascii)
    found = read_geometry(tmp_path / "theirs.ply")
    assert np.array_equal(found.faces, np.asarray(mesh.triangles))
    assert np.abs(found.points - np.asarray(mesh.vertices)).max() < 1e-5
