"""Names of a dataset's own files, and those of others among them."""

import os

import pytest

from mixcli.datasets.folder_names import files_in, foreign, is_of_tars, tar_name, tars_of

OWN = ["manifest.json", "metadata.jsonl", "00000.tar", "00001.tar.tmp", "00000/000000.ply", "00001.tmp/000001.png"]
OWN += ["00002/000002.mask.png", "123456789/123456789012.webp"]
OTHERS = ["notes.txt", "0000.tar", "00000.tar.tmp.tmp", "00000/notes.txt", "0000/000000.ply", "00000/000000.mask.jpg"]
OTHERS += ["00000/deep/000000.ply", "manifest.json.bak"]


def put(folder, name):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("?")


def test_its_own(tmp_path):
    for name in OWN:
        put(tmp_path, name)
    assert foreign(tmp_path) is None
    assert sorted(os.path.relpath(entry.path, tmp_path) for entry in files_in(tmp_path)) == sorted(OWN)


@pytest.mark.parametrize("name", OTHERS)
def test_those_of_others(tmp_path, name):
    put(tmp_path, "00000/000000.ply")
    put(tmp_path, name)
    assert name.startswith(foreign(tmp_path)), "the file, or the folder in which it lies"


def test_a_link_is_none_of_its_own(tmp_path):
    os.symlink("/etc/passwd", tmp_path / "manifest.json")
    assert foreign(tmp_path) == "manifest.json"


def test_archives_in_the_order_of_their_windows(tmp_path):
    for window in (100_000, 2, 10):
        put(tmp_path, tar_name(window))
    put(tmp_path, "00003.tar.tmp")
    assert [path.name for path in tars_of(tmp_path)] == ["00002.tar", "00010.tar", "100000.tar"]
    assert not is_of_tars(tmp_path), "nothing says that it is a dataset"
    put(tmp_path, "manifest.json")
    assert is_of_tars(tmp_path)
    put(tmp_path, "metadata.jsonl")
    assert not is_of_tars(tmp_path)
