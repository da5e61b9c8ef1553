"""What is particular to a folder of `.ply`: how it looks, that others open it, and that nothing in it is believed."""

import json
import os

import numpy as np
import pytest

from mixcli.data.fields import Field
from mixcli.datasets import folder, folder_sink
from mixcli.datasets.folder import MixedFolder
from mixcli.datasets.folder_sink import FolderSink
from mixcli.errors import MixError
from mixcli.files.ply import read_ply_columns

N = 6
FIELDS = (
    Field("data", (N, 3), "<f4"),
    Field("label", (), "<i8"),
    Field("soft_label", (N,), "<f4"),  # as many classes as points
    Field("parent", (2,), "<i8"),
    Field("normal", (N, 3), "<f4"),
    Field("point_weight", (N,), "<f4"),
    Field("seg", (N, 2), "<i8"),
    Field("mask", (N,), "|u1"),
    Field("fine", (N, 1), "<f8"),
)
ROWS = 7


def values(rows=ROWS):
    rng = np.random.default_rng(0)
    found = {f.name: rng.integers(-100, 100, (rows, *f.shape)).astype(f.dtype) for f in FIELDS}
    return found | {name: rng.standard_normal(found[name].shape).astype("<f4") for name in ("data", "normal")}


def write(out, fields=FIELDS, arrays=None, rows=ROWS):
    sink = FolderSink(out, fields, rows)
    sink.create()
    arrays = arrays or values(rows)
    for window, part in ((0, slice(0, 4)), (1, slice(4, rows))):
        sink.write(window, part.start, {f.name: arrays[f.name][part] for f in fields})
        sink.finish(window)
    described = [{"name": f.name, "shape": list(f.shape), "dtype": f.dtype} for f in fields]
    sink.seal({"schema": "mixcli.manifest/1", "fields": described}, ("chair", "mug"))
    return out


@pytest.fixture
def made(tmp_path):
    return write(tmp_path / "mixed")


def lines_of(path):
    return (path / "metadata.jsonl").read_text().splitlines()


def put_lines(path, lines):
    (path / "metadata.jsonl").write_text("".join(line + "\n" for line in lines))


def test_how_it_looks(made):
    assert sorted(os.listdir(made)) == ["00000", "00001", "manifest.json", "metadata.jsonl"]
    assert sorted(os.listdir(made / "00001")) == ["000004.ply", "000005.ply", "000006.ply"]
    entries = [json.loads(line) for line in lines_of(made)]
    assert [e["file_name"] for e in entries] == [f"0000{int(i > 3)}/{i:06d}.ply" for i in range(ROWS)]
    assert list(entries[0]) == ["file_name", "label", "soft_label", "parent"], "fields of points are in the clouds"
    assert entries[5]["label"] == values()["label"][5]
    assert entries[5]["soft_label"] == values()["soft_label"][5].tolist()
    manifest = json.loads((made / "manifest.json").read_text())
    assert manifest["schema"] == "mixcli.manifest/1" and manifest["class_names"] == ["chair", "mug"]


def test_a_file_says_what_it_is(made):
    text = (made / "00001" / "000005.ply").read_bytes().split(b"end_header\n")[0].decode()
    lines = [line.rstrip() for line in text.splitlines()]
    a, b = values()["parent"][5]
    assert lines[:6] == [
        "ply", "format binary_little_endian 1.0", "comment row 5", f"comment label {values()['label'][5]}",
        f"comment parent {a}", f"comment parent {b}",
    ]  # fmt: skip
    assert lines[6:] == [
        f"element vertex {N}",
        *(f"property float {name}" for name in ("x", "y", "z", "nx", "ny", "nz", "point_weight")),
        "property int seg_0", "property int seg_1", "property uchar mask", "property double fine",
    ]  # fmt: skip
    sizes = {len(p.read_bytes()) for p in made.glob("*/*.ply")}
    assert len(sizes) == 1, "headers are of one length, so all files are of one size"


def test_any_reader_of_ply_finds_the_columns(made):
    columns, faces, _ = read_ply_columns(made / "00001" / "000005.ply")
    found = values()
    assert faces is None and len(columns) == 11
    expected = {
        "x": found["data"][5, :, 0], "nz": found["normal"][5, :, 2], "fine": found["fine"][5, :, 0],
        "seg_1": found["seg"][5, :, 1], "point_weight": found["point_weight"][5],
    }  # fmt: skip
    for name, column in expected.items():
        assert (columns[name] == column).all(), name


def test_open3d_opens_it(made):
    open3d = pytest.importorskip("open3d", exc_type=ImportError)
    path, found = str(made / "00001" / "000005.ply"), values()
    cloud = open3d.io.read_point_cloud(path)
    assert (np.asarray(cloud.points) == found["data"][5]).all()
    assert np.allclose(np.asarray(cloud.normals), found["normal"][5], atol=1e-6)
    tensors = open3d.t.io.read_point_cloud(path).point
    assert (tensors["positions"].numpy() == found["data"][5]).all()
    assert (tensors["normals"].numpy() == found["normal"][5]).all()
    assert (tensors["point_weight"].numpy()[:, 0] == found["point_weight"][5]).all()
    assert (tensors["seg_1"].numpy()[:, 0] == found["seg"][5, :, 1]).all()


def test_many_parents_keep_every_line_short(tmp_path):
    """RPly, and so Open3D, writes past its buffer on lines above 1024 bytes."""
    fields = (FIELDS[0], Field("parent", (200,), "<i8"))
    write(tmp_path / "mixed", fields, {"data": values()["data"], "parent": np.zeros((ROWS, 200), "<i8")})
    assert max(map(len, (tmp_path / "mixed" / "00000" / "000000.ply").read_bytes()[:9000].split(b"\n")[:200])) < 100


def test_rows_from_anywhere_in_pieces_as_at_once(made, monkeypatch):
    whole, found = MixedFolder(made), values()
    for limits in ({}, {"CACHED": 0}, {"CACHED": 0, "CHUNK": 1}):
        for name, value in limits.items():
            monkeypatch.setattr(folder, name, value)
        for rows in (np.array([6, 0, 0, 3]), np.arange(ROWS), np.arange(2, 6)):
            for f in FIELDS:
                assert whole.take(f.name, rows).tobytes() == found[f.name][rows].tobytes(), f.name
    with pytest.raises(IndexError):
        whole.take("label", np.array([ROWS]))


def test_only_wanted_lines_are_parsed_and_only_once(made, monkeypatch):
    parsed = []
    decode = folder.decode
    monkeypatch.setattr(folder, "decode", lambda f, lines, *more: parsed.extend(lines) or decode(f, lines, *more))
    file = MixedFolder(made)
    for name in file.names:
        file.read(name, 2, 3)
    assert parsed == [(line + "\n").encode() for line in lines_of(made)[2:5]]


def test_what_was_read_is_the_readers_own(made):
    file = MixedFolder(made)
    for f in FIELDS:
        file.read(f.name, 0, ROWS)[:] = 7
        assert file.read(f.name, 0, ROWS).tobytes() == values()[f.name].tobytes(), f.name


def test_part_labels_that_ply_cannot_hold(tmp_path):
    arrays = values()
    arrays["seg"][5, 3, 1] = 1 << 31
    with pytest.raises(MixError, match=r"row 5: 'seg' holds 2147483648, too large for a \.ply; write \.h5 or \.npz"):
        write(tmp_path / "mixed", arrays=arrays)


@pytest.mark.parametrize(
    "fields",
    [
        (),
        (Field("data", (8, 8, 4), "|u1"),),
        (FIELDS[0], Field("words", (N,), "<u8")),
        (FIELDS[0], Field("m", (2, 2), "<f4")),
    ],
)
def test_fields_that_fit_no_folder(tmp_path, fields):
    with pytest.raises(MixError, match=r"mixed: .*write \.h5"):
        FolderSink(tmp_path / "mixed", fields, 3)


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    sink = FolderSink(tmp_path / "mixed", FIELDS, ROWS)
    sink.create()
    write_ = os.write
    monkeypatch.setattr(folder_sink.os, "write", lambda d, data: write_(d, data[: len(data) // 2 + 1]))
    sink.write(0, 0, {name: a[:4] for name, a in values().items()})  # what was written in part is gone on with
    sink.finish(0)
    assert sink.read(0, 1, 3)["data"].tobytes() == values()["data"][1:4].tobytes()

    def full(descriptor, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder_sink.os, "write", full)
    with pytest.raises(MixError, match=r"mixed\.part: cannot be written \(No space left on device\).*--resume goes on"):
        sink.write(1, 4, {name: a[4:] for name, a in values().items()})


def test_a_row_that_was_never_written(tmp_path):
    sink = FolderSink(tmp_path / "mixed", FIELDS, ROWS)
    sink.create()
    sink.write(0, 0, {name: a[:4] for name, a in values().items()})
    sink.finish(0)
    with pytest.raises(MixError, match="row 4 was never written"):
        sink.seal({}, None)


def test_a_damaged_window_is_not_read_back(tmp_path):
    sink = FolderSink(tmp_path / "mixed", FIELDS, ROWS)
    sink.create()
    cloud, piece = sink.part / "00000" / "000002.ply", sink.pieces / "00000.jsonl"
    for damage in (
        lambda: os.remove(cloud),
        lambda: cloud.write_bytes(b""),
        lambda: os.remove(piece),
        lambda: piece.write_bytes(b""),
        lambda: piece.write_bytes(bytes(999)),
        lambda: piece.write_bytes(piece.read_bytes().replace(b"2.p", b"1.p")),
    ):
        sink.write(0, 0, {name: a[:4] for name, a in values().items()})
        sink.finish(0)
        assert sink.read(0, 0, 4)["label"].tobytes() == values()["label"][:4].tobytes()
        sink.close()
        damage()
        again = FolderSink(tmp_path / "mixed", FIELDS, ROWS)
        again.reopen(sink.layout)
        with pytest.raises(MixError):
            again.read(0, 0, 4)
        again.close()


@pytest.mark.parametrize("name", ["/etc/passwd", "../../secret.ply", "00000/../../secret.ply", "00001/000003.ply"])
def test_a_line_that_leads_elsewhere(made, name):
    lines = lines_of(made)
    lines[2] = lines[2].replace("00000/000002.ply", name)
    put_lines(made, lines)
    file = MixedFolder(made)
    for field in ("label", "data"):
        assert len(file.read(field, 3, 4)) == 4, "other rows are not touched by it"
        with pytest.raises(MixError, match=r"metadata\.jsonl, line 3: file_name"):
            file.read(field, 0, 4)
    assert [fault.split(" is not")[0] for fault in file.faults()] == [f"metadata.jsonl, line 3: file_name {name!r}"]


def test_lines_that_are_none_are_a_fault(made):
    (made / "metadata.jsonl").write_text("\n" * 99)
    fault = "metadata.jsonl, line 1: is too short or too long for a row of this dataset"
    assert list(MixedFolder(made).faults()) == [fault]


def test_a_file_named_twice(made):
    lines = lines_of(made)
    lines[3] = lines[2]
    put_lines(made, lines)
    assert "line 4: file_name '00000/000002.ply' is not that of row 3" in next(MixedFolder(made).faults())


def link(path):
    os.rename(path, path.parent.parent.parent / "away.ply")
    os.symlink(path.parent.parent.parent / "away.ply", path)


def pipe(path):
    os.remove(path)
    os.mkfifo(path)


def more_points(path):
    path.write_bytes(path.read_bytes().replace(b"element vertex 6", b"element vertex 9"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [(link, "line 6.*: is a symbolic link"), (pipe, "line 6.*: is no regular file"),
     (os.remove, "line 6.*: is missing"),
     (lambda p: p.write_bytes(p.read_bytes()[:-1]), r"holds \d+ bytes, a row of this dataset \d+"),
     (more_points, "header is not as mixcli wrote it"),
     (lambda p: p.write_bytes(p.read_bytes().replace(b"float x", b"float q")), "header is not as mixcli wrote it")],
)  # fmt: skip
def test_a_file_that_is_none(made, damage, message):
    damage(made / "00001" / "000005.ply")
    file = MixedFolder(made)
    assert len(file.read("label", 0, 9)) == ROWS and len(file.read("data", 0, 5)) == 5
    with pytest.raises(MixError, match=rf"00001/000005\.ply.*{message}"):
        file.read("data", 0, 9)
    faults = list(file.faults())
    assert len(faults) == 1 and faults[0].startswith("00001/000005.ply")


def test_a_linked_window_is_not_followed(made):
    os.rename(made / "00001", made.parent / "away")
    os.symlink(made.parent / "away", made / "00001")
    file = MixedFolder(made)
    with pytest.raises(MixError, match="00001: is a symbolic link"):
        file.read("data", 5, 1)
    assert "00001: no line of metadata.jsonl names it" in list(file.faults())


@pytest.mark.parametrize("name", ["metadata.jsonl", "manifest.json"])
def test_linked_lists_are_not_followed(made, name):
    os.rename(made / name, made.parent / "away")
    os.symlink(made.parent / "away", made / name)
    with pytest.raises(MixError, match=f"{name}: is a symbolic link"):
        MixedFolder(made).read("label", 0, 1)


def test_what_no_line_names_is_a_fault(made):
    for name in ("00000/000099.ply", "00000/notes.txt", "extra.ply", "README.md", ".DS_Store"):
        (made / name).write_text("?")
    assert sorted(MixedFolder(made).faults()) == [
        f"{name}: no line of metadata.jsonl names it" for name in ("00000/000099.ply", "00000/notes.txt", "extra.ply")
    ]


def test_many_faults_become_a_number(made, monkeypatch):
    monkeypatch.setattr(folder, "SHOWN", 2)
    for path in made.glob("*/*.ply"):
        os.remove(path)
    faults = list(MixedFolder(made).faults())
    assert len(faults) == 3 and faults[2] == "5 more files of rows are damaged"


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 1},
        {"fields": 3},
        {"fields": []},
        {"fields": [{}]},
        *({"fields": [{"name": "data", "shape": s, "dtype": "<f4"}]} for s in (3, [-1, 3], [10**9, 3], [6.0, 3])),
        {"fields": [{"name": "data", "shape": [N, 3], "dtype": "O"}]},
        {"fields": [{"name": "data", "shape": [N, 3], "dtype": "<f4"}] * 2},
        {"fields": [{"name": name, "shape": [N, 3], "dtype": "<f4"} for name in ("data", "property\n")]},
    ],
)
def test_a_manifest_that_lies(made, change):
    manifest = json.loads((made / "manifest.json").read_text())
    (made / "manifest.json").write_text(json.dumps(manifest | change))
    with pytest.raises(MixError, match="mixed"):
        MixedFolder(made)


def test_a_promise_of_more_points_takes_no_memory(made):
    manifest = json.loads((made / "manifest.json").read_text())
    manifest["fields"] = [{"name": "data", "shape": [3_000_000, 3], "dtype": "<f4"}]
    (made / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(MixError, match=r"holds \d+ bytes, a row of this dataset 36,000,"):
        MixedFolder(made).read("data", 0, 9)
