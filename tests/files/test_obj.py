import pytest
from rounded import read_geometry

from mixcli.errors import MixError

SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"
CORNERS = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]


def read(folder, text):
    path = folder / "a.obj"
    path.write_text(text)
    return read_geometry(path)


@pytest.mark.parametrize(
    "face",
    [
        "f 1 2 3 4",
        "f 1/1 2/1 3/2 4/2",
        "f 1//1 2//1 3//1 4//1",
        "f 1/1/1 2/9/1 3/1/1 4/1/1",
        "f -4 -3 -2 -1",
        "f 1/1 2 3//7 4",
        "f 1/ 2// 3 4",
        "  f\t1 2 \\\n 3 4 # a comment",
    ],
)
def test_how_corners_are_written(tmp_path, face):
    found = read(tmp_path, f"# made\nmtllib /etc/passwd\no thing\n{SQUARE}vt 0 0\nvn 0 0 1\nusemtl a\ns off\n{face}\n")
    assert found.points.tolist() == CORNERS and found.normals is None
    assert found.faces.tolist() == [[0, 1, 2], [0, 2, 3]]


def test_negative_corners_count_from_the_face_back(tmp_path):
    found = read(tmp_path, f"{SQUARE}f -4 -3 -2\nv 5 5 5\nf -1 -2 -3\nv 6 6 6\n")
    assert found.faces.tolist() == [[0, 1, 2], [4, 3, 2]]


def test_polygons_of_several_sizes(tmp_path):
    found = read(tmp_path, f"{SQUARE}v 2 2 2\nf 1 2 3\nf 1 2 3 4 5\nf 5 4 3 2\n")
    assert found.faces.tolist() == [[0, 1, 2], [0, 1, 2], [0, 2, 3], [0, 3, 4], [4, 3, 2], [4, 2, 1]]


def test_points_alone_are_a_cloud(tmp_path):
    assert read(tmp_path, SQUARE).faces is None
    found = read(tmp_path, SQUARE.replace("\n", " 0.5 0.5 0.5\n").replace("v", "vn 0 0 1\nv"))
    assert found.points.tolist() == CORNERS and found.normals.tolist() == [[0, 0, 1]] * 4
    assert read(tmp_path, SQUARE + "vn 0 0 1\n").normals is None, "normals that are not one a point"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hello\n", "no line 'v x y z'"),
        ("v\nv 1\n", "line 2 has 1 numbers where 3 or more"),
        (SQUARE + "f 1 2 5\n", "face 0 names point 4, but the 4 points are numbered from 0"),
        (SQUARE + "f 0 1 2\n", "face 0 names point -1"),
        (SQUARE + "f 1 2 3\nf -1 -2 -5\n", "face 1 names point -1"),
        (SQUARE + "f 1 2 x\n", "line 5: 'x' is not a number"),
        (SQUARE + "f 1 2 1.5\n", "face 0 names point 0.5"),
        ("v 1 2 three\n", "line 1: 'three' is not a number"),
    ],
)
def test_damaged_files(tmp_path, text, reason):
    with pytest.raises(MixError, match=reason):
        read(tmp_path, text)
