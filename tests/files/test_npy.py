import io
import pickle

import numpy as np
import pytest
from rounded import read_geometry

from mixcli.errors import MixError

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(30, 3))
NORMALS = POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True)
ROWS = np.hstack([POINTS, NORMALS, np.arange(30)[:, None] % 4])


def read(folder, array, limit=None, **options):
    path = folder / "a.npy"
    if isinstance(array, bytes):
        path.write_bytes(array)
    else:
        np.save(path, array, **options)
    return read_geometry(path, limit)


@pytest.mark.parametrize("limit", [None, 7, 100])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2"])
def test_floats_of_any_kind_and_order(tmp_path, dtype, order, limit):
    array = ROWS.astype(dtype, order=order)
    found = read(tmp_path, array, limit)
    assert np.array_equal(found.points, array[:limit, :3].astype(np.float32)) and found.points.flags.c_contiguous
    assert np.array_equal(found.normals, array[:limit, 3:6].astype(np.float32))
    assert np.array_equal(found.seg, np.arange(30)[:limit] % 4)


def test_columns_are_those_of_a_text(tmp_path):
    for columns, has in ((3, (False, False)), (4, (False, False)), (6, (True, False)), (7, (True, True))):
        found = read(tmp_path, ROWS[:, :columns])
        assert (found.normals is not None, found.seg is not None) == has
    assert read(tmp_path, np.arange(12).reshape(4, 3)).points.tolist() == np.arange(12).reshape(4, 3).tolist()


def saved(array, version=None):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version)
    return buffer.getvalue()


def test_newer_versions_of_the_format(tmp_path):
    for version in ((1, 0), (2, 0), (3, 0)):
        assert np.array_equal(read(tmp_path, saved(POINTS, version)).points, POINTS.astype(np.float32))


class Loaded:
    def __reduce__(self):
        return (exec, ("raise SystemExit('executed')",))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (saved(POINTS)[:-1], "promises .30, 3. float64, but 719 bytes follow: it is cut short"),
        (saved(POINTS).replace(b"(30, 3)", b"(10**12,"), "no plain array"),
        (saved(POINTS)[:20], "bytes more, but 10 follow"),
        (saved(POINTS[:, :2]), r"its shape is \(30, 2\); save one cloud as"),
        (saved(POINTS[None]), r"its shape is \(1, 30, 3\)"),
        (saved(POINTS[:0]), r"its shape is \(0, 3\)"),
        (saved(POINTS[0, 0]), r"its shape is \(\)"),
        (saved(POINTS + 0j), "its values are '<c16'"),
        (saved(POINTS > 0), "its values are '.b1'"),
        (saved(np.zeros(3, "f4,f4,f4")), "no plain array of numbers"),
        (b"\x93NUMPY\x01\x00\xff\xff" + b" " * 65535, "header is damaged"),
        (b"hello world", "no .npy file; save it with numpy.save"),
        (b"\x93NUMPY", "no .npy file"),
    ],
)
def test_damaged_files(tmp_path, content, reason):
    with pytest.raises(MixError, match=reason):
        read(tmp_path, content)


def test_pickles_are_not_opened(tmp_path):
    objects = np.empty((2, 3), object)
    objects[:] = Loaded()
    with pytest.raises(MixError, match="pickled"):
        read(tmp_path, objects)
    with pytest.raises(MixError, match="it is no "):
        read(tmp_path, pickle.dumps(Loaded()))
