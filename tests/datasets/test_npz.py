"""What is particular to `.npz`: numpy and unzip read it, checksums hold, hostile zips are refused."""

import json
import os
import struct
import zipfile

import numpy as np
import pytest

from mixcli.data.fields import Field
from mixcli.datasets import npz
from mixcli.datasets.npz import MixedNpz, NpzSink
from mixcli.errors import MixError

SPEC = (Field("data", (7, 3), "<f4"), Field("label", (), "<i8"), Field("draw", (0,), "<f4"), Field("mask", (3,), "|u1"))
MANIFEST = {"schema": "mixcli.manifest/1", "note": "ü"}


def rows(count, seed=0):
    rng = np.random.default_rng(seed)
    return {f.name: rng.integers(0, 200, (count, *f.shape)).astype(f.dtype) for f in SPEC}


def write(path, count=10):
    sink = NpzSink(path, SPEC, count)
    sink.create()
    sink.write(0, 0, rows(count))
    sink.finish(0)
    sink.seal(MANIFEST, ("a", "b"))
    return path


def test_numpy_and_zipfile_read_it(tmp_path):
    path = write(tmp_path / "a.npz")
    with np.load(path) as found:
        for name, values in rows(10).items():
            assert found[name].dtype == values.dtype and found[name].tobytes() == values.tobytes()
        assert json.loads(found["mixcli.json"]) == {**MANIFEST, "class_names": ["a", "b"]}
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["data.npy", "label.npy", "draw.npy", "mask.npy", "mixcli.json"]
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    file = MixedNpz(path)
    for name in file.names[:2]:
        assert npz.NpzSink(path, SPEC, 10).places[name] % 64 == 0, "mapped arrays are aligned"
    assert file.manifest() == MANIFEST and file.class_names == ("a", "b")


def test_equal_data_gives_equal_files(tmp_path):
    assert write(tmp_path / "a.npz").read_bytes() == write(tmp_path / "b.npz").read_bytes()


def test_space_is_reserved(tmp_path):
    sink = NpzSink(tmp_path / "a.npz", (Field("data", (1024, 3), "<f4"),), 100)
    sink.create()
    found = os.stat(sink.part)
    assert found.st_size >= 100 * 12288 and found.st_blocks * 512 >= 100 * 12288
    sink.close()


def test_large_files_are_zip64(tmp_path, monkeypatch):
    """With the limit at 100 bytes instead of 4 GB: every size and place is said by zip64."""
    monkeypatch.setattr(npz, "LIMIT", 100)
    path = write(tmp_path / "a.npz")
    raw = path.read_bytes()
    assert b"PK\6\6" in raw and b"PK\6\7" in raw and raw.count(struct.pack("<L", npz.WIDE)) >= 10
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None and archive.getinfo("data.npy").header_offset == 0
    assert np.load(path)["label"].tobytes() == rows(10)["label"].tobytes()
    assert list(MixedNpz(path).faults()) == []


def test_a_torn_header_is_written_again(tmp_path):
    sink = NpzSink(tmp_path / "a.npz", SPEC, 10)
    sink.create()
    sink.write(0, 0, rows(10))
    sink.close()
    raw = bytearray(sink.part.read_bytes())
    raw[:60] = bytes(60)
    sink.part.write_bytes(raw[:-9])
    again = NpzSink(tmp_path / "a.npz", SPEC, 10)
    again.reopen(sink.layout)
    found = again.read(0, 0, 10)
    assert found["data"].tobytes() == rows(10)["data"].tobytes()
    assert found["mask"].tobytes() != rows(10)["mask"].tobytes(), "what was cut off is gone: its digest will tell"
    again.write(0, 0, rows(10))
    again.seal(MANIFEST, None)
    assert list(MixedNpz(tmp_path / "a.npz").faults()) == [] and os.listdir(tmp_path) == ["a.npz"]


def test_a_flipped_bit_is_a_fault(tmp_path):
    path = write(tmp_path / "a.npz")
    raw = bytearray(path.read_bytes())
    raw[NpzSink(path, SPEC, 10).places["label"] + 9] ^= 4
    path.write_bytes(raw)
    assert list(MixedNpz(path).faults()) == ["label.npy: Bad CRC-32 for file 'label.npy'"]


def test_what_is_no_part_of_it_is_a_fault(tmp_path):
    path = write(tmp_path / "a.npz")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../evil.sh", "no")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("mixcli.json", json.dumps(MANIFEST))
    assert list(MixedNpz(path).faults()) == [
        "mixcli.json: is in it more than once", "../evil.sh: is no part of a dataset",
        "mixcli.json: is in it more than once",
    ]  # fmt: skip


def test_a_compressed_copy_is_read(tmp_path):
    values = rows(10)
    with (
        zipfile.ZipFile(write(tmp_path / "b.npz")) as source,
        zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name in source.namelist():
            archive.writestr(name, source.read(name))
    file = MixedNpz(tmp_path / "a.npz")
    assert file.manifest() == MANIFEST and list(file.faults()) == []
    for name in values:
        assert file.read(name, 2, 5).tobytes() == values[name][2:7].tobytes()
        assert file.take(name, np.array([9, 0])).tobytes() == values[name][[9, 0]].tobytes()


def test_a_bomb_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mixcli.json", json.dumps(MANIFEST))
        archive.writestr("data.npy", bytes(20_000_000))
    with pytest.raises(MixError, match=r"a\.npz: 'data\.npy' is .* bytes that claim to be 20,000,000"):
        MixedNpz(tmp_path / "a.npz")


def test_pickles_are_not_read(tmp_path):
    np.savez(tmp_path / "a.npz", data=np.array([{}], object))
    with pytest.raises(MixError, match=r"a\.npz: 'data' holds pickled objects"):
        MixedNpz(tmp_path / "a.npz").read("data", 0, 1)


def test_a_header_that_lies_is_refused(tmp_path):
    path = write(tmp_path / "a.npz")
    raw = path.read_bytes()
    for lie in (b"(10, 7, 9)", b"(99, 7, 3)"):
        path.write_bytes(raw.replace(b"(10, 7, 3)", lie))
        with pytest.raises(MixError, match=r"a\.npz: 'data'"):
            MixedNpz(path).read("data", 0, 10)
