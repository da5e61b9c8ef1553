"""All containers behind one interface: rows in place, killed anywhere and gone on with, replaced safely."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from mixcli.data.fields import Field
from mixcli.datasets.container import container_of, open_mixed, open_sink
from mixcli.datasets.picture_rows import PictureRows
from mixcli.datasets.recognise import is_mixed
from mixcli.errors import MixError, UsageError
from mixcli.files.picture_files import Png

KINDS = {"h5": "mixed.h5", "npz": "mixed.npz", "folder": "mixed", "png": "mixed", "tar": "mixed"}
CALLED = {"h5": "hdf5", "npz": "npz", "folder": "folder of .ply", "png": "folder of .png", "tar": "folder of .tar"}
CLOUDS = (
    Field("data", (5, 3), "<f4"),
    Field("label", (), "<i8"),
    Field("soft_label", (4,), "<f4"),
    Field("parent", (2,), "<i8"),
    Field("draw", (2,), "<f4"),
    Field("query", (2,), "<i4"),
    Field("normal", (5, 3), "<f4"),
    Field("point_weight", (5,), "<f4"),
    Field("seg", (5, 2), "<i8"),
)
PICTURES = (Field("data", (4, 5, 3), "|u1"), *CLOUDS[1:6], Field("mask", (4, 5), "|u1"))
FIELDS = {kind: PICTURES if kind in ("png", "tar") else CLOUDS for kind in KINDS}
MIXES = {0: range(0, 4), 1: range(4, 8), 2: range(8, 11)}  # rows of each window
ORIGINALS = {0: (12, 15), 1: (11, 13), 2: (14,)}  # far behind, and mingled
ROWS = 16
NAMES = ("chair", "mug")


def arrays(fields, rows=ROWS, seed=0):
    """Values that are easily lost: any bits of a float but NaN's, signed zeros, large integers."""
    rng, found = np.random.default_rng(seed), {}
    for f in fields:
        if f.dtype[1] == "f":
            bits = rng.integers(0, 1 << 31, (rows, *f.shape)).astype("<u4").view("<f4")
            values = np.where(np.isfinite(bits), bits, rng.choice([0, -0.0, np.inf, -np.inf], bits.shape))
        else:
            most = {"u1": 1 << 8, "i4": 1 << 31}.get(f.dtype[1:], 1 << 31 if f.name == "seg" else 1 << 62)
            values = rng.integers(0 if f.dtype == "|u1" else -most, most, (rows, *f.shape))
        found[f.name] = values.astype(f.dtype)
    if "draw" in found:
        found["draw"][rows // 2 :] = np.nan
    return found


def manifest(fields, **more):
    described = [{"name": f.name, "shape": list(f.shape), "dtype": f.dtype} for f in fields]
    return {"schema": "mixcli.manifest/1", "fields": described, **more}


def write_window(sink, window, values):
    """Its mixes in two pieces, then its originals one by one."""
    rows = MIXES[window]
    for part in (rows[:3], rows[3:]):
        if part:
            sink.write(window, part[0], {name: a[part.start : part.stop] for name, a in values.items()})
    for row in ORIGINALS[window]:
        sink.write(window, row, {name: a[row : row + 1] for name, a in values.items()})


def sink_of(out, kind, fields=None, rows=ROWS):
    return open_sink(out, fields or FIELDS[kind], rows, "folder" if kind == "png" else kind)


def write(out, kind, values, **more):
    """A whole dataset."""
    sink = sink_of(out, kind)
    sink.create()
    for window in MIXES:
        write_window(sink, window, values)
        sink.finish(window)
    sink.seal(manifest(FIELDS[kind], **more), NAMES)


def content(path):
    file = open_mixed(path)
    try:
        assert list(file.faults()) == []
        return {name: file.read(name, 0, 1000).tobytes() for name in file.names}
    finally:
        file.close()


def as_bytes(values):
    return {name: a.tobytes() for name, a in values.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_dataset_comes_back(tmp_path, kind):
    values, out = arrays(FIELDS[kind]), tmp_path / KINDS[kind]
    write(out, kind, values, note="x" * 200_000)
    assert os.listdir(tmp_path) == [out.name]
    assert content(out) == as_bytes(values)
    file = open_mixed(out)
    assert file.manifest() == manifest(FIELDS[kind], note="x" * 200_000) and file.class_names == NAMES
    assert file.names == [f.name for f in FIELDS[kind]] and file.kind == CALLED[kind]
    assert sum(a.nbytes for a in values.values()) < file.size < 2_000_000
    rows = np.array([13, 2, 2, 15])
    for f in FIELDS[kind]:
        assert file.field(f.name).shape == (ROWS, *f.shape) and file.field(f.name).dtype == f.dtype
        assert file.take(f.name, rows).tobytes() == values[f.name][rows].tobytes(), f.name
        assert file.read(f.name, 12, 9).tobytes() == values[f.name][12:].tobytes(), "a range ends where the rows end"
        assert file.take(f.name, rows[:0]).shape == (0, *f.shape) == file.read(f.name, 3, 0).shape
    with pytest.raises(MixError, match="nothing"):
        file.field("nothing")
    file.close()
    assert is_mixed(out)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [0, 1])
def test_no_rows_and_no_columns(tmp_path, kind, rows):
    fields = (*FIELDS[kind][:4], Field("draw", (0,), "<f4"))
    values, out = arrays(fields, rows), tmp_path / KINDS[kind]
    sink = sink_of(out, kind, fields, rows)
    sink.create()
    if rows:
        sink.write(0, 0, values)
        sink.finish(0)
        assert as_bytes(sink.read(0, 0, 1)) == as_bytes(values)
    sink.seal(manifest(fields), None)
    file = open_mixed(out)
    assert file.class_names is None and list(file.faults()) == []
    for f in fields:
        assert file.field(f.name).shape == (rows, *f.shape), f.name
        assert file.read(f.name, 0, 9).tobytes() == values[f.name].tobytes()
        assert file.take(f.name, np.arange(rows)).shape == (rows, *f.shape)
    file.close()


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_written_can_be_read_back_before_the_end(tmp_path, kind):
    values = arrays(FIELDS[kind])
    sink = sink_of(tmp_path / KINDS[kind], kind)
    sink.create()
    layout = json.loads(json.dumps(sink.layout))
    for window in MIXES:
        write_window(sink, window, values)
        sink.finish(window)
    sink.close()
    again = sink_of(tmp_path / KINDS[kind], kind)
    again.reopen(layout)
    for window, rows in MIXES.items():
        found = again.read(window, rows.start, len(rows))
        assert as_bytes(found) == as_bytes({n: a[rows.start : rows.stop] for n, a in values.items()})
        for row in ORIGINALS[window]:
            assert as_bytes(again.read(window, row, 1)) == as_bytes({n: a[row : row + 1] for n, a in values.items()})
    again.discard()
    assert os.listdir(tmp_path) == []


class Killer:
    """Ends this process, as SIGKILL would, at the n-th thing that it does to files."""

    def __init__(self, at):
        self.at, self.steps = at, 0
        sys.addaudithook(self)

    def __call__(self, event, _):
        if event in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.scandir"):
            if self.steps == self.at:
                os._exit(9)
            self.steps += 1


def killed(at, action, log):
    """Run the action in a process of its own, killed at its n-th step -> what it wrote to its log."""
    journal = os.open(log, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    if pid := os.fork():
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        found = os.pread(journal, 100, 0).decode()
        os.close(journal)
        assert code == 9 or found.startswith("L012E"), found
        return found
    try:
        killer = Killer(at)
        action(journal)
        os.write(journal, b"%d" % killer.steps)
    except BaseException as e:
        os.write(journal, repr(e).encode())
    finally:
        os._exit(0)


def life(out, kind, values, journal):
    """A run from start to end; the journal gets a byte a finished window, after it is finished."""
    sink = sink_of(out, kind)
    sink.create()
    os.write(journal, b"L")  # laid out
    for window in MIXES:
        write_window(sink, window, values)
        sink.finish(window)
        os.write(journal, b"%d" % window)
    sink.seal(manifest(FIELDS[kind]), NAMES)
    os.write(journal, b"E")


def go_on(out, kind, values, journal):
    """What a later run does with what a killed one left."""
    sink = sink_of(out, kind)
    if not sink.part.exists() and out.exists() and "2" in journal:
        sink.discard()  # it was killed right after the rename
        return
    if not (sink.part.exists() and journal):
        sink.create()
    else:
        whole = sink_of(out.with_name("other" + out.suffix), kind)
        whole.create()
        sink.reopen(whole.layout)
        whole.discard()
    for window, rows in MIXES.items():
        if str(window) in journal:
            found = sink.read(window, rows.start, len(rows))
            assert as_bytes(found) == as_bytes({n: a[rows.start : rows.stop] for n, a in values.items()})
        else:
            write_window(sink, window, values)
            sink.finish(window)
    sink.seal(manifest(FIELDS[kind]), NAMES)


@pytest.mark.filterwarnings("ignore:This process.*fork:DeprecationWarning")
@pytest.mark.parametrize("over", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_every_step_nothing_is_lost(tmp_path, kind, over, monkeypatch):
    for name in ("sync", "fsync", "fdatasync"):  # a killed process loses nothing that is not yet on the disk
        monkeypatch.setattr(os, name, lambda *_: None)
    old, values, steps = arrays(FIELDS[kind], seed=1), arrays(FIELDS[kind]), None
    for step in (-1, *range(100)):
        folder = tmp_path / str(step)
        folder.mkdir()
        out = folder / KINDS[kind]
        if over:
            write(out, kind, old)
        at = step if steps is None or not over else steps - step  # what is there already matters in the last steps
        journal = killed(at, lambda log, out=out: life(out, kind, values, log), tmp_path / "log")
        if out.exists():
            assert content(out) in ([as_bytes(values), as_bytes(old)] if over else [as_bytes(values)])
        elif over:
            aside = folder / f"{out.name}.part.old"
            assert content(aside) == as_bytes(old) and (folder / f"{out.name}.part").exists()
        go_on(out, kind, values, journal)
        assert content(out) == as_bytes(values), at
        assert os.listdir(folder) == [out.name], at
        steps = int(journal[5:]) if step < 0 else steps
        if step >= (min(steps, 35) if over else steps):
            break
    assert steps > (5 if kind in ("h5", "npz") else 15 if kind == "tar" else 40)


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_made_again_replaces_what_was_there(tmp_path, kind):
    values, old, out = arrays(FIELDS[kind]), arrays(FIELDS[kind], seed=1), tmp_path / KINDS[kind]
    sink = sink_of(out, kind)
    sink.create()
    for window in (0, 1, 2):
        write_window(sink, window, old if window == 1 else values)
        sink.finish(window)
    write_window(sink, 1, values)
    sink.finish(1)
    sink.seal(manifest(FIELDS[kind]), None)
    assert content(out) == as_bytes(values)


@pytest.mark.parametrize("kind", ["png", "tar"])
def test_files_that_are_ready_are_taken_as_they_are(tmp_path, kind):
    """Windows in blocks that do not fit those of the writer, so that each row must find its own files."""
    rows, out = 600, tmp_path / "mixed"
    values = arrays(PICTURES, rows)
    ready = PictureRows(PICTURES, out, Png(9)).pack(0, values)  # other bytes than this writer's
    sink = sink_of(out, kind, rows=rows)
    sink.create()
    for part in (slice(0, 1), slice(1, 599), slice(599, 600)):
        written = sink.write(0, part.start, {name: a[part] for name, a in values.items()}, ready[part])
        assert as_bytes(written) == as_bytes({name: a[part] for name, a in values.items()})
    sink.finish(0)
    sink.seal(manifest(PICTURES), None)
    file = open_mixed(out)
    assert file.pictures.kind == sink.pictures and file.pictures.kind.loss is None
    assert list(file.pictures.of_rows(0, rows)) == ready
    assert list(file.pictures.of_rows(300, 2)) == ready[300:302]
    assert content(out) == as_bytes(values)


@pytest.mark.parametrize("kind", ["h5", "npz", "folder"])
def test_no_file_is_a_picture(tmp_path, kind):
    out = tmp_path / KINDS[kind]
    sink = sink_of(out, kind)
    assert sink.pictures is None and sink.container == kind
    write(out, kind, arrays(CLOUDS))
    assert open_mixed(out).pictures is None and open_mixed(out).container == kind


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_of_another_kind_is_refused(tmp_path, kind):
    out = tmp_path / KINDS[kind]
    sink = sink_of(out, kind)
    sink.create()
    sink.close()
    for layout in ({}, {"container": "other"}, {"container": kind}, {"container": kind, "offsets": {"data": 1}}):
        with pytest.raises(MixError, match="--overwrite starts again"):
            sink_of(out, kind).reopen(layout)
    os.rename(sink.part, tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", sink.part)
    with pytest.raises(MixError, match="--overwrite starts again"):
        sink_of(out, kind).reopen(sink.layout)
    sink_of(out, kind).discard()
    assert os.listdir(tmp_path) == ["elsewhere"], "the link is removed, not what it points to"


@pytest.mark.parametrize("kind", ["h5", "npz", "folder"])
def test_no_room(tmp_path, kind):
    fields = (Field("data", (1 << 20, 3), "<f4"),)
    sink = sink_of(tmp_path / KINDS[kind], kind, fields, 10**6)
    with pytest.raises(MixError, match=r"mixed.*: needs 12,58.* MB and .* MB are free there; nothing was written"):
        sink.create()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_row_is_a_bug_not_a_file(tmp_path, kind):
    sink = sink_of(tmp_path / KINDS[kind], kind)
    sink.create()
    with pytest.raises(AssertionError, match="label"):
        sink.write(0, 0, {**arrays(FIELDS[kind]), "label": np.zeros(ROWS, np.int32)})
    sink.close()


def test_names_say_the_container():
    kinds = {"a.h5": "h5", "a.HDF5": "h5", "b/a.npz": "npz", "a": "folder", "a.ply": "folder"}
    assert {name: container_of(Path(name)) for name in kinds} == kinds
    assert container_of(Path("v1.5"), folder=True) == "folder"
    with pytest.raises(UsageError, match=r"\.tar is no container .*\.h5 or \.npz .*'/'"):
        container_of(Path("a.tar"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_of_the_user_outlives_everything(tmp_path, kind):
    out = tmp_path / KINDS[kind]
    sink = sink_of(out, kind)
    sink.part.mkdir()
    (sink.part / "thesis.txt").write_text("years of work")
    for action in (sink.create, sink.discard):
        with pytest.raises(UsageError, match=r"holds thesis\.txt"):
            action()
    os.rename(sink.part, out)
    with pytest.raises(UsageError, match="is a folder that mixcli did not write"):
        write(out, kind, arrays(FIELDS[kind]))
    assert (out / "thesis.txt").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_one_container_replaces_another(tmp_path, kind):
    for other in KINDS:
        out = tmp_path / "mixed.h5"
        write(out, other, arrays(FIELDS[other], seed=1))
        write(out, kind, arrays(FIELDS[kind]))
        assert content(out) == as_bytes(arrays(FIELDS[kind])) and os.listdir(tmp_path) == [out.name]


def test_a_failed_last_step_puts_the_old_folder_back(tmp_path, monkeypatch):
    out = tmp_path / "mixed"
    write(out, "folder", arrays(CLOUDS, seed=1))
    replace = os.replace

    def interrupted(a, b):
        if Path(b) == out:
            raise KeyboardInterrupt
        replace(a, b)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", interrupted)
        write(out, "folder", arrays(CLOUDS))
    assert content(out) == as_bytes(arrays(CLOUDS, seed=1))


@pytest.mark.parametrize("kind", ["npz", "folder", "png", "tar"])
def test_damage_is_told_or_seen_but_never_a_crash(tmp_path, kind):
    """Bytes flipped, cut off or put in, anywhere: the values, a fault or one sentence."""
    rng, out = np.random.default_rng(0), tmp_path / KINDS[kind]
    write(out, kind, arrays(FIELDS[kind]))
    inside = ("metadata.jsonl", "manifest.json", "00001/000004.*", "00001.tar")
    files = [out] if out.is_file() else [path for name in inside for path in out.glob(name)]
    for path in files:
        whole = path.read_bytes()
        for _ in range(150):
            at, what = int(rng.integers(len(whole))), rng.integers(3)
            damaged = [whole[:at], whole[:at] + rng.bytes(8) + whole[at + 8 :], whole[:at] + rng.bytes(3) + whole[at:]]
            path.write_bytes(damaged[what])
            try:
                file = open_mixed(out)
                list(file.faults())
                for name in file.names:
                    file.field(name)
                    file.read(name, 0, 99)
                    file.take(name, np.array([1, 5]))
            except (MixError, IndexError):
                pass
        path.write_bytes(whole)
    assert content(out) == as_bytes(arrays(FIELDS[kind]))
