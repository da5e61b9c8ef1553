"""`--in -`: files as find prints them are the class folders that they lie in, and are found again by the manifest."""

import io
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import rows_of
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import mixcli
from mixcli.errors import MixError, UsageError
from mixcli.methods import get
from mixcli.pipeline.job import Job
from mixcli.pipeline.report import Report
from mixcli.pipeline.run import run
from mixcli.sources import named_files as listed_
from mixcli.sources.image_source import open_picture_source
from mixcli.sources.named_files import Listed, Root, again, classes, listed
from mixcli.sources.source import open_source


def named(*lines, end="\n"):
    return listed(io.BytesIO("".join(f"{line}{end}" for line in lines).encode()))


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """12 pictures in three class folders."""
    monkeypatch.chdir(tmp_path)
    for i in range(12):
        path = tmp_path / "photos" / ("owl", "cat", "dog")[i % 3] / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), 20 * i, np.uint8)).save(path)
    return tmp_path / "photos"


def files_of(folder, pattern="*/*.png"):
    found = [str(path) for path in folder.glob(pattern)]
    random.Random(0).shuffle(found)
    return found


def clouds(folder, suffix=".xyz", between=""):
    for i in range(12):
        path = folder / ("owl", "cat")[i % 2] / between / f"{i:02d}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savetxt(path, np.random.default_rng(i).uniform(-1, 1, (32, 3)))
    return folder


def test_lines(photos):
    expected = Listed(photos, ("cat/01.png", "dog/02.png", "owl/00.png"))
    names = ["photos/owl/00.png", "./photos//dog/02.png", f"{photos}/cat/01.png"]
    assert named(*names) == named(*names, end="\r\n") == named("", *names, " ", names[0]) == named(*names, end="\0")
    assert named(*names) == expected == listed(io.BytesIO("\n".join(names).encode()))
    os.chdir(photos / "dog")
    assert named("../owl/00.png", "02.png", "../cat/../cat/01.png") == expected


def test_names_of_any_bytes(photos):
    odd = os.fsencode(photos / "cat") + b"/ a\xff b\n.png"
    shutil.copy(photos / "cat" / "01.png", odd)
    source, _ = open_picture_source([listed(io.BytesIO(odd + b"\0" + os.fsencode(photos / "owl/00.png")))])
    assert source.labels.tolist() == [0, 1] and json.loads(json.dumps(source.parts[0].names)) == source.parts[0].names
    assert source.parts[0].read(np.array([0]))[0].shape == (8, 8, 3)


def test_lists_that_are_none(photos):
    for lines, says in (([], "no file name came"), ([" ", ""], "no file name came"), (["photos/cat"], "is a folder")):
        with pytest.raises(UsageError, match=f"--in -: .*{says}"):
            named(*lines)
    with pytest.raises(UsageError, match=r"cat/99\.png: no such file"):
        open_picture_source([named("photos/cat/99.png")])
    with pytest.raises(UsageError, match=r"readme\.md: no images in it"):
        (photos / "readme.md").write_text("?")
        open_picture_source([named("photos/readme.md")])


def test_a_list_without_end_takes_no_memory(monkeypatch):
    monkeypatch.setattr(listed_, "MOST_BYTES", 100)
    with pytest.raises(UsageError, match="more than 100 bytes are no list of files"):
        named("x" * 101)


def test_pictures_are_those_of_the_class_folders(photos):
    found, folder = open_picture_source([named(*files_of(photos))])[0], open_picture_source([str(photos)])[0]
    assert found.class_names == folder.class_names == ("cat", "dog", "owl")
    assert found.labels.tolist() == folder.labels.tolist() and found.parts[0].names == folder.parts[0].names
    assert found.paths == [str(photos)] and isinstance(found.paths[0], Root)


@pytest.mark.parametrize("between", ["", "train"])
def test_clouds_are_those_of_the_class_folders(tmp_path, between):
    folder = clouds(tmp_path / "clouds", between=between)
    found, whole = open_source([named(*files_of(folder, "**/*.xyz"))])[0], open_source([str(folder)])[0]
    assert found.class_names == whole.class_names == ("cat", "owl")
    assert found.labels.tolist() == whole.labels.tolist() and found.parts[0].names == whole.parts[0].names
    (folder / "shape_names.txt").write_text("owl\ncat\n")
    found = open_source([named(*files_of(folder, "**/*.xyz"), folder / "shape_names.txt")])[0]
    whole = open_source([str(folder)])[0]
    assert found.class_names == ("owl", "cat") == whole.class_names and found.labels.tolist() == whole.labels.tolist()


def test_files_of_many_samples_are_read_as_they_are(tiny, photos):
    assert open_source([named(tiny.source)])[0].paths == [tiny.source]
    np.savez(photos / "more.npz", images=np.zeros((5, 8, 8, 3), np.uint8), labels=np.arange(5) % 3)
    with pytest.raises(MixError, match=r"more\.npz: "):
        open_source([named(photos / "more.npz")])
    source, _ = open_picture_source([named(*files_of(photos), photos / "more.npz")])
    assert len(source) == 17 and len(source.parts) == 2 and source.paths[1] == photos / "more.npz"


def test_a_list_of_class_names_numbers_them(photos):
    (photos / "classes.txt").write_text("bee\nowl\ndog\ncat\n")
    source, _ = open_picture_source([named("photos/cat/01.png", "photos/owl/00.png")])
    assert source.class_names == ("bee", "owl", "dog", "cat") and source.labels.tolist() == [1, 3]
    (photos / "classes.txt").write_text("bee\ndog\ncat\n")
    with pytest.raises(UsageError, match=r"owl: class 'owl' is not in .*classes\.txt; add it there"):
        open_picture_source([named("photos/cat/01.png", "photos/owl/00.png")])
    deeper = photos.parent / "more" / "deep" / "owl" / "0.png"
    deeper.parent.mkdir(parents=True)
    shutil.copy(photos / "owl" / "00.png", deeper)
    (photos.parent / "classes.txt").write_text("other\n")  # not beside the classes' folders
    assert open_picture_source([named("photos/cat/01.png", deeper)])[0].class_names == ("cat", "owl")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 99)), min_size=1, max_size=20, unique=True))
def test_the_order_of_the_names_says_nothing(tmp_path_factory, files):
    root = tmp_path_factory.mktemp("any")
    for klass, number in files:
        (root / klass).mkdir(exist_ok=True)
        (root / klass / f"{number}.png").touch()
    names = [f"{root}/{klass}/{number}.png" for klass, number in files]
    one, other = (classes(named(*order)) for order in (names, names[::-1]))
    assert one.names == other.names and one.lists == other.lists == ()
    assert one.labels.hard.tolist() == other.labels.hard.tolist()
    assert one.labels.names == other.labels.names == tuple(sorted({klass for klass, _ in files}))


def test_a_file_in_no_folder(monkeypatch):
    monkeypatch.setattr(os.path, "isfile", lambda path: True)
    with pytest.raises(UsageError, match="in no folder that could name its class"):
        classes(Listed(Path("/"), ("x.png",)))


def mix(files, out, method="cutmix", **arguments):
    return run(Job(get(method)(), (named(*files),), Path(out), window=6, **arguments), Report())


def test_a_run_is_that_of_the_folder_and_is_found_again(photos):
    made = mix(files_of(photos), "mixed.h5")
    whole = mixcli.mix("cutmix", "photos", "whole.h5", window=6)
    assert rows_of(made.path) == rows_of(whole.path)
    entry = made.manifest["source"]["files"][0]
    assert entry["path"] == str(photos) and len(entry["names"]) == 12
    assert mixcli.verify("mixed.h5", replay=None) == {**mixcli.verify("whole.h5", replay=None), "path": "mixed.h5"}
    (photos / "owl" / "more.png").write_bytes((photos / "owl" / "00.png").read_bytes())
    assert mixcli.verify("mixed.h5", replay=None)["faults"] == [], "a file that was not named is none of it"
    assert mixcli.verify("whole.h5")["faults"]
    os.rename(photos, "moved")
    found = mixcli.verify("mixed.h5")
    assert found["faults"] == [] and "01.png: no such file); --source says where it is" in found["notes"][0]
    assert mixcli.verify("mixed.h5", replay=None, source=["moved"])["faults"] == []
    Path("moved/cat/01.png").write_bytes(Path("moved/cat/04.png").read_bytes())
    assert mixcli.verify("mixed.h5", source=["moved"])["faults"]


def test_clouds_are_found_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = files_of(clouds(tmp_path / "clouds"), "**/*.xyz")
    mix(files, "mixed.h5", "pointmixup", points=32)
    assert mixcli.verify("mixed.h5", replay=None)["faults"] == []
    assert len(mixcli.verify("mixed.h5")["notes"]) == 0


def test_the_output_may_lie_beside_what_is_read(photos):
    """Only the named files are read of their common folder, whatever else is written there."""
    shutil.copytree(photos / "cat", photos.parent / "other" / "cow")
    files = [*files_of(photos), *files_of(photos.parent / "other")]
    assert mix(files, "mixed.h5").rows == 16
    assert mixcli.verify("mixed.h5", replay=None)["faults"] == []


def test_resume_and_another_list(photos):
    made = mix(files_of(photos), "mixed.h5")
    there = mix(sorted(files_of(photos)), "mixed.h5", resume=True).manifest
    assert there["started"] == made.manifest["started"] and there["windows"] == made.manifest["windows"]
    with pytest.raises(UsageError, match="the source is another"):
        mix(files_of(photos)[:-1], "mixed.h5", resume=True)


@pytest.mark.parametrize("name", ["../../etc/passwd.png", "/etc/passwd.png", "cat/../../x.png", "a\0.png"])
def test_a_manifest_that_names_files_elsewhere(photos, name):
    with pytest.raises(UsageError, match="which is not inside; it was changed"):
        again([{"path": str(photos), "names": ["cat/01.png", name]}], [photos])


def test_what_a_manifest_says_of_others_is_their_path(photos):
    assert again([{"path": "a"}, {"path": "b", "names": ["c/d.png"]}], ["x", photos]) == [
        "x", Listed(photos, ("c/d.png",))
    ]  # fmt: skip
    assert again([{"path": "a", "names": ["c/d.png"]}], ["x", "y"]) == ["x", "y"]


def command(*arguments, **options):
    done = subprocess.run([sys.executable, "-m", "mixcli", *map(str, arguments)], capture_output=True, **options)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_from_a_pipe(photos):
    found = subprocess.run(["find", "photos", "-type", "f", "-print0"], capture_output=True).stdout
    code, out, err = command("cutmix", "--in", "-", "--out", "mixed.h5", input=found)
    assert (code, out) == (0, "mixed.h5\n"), err
    assert mixcli.verify("mixed.h5", replay=2)["faults"] == []
    code, _, err = command("rsmix", "--in", "-", "--out", "no.h5", input=found)
    assert code == 2 and "holds images; rsmix mixes points" in err
    assert command("cutmix", "--in", "-", "--out", "no.h5", input=b"")[0] == 2
    listing = f"{photos / 'cat' / '01.png'}\n{photos / 'cat' / '04.png'}\n".encode()
    code, out, err = command("cutmix", "--in", "-", "--out", "no.h5", "--dry-run", input=listing)
    assert code == 0 and "samples   2" in out, err


def test_a_terminal_is_refused(photos):
    master, slave = os.openpty()
    code, _, err = command("cutmix", "--in", "-", "--out", "no.h5", stdin=slave)
    os.close(slave)
    os.close(master)
    assert code == 2 and "stdin is a terminal" in err
