import numpy as np
import pytest
from rounded import read_geometry

from mixcli.errors import MixError

POINTS = "0 0 0\n1 0 0\n1 1 0\n0 1 0.5\n"
CORNERS = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.5]]


def read(folder, text):
    path = folder / "a.off"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_geometry(path)


@pytest.mark.parametrize(
    "start",
    ["OFF\n4 2 0\n", "OFF4 2 0\n", "OFF 4 2 0\n", "OFF\r\n4 2 0\r\n", "\n# by hand\nOFF # magic\n\n4 2 # no edges\n\n"],
)
def test_how_a_file_begins(tmp_path, start):
    found = read(tmp_path, start + POINTS + "3 0 1 2\n3 0 2 3\n")
    assert found.points.tolist() == CORNERS and found.points.dtype == np.float32
    assert found.faces.tolist() == [[0, 1, 2], [0, 2, 3]] and found.faces.dtype == np.int64


def test_modelnets_glued_counts(tmp_path):
    """OFF490 518 0: the first count must not lose a digit to the magic."""
    rng = np.random.default_rng(0)
    points, faces = rng.normal(size=(490, 3)).round(4), rng.integers(0, 490, (518, 3))
    text = "OFF490 518 0\n" + "".join(f"{x} {y} {z}\n" for x, y, z in points)
    found = read(tmp_path, text + "".join(f"3 {a} {b} {c}\n" for a, b, c in faces))
    assert np.array_equal(found.faces, faces) and np.array_equal(found.points, points.astype(np.float32))


def test_polygons_blank_lines_comments_and_colours(tmp_path):
    faces = "\n4 0 1 2 3 255 0 0\n# between\n3 0 1 2 0.1 0.2 0.3 1.0 # red\n2 0 1\n5 0 1 2 3 1\n"
    found = read(tmp_path, f"OFF\n4 4 0\n{POINTS}{faces}\n")
    assert found.faces.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 2], [0, 1, 2], [0, 2, 3], [0, 3, 1]]


def test_colours_of_points_are_left_out_and_normals_kept(tmp_path):
    coloured = "".join(line + " 255 0 10 1\n" for line in POINTS.splitlines())
    found = read(tmp_path, f"COFF\n4 1 0\n{coloured}3 0 1 2\n")
    assert found.points.tolist() == CORNERS and found.normals is None
    normals = "".join(line + " 0 0 1\n" for line in POINTS.splitlines())
    found = read(tmp_path, f"NOFF\n4 1 0\n{normals}3 0 1 2\n")
    assert found.points.tolist() == CORNERS and found.normals.tolist() == [[0, 0, 1]] * 4
    both = "".join(line + " 0 0 1 0.5 0.5 0.5 1\n" for line in POINTS.splitlines())
    assert read(tmp_path, f"CNOFF\n4 1 0\n{both}3 0 1 2\n").normals.tolist() == [[0, 0, 1]] * 4


def test_points_without_faces_are_a_cloud(tmp_path):
    found = read(tmp_path, f"OFF\n4 0 0\n{POINTS}")
    assert found.faces is None and found.points.tolist() == CORNERS


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"OFF BINARY\n4 1 0\n{POINTS}", "binary OFF"),
        (f"4OFF\n4 1 0\n{POINTS}", "not three-dimensional"),
        (f"PLY\n4 1 0\n{POINTS}", "does not begin with OFF"),
        ("OFF\n", "ends after OFF"),
        ("OFF\n0 0 0\n", "holds no points"),
        ("OFF\n4\n" + POINTS, "line 2 has 1 numbers where 2 or more"),
        ("OFF\n4.5 1 0\n" + POINTS, "line 2 should say how many"),
        ("OFF\n-4 1 0\n" + POINTS, "line 2 should say how many"),
        ("OFF\nnan 1 0\n" + POINTS, "line 2 should say how many"),
        (f"OFF\n4 2 0\n{POINTS}3 0 1 2\n", "promises 4 points and 2 faces, but 5 lines follow: it is cut short"),
        (f"OFF\n1000000000000 2 0\n{POINTS}3 0 1 2\n", "promises 1,000,000,000,000 points"),
        (f"OFF\n4 1 0\n{POINTS}3 0 1\n", "line 7 is a face of 3 corners, but 2 numbers follow"),
        (f"OFF\n4 1 0\n{POINTS}1e30 0 1\n", "line 7 is a face of 1e"),
        (f"OFF\n4 1 0\n{POINTS}-3 0 1 2\n", "line 7 is a face of -3 corners"),
        (f"OFF\n4 2 0\n{POINTS}3 0 1 2\n3 0 1 4\n", "face 1 names point 4, but the 4 points are numbered from 0"),
        (f"OFF\n4 1 0\n{POINTS}3 0 1 -1\n", "face 0 names point -1"),
        (f"OFF\n4 1 0\n{POINTS}3 0 1 1.5\n", "face 0 names point 1.5"),
        (f"OFF\n4 1 0\n{POINTS}3 0 1 nan\n", "face 0 names point nan"),
        (f"OFF\n4 1 0\n{POINTS}3 0 1 two\n", "line 7: 'two' is not a number"),
        ("OFF\n3 1 0\n0 0 0\n1 0\n0 1 0\n3 0 1 2\n", "line 4 has 2 numbers where 3 or more"),
        ("OFF\n3 1 0\n0 0 0\n1 0 0.1.2\n0 1 0\n3 0 1 2\n", "line 4: '0.1.2' is not a number"),
        (b"OFF\n1 0 0\n0 0 \xff\x00\n", "line 3: '.xff.x00' is not a number"),
    ],
)
def test_damaged_files(tmp_path, text, reason):
    with pytest.raises(MixError, match=reason) as e:
        read(tmp_path, text)
    assert str(e.value).startswith(f"{tmp_path / 'a.off'}: ") and "; " in str(e.value)
