import os

import numpy as np
import pytest
from rounded import read_geometry

from mixcli.errors import MixError
from mixcli.files import text_rows

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(30, 3)).round(3)
NORMALS = (POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True)).round(4)
SEG = np.arange(30)[:, None] % 4


@pytest.fixture(params=[0, 10**9], ids=["compiled", "numpy"], autouse=True)
def parser(request, monkeypatch):
    """Both ways to read numbers."""
    monkeypatch.setattr(text_rows, "WORTH_COMPILING", request.param)


def read(folder, text, suffix=".txt", limit=None):
    path = folder / f"cloud{suffix}"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_geometry(path, limit)


def text(*columns, between=" ", end="\n"):
    return "".join(between.join(f"{v:g}" for v in row) + end for row in np.hstack(columns))


@pytest.mark.parametrize("between", [" ", "\t", ",", ";", ", ", "; ", "   ", " \t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", " \n", "\n\n", "\r"])
def test_separators(tmp_path, between, end):
    found = read(tmp_path, text(POINTS, NORMALS, SEG, between=between, end=end))
    assert np.array_equal(found.points, POINTS.astype(np.float32))
    assert np.array_equal(found.normals, NORMALS.astype(np.float32)) and np.array_equal(found.seg, SEG[:, 0])


@pytest.mark.parametrize("between", [" ", ";", "\t"])
def test_decimal_commas(tmp_path, between):
    assert np.array_equal(read(tmp_path, text(POINTS, between=between).replace(".", ",")).points, np.float32(POINTS))


@pytest.mark.parametrize(
    "start",
    ["x y z\n", "x,y,z\n", "# made by hand\n\n", "//X Y Z\n", "30\n", "\ufeff", "// a\n30\n", "X;Y;Z\n30\n", "\n\n \n"],
)
def test_what_may_stand_before_the_points(tmp_path, start):
    found = read(tmp_path, start + text(POINTS), ".pts")
    assert np.array_equal(found.points, np.float32(POINTS)) and found.normals is None
    assert np.array_equal(read(tmp_path, start + text(POINTS), ".xyz", 5).points, np.float32(POINTS[:5]))


def test_comments_between_and_behind(tmp_path):
    assert read(tmp_path, "0 0 0 # first\n# none\n1 1 1 // second\n").points.tolist() == [[0, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize("extra", [1, 2, 5, 6])
def test_other_columns_are_left_out(tmp_path, extra):
    found = read(tmp_path, text(POINTS, RNG.normal(size=(30, extra))))
    assert np.array_equal(found.points, np.float32(POINTS)) and found.normals is None and found.seg is None


def test_colours_are_no_normals(tmp_path):
    colours = RNG.integers(0, 256, (30, 3))
    for columns in ((POINTS, colours), (POINTS, colours, SEG)):
        found = read(tmp_path, text(*columns))
        assert found.normals is None and found.seg is None
    axes = np.eye(3)[RNG.integers(0, 3, 30)] * RNG.choice([-1, 1], (30, 1))
    assert np.array_equal(read(tmp_path, text(POINTS, axes)).normals, np.float32(axes)), "whole, but of unit length"


def test_what_is_not_finite_is_left_for_later(tmp_path):
    found = read(tmp_path, "nan inf -Infinity\n1 2 1e99\n")
    assert np.isnan(found.points[0, 0]) and found.points[1].tolist() == [1, 2, np.inf]


def test_one_point(tmp_path):
    assert read(tmp_path, "1 2 3").points.tolist() == [[1, 2, 3]]


@pytest.mark.filterwarnings("ignore:string or file could not be read:DeprecationWarning")
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("0 0 0\n\n1 1\n2 2 2\n", "line 3 has 2 numbers where 3 are expected"),
        ("0 0 0\n1 1 1 1\n", "line 2 has 4 numbers where 3 are expected"),
        ("# a\nx y z\n0 0 0\n1 one 1\n", "line 4: 'one' is not a number"),
        ("0 0 0\n1 1.2.3 1\n", "line 2: '1.2.3' is not a number"),
        ("0 0 0\n1 0x10 1\n", "line 2: '0x10' is not a number"),
        ("0,0,0\n1,,1\n", "line 2 has 2 numbers"),
        ("0 0 0\n1 1e 1\n", "line 2: '1e' is not a number"),
        (b"0 0 0\n\0\0\0\xff\n", "line 2: '.x00.x00.x00.xff' is not a number"),
        ("0 0\n1 1\n", "rows have 2 numbers; a point needs three"),
        ("x y z\n# nothing\n\n", "no row of numbers; write one point a line"),
        (b"\xff\xfe0\x00 \x00", "is not a number|no row of numbers"),
        ("x y z seg\n" + text(POINTS, SEG + 0.5), "the seg of point 0 is 0.5, not a whole number"),
    ],
)
def test_damaged_files(tmp_path, content, reason):
    for limit in (None, 3):
        with pytest.raises(MixError, match=reason) as e:
            read(tmp_path, content, limit=limit)
        assert str(e.value).startswith(f"{tmp_path / 'cloud.txt'}: ") and "; " in str(e.value)


def test_a_limit_looks_no_further(tmp_path):
    """What follows the wanted rows is not read: here it is no text at all."""
    path = tmp_path / "cloud.txt"
    path.write_text(text(*[POINTS] * 1) * 10)
    with path.open("ab") as file:
        file.write(b"garbage \0 and a hole of a terabyte")
        os.truncate(path, 1 << 40)
    assert np.array_equal(read_geometry(path, limit=100).points, np.tile(np.float32(POINTS), (4, 1))[:100])


@pytest.mark.parametrize("rows", [1, 64, 65, 200])
def test_more_comments_than_a_first_look_holds(tmp_path, rows):
    lines = "# a comment line\n\n" * 100 + text(POINTS)
    found = read(tmp_path, lines * 3, limit=rows)
    assert np.array_equal(found.points, np.tile(np.float32(POINTS), (3, 1))[:rows])


def test_the_real_files_are_the_clouds_they_came_from(shared):
    folder = shared / "data" / "pc_kaykit_cc0" / "txt"
    found = {path: read_geometry(path, 1024) for path in sorted(folder.glob("*/*.txt"))}
    assert len(found) == 63
    for path, cloud in found.items():
        assert cloud.points.shape == cloud.normals.shape == (1024, 3), path
        assert np.array_equal(np.float32(np.loadtxt(path, delimiter=",")), np.hstack([cloud.points, cloud.normals]))
