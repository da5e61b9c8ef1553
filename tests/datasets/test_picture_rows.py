"""What is particular to a folder of `.png`: lossless, as others open it, and no picture decoded that is not a row's."""

import json
import os
import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mixcli.data.fields import Field, image_fields
from mixcli.datasets import picture_rows
from mixcli.datasets.container import open_sink
from mixcli.datasets.folder import MixedFolder
from mixcli.datasets.picture_rows import PictureRows
from mixcli.errors import MixError, UsageError
from mixcli.files import threads
from mixcli.files.picture_files import Png

SIZE, ROWS = (6, 9), 7
FIELDS = image_fields(SIZE, 3, 2, 1, True, ("mask",))


def values(fields=FIELDS, rows=ROWS):
    rng = np.random.default_rng(0)
    return {f.name: rng.integers(0, 256, (rows, *f.shape)).astype(f.dtype) for f in fields}


def write(out, fields=FIELDS, rows=ROWS, **options):
    sink, arrays = open_sink(out, fields, rows, "folder", **options), values(fields, rows)
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
    assert sorted(os.listdir(made)) == ["00000", "00001", "manifest.json", "metadata.jsonl"]
    assert sorted(os.listdir(made / "00001"))[:3] == ["000004.mask.png", "000004.png", "000005.mask.png"]
    entries = [json.loads(line) for line in (made / "metadata.jsonl").read_text().splitlines()]
    assert entries[5]["file_name"] == "00001/000005.png" and entries[5]["mask_file_name"] == "00001/000005.mask.png"
    assert list(entries[0])[2:] == ["label", "soft_label", "parent", "parent_label", "weight", "draw", "query"]
    assert MixedFolder(made).kind == "folder of .png"


def test_any_reader_of_png_finds_the_pixels(made):
    for name, mode, field in (("000005.png", "RGB", "data"), ("000005.mask.png", "L", "mask")):
        with Image.open(made / "00001" / name) as image:
            assert image.mode == mode and (np.asarray(image) == values()[field][5]).all()


def test_without_masks_there_is_one_file_a_row(tmp_path):
    made = write(tmp_path / "mixed", FIELDS[:-1])
    assert len(os.listdir(made / "00000")) == 4
    assert "mask_file_name" not in (made / "metadata.jsonl").read_text()


@settings(max_examples=40, deadline=None)
@given(st.tuples(st.integers(1, 40), st.integers(1, 40)), st.integers(0, 9), st.integers(0, 9), st.integers(0, 255))
def test_every_level_keeps_every_pixel(size, level, seed, most):
    fields = (Field("data", (*size, 3), "|u1"), Field("mask", size, "|u1"))
    rng = np.random.default_rng(seed)
    arrays = {f.name: rng.integers(0, most + 1, (3, *f.shape)).astype(np.uint8) for f in fields}
    codec = PictureRows(fields, "mixed", Png(level))
    files = codec.pack(0, arrays)
    for number, f in enumerate(codec.in_files):
        found = codec.pictures(f, 3, lambda i, n=number: ("", files[i][n]))
        assert found.tobytes() == arrays[f.name].tobytes()
        assert max(len(row[number]) for row in files) <= picture_rows.most_bytes(f)


def test_levels_change_the_size_and_nothing_else(tmp_path):
    fields, sizes = image_fields((64, 64), 3, 2, 0, False, ()), []
    stripes = np.tile(np.arange(64, dtype=np.uint8)[None, :, None, None], (1, 1, 64, 3))
    for level in (None, 0, 1, 9):
        sink = open_sink(tmp_path / f"level{level}", fields, 1, "folder", None if level is None else Png(level))
        arrays = values(fields, 1) | {"data": stripes}
        sink.create()
        sink.write(0, 0, arrays)
        sink.finish(0)
        sizes.append((sink.part / "00000" / "000000.png").stat().st_size)
        assert sink.read(0, 0, 1)["data"].tobytes() == arrays["data"].tobytes()
        sink.discard()
    assert sizes[0] == sizes[2] and sizes[1] > 64 * 64 * 3 > 10 * max(sizes[2:])


@pytest.mark.parametrize("name", ["mixed", "mixed.h5", "mixed.npz"])
def test_an_encoding_for_what_is_no_picture(tmp_path, name):
    kind, fields = {"mixed": "folder", "mixed.h5": "h5", "mixed.npz": "npz"}[name], (Field("data", (4, 3), "<f4"),)
    with pytest.raises(UsageError, match=r"\.png files (are of images, and these are clouds|lie in a folder)"):
        open_sink(tmp_path / name, fields, 1, kind, Png(1))


@pytest.mark.parametrize("shape", [(8, 8, 4), (0, 8, 3), (8, 8, 1)])
def test_images_that_are_no_rgb(tmp_path, shape):
    with pytest.raises(MixError, match=r"mixed: .*write \.h5"):
        open_sink(tmp_path / "mixed", (Field("data", shape, "|u1"),), 1, "folder")


def test_no_room(tmp_path):
    sink = open_sink(tmp_path / "mixed", (Field("data", (999, 999, 3), "|u1"),), 10**8, "folder")
    with pytest.raises(MixError, match=r"mixed: needs 15,.* MB and .* MB are free there; nothing was written"):
        sink.create()
    assert os.listdir(tmp_path) == []


def test_as_many_threads_as_one_likes(tmp_path, monkeypatch):
    rows, made = 100, []
    for count in (1, 7):
        monkeypatch.setattr(threads, "processors", lambda count=count: count)
        made.append(write(tmp_path / str(count), rows=rows))
        file = MixedFolder(made[-1])
        assert list(file.faults()) == []
        for name, array in values(rows=rows).items():
            assert file.read(name, 0, rows).tobytes() == array.tobytes(), name
    for path in made[0].rglob("*.*"):
        assert path.read_bytes() == (made[1] / path.relative_to(made[0])).read_bytes()


def test_only_the_wanted_files_are_opened(made, monkeypatch):
    opened, plain = [], picture_rows.open_plain
    monkeypatch.setattr(picture_rows, "open_plain", lambda path, line: opened.append(path) or plain(path, line))
    file = MixedFolder(made)
    file.read("data", 2, 2)
    file.take("mask", np.array([5]))
    assert [os.path.relpath(path, made) for path in opened] == [
        "00000/000002.png", "00000/000003.png", "00001/000005.mask.png"
    ]  # fmt: skip


def test_what_was_read_is_the_readers_own(made):
    file = MixedFolder(made)
    for name, array in values().items():
        file.read(name, 0, ROWS)[:] = 7
        assert file.read(name, 0, ROWS).tobytes() == array.tobytes(), name


def as_png(array, **options):
    file = BytesIO()
    Image.fromarray(array).save(file, "PNG", **options)
    return file.getvalue()


def test_a_picture_compressed_anew_is_as_good(made):
    for row, data in enumerate(values()["data"]):
        path = made / f"0000{int(row > 3)}" / f"00000{row}.png"
        path.write_bytes(as_png(data, optimize=True, dpi=(72, 72)))
    file = MixedFolder(made)
    assert list(file.faults()) == [] and file.read("data", 0, ROWS).tobytes() == values()["data"].tobytes()


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def second_header(raw):
    """A header behind the first that promises 30,000 x 30,000 pixels."""
    return raw[:33] + chunk(b"IHDR", struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)) + raw[33:]


def flipped(raw):
    at = raw.index(b"IDAT") + 8
    return raw[:at] + bytes([raw[at] ^ 255]) + raw[at + 1 :]


WRONG = r"is no RGB \.png of 9 x 6 pixels"
DAMAGES = [
    (lambda raw: as_png(np.zeros((9, 6, 3), np.uint8)), WRONG),
    (lambda raw: as_png(np.zeros(SIZE, np.uint8)), WRONG),
    (lambda raw: as_png(np.zeros((*SIZE, 4), np.uint8)), WRONG),
    (lambda raw: raw[:24] + b"\x10" + raw[25:], WRONG),
    (lambda raw: b"", WRONG),
    (lambda raw: b"\xff\xd8" + raw, WRONG),
    (second_header, WRONG),
    (flipped, "is damaged or cut short"),
    (lambda raw: raw[:-40], "is damaged or cut short"),
    (lambda raw: raw + bytes(1 << 20), r"holds 1,04\d,\d+ bytes, too many for 162 of pixels; it was changed"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_a_file_that_is_no_picture_of_the_dataset(made, damage, message):
    path = made / "00001" / "000005.png"
    path.write_bytes(damage(path.read_bytes()))
    file = MixedFolder(made)
    with pytest.raises(MixError, match=rf"00001/000005\.png: .*{message}"):
        file.read("data", 0, ROWS)
    assert file.read("data", 0, 5).tobytes() == values()["data"][:5].tobytes()
    assert file.read("mask", 0, ROWS).tobytes() == values()["mask"].tobytes(), "the mask is a file of its own"
    faults = list(file.faults())
    assert len(faults) == 1 and faults[0].startswith("00001/000005.png")


def link(path):
    os.rename(path, path.parent.parent.parent / "away.png")
    os.symlink(path.parent.parent.parent / "away.png", path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [(os.remove, "line 6.*: is missing"), (link, "line 6.*: is a symbolic link"),
     (lambda p: p.write_bytes(as_png(np.zeros((*SIZE, 3), np.uint8))), r"is no grey \.png of 9 x 6 pixels")],
)  # fmt: skip
def test_a_mask_that_is_none(made, damage, message):
    damage(made / "00001" / "000005.mask.png")
    assert len(MixedFolder(made).read("data", 0, ROWS)) == ROWS
    with pytest.raises(MixError, match=rf"00001/000005\.mask\.png.*{message}"):
        MixedFolder(made).read("mask", 0, ROWS)
    assert len(list(MixedFolder(made).faults())) == 1


@pytest.mark.parametrize("name", ["../../secret.png", "00001/000004.mask.png", "00001/000005.png", 7])
def test_a_line_that_names_another_mask(made, name):
    text = (made / "metadata.jsonl").read_text()
    (made / "metadata.jsonl").write_text(text.replace('"00001/000005.mask.png"', json.dumps(name)))
    with pytest.raises(MixError, match=r"line 6: mask_file_name .* is not '00001/000005\.mask\.png'"):
        MixedFolder(made).read("mask", 5, 1)


def test_a_cloud_is_no_row_of_images(made):
    text = (made / "metadata.jsonl").read_text()
    (made / "metadata.jsonl").write_text(text.replace("000005.png", "000005.ply"))
    with pytest.raises(MixError, match=r"'00001/000005\.ply' is not that of row 5, like '00000/000005\.png'"):
        MixedFolder(made).read("data", 5, 1)


def test_what_no_line_names_is_a_fault(made):
    for name in ("00000/000099.mask.png", "extra.png"):
        (made / name).write_text("?")
    assert sorted(MixedFolder(made).faults()) == [
        f"{name}: no line of metadata.jsonl names it" for name in ("00000/000099.mask.png", "extra.png")
    ]


def test_a_promise_of_more_pixels_takes_no_memory(made):
    manifest = json.loads((made / "manifest.json").read_text())
    manifest["fields"][0]["shape"] = [1500, 2000, 3]
    manifest["fields"] = manifest["fields"][:-1]
    (made / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(MixError, match=r"line 1|is no RGB \.png of 2000 x 1500 pixels"):
        MixedFolder(made).read("data", 0, 1)


LOAD = """
import sys, datasets
rows = datasets.load_dataset("imagefolder", data_dir=sys.argv[1], cache_dir=sys.argv[2])["train"]
assert len(rows) == 7, len(rows)
assert rows[5]["image"].mode == "RGB" and rows[5]["mask"].mode == "L"
print(rows[5]["image"].tobytes().hex(), rows[5]["mask"].tobytes().hex(), rows["label"][:], rows[5]["soft_label"])
"""
