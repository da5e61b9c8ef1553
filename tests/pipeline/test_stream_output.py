"""One tar down a pipe: the rows of the dataset in their order, its manifest beside it, and nothing else on stdout."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import rows_of

import mixcli
from mixcli.cli.main import main
from mixcli.data.fields import Field, Mixing, image_fields
from mixcli.datasets.codec import FILES
from mixcli.datasets.stream_sink import StreamSink
from mixcli.errors import MixError, UsageError
from mixcli.files.picture_files import Jpg
from mixcli.methods import get
from mixcli.pipeline.job import Job
from mixcli.pipeline.report import Report
from mixcli.pipeline.run import run
from mixcli.pipeline.stream_output import write_manifest

SIZE, ROWS = (6, 9), 7
FIELDS = image_fields(SIZE, Mixing(3, draws=1, query=True), ("mask",))


class Pipe(io.RawIOBase):
    """Takes a few bytes at a time, as a pipe may."""

    def __init__(self, most=1 << 60, broken=None):
        self.data, self.most, self.broken = b"", most, broken

    def writable(self):
        return True

    def write(self, data):
        if len(self.data) >= self.most:
            raise self.broken
        part = bytes(data[:1000])
        self.data += part
        return len(part)


def values(rows=ROWS):
    rng = np.random.default_rng(0)
    return {f.name: rng.integers(0, 256, (rows, *f.shape)).astype(f.dtype) for f in FIELDS}


def some(arrays, *rows):
    return {name: a[list(rows)] for name, a in arrays.items()}


def test_rows_come_out_in_their_order():
    pipe, arrays = Pipe(), values()
    sink = StreamSink(pipe, FIELDS, ROWS)
    for first, rows in ((0, (0, 1)), (5, (5,)), (2, (2, 3)), (6, (6,)), (4, (4,))):
        kept = sink.write(0, first, some(arrays, *rows))
        assert FILES not in kept and kept["data"].tobytes() == arrays["data"][list(rows)].tobytes()
    text = sink.seal({"schema": "mixcli.manifest/1"}, ("cat",))
    sink.close()
    assert json.loads(text) == {"schema": "mixcli.manifest/1", "class_names": ["cat"]}
    with tarfile.open(fileobj=io.BytesIO(pipe.data)) as archive:
        found = archive.getmembers()
        names = [f"00000{row}{kind}" for row in range(ROWS) for kind in (".png", ".mask.png", ".json")]
        assert [m.name for m in found] == names and {m.mtime for m in found} == {0}
        labels = [json.load(archive.extractfile(f"00000{row}.json"))["label"] for row in range(ROWS)]
    assert labels == arrays["label"].tolist() and pipe.data.endswith(bytes(1024)) and len(pipe.data) % 512 == 0


def test_what_waits_is_on_the_disk(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sink = StreamSink(Pipe(), FIELDS, ROWS)
    sink.write(0, 1, some(values(), 1, 2, 3))
    assert os.fstat(sink.waiting.fileno()).st_dev == os.stat(tmp_path).st_dev and len(sink.early) == 3
    sink.close()
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: Full())
    with pytest.raises(MixError, match=r"the originals cannot wait there .*TMPDIR names another folder"):
        StreamSink(Pipe(), FIELDS, ROWS).write(0, 1, some(values(), 1))


class Full(io.BytesIO):
    def write(self, data):
        raise OSError(28, "No space left on device")


def test_a_lossy_stream_says_what_it_kept():
    sink = StreamSink(Pipe(), FIELDS, ROWS, Jpg())
    kept = sink.write(0, 0, values())
    assert kept["data"].shape == values()["data"].shape and kept[FILES].size
    assert json.loads(sink.seal({}, None)) == {"pictures": ".jpg"}


def test_streams_that_end_early():
    for error, raised, says in (
        (BrokenPipeError(32, "Broken pipe"), BrokenPipeError, "Broken pipe"),
        (OSError(28, "No space left on device"), MixError, "--out -: cannot be written .No space left on device."),
    ):
        with pytest.raises(raised, match=says):
            StreamSink(Pipe(1500, error), FIELDS, ROWS).write(0, 0, values())


def test_only_images():
    with pytest.raises(MixError, match="these are clouds"):
        StreamSink(Pipe(), (Field("data", (5, 3), "<f4"),), 1)


def stream(gallery, *more, folder="streamed", **options):
    """A run of the command line with its stdout saved as an archive -> the folder of both, and the process."""
    made = gallery.folder / folder
    made.mkdir(exist_ok=True)
    arguments = ["cutmix", "--in", gallery.source, "--out", "-", "-k", "2", "--window", "8"]
    arguments += ["--manifest", made / "manifest.json", *more]
    with open(made / "00000.tar", "wb") as file:
        command = [sys.executable, "-m", "mixcli", *map(str, arguments)]
        done = subprocess.run(command, stdout=file, stderr=subprocess.PIPE, text=True, **options)
    return made, done


def members(made):
    with tarfile.open(made / "00000.tar") as archive:
        return archive.getnames()


@pytest.mark.parametrize("form", ["png", "webdataset-jpg"])
def test_a_saved_stream_is_the_dataset(gallery, form):
    arguments = {"include_originals": True, "keep": ("mask",), "format": form}
    made, done = stream(gallery, "--include-originals", "--keep", "mask", "--format", form)
    assert done.returncode == 0 and "rows from 24 samples" in done.stderr
    whole = gallery.mix("cutmix", "whole", **arguments)
    manifest = json.loads((made / "manifest.json").read_text())
    assert manifest["windows"] == whole.manifest["windows"] and manifest["recipe"] == whole.manifest["recipe"]
    assert rows_of(made) == rows_of(whole.path)
    assert mixcli.verify(made, replay=None)["faults"] == []
    keys = [name.split(".")[0] for name in members(made)]
    assert keys == sorted(keys) and len(set(keys)) == whole.rows
    assert stream(gallery, "--include-originals", "--keep", "mask", "--format", form, "--overwrite")[1].returncode == 0
    assert rows_of(made) == rows_of(whole.path)


def test_jpg_of_a_stream_is_jpg_in_its_tar(gallery):
    made, done = stream(gallery, "--format", "jpg", "--quality", "80")
    assert done.returncode == 0 and mixcli.verify(made, replay=None)["faults"] == []
    assert {Path(name).suffix for name in members(made)} == {".jpg", ".json"}


def test_shards_stream_too(gallery):
    parts = [stream(gallery, "--shard", f"{i}/2", folder=f"s{i}")[0] for i in (0, 1)]
    from mixcli.pipeline.merge import merge

    merge(parts, gallery.folder / "merged.h5")
    assert rows_of(gallery.folder / "merged.h5") == rows_of(gallery.mix("cutmix", "whole.h5").path)


def test_a_reader_that_leaves(gallery):
    arguments = ["cutmix", "--in", gallery.source, "--out", "-", "-k", "2000", "--manifest", gallery.folder / "m.json"]
    command = [sys.executable, "-m", "mixcli", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert len(process.stdout.read(1000)) == 1000
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait() == 141 and err == b""
    assert not (gallery.folder / "m.json").exists(), "the manifest says that the stream is whole"


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize(("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"),
                                                      (signal.SIGTERM, 143, "terminated")])  # fmt: skip
def test_a_stream_that_is_cut_short_says_so(gallery, number, code, word):
    arguments = ["cutmix", "--in", gallery.source, "--out", "-", "-k", "5000", "--manifest", gallery.folder / "m.json"]
    command = [sys.executable, "-m", "mixcli", *map(str, arguments), "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert len(process.stdout.read(1000)) == 1000
    process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == code
    assert err.decode() == f"mixcli: {word}; the tar on stdout is incomplete and no manifest was written\n"
    assert not (gallery.folder / "m.json").exists()


def refused(gallery, *arguments):
    done = CliRunner().invoke(main, [str(a) for a in arguments])
    assert done.exit_code == 2 and done.stdout == "" and len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done.stderr


def test_what_is_refused(gallery, tiny):
    start, manifest = ["cutmix", "--in", gallery.source, "--out", "-"], gallery.folder / "m.json"
    assert "--manifest PATH says where it goes" in refused(gallery, *start)
    assert "cannot go on; leave --resume out" in refused(gallery, *start, "--manifest", manifest, "--resume")
    assert "is for --out -" in refused(gallery, *start[:-1], gallery.folder / "m.h5", "--manifest", manifest)
    clouds = ["--in", tiny.source, "--out", "-", "--points", "64"]
    assert "streams pictures, which rsmix does not write" in refused(gallery, "rsmix", *clouds)
    assert "only the mixing commands stream" in refused(gallery, "convert", gallery.source, "-")
    assert "only the mixing commands stream" in refused(gallery, "merge", "a", "b", "--out", "-")
    manifest.write_text("mine")
    job = Job(get("cutmix")(), (str(gallery.source),), Path("-"), manifest=manifest)
    for path, says in ((manifest, "exists; --overwrite replaces it"), (gallery.folder, "is a folder"),
                       (gallery.folder / "no" / "m.json", "does not exist; make it first")):  # fmt: skip
        job = Job(get("cutmix")(), (str(gallery.source),), Path("-"), manifest=path)
        with pytest.raises(UsageError, match=says):
            run(job, Report(), Pipe())
    with pytest.raises(UsageError, match="from Python name a file or a folder"):
        mixcli.mix("cutmix", str(gallery.source), "-", manifest=gallery.folder / "n.json")
    assert manifest.read_text() == "mine" and not Path("-").exists()


def test_a_terminal_is_refused(gallery):
    master, slave = os.openpty()
    command = [sys.executable, "-m", "mixcli", "cutmix", "--in", gallery.source, "--out", "-"]
    done = subprocess.run([*command, "--manifest", gallery.folder / "m.json"], stdout=slave, stderr=subprocess.PIPE)
    os.close(slave)
    os.close(master)
    assert done.returncode == 2 and b"stdout is a terminal; pipe it on" in done.stderr


def test_dry_run_streams_nothing(gallery):
    made, done = stream(gallery, "--dry-run")
    assert done.returncode == 0 and b"rows      48" in (made / "00000.tar").read_bytes()
    assert not (made / "manifest.json").exists()


def test_a_manifest_is_written_all_at_once_or_down_a_pipe(tmp_path):
    (tmp_path / "m.json").write_text("old")
    (tmp_path / "m.json.new").symlink_to(tmp_path / "other")
    write_manifest(tmp_path / "m.json", "new")
    assert (tmp_path / "m.json").read_text() == "new" and os.listdir(tmp_path) == ["m.json"]
    write_manifest(Path(os.devnull), "new")
    assert not Path(os.devnull).is_file()
