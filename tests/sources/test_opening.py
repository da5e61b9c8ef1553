"""What a path stands for, layout by layout; and the layouts that agree about the same pictures."""

import io
import os
import tarfile

import h5py
import numpy as np
import pytest
from test_decode import saved
from test_idx import idx
from test_image_folders import picture

from mixcli.errors import MixError, UsageError
from mixcli.sources.fingerprint import describe
from mixcli.sources.image_source import open_picture_source
from mixcli.sources.images.decode import Fit
from mixcli.sources.images.image_part import PicturePart
from mixcli.sources.images.opening import open_pictures

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 8, 8, 3), np.uint8)
LABEL = np.array([0, 0, 1, 1, 2, 2])
NAMES = ("ant", "bee", "cow")


def folders(root):
    for i, pixels in enumerate(PIXELS):
        (root / NAMES[LABEL[i]]).mkdir(exist_ok=True)
        (root / NAMES[LABEL[i]] / f"{i}.png").write_bytes(saved(pixels))
    return root


def hub(root):
    for i, pixels in enumerate(PIXELS):
        (root / f"{i}.png").write_bytes(saved(pixels))
    lines = "".join(f"{i}.png,{NAMES[label]}\n" for i, label in enumerate(LABEL))
    (root / "metadata.csv").write_text("file_name,label\n" + lines)
    return root


def npz(root):
    np.savez(root / "a.npz", x=PIXELS, y=LABEL, names=np.array(NAMES))
    return root / "a.npz"


def h5(root):
    with h5py.File(root / "a.h5", "w") as file:
        file["data"], file["label"], file["class_names"] = PIXELS, LABEL, list(NAMES)
    return root / "a.h5"


def shards(root):
    for start in (0, 4):
        with tarfile.open(root / f"{start}.tar", "w") as archive:
            for i in range(start, min(start + 4, 6)):
                for kind, data in (("png", saved(PIXELS[i])), ("cls", NAMES[LABEL[i]].encode())):
                    info = tarfile.TarInfo(f"{i}.{kind}")
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
    return root


@pytest.mark.parametrize("layout", [folders, hub, npz, h5, shards])
def test_all_layouts_of_the_same_pictures_agree(tmp_path, layout):
    path = layout(tmp_path)
    part, notes = open_pictures(path)
    assert open_picture_source([str(path)])[0].data == "images" and part.path == path and not notes
    assert part.labels.tolist() == LABEL.tolist() and part.class_names == NAMES and len(part) == 6
    every = np.arange(6)
    assert (np.stack(part.read(every)) == PIXELS).all()
    assert (np.stack(part.read(every, Fit(8, 8))) == PIXELS).all()
    assert (np.stack(part.read(every, Fit(5, 3))) == np.stack(open_pictures(path)[0].read(every, Fit(5, 3)))).all()
    assert part.sizes(every).tolist() == [[8, 8]] * 6 and part.size in (None, (8, 8))
    promised = {name for base in PicturePart.__mro__ for name in vars(base) if not name.startswith("_")}
    assert {"path", "labels", "shares", "size", "read"} <= promised <= set(dir(part))
    assert all(path.is_file() for path in part.files) and part.shares is None
    assert describe(part)["count"] == 6 and describe(part)["bytes"] > 0


def test_idx_agrees_about_grey(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(PIXELS[..., 0]))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(LABEL.astype(np.uint8)))
    for path in (tmp_path, tmp_path / "train-images-idx3-ubyte"):
        part, _ = open_pictures(path)
        assert (np.stack(part.read(np.arange(6))) == PIXELS[..., :1]).all()


def test_a_list_is_its_folder(tmp_path):
    hub(tmp_path)
    assert open_pictures(tmp_path / "metadata.csv")[0].names == [f"{i}.png" for i in range(6)]


@pytest.mark.parametrize(("split", "count"), [("auto", 4), ("train", 4), ("test", 2), ("all", 6)])
def test_splits_of_archives(tmp_path, split, count):
    shards(tmp_path)
    (tmp_path / "0.tar").rename(tmp_path / "set-train-0.tar")
    (tmp_path / "4.tar").rename(tmp_path / "set-test-0.tar")
    part, notes = open_pictures(tmp_path, split)
    assert len(part) == count and bool(notes) == (split == "auto")


def test_class_folders_come_before_an_archive_beside_them(tmp_path):
    shards(tmp_path)
    picture(tmp_path / "ant/1.png")
    assert len(open_pictures(tmp_path)[0]) == 1


def test_what_holds_no_pictures_is_none(tmp_path):
    assert open_pictures(tmp_path) == (None, [])
    (tmp_path / "chair").mkdir()
    (tmp_path / "chair/a.off").write_text("OFF")
    (tmp_path / "a.txt").write_text("1 2 3")
    np.savez(tmp_path / "a.npz", data=np.zeros((2, 5, 3), np.float32), label=np.zeros(2, int))
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "chair/a.off", "a.off")
    for path in (tmp_path, tmp_path / "a.txt", tmp_path / "a.npz", tmp_path / "a.tar", tmp_path / "chair/a.off"):
        assert open_pictures(path) == (None, [])


def test_pictures_without_labels_are_said(tmp_path):
    picture(tmp_path / "a.png")
    with pytest.raises(UsageError, match=r"has pictures but no class folders; put 'a.png' into a folder named as its"):
        open_pictures(tmp_path)
    with pytest.raises(UsageError, match=r"a.png: is one picture without a label"):
        open_pictures(tmp_path / "a.png")


def test_packed_archives_are_said(tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(UsageError, match="is a packed archive; unpack it"):
        open_pictures(tmp_path / "a.tar.gz")


def test_what_is_no_file_is_said(tmp_path):
    os.mkfifo(tmp_path / "a.tar")
    for path, says in ((tmp_path / "a.tar", "is not a regular file"), (tmp_path / "b", "no such file")):
        with pytest.raises(MixError, match=says):
            open_pictures(path)


def test_an_empty_set_is_said(tmp_path):
    np.savez(tmp_path / "a.npz", x=PIXELS[:0], y=LABEL[:0])
    with pytest.raises(MixError, match="holds no picture"):
        open_pictures(tmp_path / "a.npz")
