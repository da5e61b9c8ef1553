"""The step to the final name, and what it leaves alone."""

import errno
import os

import pytest

from mixcli.datasets.place import clear, no_room, part_of, put_in_place, settle
from mixcli.errors import UsageError


def folder(path, text):
    path.mkdir()
    (path / "manifest.json").write_text(text)
    return path


OURS, NEW = '{"schema": "mixcli.manifest/1"}', '{"schema": "mixcli.manifest/1", "new": 1}'


@pytest.mark.parametrize("name", ["mixed", "mixed.h5"])
def test_a_folder_takes_the_place_of_anything_of_ours(tmp_path, name):
    out = tmp_path / name
    part = folder(part_of(out), NEW)
    if name == "mixed":
        folder(out, OURS)
    else:
        out.write_text("a file of this suffix is one that was asked for")
    put_in_place(part, out)
    assert os.listdir(tmp_path) == [name] and (out / "manifest.json").read_text() == NEW


def test_what_is_anothers_is_asked_about_at_the_very_last(tmp_path):
    """It may have come while the dataset was made."""
    out = folder(tmp_path / "mixed", '{"schema": "a thesis"}')
    part = folder(part_of(out), NEW)
    with pytest.raises(UsageError, match="mixed: is a folder that mixcli did not write; choose another --out"):
        put_in_place(part, out)
    assert (out / "manifest.json").read_text() == '{"schema": "a thesis"}' and part.exists()


@pytest.mark.parametrize("is_in_place", [False, True])
def test_what_a_kill_left_aside(tmp_path, is_in_place):
    out = tmp_path / "mixed"
    folder(tmp_path / "mixed.part.old", OURS)
    if is_in_place:
        folder(out, NEW)
    settle(out)
    assert os.listdir(tmp_path) == ["mixed"]
    assert (out / "manifest.json").read_text() == (NEW if is_in_place else OURS)


def test_no_part_with_anything_else_in_it_is_removed(tmp_path):
    part = folder(tmp_path / "mixed.part", OURS)
    (part / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError) as error:
        clear(part)
    assert error.value.reason == "holds thesis.txt, which mixcli did not write"
    os.symlink(part, tmp_path / "link.part")
    clear(tmp_path / "link.part")
    assert os.listdir(tmp_path) == ["mixed.part"] and (part / "thesis.txt").exists()


@pytest.mark.parametrize(
    ("error", "size", "says"),
    [
        (None, 1, "are free there"),
        (OSError(errno.ENOSPC, "No space left"), 1, "are free there"),
        (RuntimeError("unable to write"), 1 << 60, "are free there"),
        (OSError(errno.EIO, "Input/output error"), 1, "cannot be written (Input/output error)"),
        (RuntimeError("unable to write"), 1, "cannot be written (unable to write)"),
    ],
)
def test_a_disk_that_is_full_or_ill(tmp_path, error, size, says):
    told = no_room(error, tmp_path / "mixed.h5", size)
    assert told.address == str(tmp_path / "mixed.h5") and told.reason.endswith(says)
