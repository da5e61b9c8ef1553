"""Class folders: which pictures, in which order, and what is refused."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from mixcli.errors import MixError, UsageError
from mixcli.sources.images import encoded
from mixcli.sources.images.class_folders import class_folders
from mixcli.sources.images.decode import Fit


def picture(path, seed=0, size=(5, 7)):
    """Saves a picture; returns its pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(values).save(path)
    return values


@pytest.fixture
def flat(tmp_path):
    names = ["dog/b.png", "dog/A.PNG", "dog/z/0.png", "dog/a-/9.bmp", "Cat/1.png", "ant/1.ppm"]
    return tmp_path, {name: picture(tmp_path / name, seed) for seed, name in enumerate(names)}


@pytest.fixture
def split(tmp_path):
    for name in ("train/a/1.png", "train/a/2.png", "train/b/1.png", "val/a/3.png", "val/b/3.png", "test/b/4.png"):
        picture(tmp_path / name)
    return tmp_path


def test_order_and_labels_are_those_of_image_folder(flat):
    root, _ = flat
    part = class_folders(root)
    walked = []  # as torchvision.datasets.folder.make_dataset goes through them
    for label, name in enumerate(sorted(entry.name for entry in os.scandir(root))):
        for folder, _, files in sorted(os.walk(root / name)):
            walked += [(os.path.join(folder, file), label) for file in sorted(files)]
    assert [(path, label) for (path, _), label in zip(map(part.address, range(6)), part.labels, strict=True)] == walked
    assert part.class_names == ("Cat", "ant", "dog") and part.labels.dtype == np.int64
    assert [str(path) for path in part.files] == [path for path, _ in walked]
    assert part.size is None and part.random_access and not part.preload and part.shares is None and not part.notes


def test_the_order_is_not_the_file_systems(flat, monkeypatch):
    forwards = class_folders(flat[0]).names
    listed = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: sorted(listed(path), key=lambda e: e.name, reverse=True))
    assert class_folders(flat[0]).names == forwards


def test_rows_are_read_in_any_order(flat):
    root, pixels = flat
    part = class_folders(root)
    rows = np.array([5, 0, 5, 2])
    assert all((a == pixels[part.names[row]]).all() for a, row in zip(part.read(rows), rows, strict=True))
    assert part.sizes(rows).tolist() == [[5, 7]] * 4
    assert [a.shape for a in part.read(rows, Fit(4, 6))] == [(4, 6, 3)] * 4
    assert part.read(rows[:0]) == [] and part.sizes(rows[:0]).shape == (0, 2)


def test_the_number_of_threads_changes_nothing(tmp_path, monkeypatch):
    expected = [picture(tmp_path / f"a/{i:03}.png", i) for i in range(150)]
    for threads in (1, 7):
        monkeypatch.setattr(encoded, "THREADS", threads)
        found = class_folders(tmp_path).read(np.arange(150))
        assert all((a == b).all() for a, b in zip(found, expected, strict=True))


def test_a_bad_picture_has_a_reason_and_no_size(tmp_path):
    good = picture(tmp_path / "a/1.png")
    (tmp_path / "a/2.png").write_bytes(b"")
    (tmp_path / "a/3.png").write_text("hello")
    part = class_folders(tmp_path)
    first, *bad = part.read(np.arange(3))
    assert (first == good).all() and bad[0] == "the file is empty" and "of no kind that is read" in bad[1]
    assert part.sizes(np.arange(3)).tolist() == [[5, 7], [-1, -1], [-1, -1]]


def test_other_files_are_left_out_with_a_note(flat):
    root, _ = flat
    for name in ("LICENSE", "loose.png", "dog/notes.txt", "dog/z/anim.gif", ".hidden.png", "dog/._b.png", ".git/x.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"x")
    part = class_folders(root)
    assert len(part) == 6
    assert part.notes == (f"{root}: left out 4 files or folders that are no picture of a class, the first 'loose.png'",)


def test_an_empty_class_is_named(flat):
    (flat[0] / "bee/inner").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"bee: no picture in this class folder; remove it, or give it files"):
        class_folders(flat[0])


def test_no_pictures_at_all_is_no_source(tmp_path):
    (tmp_path / "chair").mkdir()
    (tmp_path / "chair/a.off").write_text("OFF")
    assert class_folders(tmp_path) is None and class_folders(tmp_path, "train") is None


@pytest.mark.parametrize(
    ("wanted", "files"),
    [
        ("auto", ["train/a/1.png", "train/a/2.png", "train/b/1.png"]),
        ("train", ["train/a/1.png", "train/a/2.png", "train/b/1.png"]),
        ("val", ["val/a/3.png", "val/b/3.png"]),
        ("test", ["test/b/4.png"]),
        ("all", ["train/a/1.png", "train/a/2.png", "train/b/1.png", "val/a/3.png", "val/b/3.png", "test/b/4.png"]),
    ],
)
def test_splits(split, wanted, files):
    part = class_folders(split, wanted)
    assert part.names == files and part.class_names == ("a", "b")
    assert part.labels.tolist() == ["ab".index(name.split("/")[1]) for name in files], "a missing class moves no other"
    said = f"{split}: read 'train' of 'train', 'val', 'test'; --split all reads everything"
    assert list(part.notes) == ([said] if wanted == "auto" else [])


@pytest.mark.parametrize("words", [("training", "testing"), ("Train", "Valid")])
def test_other_words_for_splits(tmp_path, words):
    for word in words:
        picture(tmp_path / word / "a/1.png")
    assert class_folders(tmp_path).names == [f"{words[0]}/a/1.png"]


def test_a_class_may_be_called_train(tmp_path):
    for name in ("car/1.png", "train/1.png"):
        picture(tmp_path / name)
    assert class_folders(tmp_path).class_names == ("car", "train")


def test_a_split_that_is_not_there_is_said(split):
    shutil.rmtree(split / "val")
    with pytest.raises(UsageError, match=r"--split val: .* has 'train', 'test' and nothing named as that split"):
        class_folders(split, "val")
    (split / "test/b/4.png").unlink()
    with pytest.raises(UsageError, match="test/b: no picture in this class folder"):
        class_folders(split, "test")


def test_asking_classes_for_a_split_is_said(flat):
    with pytest.raises(UsageError, match=r"--split test: the folders of .* are classes, not splits; leave --split out"):
        class_folders(flat[0], "test")


def test_classes_beside_splits_are_said(split):
    picture(split / "zebra/1.png")
    with pytest.raises(UsageError, match="'zebra' holds pictures beside the split 'test'"):
        class_folders(split)


def test_a_class_of_one_split_alone_is_said(split):
    picture(split / "val/c/1.png")
    with pytest.raises(UsageError, match="val/c: no other split has this class"):
        class_folders(split, "val")
    assert len(class_folders(split)) == 3, "which does not matter to train"


def test_a_split_without_classes_is_said(split):
    (split / "test/b/4.png").rename(split / "test/4.png")
    (split / "test/b").rmdir()
    assert len(class_folders(split)) == 3
    with pytest.raises(UsageError, match="test: has pictures but no class folders"):
        class_folders(split, "test")


def test_links_inside_are_followed_and_links_out_are_refused(flat, tmp_path_factory):
    root, pixels = flat
    (root / "dog/link.png").symlink_to(root / "Cat/1.png")
    (root / "eel").symlink_to(root / "ant")
    part = class_folders(root)
    assert part.class_names == ("Cat", "ant", "dog", "eel")
    at = part.names.index("dog/link.png")
    assert (part.read(np.array([at]))[0] == pixels["Cat/1.png"]).all()
    outside = tmp_path_factory.mktemp("outside")
    picture(outside / "x/1.png")
    (root / "dog/out.png").symlink_to(outside / "x/1.png")
    with pytest.raises(MixError, match=r"out.png: is a link that leads out of"):
        class_folders(root)
    (root / "dog/out.png").unlink()
    (root / "fox").symlink_to(outside / "x")
    with pytest.raises(MixError, match=r"fox: is a link that leads out of"):
        class_folders(root)


def test_a_circle_of_links_ends(flat):
    root, _ = flat
    (root / "dog/again").symlink_to(root / "dog")
    part = class_folders(root)
    assert len(part) == 6 and "left out 'dog/again', which is" in part.notes[0]


def test_what_is_no_regular_file_is_refused(flat):
    root, _ = flat
    os.mkfifo(root / "dog/pipe.png")
    with pytest.raises(MixError, match=r"dog/pipe.png: is not a regular file"):
        class_folders(root)
    (root / "dog/pipe.png").unlink()
    (root / "dog/gone.png").symlink_to(root / "nowhere.png")
    with pytest.raises(MixError, match=r"dog/gone.png: is not a regular file"):
        class_folders(root)


def test_real_pictures(shared):
    part = class_folders(shared / "data/sign_language_digits")
    assert len(part) >= 200 and part.class_names == tuple("0123456789")
    sizes = part.sizes(np.arange(len(part)))
    assert {tuple(size) for size in sizes.tolist()} == {(100, 100), (3024, 3024)}
    found = part.read(np.arange(len(part)), Fit(64, 64))
    assert all(a.shape == (64, 64, 3) and a.dtype == np.uint8 for a in found)
