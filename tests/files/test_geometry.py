"""What holds for every format: which files are opened, what is said of bad ones, and that no bytes do harm."""

import io
import os
import struct
import threading
import time
import tracemalloc

import numpy as np
import pytest
from ply_files import write_ply
from rounded import read_geometry

from mixcli.errors import MixError, UsageError
from mixcli.files import text_rows
from mixcli.files.geometry import SUFFIXES, Geometry

POINTS = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
TETRAHEDRON = "0 0 0\n1 0 0\n0 1 0\n0 0 1\n"


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def ply(**columns):
    buffer = io.BytesIO()
    write_ply(buffer, {name: POINTS[:, i] for i, name in enumerate("xyz")} | columns, ["made here"])
    return buffer.getvalue()


def mesh_ply(form, order):
    head = f"ply\nformat {form} 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
    head += "element face 3\nproperty list uchar int vertex_indices\nend_header\n"
    if form == "ascii":
        return (head + TETRAHEDRON + "3 0 1 2\n4 0 1 2 3\n3 1 2 3\n").encode()
    body = np.array(TETRAHEDRON.split(), order + "f4").tobytes()
    for face in ((0, 1, 2), (0, 1, 2, 3), (1, 2, 3)):
        body += struct.pack(f"{order}B{len(face)}i", len(face), *face)
    return head.encode() + body


def rows(array, between=" "):
    return "".join(between.join(f"{v:.6f}" for v in row) + "\n" for row in array).encode()


def pcd(form, points=40, body=None):
    head = "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z label\nSIZE 4 4 4 4\nTYPE F F F U\nCOUNT 1 1 1 1\n"
    head += f"WIDTH {points}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {points}\nDATA {form}\n"
    return head.encode() + body


SEG = np.arange(40, dtype=np.uint32) % 4
RECORDS = np.rec.fromarrays([*POINTS.T, SEG], dtype=[(n, "<f4") for n in "xyz"] + [("label", "<u4")]).tobytes()
COLUMNS = POINTS.T.tobytes() + SEG.tobytes()
LITERAL = b"".join(bytes([len(part) - 1]) + part for part in (COLUMNS[i : i + 32] for i in range(0, len(COLUMNS), 32)))
CORNERS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]])
FILES = {
    "ascii.ply": mesh_ply("ascii", ""),
    "little.ply": mesh_ply("binary_little_endian", "<"),
    "big.ply": mesh_ply("binary_big_endian", ">"),
    "cloud.ply": ply(seg=SEG.astype(np.int32)),
    "a.off": f"OFF\n4 2 6\n{TETRAHEDRON}3 0 1 2\n4 0 1 2 3\n".encode(),
    "a.obj": b"# made\n" + b"".join(b"v %d %d %d\n" % tuple(c) for c in CORNERS) + b"vt 0 0\nf 1/1/1 2//1 -1\n",
    "text.stl": b"solid a\nfacet normal 0 0 1\n outer loop\n  vertex 0 0 0\n  vertex 1 0 0\n  vertex 0 1 0\n endloop\n"
    b"endfacet\nendsolid a\n",
    "binary.stl": bytes(80) + struct.pack("<I12fH", 1, 0, 0, 1, *CORNERS.ravel(), 0),
    "text.pcd": pcd("ascii", body=rows(np.c_[POINTS, SEG])),
    "binary.pcd": pcd("binary", body=RECORDS),
    "packed.pcd": pcd("binary_compressed", body=struct.pack("<II", len(LITERAL), len(COLUMNS)) + LITERAL),
    "a.npy": npy(POINTS),
    "columns.npy": npy(np.asfortranarray(POINTS, dtype=np.float64)),
    "a.xyz": rows(POINTS),
    "a.txt": rows(np.c_[POINTS, POINTS, SEG], ","),
    "a.pts": b"40\n" + rows(POINTS),
    "a.csv": b"x;y;z\n" + rows(POINTS, ";"),
}


def put(folder, name, content):
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", FILES)
def test_every_format_is_read(tmp_path, name):
    found = read_geometry(put(tmp_path, name, FILES[name]))
    assert found.points.dtype == np.float32 and found.points.flags.c_contiguous
    if found.faces is None:
        assert np.abs(found.points - POINTS).max() <= 1e-6  # six decimals in a text
    else:
        assert found.faces.dtype == np.int64 and found.faces.max() < len(found.points)


def test_all_suffixes_are_tried(tmp_path):
    assert {os.path.splitext(name)[1] for name in FILES} == set(SUFFIXES)
    assert len(read_geometry(put(tmp_path, "A.PLY", FILES["cloud.ply"])).points) == 40, "a suffix in capitals"
    with pytest.raises(UsageError, match=r"\.ply"):
        read_geometry(put(tmp_path, "a.step", b"ISO"))


@pytest.mark.parametrize("name", FILES)
def test_a_limit_gives_the_first_points_and_leaves_meshes_whole(tmp_path, name):
    path = put(tmp_path, name, FILES[name])
    whole, part = read_geometry(path), read_geometry(path, limit=7)
    if whole.faces is not None:
        assert np.array_equal(part.faces, whole.faces) and len(part.points) == len(whole.points)
    else:
        assert np.array_equal(part.points, whole.points[:7])
        assert whole.seg is None or np.array_equal(part.seg, whole.seg[:7])
    assert len(read_geometry(path, limit=1000).points) == len(whole.points), "more than there are"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_empty_file(tmp_path, suffix):
    with pytest.raises(MixError, match="empty; "):
        read_geometry(put(tmp_path, "a" + suffix, b""))


def test_what_is_no_file(tmp_path):
    (tmp_path / "folder.ply").mkdir()
    for path, reason in ((tmp_path / "folder.ply", "a folder"), (tmp_path / "none.off", "No such file")):
        with pytest.raises(MixError, match=reason) as e:
            read_geometry(path)
        assert str(e.value).startswith(f"{path}: ") and "; " in str(e.value)


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path):
    path = tmp_path / "pipe.ply"
    os.mkfifo(path)
    said = []
    reader = threading.Thread(target=lambda: said.append(_refusal(path)), daemon=True)
    reader.start()
    reader.join(5)
    assert said and "a pipe" in said[0]


def test_a_device_is_refused(tmp_path):
    (tmp_path / "zero.ply").symlink_to("/dev/zero")
    assert "a device" in _refusal(tmp_path / "zero.ply")


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not hold for root")
def test_a_file_that_may_not_be_read(tmp_path):
    path = put(tmp_path, "a.ply", FILES["cloud.ply"])
    path.chmod(0)
    assert "ermission" in _refusal(path)


def test_a_name_that_is_not_unicode(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.off")
    path.write_bytes(b"OFF\n1 0 0\nx 0 0\n")
    said = _refusal(path)
    assert said.startswith(f"{path}: ") and said.encode("utf-8", "backslashreplace")
    path.write_bytes(FILES["a.off"])
    assert len(read_geometry(path).points) == 4


def test_a_file_larger_than_any_shape_is_not_read(tmp_path):
    for suffix in (".off", ".obj", ".xyz"):
        path = put(tmp_path, "sparse" + suffix, b"OFF\n1 0 0\n0 0 0\n")
        os.truncate(path, 1 << 40)
        assert "too many" in _refusal(path)
    assert "longer than" in _refusal(path, limit=10)


def _refusal(path, limit=None):
    with pytest.raises(MixError) as e:
        read_geometry(path, limit)
    return str(e.value)


LIES = {
    "vertices.ply": FILES["cloud.ply"].replace(b"vertex 40", b"vertex 1000000000000"),
    "text.ply": FILES["ascii.ply"].replace(b"vertex 4", b"vertex 1000000000000"),
    "faces.ply": FILES["little.ply"].replace(b"face 3", b"face 1000000000000"),
    "list.ply": FILES["little.ply"][:-13] + struct.pack("<B", 255) + FILES["little.ply"][-12:],
    "longlist.ply": FILES["little.ply"].replace(b"uchar int", b"uint int"),
    "a.off": FILES["a.off"].replace(b"4 2 6", b"1000000000000 2 6"),
    "faces.off": FILES["a.off"].replace(b"4 2 6", b"4 1000000000000 6"),
    "a.stl": FILES["binary.stl"][:80] + b"\xff\xff\xff\xff" + FILES["binary.stl"][84:],
    "cut.stl": FILES["binary.stl"][:80] + struct.pack("<I", 2) + FILES["binary.stl"][84:],
    "a.pcd": FILES["binary.pcd"].replace(b"POINTS 40", b"POINTS 999999999"),
    "text.pcd": FILES["text.pcd"].replace(b"POINTS 40", b"POINTS 999999999"),
    "packed.pcd": FILES["packed.pcd"].replace(struct.pack("<I", len(LITERAL)), b"\xff\xff\xff\xff"),
    "full.pcd": FILES["packed.pcd"].replace(struct.pack("<I", len(COLUMNS)), b"\xff\xff\xff\xff"),
    "a.npy": FILES["a.npy"].replace(b"(40, 3), ", b"(99999999999, 3), ").replace(b"         \n", b"\n"),
    "columns.npy": FILES["columns.npy"].replace(b"(40, 3), }     ", b"(99999, 3), }  "),
}


@pytest.mark.parametrize("limit", [None, 10**15])
@pytest.mark.parametrize("name", LIES)
def test_a_header_that_lies_takes_no_memory(tmp_path, name, limit):
    path = put(tmp_path, name, LIES[name])
    _refusal(path, limit)  # what is imported and cached on the way does not count
    tracemalloc.start()
    said = _refusal(path, limit)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert said.startswith(f"{path}: ") and "; " in said
    assert peak < 1 << 20


@pytest.mark.parametrize("name", ["cloud.ply", "binary.pcd", "a.npy"])
def test_a_limit_reads_no_more_than_it_needs(tmp_path, name):
    """A hundred megabytes of points, of which ten are wanted."""
    path = put(tmp_path, name, FILES[name].replace(b" 40", b" 9000000").replace(b"(40, 3), }     ", b"(9000000, 3), }"))
    os.truncate(path, 150 << 20)
    tracemalloc.start()
    found = read_geometry(path, limit=10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(found.points, POINTS[:10]) and peak < 1 << 20


@pytest.mark.filterwarnings("ignore:string or file could not be read:DeprecationWarning")
@pytest.mark.parametrize("name", FILES)
def test_damaged_bytes_give_a_shape_or_a_sentence(tmp_path, name, monkeypatch):
    monkeypatch.setattr(text_rows, "WORTH_COMPILING", 200)
    rng, path = np.random.default_rng(1), tmp_path / name
    started = time.monotonic()
    for turn in range(300):
        path.write_bytes(_damaged(FILES[name], rng) or b"x")
        try:
            found = read_geometry(path, limit=(None, 5)[turn % 2])
        except MixError as e:
            assert str(e).startswith(f"{path}: ") and "\n" not in str(e)
        else:
            _check(found)
    assert time.monotonic() - started < 60


def _check(found: Geometry):
    count = len(found.points)
    assert count and found.points.shape == (count, 3) and found.points.dtype == np.float32
    assert found.normals is None or found.normals.shape == (count, 3)
    assert found.seg is None or (found.seg.shape == (count,) and found.seg.dtype == np.int64)
    if found.faces is not None and len(found.faces):
        assert found.faces.shape[1] == 3 and 0 <= found.faces.min() and found.faces.max() < count


def _damaged(content, rng):
    """Some bytes changed, cut out, doubled or put elsewhere, mostly near the beginning, where headers are."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        reach = len(content) if rng.random() < 0.5 else min(len(content), 120)
        at, length = int(rng.integers(reach)), int(rng.integers(1, 9))
        match rng.integers(6):
            case 0:
                content[at] = rng.integers(256)
            case 1:
                content[at] ^= 1 << rng.integers(8)
            case 2:
                del content[at : at + length]
            case 3:
                del content[at:]
            case 4:
                content[at:at] = content[at : at + length] * int(rng.integers(1, 4))
            case 5:
                content[at:at] = rng.choice([b"9", b"-", b" ", b"\n", b"nan", b".", b"\0", b"\xff\xff\xff\xff"])
        if not content:
            break
    return bytes(content)
