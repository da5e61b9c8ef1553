"""What is particular to a folder of archives: others load it, the same rows are the same bytes, nothing is believed."""

import io
import json
import os
import tarfile

import numpy as np
import pytest
from PIL import Image

from mixcli.data.fields import Field, image_fields
from mixcli.datasets import tar_sink
from mixcli.datasets.container import open_mixed, open_sink
from mixcli.errors import MixError
from mixcli.sources.images.tar import samples

SIZE, ROWS = (6, 9), 7
FIELDS = image_fields(SIZE, 3, 2, 1, True, ("mask",))


def values(fields=FIELDS, rows=ROWS):
    rng = np.random.default_rng(0)
    return {f.name: rng.integers(0, 256, (rows, *f.shape)).astype(f.dtype) for f in fields}


def write(out, fields=FIELDS, rows=ROWS):
    sink, arrays = open_sink(out, fields, rows, "tar"), values(fields, rows)
    sink.create()
    for window, part in ((0, slice(0, 4)), (1, slice(4, rows))):
        sink.write(window, part.start, {f.name: arrays[f.name][part] for f in fields})
        sink.finish(window)
    described = [{"name": f.name, "shape": list(f.shape), "dtype": f.dtype} for f in fields]
    sink.seal({"schema": "mixcli.manifest/1", "fields": described}, ("cat", "dog", "owl"))
    return out


@pytest.fixture
def made(tmp_path):
    return write(tmp_path / "mixed")


def test_how_it_looks(made):
    assert sorted(os.listdir(made)) == ["00000.tar", "00001.tar", "manifest.json"]
    raw = (made / "00001.tar").read_bytes()
    assert raw[257:265] == b"ustar\x0000" and len(raw) % 512 == 0 and raw.endswith(bytes(1024))
    with tarfile.open(made / "00001.tar") as archive:
        found = archive.getmembers()
        names = [f"00000{row}{kind}" for row in (4, 5, 6) for kind in (".png", ".mask.png", ".json")]
        assert [m.name for m in found] == names
        assert {(m.uid, m.gid, m.mtime, m.mode, m.uname, m.gname) for m in found} == {(0, 0, 0, 0o644, "", "")}
        entry = json.load(archive.extractfile("000005.json"))
        assert list(entry) == [f.name for f in FIELDS if f.name not in ("data", "mask")]
        assert entry["soft_label"] == values()["soft_label"][5].tolist() and entry["label"] == values()["label"][5]
        for name, field in (("000005.png", "data"), ("000005.mask.png", "mask")):
            assert (np.asarray(Image.open(archive.extractfile(name))) == values()[field][5]).all()


def test_the_same_rows_are_the_same_bytes(made, tmp_path):
    again = write(tmp_path / "again")
    for name in os.listdir(made):
        assert (made / name).read_bytes() == (again / name).read_bytes()


def test_a_source_of_archives_finds_the_samples(made):
    found = dict(samples(made / "00001.tar"))
    assert list(found) == ["000004", "000005", "000006"] and set(found["000005"]) == {"png", "mask.png", "json"}


def test_only_images(tmp_path):
    with pytest.raises(MixError, match=r"mixed: webdataset is for images, and these are clouds"):
        open_sink(tmp_path / "mixed", (Field("data", (5, 3), "<f4"),), 1, "tar")


def test_no_room(tmp_path):
    sink = open_sink(tmp_path / "mixed", FIELDS, 10**12, "tar")
    with pytest.raises(MixError, match=r"mixed: needs .* MB are free there; nothing was written"):
        sink.create()
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    sink = open_sink(tmp_path / "mixed", FIELDS, ROWS, "tar")
    sink.create()
    write_ = os.write
    monkeypatch.setattr(tar_sink.os, "write", lambda d, data: write_(d, data[: len(data) // 2 + 1]))
    sink.write(0, 0, {name: a[:4] for name, a in values().items()})
    sink.finish(0)
    assert sink.read(0, 1, 3)["data"].tobytes() == values()["data"][1:4].tobytes()

    def full(descriptor, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tar_sink.os, "write", full)
    with pytest.raises(MixError, match=r"cannot be written \(No space left on device\).*--resume goes on"):
        sink.write(1, 4, {name: a[4:] for name, a in values().items()})


def test_a_row_that_was_never_written(tmp_path):
    sink = open_sink(tmp_path / "mixed", FIELDS, ROWS, "tar")
    sink.create()
    sink.write(0, 0, {name: a[:4] for name, a in values().items()})
    sink.finish(0)
    with pytest.raises(MixError, match="row 4 was never written"):
        sink.seal({}, None)


def test_a_damaged_window_is_not_read_back(tmp_path):
    sink = open_sink(tmp_path / "mixed", FIELDS, ROWS, "tar")
    sink.create()
    path = sink.part / "00000.tar"
    for damage in (
        lambda: os.remove(path),
        lambda: path.write_bytes(b""),
        lambda: path.write_bytes(bytes(9999)),
        lambda: path.write_bytes(path.read_bytes()[:-3000]),
    ):
        sink.write(0, 0, {name: a[:4] for name, a in values().items()})
        sink.finish(0)
        assert sink.read(0, 0, 4)["label"].tobytes() == values()["label"][:4].tobytes()
        sink.close()
        damage()
        again = open_sink(tmp_path / "mixed", FIELDS, ROWS, "tar")
        again.reopen(sink.layout)
        with pytest.raises(MixError, match=r"00000\.tar"):
            again.read(0, 0, 4)


def rewritten(path, change):
    """The archive again, with every member passed through `change` -> [(member, bytes)]."""
    with tarfile.open(path) as archive:
        found = [(m, archive.extractfile(m).read()) for m in archive.getmembers()]
    with tarfile.open(path, "w") as archive:
        for m, data in found:
            for changed, contents in change(m, data):
                changed.size = 0 if changed.issym() else len(contents)
                archive.addfile(changed, io.BytesIO(contents))


def renamed(name):
    def change(m, data):
        m.name = name if m.name == "000005.png" else m.name
        return [(m, data)]

    return change


def without(name):
    return lambda m, data: [] if m.name == name else [(m, data)]


def linked(m, data):
    if m.name == "000005.png":
        m.type, m.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return [(m, data)]


def resized(m, data):
    return [(m, data + bytes(1 << 20) if m.name == "000005.png" else data)]


@pytest.mark.parametrize(
    ("change", "message"),
    [(renamed("../../000005.png"), "which is none of a row's files"), (renamed("000005.exe"), "none of a row's files"),
     (renamed("000004.png"), r"000004\.png is there twice"), (renamed("000003.png"), r"000003\.png is there twice"),
     (linked, "which is none of a row's files"), (resized, "is too large for a row"),
     (without("000005.json"), r"row 5 lacks its \.png or \.json"),
     (without("000005.mask.png"), r"row 5 lacks its \.mask\.png or \.json")],
)  # fmt: skip
def test_members_that_are_no_rows(made, change, message):
    rewritten(made / "00001.tar", change)
    with pytest.raises(MixError, match=rf"mixed.*{message}"):
        open_mixed(made).read("label", 0, 1)
    assert len(list(open_mixed(made).faults())) == 1


def test_an_archive_made_anew_is_as_good(made):
    rewritten(made / "00001.tar", lambda m, data: [(m, data)])
    file = open_mixed(made)
    assert list(file.faults()) == []
    for name, array in values().items():
        assert file.read(name, 0, ROWS).tobytes() == array.tobytes(), name


def test_an_archive_that_is_away(made):
    os.rename(made / "00000.tar", made.parent / "away")
    with pytest.raises(MixError, match="row 0 is missing; an archive was removed"):
        open_mixed(made).field("data")
    os.symlink(made.parent / "away", made / "00000.tar")
    with pytest.raises(MixError, match=r"00000\.tar: is a symbolic link"):
        open_mixed(made).field("data")


def test_a_damaged_picture_is_a_fault(made):
    raw = (made / "00001.tar").read_bytes()
    at = raw.index(b"IDAT") + 8
    (made / "00001.tar").write_bytes(raw[:at] + bytes([raw[at] ^ 255]) + raw[at + 1 :])
    (made / "notes.txt").write_text("?")
    faults = list(open_mixed(made).faults())
    assert len(faults) == 2 and faults[0].startswith("00001.tar/000004.png: is damaged")
    assert faults[1] == "notes.txt: is no part of the dataset"
