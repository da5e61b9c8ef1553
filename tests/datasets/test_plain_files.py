"""Files of a folder that nobody vouches for."""

import os

import pytest

from mixcli.datasets.plain_files import check_folders, is_plain, open_plain, remove
from mixcli.errors import MixError


def test_a_file_is_opened_with_its_size(tmp_path):
    (tmp_path / "a").write_bytes(b"four")
    descriptor, size = open_plain(tmp_path / "a")
    assert size == 4 and os.read(descriptor, 9) == b"four" and is_plain(tmp_path / "a")
    os.close(descriptor)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "is missing"),
        (lambda path: os.symlink("/etc/passwd", path), "is a symbolic link, which is not followed"),
        (os.mkfifo, "is no regular file"),  # and is not waited for
        (os.mkdir, "is no regular file"),
    ],
)
def test_what_is_no_file(tmp_path, make, says):
    path = tmp_path / "a"
    make(path)
    assert not is_plain(path)
    with pytest.raises(MixError) as error:
        open_plain(path)
    assert (error.value.address, error.value.reason) == (str(path), says)
    with pytest.raises(MixError) as error:
        open_plain(path, 7)
    assert error.value.address == f"{path} (metadata.jsonl, line 7)"


def test_a_linked_folder_is_told(tmp_path):
    (tmp_path / "00000").mkdir()
    os.symlink(tmp_path / "00000", tmp_path / "00001")
    check_folders(tmp_path, ["00000/000000.ply"])
    with pytest.raises(MixError, match="00001: is a symbolic link, which is not followed"):
        check_folders(tmp_path, ["00000/000000.ply", "00001/000001.ply"])


def test_of_a_link_only_the_link_is_removed(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "thesis.txt").write_text("years of work")
    os.symlink(tmp_path / "kept", tmp_path / "link")
    (tmp_path / "gone" / "inside").mkdir(parents=True)
    for name in ("link", "gone", "was never there"):
        remove(tmp_path / name)
    assert os.listdir(tmp_path) == ["kept"] and os.listdir(tmp_path / "kept") == ["thesis.txt"]
