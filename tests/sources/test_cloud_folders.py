"""Folders of classes: which files, in which order, and what is read from them."""

import json
import os
import zlib

import numpy as np
import pytest

from mixcli.errors import MixError, UsageError
from mixcli.files.geometry import read_geometry
from mixcli.files.meshes import sample_surface
from mixcli.sources.cloud_part import Wanted
from mixcli.sources.cloud_reader import Preparation, Reader
from mixcli.sources.clouds.class_folders import class_folders
from mixcli.sources.reading import Reading
from mixcli.sources.source import CloudSource, open_source

TETRAHEDRON = "OFF\n4 4 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n"


def cloud(path, points=8, columns=6, seed=0):
    """A text cloud; returns what it holds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).uniform(-1, 1, (points, columns))
    values[:, 3:6] /= np.linalg.norm(values[:, 3:6], axis=1, keepdims=True)
    values = values.round(4).astype(np.float32)
    np.savetxt(path, values, "%.4f", " ")
    return values


def mesh(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(TETRAHEDRON)


def read(*arguments, **reading):
    source, notes = open_source([str(a) for a in arguments], Reading(**reading))
    return source, notes


def files(source, root):
    return [os.path.relpath(source.address(i)[0], root) for i in range(len(source))]


@pytest.fixture
def flat(tmp_path):
    for i, name in enumerate(["lamp/b.txt", "chair/z.txt", "chair/a.txt", "Table/a.txt"]):
        cloud(tmp_path / name, seed=i)
    return tmp_path


@pytest.fixture
def split(tmp_path):
    for name in ("chair/train/c_2.off", "chair/test/c_1.off", "lamp/train/l_1.off", "lamp/val/l_2.off"):
        mesh(tmp_path / name)
    return tmp_path


def test_classes_are_the_sorted_folders(flat):
    source, notes = read(flat)
    assert source.class_names == ("Table", "chair", "lamp") and source.labels.tolist() == [0, 1, 1, 2]
    assert files(source, flat) == ["Table/a.txt", "chair/a.txt", "chair/z.txt", "lamp/b.txt"]
    assert source.address(1) == (str(flat / "chair/a.txt"), None) and source.paths == [flat] and not notes
    assert source.points is None and not source.parts[0].preload and source.parts[0].random_access


def test_the_order_is_not_the_file_systems(flat, monkeypatch):
    forwards = files(read(flat)[0], flat)
    listed = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: sorted(listed(folder), key=lambda e: e.name, reverse=True))
    assert files(read(flat)[0], flat) == forwards


@pytest.mark.parametrize("name", ["shape_names.txt", "modelnet40_shape_names.txt"])
def test_a_list_orders_the_classes(flat, name):
    (flat / name).write_text("lamp\nchair\nTable\n")
    source, _ = read(flat)
    assert source.class_names == ("lamp", "chair", "Table") and source.labels.tolist() == [0, 1, 1, 2]
    assert source.parts[0].files[0] == flat / name, "it decides the labels"


@pytest.mark.parametrize(
    ("names", "says"),
    [("lamp\nchair", "'Table' is a folder but not in the list"), ("lamp\nchair\nTable\nvase", "'vase' has no folder")],
)
def test_a_list_of_other_classes(flat, names, says):
    (flat / "shape_names.txt").write_text(names)
    with pytest.raises(UsageError, match=says):
        read(flat)


def test_a_list_that_names_a_class_twice(flat):
    (flat / "shape_names.txt").write_text("lamp\nchair\nTable\nlamp")
    with pytest.raises(UsageError, match="names a class twice"):
        read(flat)


def test_train_and_test(split):
    source, notes = read(split)
    assert files(source, split) == ["chair/train/c_2.off", "lamp/train/l_1.off"]
    assert "read the 2 of 4 files in folders 'train'" in notes[0] and "--split all" in notes[0]
    assert files(read(split, split="all")[0], split) == [
        "chair/test/c_1.off", "chair/train/c_2.off", "lamp/train/l_1.off", "lamp/val/l_2.off"
    ]  # fmt: skip
    source, notes = read(split, split="test")
    assert files(source, split) == ["chair/test/c_1.off"] and source.class_names == ("chair", "lamp")
    assert "class 'lamp' has no file in 'test'" in notes[0]


def test_a_split_that_is_not_there(flat):
    with pytest.raises(UsageError, match=r"--split test: no class folder of .* has a folder 'test'"):
        read(flat, split="test")


def test_the_same_part_again(split):
    source, _ = read(split)
    again = CloudSource([part.path for part in source.parts], Reading())
    assert files(again, split) == files(source, split)


def test_several_roots_have_the_same_classes(tmp_path):
    for root, klass in (("a", "chair"), ("b", "chair"), ("c", "lamp")):
        cloud(tmp_path / root / klass / "1.txt")
    assert len(read(tmp_path / "a", tmp_path / "b")[0]) == 2
    with pytest.raises(MixError, match="differ in their classes"):
        read(tmp_path / "a", tmp_path / "c")


def test_what_is_left_out_is_counted(flat):
    cloud(flat / "chair" / "deeper" / "c.txt")
    for name in (".DS_Store", "chair/.hidden.txt", "chair/notes.md", "lamp/._b.txt"):
        (flat / name).write_text("x")
    (flat / "__MACOSX").mkdir()
    os.mkfifo(flat / "chair" / "pipe.txt")
    source, notes = read(flat)
    assert len(source) == 4 and len(notes) == 1
    assert "left out 3 files or folders that are no clouds of a class, the first 'chair/notes.md'" in notes[0]


def test_an_empty_class(flat):
    (flat / "vase" / "more").mkdir(parents=True)
    with pytest.raises(UsageError, match="vase: no cloud in this class folder"):
        read(flat)


def test_folders_that_are_splits_first(tmp_path):
    for split in ("train", "test"):
        cloud(tmp_path / split / "chair" / "1.txt")
    source, notes = read(tmp_path)
    assert source.parts[0].names == ["train/chair/1.txt"] and source.class_names == ("chair",)
    assert any("read the 1 of 2 files in folders 'train'" in note for note in notes)
    assert len(read(tmp_path / "train")[0]) == 1


def test_clouds_without_class_folders(tmp_path):
    cloud(tmp_path / "a.txt")
    for root in (tmp_path,):
        with pytest.raises(UsageError, match="has clouds but no class folders"):
            read(root)
        with pytest.raises(UsageError, match="has clouds but no class folders"):
            class_folders(root)


@pytest.mark.parametrize("link", ["chair/out.txt", "vase", "chair/train"])
def test_links_that_lead_out(flat, tmp_path_factory, link):
    outside = tmp_path_factory.mktemp("outside")
    cloud(outside / "a.txt")
    (flat / link).symlink_to(outside / "a.txt" if link.endswith(".txt") else outside)
    with pytest.raises(MixError, match=f"{link}: is a link that leads out of"):
        read(flat)


def test_links_that_stay_inside(flat):
    (flat / "chair" / "again.txt").symlink_to("a.txt")
    (flat / "vase").symlink_to(flat / "lamp")
    (flat / "lamp" / "loop").symlink_to(flat)
    (flat / "lamp" / "self.txt").symlink_to("self.txt")
    source, _ = read(flat)
    assert files(source, flat)[1:4] == ["chair/a.txt", "chair/again.txt", "chair/z.txt"]
    assert source.class_names == ("Table", "chair", "lamp", "vase") and len(source) == 6


def test_names_that_are_no_unicode(tmp_path):
    for name in (b"st\xfchle", "stühle".encode()):
        os.makedirs(os.fsencode(tmp_path) + b"/" + name)
        with open(os.fsencode(tmp_path) + b"/" + name + b"/a\xff\n.txt", "w") as file:
            file.write("0 0 zero\n")
    source, _ = read(tmp_path)
    assert source.class_names == ("stühle", "st\udcfchle"), "sorted by code point"
    assert tuple(json.loads(json.dumps(source.class_names))) == source.class_names
    (tmp_path / "shape_names.txt").write_bytes("stühle\n".encode() + b"st\xfchle\n")
    again, _ = read(tmp_path)
    assert again.class_names == source.class_names
    reader = Reader(again, 2, Preparation(1))
    reader.read(np.arange(2))
    assert str(reader.error(1)).encode(errors="backslashreplace").startswith(os.fsencode(tmp_path) + rb"/st\udcfchle/a")


def test_clouds_as_they_are(flat):
    part = class_folders(flat)
    values = cloud(flat / "chair" / "a.txt", points=12)
    found = part.read(np.array([0, 1]), Wanted(5, True))
    assert (np.float32(found[1]) == values[:6, :3]).all()
    every = part.read(slice(1, 2), Wanted(5, False, normals=True))[0]
    assert (np.float32(every) == values).all() and part.has_normals and not part.has_seg


def test_part_labels_of_files(tmp_path):
    values = cloud(tmp_path / "chair" / "a.txt", columns=7)
    values[:, 6] = np.arange(8) % 3
    np.savetxt(tmp_path / "chair" / "a.txt", values, "%.4f", " ")
    part = class_folders(tmp_path)
    assert part.has_normals and part.has_seg
    assert (part.read(slice(0, 1), Wanted(8, True, True, True))[0].astype(np.float32) == values).all()
    found = part.read(slice(0, 1), Wanted(8, True, False, True))[0]
    assert (found.astype(np.float32) == values[:, [0, 1, 2, 6]]).all()


def test_normals_that_only_some_files_have_are_left_out(flat):
    cloud(flat / "lamp" / "b.txt", columns=3)
    part = class_folders(flat)
    assert not part.has_normals
    assert list(part.remarks.news("cloud")) == ["normals are left out, since another file has none, in 3 clouds"]
    assert [len(one) for one in part.read(slice(0, 4), Wanted(8, True))] == [8, 8, 8, 8]


def test_a_damaged_file_is_a_reason_without_its_path(flat):
    (flat / "Table" / "a.txt").write_text("0 0 zero\n")
    part = class_folders(flat)
    found = part.read(slice(0, 4), Wanted(8, True))
    assert isinstance(found[0], str) and str(flat) not in found[0] and len(found[1]) == 8
    assert part.has_normals, "the next file tells"
    (flat / "chair" / "a.txt").unlink()
    assert isinstance(part.read(slice(1, 2), Wanted(8, True))[0], str), "gone since it was listed"


def test_points_on_a_mesh_depend_on_its_place_alone(split, tmp_path_factory):
    part = class_folders(split)
    one, other = part.read(slice(0, 2), Wanted(100, True))
    assert one.shape == (100, 3) and (one != other).any()
    assert (part.read(slice(1, 2), Wanted(100, False))[0] == other).all()
    by_hand = sample_surface(read_geometry(split / "lamp/train/l_1.off"), 100, zlib.crc32(b"lamp/train/l_1.off"))
    assert (other == by_hand.points).all()
    moved = tmp_path_factory.mktemp("moved")
    (split / "lamp").rename(moved / "lamp")
    assert (class_folders(moved).read(slice(0, 1), Wanted(100, True))[0] == other).all()


def test_a_mesh_without_area(split):
    (split / "chair/train/c_2.off").write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n2 0 0\n3 0 1 2\n")
    found = class_folders(split).read(slice(0, 2), Wanted(10, True))
    assert isinstance(found[0], str) and "area" in found[0] and found[1].shape == (10, 3)


def test_meshes_and_clouds_in_one_folder(split):
    cloud(split / "lamp" / "train" / "cloud.txt", points=20)
    lengths = [len(c) for c in class_folders(split).read(slice(0, 3), Wanted(30, False))]
    assert lengths == [30, 20, 30]


def test_a_folder_that_cannot_be_listed(flat, monkeypatch):
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: str(path).endswith(".txt") or allowed("/none", mode))
    for opened in (read, class_folders):
        with pytest.raises(MixError, match="may not be listed; change its permissions"):
            opened(flat)


def test_recorded_meshes(shared):
    root = shared / "data" / "pc_kaykit_cc0" / "off"
    source, notes = read(root)
    assert len(source) == 165 and len(source.class_names) == 21 and "the 165 of 221 files" in notes[0]
    labels = np.load(root.parent / "pc_kaykit_cc0.npz")
    assert np.bincount(source.labels).tolist() == np.bincount(labels["labels"][labels["split"] == "train"]).tolist()
    clouds = source.parts[0].read(slice(0, 12), Wanted(256, True))
    assert all(c.shape == (256, 3) and np.isfinite(c).all() for c in clouds)
    assert len(read(root, split="test")[0]) == 56 and len(read(root, split="all")[0]) == 221


def test_recorded_text_clouds(shared):
    source, notes = read(shared / "data" / "pc_kaykit_cc0" / "txt")
    assert len(source) == 63 and source.has_normals and not notes
    clouds = source.parts[0].read(slice(0, 5), Wanted(512, False, normals=True))
    assert all(c.shape == (1024, 6) for c in clouds)
    assert np.allclose(np.linalg.norm(clouds[0][:, 3:], axis=1), 1, atol=1e-3)
