"""Is this ours? From the manifest's text alone, whatever lies at a path."""

import json
import os
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest
from test_container import CLOUDS, FIELDS, KINDS, arrays, write

from mixcli.datasets.container import open_mixed
from mixcli.datasets.recognise import SMALL, container_at, is_mixed, replaceable, text_at
from mixcli.errors import MixError, UsageError

OURS = json.dumps({"schema": "mixcli.manifest/1"})


def write_npz(path, *members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_the_manifest_is_all_that_is_read(tmp_path, kind):
    """Rows of it may be damaged beyond reading: it stays ours, and may be replaced."""
    out = tmp_path / KINDS[kind]
    write(out, kind, arrays(FIELDS[kind]))
    assert container_at(out) == ("folder" if kind == "png" else kind)
    assert json.loads(text_at(out))["schema"] == "mixcli.manifest/1"
    for path in (*out.glob("metadata.jsonl"), *out.glob("0*.tar"), *out.glob("*/*.p*")):
        path.write_bytes(b"")
    assert is_mixed(out)
    replaceable(out)


def test_fields_that_no_reader_takes_do_not_make_it_anothers(tmp_path):
    out = tmp_path / "mixed"
    write(out, "folder", arrays(CLOUDS))
    (out / "manifest.json").write_text(json.dumps({**json.loads(OURS), "fields": 3}))
    assert is_mixed(out)
    with pytest.raises(MixError, match="has no usable list of fields"):
        open_mixed(out)


CHECK = """
import sys
from mixcli.datasets.recognise import is_mixed
assert is_mixed({path!r})
readers = ("container", "codec", "codecs", "folder", "folder_reader", "h5", "npz", "tar_folder", "dataset")
loaded = [name for name in readers if "mixcli.datasets." + name in sys.modules]
assert not loaded, loaded
assert "PIL" not in sys.modules and ({h5!r} or "h5py" not in sys.modules)
"""


@pytest.mark.parametrize("kind", KINDS)
def test_no_reader_is_loaded(tmp_path, kind):
    out = tmp_path / KINDS[kind]
    write(out, kind, arrays(FIELDS[kind]))
    code = CHECK.format(path="PATH", h5=kind == "h5").replace("'PATH'", f"__import__('pathlib').Path({str(out)!r})")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_linked_manifest_is_none(tmp_path):
    (tmp_path / "mixed").mkdir()
    (tmp_path / "away.json").write_text(OURS)
    os.symlink(tmp_path / "away.json", tmp_path / "mixed" / "manifest.json")
    assert not is_mixed(tmp_path / "mixed")


def test_of_two_manifests_in_an_archive_the_last_counts(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        path = write_npz(tmp_path / "a.npz", ("mixcli.json", "{}"), ("mixcli.json", OURS))
    assert is_mixed(path)


def test_a_bomb_is_not_unpacked(tmp_path):
    path = write_npz(tmp_path / "a.npz", ("mixcli.json", OURS + " " * (SMALL + 1)))
    assert not is_mixed(path)
    with pytest.raises(MixError, match=r"a\.npz: 'mixcli\.json' is .* bytes that claim to be 16,") as error:
        text_at(path)
    assert error.value.advice == "save it with numpy.savez"


def test_hdf5_may_begin_behind_a_block_of_the_users(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=512) as file:
        file.attrs["mixcli"] = OURS
    assert is_mixed(tmp_path / "a.h5")


def test_what_is_no_dataset(tmp_path):
    broken = {"a.h5": b"", "b.npz": b"PK\3\4 no", "c.txt": b"text", "d.h5": b"\x89HDF\r\n\x1a\n" + b"x" * 99}
    for name, raw in broken.items():
        (tmp_path / name).write_bytes(raw)
    (tmp_path / "folder").mkdir()
    (tmp_path / "lying").mkdir()
    (tmp_path / "lying" / "manifest.json").write_text('{"schema": "other"}')
    os.mkfifo(tmp_path / "fifo")
    np.savez(tmp_path / "plain.npz", data=np.zeros(3))
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["data"] = np.zeros(3)
    for path in [*tmp_path.iterdir(), tmp_path / "missing"]:
        assert not is_mixed(path), path
        with pytest.raises(MixError, match=path.name):
            open_mixed(path).manifest()


def test_only_a_dataset_is_replaced(tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    replaceable(mine)  # empty
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="mine: is a folder that mixcli did not write"):
        replaceable(mine)
    write(tmp_path / "mixed", "folder", arrays(CLOUDS))
    replaceable(tmp_path / "mixed")
    (tmp_path / "mixed" / "00000" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"mixed: holds 00000/notes\.txt, which mixcli did not write"):
        replaceable(tmp_path / "mixed")
    (tmp_path / "tool").write_text("a program")
    with pytest.raises(UsageError, match="tool: is a file that mixcli did not write"):
        replaceable(tmp_path / "tool")
    os.symlink(mine, tmp_path / "link")
    with pytest.raises(UsageError, match="symbolic link"):
        replaceable(tmp_path / "link")
    (tmp_path / "any.h5").write_text("named by its suffix")
    replaceable(tmp_path / "any.h5")
    replaceable(tmp_path / "none")
