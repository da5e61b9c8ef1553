import struct

import h5py
import numpy as np
import pytest
from rounded import read_geometry

from mixcli.errors import MixError
from mixcli.files.lzf import decompress

RNG = np.random.default_rng(0)
FIELDS = [("x", "<f4", 1), ("rgb", "<u4", 1), ("y", "<f8", 1), ("z", "<f4", 1), ("_", "<u1", 3)]
FIELDS += [("histogram", "<f4", 2), *[(f"normal_{axis}", "<f4", 1) for axis in "yzx"], ("label", "<u2", 1)]
CLOUD = {
    name: RNG.integers(0, 9, (60, count)).astype(kind) if kind[1] == "u" else RNG.normal(size=(60, count)).astype(kind)
    for name, kind, count in FIELDS
}


def header(form, points=60, fields=FIELDS):
    kinds = [np.dtype(kind) for _, kind, _ in fields]
    lines = ["# .PCD v0.7 - Point Cloud Data file format", "VERSION 0.7", "FIELDS " + " ".join(n for n, _, _ in fields)]
    lines += ["SIZE " + " ".join(str(k.itemsize) for k in kinds), "TYPE " + " ".join(k.kind.upper() for k in kinds)]
    lines += ["COUNT " + " ".join(str(c) for _, _, c in fields), f"WIDTH {points}", "HEIGHT 1"]
    return "\n".join([*lines, "VIEWPOINT 0 0 0 1 0 0 0", f"POINTS {points}", f"DATA {form}", ""]).encode()


def lzf(data, folder):
    """The same compression, by HDF5's filter of that name."""
    with h5py.File(folder / "packed.h5", "w") as file:
        raw = np.frombuffer(data, np.uint8)
        file.create_dataset("a", data=raw, chunks=raw.shape, compression="lzf", shuffle=False)
        return file["a"].id.read_direct_chunk((0,))[1]


def content(form, folder):
    if form == "ascii":
        rows = zip(*(CLOUD[name].tolist() for name, _, _ in FIELDS), strict=True)
        return header(form) + "".join(" ".join(repr(v) for c in row for v in c) + "\n" for row in rows).encode()
    if form == "binary":
        record = np.empty(60, [(name, kind, (count,)) for name, kind, count in FIELDS])
        for name in CLOUD:
            record[name] = CLOUD[name]
        return header(form) + record.tobytes()
    full = b"".join(CLOUD[name].tobytes() for name, _, _ in FIELDS)
    packed = lzf(full, folder)
    return header(form) + struct.pack("<II", len(packed), len(full)) + packed


@pytest.mark.parametrize("limit", [None, 7])
@pytest.mark.parametrize("form", ["ascii", "binary", "binary_compressed"])
def test_all_forms_fields_in_any_order(tmp_path, form, limit):
    path = tmp_path / "a.pcd"
    path.write_bytes(content(form, tmp_path))
    found = read_geometry(path, limit)
    expected = {name: np.float32(column[:limit, 0]) for name, column in CLOUD.items()}
    assert np.array_equal(found.points, np.stack([expected[n] for n in ("x", "y", "z")], 1))
    assert np.array_equal(found.normals, np.stack([expected["normal_" + n] for n in ("x", "y", "z")], 1))
    assert np.array_equal(found.seg, expected["label"]) and found.seg.dtype == np.int64 and found.faces is None


def test_a_picture_of_points_has_width_and_height(tmp_path):
    path = tmp_path / "a.pcd"
    data = header("binary", 6, [(n, "<f4", 1) for n in "xyz"]).replace(b"WIDTH 6\nHEIGHT 1", b"WIDTH 2\nHEIGHT 3")
    path.write_bytes(data.replace(b"POINTS 6\n", b"") + np.full((6, 3), np.nan, "<f4").tobytes())
    found = read_geometry(path)
    assert found.points.shape == (6, 3) and np.isnan(found.points).all(), "what was not seen is found later"


@pytest.mark.parametrize("size", [1, 2, 31, 32, 33, 263, 264, 265, 5000, 70_000])
@pytest.mark.parametrize("values", [1, 2, 256])
def test_lzf(tmp_path, size, values):
    data = RNG.integers(0, values, size).astype(np.uint8)
    data[size // 2 :] = data[: size - size // 2]
    packed = b"".join(bytes([len(p) - 1]) + p for p in (data.tobytes()[i : i + 32] for i in range(0, size, 32)))
    if values < 256 and size > 32:
        packed = lzf(data.tobytes(), tmp_path)
        assert len(packed) < size
    assert decompress(packed, size) == data.tobytes()
    assert decompress(packed, size + 1) is None and decompress(packed, size - 1) is None
    assert decompress(packed[:-1], size) is None


def test_lzf_that_points_before_its_beginning():
    assert decompress(b"\x00a\x20\x00", 4) == b"aaaa"
    assert decompress(b"\x00a\x20\x01", 4) is None
    assert decompress(b"\xff\xff\xff", 1 << 30) is None
    assert decompress(b"\x00a" + b"\xe0\xff\x00" * 100_000, 100) is None, "a bomb is left unfinished"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"POINTS 60", b"POINTS 61", "promises 2,745 bytes more, but 2,700 follow: it is cut short"),
        (b"POINTS 60", b"POINTS 1000000000000", "says '1000000000000' where whole numbers below a billion"),
        (b"POINTS 60", b"POINTS 0", "holds no points"),
        (b"POINTS 60", b"POINTS", "a line that does not fit: 'POINTS"),
        (b"FIELDS x", b"FIELDS u", "no x, y and z"),
        (b"FIELDS x ", b"FIELDS ", "not as many"),
        (b"SIZE 4", b"SIZE 3", "TYPE 'F' and SIZE '3'"),
        (b"TYPE F", b"TYPE Q", "TYPE 'Q' and SIZE '4'"),
        (b"COUNT 1", b"COUNT -1", "whole numbers below a billion"),
        (b"COUNT 1", b"COUNT 999999999", "bytes more, but 2,700 follow"),
        (b"DATA binary", b"DATA zip", "DATA is none of"),
        (b"DATA binary", b"DADA binary", "'DADA binary"),
        (b"FIELDS", b"#", "no FIELDS"),
    ],
)
def test_damaged_headers(tmp_path, old, new, reason):
    path = tmp_path / "a.pcd"
    path.write_bytes(content("binary", tmp_path).replace(old, new, 1))
    with pytest.raises(MixError, match=reason):
        read_geometry(path)


def test_damaged_data(tmp_path):
    path, text, packed = tmp_path / "a.pcd", content("ascii", tmp_path), content("binary_compressed", tmp_path)
    start = len(header("binary_compressed"))
    for damaged, reason in (
        (text.replace(b"POINTS 60", b"POINTS 61"), "promises 61 points, but 60 follow"),
        (text[:-5].rsplit(b" ", 1)[0], "line 71 has"),
        (header("ascii") + b"one " + text[len(header("ascii")) :], "line 12: 'one' is not a number"),
        (packed[:start] + b"\xff\xff\xff\xff" + packed[start + 4 :], "promises 4,294,967,295 bytes more"),
        (packed[: start + 4] + b"\xff\xff\xff\xff" + packed[start + 8 :], "but its data says 4,294,967,295"),
        (packed[: start + 8] + b"\x20" + packed[start + 9 :], "compressed data is damaged"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(MixError, match=reason):
            read_geometry(path)


@pytest.mark.parametrize("how", [{"write_ascii": True}, {"compressed": True}, {}])
def test_as_open3d_writes_it(tmp_path, how):
    open3d = pytest.importorskip("open3d", exc_type=ImportError)
    points = RNG.normal(size=(500, 3)).round(1)
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    cloud.normals = open3d.utility.Vector3dVector(points)
    open3d.io.write_point_cloud(str(tmp_path / "a.pcd"), cloud, **how)
    found = read_geometry(tmp_path / "a.pcd")
    assert np.abs(found.points - points).max() < 1e-6 and np.abs(found.normals - points).max() < 1e-6
