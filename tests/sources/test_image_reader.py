"""Images of any window: a source is read about once, whatever the order in which its images are wanted."""

from __future__ import annotations

import io
import os
import tarfile

import h5py
import numpy as np
import pytest
from PIL import Image
from test_decode import saved

from mixcli.errors import MixError
from mixcli.sources import image_reader as picture_reading
from mixcli.sources.image_reader import PictureReader, size_of
from mixcli.sources.image_source import open_picture_source
from mixcli.sources.images import parquet
from mixcli.sources.images.arrays import Chunked
from mixcli.sources.images.tar import Tars

COUNT, SIZE = 150, (6, 8)
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, *SIZE, 3), np.uint8)
ORDER = np.random.default_rng(1).permutation(COUNT)


@pytest.fixture
def large(monkeypatch):
    """Every source is too large to be kept in memory; files are decoded 32 images at a time."""
    monkeypatch.setattr(picture_reading, "KEEP_BYTES", 100)
    monkeypatch.setattr(picture_reading, "STRIDE", 32)


def reader_of(path, size=SIZE, note=lambda sentence: None):
    source, _ = open_picture_source([str(path)])
    return PictureReader(source, 3, size, path.parent, note)


def require_windows(reader):
    """Windows of 40 in permuted order, and one sample twice."""
    for start in range(0, COUNT, 40):
        rows = np.append(ORDER[start : start + 40], ORDER[start])
        assert (reader.read(rows).values == PIXELS[rows]).all()


def in_chunks(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", data=PIXELS, chunks=(20, *SIZE, 3), compression="lzf")
        file["label"] = np.arange(COUNT) % 3
    return tmp_path / "a.h5"


def test_chunks_of_a_large_file_are_decoded_once(tmp_path, large, monkeypatch):
    taken = np.zeros(COUNT, int)
    slice_ = Chunked._slice
    monkeypatch.setattr(Chunked, "_slice", lambda self, a, b: (taken.__iadd__(_between(a, b)), slice_(self, a, b))[1])
    notes = []
    reader = reader_of(in_chunks(tmp_path), note=notes.append)
    reader.load()
    assert len(notes) == 1 and f"into 0 MB of a temporary file in {tmp_path}" in notes[0]
    assert isinstance(reader.kept, np.memmap) and os.listdir(tmp_path) == ["a.h5"]  # its file has no name
    require_windows(reader)
    assert (taken == 1).all()


def _between(start, stop):
    return (np.arange(COUNT) >= start) & (np.arange(COUNT) < stop)


def test_no_room_for_what_is_decoded(tmp_path, large, monkeypatch):
    reader = reader_of(in_chunks(tmp_path))

    def full(descriptor, start, size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(MixError, match=r"no room for 0 MB .*a.h5 \(No space left on device\); make room, or take a"):
        reader.load()


@pytest.fixture
def opened(monkeypatch):
    """The row groups that are decoded, in their order."""
    pytest.importorskip("pyarrow.parquet", reason="reading Parquet needs pyarrow")
    found = []
    start = parquet.Cursor.__init__
    monkeypatch.setattr(parquet.Cursor, "__init__", lambda self, *a: (found.append(a[1]), start(self, *a))[1])
    return found


@pytest.fixture
def table(tmp_path):
    """A file of three row groups, read some rows at a time."""
    pytest.importorskip("pyarrow.parquet", reason="reading Parquet needs pyarrow")
    import pyarrow.parquet

    images = [{"bytes": saved(one), "path": None} for one in PIXELS]
    rows = pyarrow.table({"image": images, "label": [i % 3 for i in range(COUNT)]})
    pyarrow.parquet.write_table(rows, tmp_path / "a.parquet", row_group_size=50)
    return tmp_path / "a.parquet"


@pytest.mark.parametrize("batch", [64, 7])
def test_row_groups_are_decoded_once(table, opened, large, monkeypatch, batch):
    monkeypatch.setattr(parquet, "BATCH", batch)
    reader = reader_of(table)
    reader.load()
    assert isinstance(reader.kept, np.memmap) and opened == [0, 1, 2]
    require_windows(reader)
    assert opened == [0, 1, 2]


def test_a_smaller_table_is_kept_in_memory(table, opened, monkeypatch):
    monkeypatch.setattr(picture_reading, "STRIDE", 32)
    reader = reader_of(table)
    reader.load()
    assert not isinstance(reader.kept, np.memmap) and opened == [0, 1, 2]
    require_windows(reader)


def test_rows_before_those_just_read(table, opened, monkeypatch):
    monkeypatch.setattr(parquet, "BATCH", 7)
    part = reader_of(table).source.parts[0]
    for rows in ([60, 70], [70, 80], [61], [10, 149]):
        assert all((a == PIXELS[row]).all() for a, row in zip(part.read(np.array(rows)), rows, strict=True))
    assert opened == [1, 1, 0, 2]


def test_sizes_and_then_pictures_take_a_table_twice(table, opened, large):
    reader = reader_of(table, (4, 4))
    assert size_of(reader.source, None, lambda note: None) == SIZE
    reader.load()
    assert opened == [0, 1, 2] * 2


def noise(path, count=60, side=90):
    """A tar of pictures of which none can be made smaller."""
    rng = np.random.default_rng(0)
    with tarfile.open(path, "w") as archive:
        for i in range(count):
            members = ("png", saved(rng.integers(0, 256, (side, side, 3), np.uint8))), ("cls", str(i % 3).encode())
            for kind, data in members:
                info = tarfile.TarInfo(f"{i:04d}.{kind}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return path


def bytes_read():
    with open("/proc/self/io") as file:
        return int(next(line.split()[1] for line in file if line.startswith("rchar")))


@pytest.mark.skipif(not os.path.exists("/proc/self/io"), reason="this system does not count what is read")
def test_a_large_tar_is_read_about_once(tmp_path, large):
    path = noise(tmp_path / "a.tar")
    before = bytes_read()
    reader = reader_of(path, (90, 90))
    assert size_of(reader.source, None, lambda note: None) == (90, 90)
    reader.load()
    order = np.random.default_rng(1).permutation(60)
    for start in range(0, 60, 7):
        reader.read(order[start : start + 7])
    assert reader.kept is None and not reader.bad
    assert 1 < (bytes_read() - before) / path.stat().st_size < 2


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM"])
def test_the_size_of_a_picture_in_a_tar(tmp_path, kind):
    """From its first bytes, where they tell; a long comment stands before what does not fit into them."""
    image, exif = Image.fromarray(PIXELS[0]).resize((300, 200)), Image.Exif()
    exif[274] = 6  # a quarter turn
    rest = {"exif": exif} if kind in ("PNG", "JPEG", "WEBP") else {}
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for i, more in enumerate(({}, {"comment": bytes(60_000)} if kind == "JPEG" else {})):
            data = io.BytesIO()
            image.save(data, kind, **rest, **more)
            for name, content in ((f"{i}.{kind.lower()[:4]}", data.getvalue()), (f"{i}.cls", b"0")):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    part = Tars(tmp_path, [tmp_path / "a.tar"])
    assert part.sizes(np.arange(2)).tolist() == [[300, 200] if rest else [200, 300]] * 2
