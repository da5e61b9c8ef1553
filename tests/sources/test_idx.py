"""MNIST's files, plain and packed, whole and damaged."""

import gzip
import struct

import numpy as np
import pytest

from mixcli.errors import MixError, UsageError
from mixcli.sources.images.decode import Fit, decode
from mixcli.sources.images.idx import idx_file, idx_folder

RNG = np.random.default_rng(0)


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def written(folder, name, count=5, packed=False, size=(6, 4)):
    """A pair of files; returns pictures and labels."""
    folder.mkdir(exist_ok=True)
    images = RNG.integers(0, 256, (count, *size), np.uint8)
    labels = RNG.integers(0, 10, count).astype(np.uint8)
    for what, array in (("images-idx3", images), ("labels-idx1", labels)):
        data = idx(array)
        (folder / f"{name}{what}-ubyte{'.gz' if packed else ''}").write_bytes(gzip.compress(data) if packed else data)
    return images, labels


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("raw", [False, True])
def test_mnist(tmp_path, packed, raw):
    folder = tmp_path / "raw" if raw else tmp_path
    images, labels = written(folder, "train-", packed=packed)
    written(folder, "t10k-", packed=packed)
    part = idx_folder(tmp_path)
    assert (part.labels == labels).all() and part.labels.dtype == np.int64 and part.size == (6, 4)
    assert part.notes == (f"{tmp_path}: read 'train-' of 't10k-', 'train-'; --split all reads everything",)
    rows = np.array([4, 1, 4])
    found = part.read(rows)
    assert all((a == images[row][..., None]).all() and a.shape == (6, 4, 3) for a, row in zip(found, rows, strict=True))
    assert part.sizes(rows).tolist() == [[6, 4]] * 3 and part.random_access and not part.preload
    end = ".gz" if packed else ""
    assert part.address(3) == (str(folder / f"train-images-idx3-ubyte{end}"), 3)
    assert part.files == [folder / f"train-{what}-ubyte{end}" for what in ("images-idx3", "labels-idx1")]


def test_all_splits_come_one_after_the_other(tmp_path):
    first, _ = written(tmp_path, "t10k-", 2)
    second, labels = written(tmp_path, "train-", 3)
    part = idx_folder(tmp_path, "all")
    assert len(part) == 5 and (part.labels[2:] == labels).all()
    assert (part.read(np.array([3]))[0][..., 0] == second[1]).all() and (
        part.read(np.array([1]))[0][..., 0] == first[1]
    ).all()
    assert part.address(3) == (str(tmp_path / "train-images-idx3-ubyte"), 1)
    assert len(idx_folder(tmp_path, "test")) == 2


def test_pictures_are_fitted_as_files_are(tmp_path):
    from test_decode import saved

    images, _ = written(tmp_path, "train-")
    found = idx_folder(tmp_path).read(np.arange(5), Fit(8, 8))
    assert all((a == decode(saved(image), Fit(8, 8))).all() for a, image in zip(found, images, strict=True))


def test_one_file_is_read_with_its_labels(tmp_path):
    _, labels = written(tmp_path, "emnist-letters-train-")
    written(tmp_path, "emnist-digits-train-")
    part = idx_file(tmp_path / "emnist-letters-train-images-idx3-ubyte")
    assert (part.labels == labels).all()
    with pytest.raises(UsageError, match="belong to different sets; name one of them"):
        idx_folder(tmp_path)
    with pytest.raises(UsageError, match="holds labels; give the file of pictures"):
        idx_file(tmp_path / "emnist-letters-train-labels-idx1-ubyte")
    assert idx_file(tmp_path / "other") is None


def test_a_list_of_classes_names_them(tmp_path):
    written(tmp_path, "train-")
    (tmp_path / "classes.txt").write_text("".join(f"c{i}\n" for i in range(10)))
    assert idx_folder(tmp_path).class_names == tuple(f"c{i}" for i in range(10))


def test_no_idx_files_are_no_source(tmp_path):
    assert idx_folder(tmp_path) is None


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda data: data[:-1], "declares 120 bytes"),
        (lambda data: data + b"x", "declares 120 bytes"),
        (lambda data: data[:10], "cut short in its header"),
        (lambda data: b"\0\0\x0d" + data[3:], "is no idx file of bytes"),
        (lambda data: data[:4] + b"\xff" * 12 + data[16:], "declares 79,228,162,458,924,105,385,300,197,375 bytes"),
        (lambda data: data[:4] + bytes(4) + data[8:], r"is empty, \(0, 6, 4\)"),
    ],
)
def test_headers_that_lie_are_found(tmp_path, packed, damage, says):
    images, _ = written(tmp_path, "train-", packed=packed)
    data = damage(idx(images))
    path = next(tmp_path.glob("*images*"))
    path.write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(MixError, match=says):
        idx_folder(tmp_path)


def test_a_damaged_gz_is_said(tmp_path):
    written(tmp_path, "train-", packed=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    for data in (whole[:-6], whole[:30] + b"\xff\xff" + whole[32:], b"hello"):
        path.write_bytes(data)
        with pytest.raises(MixError, match=r"cannot be unpacked|declares"):
            idx_folder(tmp_path)


def test_labels_must_fit(tmp_path):
    written(tmp_path, "train-")
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(4, np.uint8)))
    with pytest.raises(MixError, match="labels for the 5 pictures"):
        idx_folder(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(MixError, match="no train-labels-idx1-ubyte beside it"):
        idx_folder(tmp_path)


def test_links_out_are_refused(tmp_path, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    written(outside, "train-")
    for path in outside.iterdir():
        (tmp_path / path.name).symlink_to(path)
    with pytest.raises(MixError, match="is a link that leads out of"):
        idx_folder(tmp_path)
