"""Bad images and bad files of images on the command line: one sentence with an address, an exit code, nothing left."""

import io
import os
import pickle
import struct
import tarfile
import zlib

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from mixcli.cli.main import main

RNG = np.random.default_rng(0)
AGAIN = "copy or download it again"


def noise(*shape):
    return RNG.integers(0, 256, shape or (16, 16, 3), np.uint8)


def encoded(kind="PNG", pixels=None, mode=None, **options):
    file, image = io.BytesIO(), Image.fromarray(noise() if pixels is None else pixels)
    (image.convert(mode) if mode else image).save(file, kind, **options)
    return file.getvalue()


def bomb(side=30_000):
    """A PNG of 100 KB that stands for 900 million pixels."""
    row = bytes(1 + side // 8)
    packed = zlib.compressobj(9)
    data = b"".join(packed.compress(row) for _ in range(side)) + packed.flush()
    parts = (b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)), (b"IDAT", data), (b"IEND", b"")
    chunks = (struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.fixture
def train(tmp_path):
    """Twelve images in three class folders."""
    for i in range(12):
        path = tmp_path / "train" / "abc"[i % 3] / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded())
    return tmp_path / "train"


def mix(source, *arguments, on_error="raise"):
    """Exit code, and the last line of stderr."""
    out = source.parent / "out" / "mixed.h5"
    out.parent.mkdir(exist_ok=True)
    given = ["cutmix", "--in", str(source), "--out", str(out), "--size", "16x16", "--on-error", on_error, *arguments]
    done = CliRunner().invoke(main, given)
    assert "Traceback" not in done.stderr and "internal error" not in done.stderr, done.stderr
    assert os.listdir(out.parent) == ["mixed.h5"] * (done.exit_code in (0, 3))
    if done.exit_code in (0, 3):
        out.unlink()
    return done.exit_code, done.stderr.splitlines()[-1] if done.stderr else ""


def require_refused(source, code, says, *arguments):
    """With raise and with skip alike: what is wrong is not one sample."""
    for on_error in ("raise", "skip"):
        found, told = mix(source, *arguments, on_error=on_error)
        assert found == code and says in told, told


NO_PICTURE = "its header is damaged, or of no kind that is read (JPEG, PNG, WebP, BMP, PPM, TIFF)"
FLOATS = encoded("TIFF", RNG.random((16, 16), np.float32))


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("x.jpg", encoded("JPEG")[:-60], "the picture is damaged or cut short"),
        ("x.png", encoded()[:400], "the picture is damaged or cut short (image file is truncated"),
        ("x.png", encoded()[:20], NO_PICTURE),
        ("x.png", b"", "the file is empty"),
        ("x.png", b"hello" * 99, NO_PICTURE),
        ("x.png", encoded("GIF"), NO_PICTURE),
        ("x.png", bomb(), "more than 89,478,485 pixels; make it smaller"),
        ("x.tiff", FLOATS, "32-bit pixels, whose range is not known; save it with 8 or 16 bits"),
    ],
)
def test_one_bad_image(train, name, data, says):
    (train / "b" / name).write_bytes(data)
    code, told = mix(train)
    assert code == 1 and told.startswith(f"mixcli: {train}/b/{name}: {says}")
    assert told.endswith("; --on-error skip leaves it out")
    code, told = mix(train, on_error="skip")
    assert code == 3 and "13 rows from 13 samples" in told and f"1 skipped (first: {train}/b/{name}: {says}" in told


def test_odd_images_are_images(train):
    exif = Image.Exif()
    exif[274] = 6
    odd = {
        "jpeg_named.png": encoded("JPEG"),
        "dot.png": encoded("PNG", noise(1, 1, 3)),
        "deep.png": encoded("PNG", noise(16, 16).astype(np.uint16) * 257),
        "cmyk.jpg": encoded("JPEG", mode="CMYK"),
        "palette.png": encoded(mode="P", transparency=3),
        "turned.jpg": encoded("JPEG", exif=exif),
        "clear.png": encoded("PNG", noise(16, 16, 4)),
    }
    for name, data in odd.items():
        (train / "a" / name).write_bytes(data)
    assert mix(train)[0] == 0


def test_other_files_among_the_images(train):
    frames = [Image.fromarray(noise()) for _ in range(3)]
    frames[0].save(train / "a" / "moving.gif", save_all=True, append_images=frames[1:])
    for name in ("a/notes.txt", "b/Thumbs.db", "b/.DS_Store", ".DS_Store"):
        (train / name).write_bytes(b"x")
    code, told = mix(train)
    assert code == 0 and "12 rows from 12 samples" in told


def test_links_out_of_the_folder(train, tmp_path):
    (tmp_path / "outside.png").write_bytes(encoded())
    for link, target in ((train / "a" / "link.png", tmp_path / "outside.png"), (train / "etc", "/etc")):
        link.symlink_to(target)
        require_refused(train, 1, f"{link}: is a link that leads out of {train}; it is not followed, put the file")
        link.unlink()


def test_one_image_in_a_class_of_its_own(train):
    (train / "z").mkdir()
    (train / "z" / "x.png").write_bytes(encoded())
    require_refused(train, 2, "--pairing same-class: class", "--pairing", "same-class")
    code, _ = mix(train, "--pairing", "same-class", "--pairing-fallback", "random")
    assert code == 0


LABELS = np.arange(12) % 3


@pytest.mark.parametrize("suffix", ["npz", "h5"])
@pytest.mark.parametrize(
    ("pixels", "says"),
    [
        (noise(12, 16, 16, 3) / 255, "(12, 16, 16, 3) float64; expected (pictures, H, W, 3) or (pictures, H, W) uint8"),
        (noise(12, 3, 16, 16), "(12, 3, 16, 16) uint8, channels first; transpose it to (n, H, W, 3)"),
        (noise(12, 16, 16, 4), "(12, 16, 16, 4) uint8; expected (pictures, H, W, 3)"),
        (noise(12, 768), "(12, 768) uint8; expected (pictures, H, W, 3)"),
        (noise(12, 2, 4, 4, 3), "(12, 2, 4, 4, 3) uint8; expected (pictures, H, W, 3)"),
        (noise(0, 16, 16, 3), "expected 0 integers"),
        (noise(11, 16, 16, 3), "'label' is (12,) int64; expected 11 integers, one a picture"),
    ],
)
def test_arrays_of_other_shapes(tmp_path, suffix, pixels, says):
    path = tmp_path / f"images.{suffix}"
    if suffix == "npz":
        np.savez(path, data=pixels, label=LABELS)
    else:
        with h5py.File(path, "w") as file:
            file["data"], file["label"] = pixels, LABELS
    require_refused(path, 1, says)


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


def test_a_batch_of_cifar_that_runs_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    for content in ({"data": Malicious(), "labels": [0]}, {"data": noise(2, 3072), "labels": [0, Malicious()]}):
        (folder / "data_batch_1").write_bytes(pickle.dumps(content))
        require_refused(folder, 1, f"data_batch_1: is no batch of CIFAR's, it asks for '{os.mkdir.__module__}.mkdir'")
    assert not (tmp_path / "pwned").exists()


def tar(path, members):
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def good(prefix=""):
    return [m for i in range(6) for m in ((f"{prefix}{i}.png", encoded()), (f"{prefix}{i}.cls", b"%d" % (i % 3)))]


def test_tars(tmp_path):
    path = tar(tmp_path / "a.tar", good("../"))
    require_refused(path, 1, "a.tar: '../0.png' is a name that leads out of the archive; make the archive again")
    path = tar(path, [*good(), ("nine.png", encoded()), ("nine.cls", b"nine")])
    require_refused(path, 1, "a.tar/nine.cls: label 'nine' is a name, those before it are a number; write all")
    path = tar(path, [*good(), ("two\nlines\x1b[31m.png", b"x"), ("two\nlines\x1b[31m.cls", b"1")])
    code, told = mix(path)
    assert code == 1 and told.startswith(f"mixcli: {path}/two?lines?[31m.png: its header is damaged")
    path.write_bytes(b"")
    require_refused(path, 1, f"a.tar: the file is empty; {AGAIN}")


def test_a_tar_that_is_cut_short_anywhere(tmp_path):
    path = tar(tmp_path / "a.tar", good())
    whole, ends = path.read_bytes(), {"is cut short", "has no end mark, so members may be missing"}
    length = len(whole.rstrip(b"\0"))
    seen = set()
    for end in range(1, length - length % 512, 251):
        path.write_bytes(whole[:end])
        code, told = mix(path)
        seen |= (found := {words for words in ends if words in told})
        assert code == 1 and found, (end, told)
    assert seen == ends
