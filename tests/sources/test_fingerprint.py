"""The bytes that a part is made of."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from conftest import write_h5

from mixcli.sources import fingerprint
from mixcli.sources.reading import Reading
from mixcli.sources.source import CloudSource, open_source


def part(path):
    return open_source([str(path)])[0].parts[0]


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "root"
    for name in ("chair/b.txt", "chair/a.txt", "lamp/a.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"0 0 {len(name)}\n" * 4)
    return root


def test_one_file_is_its_own_digest(tmp_path):
    path = write_h5(tmp_path / "a.h5", np.zeros((3, 4, 3), np.float32), np.arange(3))
    raw = path.read_bytes()
    expected = {"path": str(path), "sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw), "count": 3}
    assert fingerprint.describe(part(path)) == expected


def test_several_files_by_name_and_digest(folder):
    found = fingerprint.describe(part(folder))
    names = ["chair/a.txt", "chair/b.txt", "lamp/a.txt"]
    lines = [f"{n}\0{hashlib.sha256((folder / n).read_bytes()).hexdigest()}\n" for n in names]
    assert found["sha256"] == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert found["bytes"] == sum((folder / n).stat().st_size for n in names) and found["count"] == 3
    assert found["path"] == str(folder)


def test_a_class_of_one_file_has_its_name_in_the_digest(folder):
    for name in ("chair/b.txt", "lamp/a.txt"):
        (folder / name).unlink()
    (folder / "lamp").rmdir()
    before = fingerprint.describe(part(folder))["sha256"]
    (folder / "chair").rename(folder / "lamp")
    assert fingerprint.describe(part(folder))["sha256"] != before


def test_it_moves_with_the_folder_and_changes_with_any_byte(folder, tmp_path):
    before = fingerprint.describe(part(folder))
    folder.rename(tmp_path / "elsewhere")
    moved = fingerprint.describe(part(tmp_path / "elsewhere"))
    assert moved == {**before, "path": str(tmp_path / "elsewhere")}
    with open(tmp_path / "elsewhere" / "lamp" / "a.txt", "r+") as file:
        file.write("1")
    changed = part(tmp_path / "elsewhere")
    digest = fingerprint.digest(changed)
    assert fingerprint.size(changed) == before["bytes"] and digest != before["sha256"]
    os.rename(tmp_path / "elsewhere" / "lamp" / "a.txt", tmp_path / "elsewhere" / "lamp" / "c.txt")
    assert fingerprint.digest(part(tmp_path / "elsewhere")) != digest


def test_a_list_and_its_clouds(tmp_path):
    (tmp_path / "modelnet40_shape_names.txt").write_text("chair\nlamp\n")
    (tmp_path / "modelnet40_train.txt").write_text("lamp_0001\nchair_0001\n")
    for name in ("chair", "lamp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}_0001.txt").write_text("0,0,0\n")
    first = fingerprint.digest(part(tmp_path))
    (tmp_path / "modelnet40_shape_names.txt").write_text("lamp\nchair\n")
    assert fingerprint.digest(part(tmp_path)) != first, "the labels are others"


def test_recorded_paths_open_the_same_parts(folder, tmp_path, monkeypatch):
    """Lists, folders and files, one by one and all of a kind together."""
    for split in ("train", "test"):
        (folder / f"modelnet40_{split}.txt").write_text(f"lamp_{split}\n")
        (folder / "lamp" / f"lamp_{split}.txt").write_text("0 0 1\n" * 4)
    (folder / "modelnet40_shape_names.txt").write_text("chair\nlamp\n")
    stacked = tmp_path / "stacked"
    stacked.mkdir()
    for i, name in enumerate(("train1.h5", "train0.h5", "test.h5")):
        write_h5(stacked / name, np.full((3, 4, 3), i, np.float32), np.arange(3))
    flat = tmp_path / "flat"
    (flat / "chair" / "train").mkdir(parents=True)
    (flat / "chair" / "train" / "a.txt").write_text("0 0 1\n")
    (flat / "chair" / "test").mkdir()
    (flat / "chair" / "test" / "b.txt").write_text("0 0 1\n")
    monkeypatch.chdir(tmp_path)
    for argument, parts in (("root", 2), ("stacked", 3), ("flat", 1)):
        for split in ("auto", "train", "test", "all"):
            reading = Reading(split)
            source = open_source([argument], reading)[0]
            assert len(source.parts) == parts or split != "all"
            recorded = [fingerprint.describe(p) for p in source.parts]
            paths = [r["path"] for r in recorded]
            for again in (CloudSource([Path(p) for p in paths], reading), open_source(paths, reading)[0]):
                assert [fingerprint.describe(p) for p in again.parts] == recorded
                assert (again.labels == source.labels).all()


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "data").mkdir()
    write_h5(tmp_path / "data" / "a.h5", np.zeros((3, 4, 3), np.float32), np.arange(3))
    (tmp_path / "b.h5").symlink_to("data/a.h5")
    found = fingerprint.describe(part(tmp_path / "b.h5"))
    assert found["path"] == str(tmp_path / "b.h5") and found["bytes"] == (tmp_path / "data" / "a.h5").stat().st_size


def test_names_that_are_no_unicode(tmp_path):
    os.makedirs(os.fsencode(tmp_path) + b"/root/st\xfchle")
    with open(os.fsencode(tmp_path) + b"/root/st\xfchle/a.txt", "w") as file:
        file.write("0 0 0\n")
    (tmp_path / os.fsdecode(b"r\xfct")).symlink_to("root")
    found = fingerprint.describe(part(tmp_path / os.fsdecode(b"r\xfct")))
    assert json.loads(json.dumps(found)) == found and len(found["sha256"]) == 64
