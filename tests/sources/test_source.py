"""Which files --in means, and what is read from them."""

import os

import h5py
import numpy as np
import pytest
from conftest import write_h5

from mixcli.errors import MixError, UsageError
from mixcli.sources.cloud_part import Wanted
from mixcli.sources.cloud_reader import Preparation, Reader
from mixcli.sources.reading import Reading
from mixcli.sources.source import CloudSource, open_source


def cloud_file(path, n=4, points=16, label=0, seed=0, **settings):
    clouds = np.random.default_rng(seed).uniform(-1, 1, (n, points, 3)).astype(np.float32)
    return write_h5(path, clouds, np.full((n, 1), label, np.uint8), **settings)


@pytest.fixture
def folder(tmp_path):
    for i, name in enumerate(["ply_data_train1.h5", "ply_data_train0.h5", "ply_data_test0.h5"]):
        cloud_file(tmp_path / name, label=i, seed=i)
    return tmp_path


def read(*arguments, **reading):
    source, notes = open_source([str(a) for a in arguments], Reading(**reading))
    return [p.name for p in source.paths], source, notes


def test_files_are_sorted_whatever_the_order(folder):
    names = read(folder / "ply_data_train1.h5", folder / "ply_data_train0.h5")[0]
    assert names == ["ply_data_train0.h5", "ply_data_train1.h5"]
    assert read(folder / "*train*.h5")[0] == names
    assert read(folder / "*train*.h5", folder / "ply_data_train0.h5")[0] == names, "each file once"


def test_a_folder_gives_its_train_files(folder):
    names, source, notes = read(folder)
    assert names == ["ply_data_train0.h5", "ply_data_train1.h5"] and "2 of 3 files" in notes[0]
    assert source.labels.tolist() == [1] * 4 + [0] * 4
    assert source.address(5) == (str(folder / "ply_data_train1.h5"), 1)


def test_a_list_of_files(folder):
    listing = folder / "train_files.txt"
    listing.write_text("data/modelnet40_ply_hdf5_2048/ply_data_train0.h5\n\nply_data_train1.h5\n")
    assert read(listing)[0] == read(folder)[0] == ["ply_data_train0.h5", "ply_data_train1.h5"]
    listing.write_text("../../etc/passwd\n")
    with pytest.raises(UsageError, match="line 1"):
        read(listing)


def test_a_list_cannot_leave_its_folder(folder):
    inner = folder / "inner"
    inner.mkdir()
    (inner / "train_files.txt").write_text("../ply_data_train0.h5\n")
    with pytest.raises(UsageError, match="is not in"):
        read(inner / "train_files.txt")


def test_our_own_output_in_the_folder_is_no_source(folder):
    with h5py.File(cloud_file(folder / "train_mixed.h5"), "r+") as file:
        file.attrs["mixcli"] = '{"schema": "mixcli.manifest/1"}'
    assert read(folder)[0] == ["ply_data_train0.h5", "ply_data_train1.h5"]


def test_nothing_there(tmp_path):
    wrong = [(tmp_path, "no .h5"), (tmp_path / "*.h5", "no file matches"), (tmp_path / "a.h5", "no such")]
    for argument, says in wrong:
        with pytest.raises(UsageError, match=says):
            read(argument)


REFUSED = {
    "a.ply": "one cloud without a label; give the folder",
    "a.jpeg": r"this version reads \.h5, \.hdf5, \.npz",
    "modelnet40_train_1024pts.dat": "a pickle can run programs",
    "a.json": "ShapeNetPart's lists",
    "a.txt": "one cloud without a label",
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_formats_are_refused(tmp_path, name):
    (tmp_path / name).write_text("0.25 -1e-3 7\n")
    for argument in (tmp_path / name, tmp_path / f"*{name[1:]}"):
        with pytest.raises(UsageError, match=REFUSED[name]):
            read(argument)


@pytest.mark.parametrize("name", ["a.h5", "a.npz", "a.txt", "a.json", "a.ply", "a.dat"])
def test_what_is_no_regular_file_is_not_opened(tmp_path, name):
    """Opening a FIFO would block for ever."""
    os.mkfifo(tmp_path / name)
    for argument in (tmp_path / name, tmp_path / f"*{name[1:]}"):
        with pytest.raises(MixError, match="not a regular file"):
            read(argument)
    with pytest.raises(MixError, match="not a regular file"):
        CloudSource([tmp_path / name])
    (tmp_path / "null.h5").symlink_to("/dev/null")
    with pytest.raises(MixError, match="not a regular file"):
        read(tmp_path / "null.h5")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="this system has no /proc")
def test_files_of_the_kernel_are_not_opened(tmp_path):
    (tmp_path / "a.npz").symlink_to("/proc/self/environ")
    (tmp_path / "b.txt").symlink_to("/proc/self/maps")
    for argument in ("/proc/self/mem", tmp_path / "a.npz", tmp_path / "b.txt", "/proc/self/task"):
        with pytest.raises(MixError, match=r"not a regular file|running system"):
            read(argument)


def test_a_list_names_regular_files_only(folder):
    os.mkfifo(folder / "pipe.h5")
    for line in ("pipe.h5", "/dev/null", "a\0b.h5", "x" * 5000):
        (folder / "train_files.txt").write_text(f"ply_data_train0.h5\n{line}\n")
        with pytest.raises(UsageError, match=r"train_files\.txt, line 2"):
            read(folder)
    assert read(folder / "*train*.h5")[0] == ["ply_data_train0.h5", "ply_data_train1.h5"]


def test_a_link_that_leads_out_of_the_folder(folder, tmp_path_factory):
    outside = cloud_file(tmp_path_factory.mktemp("outside") / "x.h5")
    (folder / "more_train.h5").symlink_to(outside)
    with pytest.raises(MixError, match=r"more_train\.h5: is a link that leads out"):
        read(folder)
    assert read(folder / "more_train.h5")[0] == ["more_train.h5"], "a file that the user names is the user's choice"


def test_a_file_that_is_named_twice_is_read_once(folder):
    names, source, notes = read(folder / "ply_data_train0.h5", folder / "*train0.h5")
    assert names == ["ply_data_train0.h5"] and len(source) == 4
    assert any("ply_data_train0.h5: named more than once, read once" in note for note in notes)


def test_splits_of_a_folder(folder):
    assert read(folder, split="test")[0] == ["ply_data_test0.h5"]
    assert read(folder, split="train")[0] == read(folder)[0]
    assert read(folder, split="all")[0] == ["ply_data_test0.h5", "ply_data_train0.h5", "ply_data_train1.h5"]
    (folder / "test_files.txt").write_text("ply_data_test0.h5")
    assert read(folder, split="test")[0] == ["ply_data_test0.h5"]
    (folder / "ply_data_test0.h5").unlink()
    (folder / "test_files.txt").unlink()
    with pytest.raises(UsageError, match="--split test: no file in"):
        read(folder, split="test")
    with pytest.raises(UsageError, match="--split half: must be one of auto, train, val, test, all"):
        read(folder, split="half")


def test_a_file_that_is_named_is_read_whatever_the_split(folder):
    cloud_file(folder / "mine.h5")
    for name in ("ply_data_train0.h5", "mine.h5"):
        _, source, notes = read(folder / name, split="test")
        assert len(source) == 4 and "was named, so all of it is read, whatever --split test says" in notes[0]
    assert not any("was named" in note for note in read(folder / "ply_data_test0.h5", split="test")[2])


def test_trainval_stands_for_train_and_val(tmp_path):
    for i, name in enumerate(["train", "val", "trainval", "test"]):
        cloud_file(tmp_path / f"{name}.h5", seed=i)
    names, _, notes = read(tmp_path)
    assert names == ["trainval.h5"] and "'trainval'" in notes[0]
    assert read(tmp_path, split="all")[0] == ["test.h5", "trainval.h5"], "no cloud twice"


def test_validation_files_are_no_train_files(tmp_path):
    for name in ("train0", "val0", "test0"):
        cloud_file(tmp_path / f"{name}.h5")
    assert read(tmp_path)[0] == ["train0.h5"]


def test_parts_open_again_by_their_paths(folder):
    source = read(folder)[1]
    again = CloudSource([part.path for part in source.parts])
    assert again.paths == source.paths and (again.labels == source.labels).all()


def test_points_of_all_parts(tmp_path):
    one, other = cloud_file(tmp_path / "a.h5", points=8), cloud_file(tmp_path / "b.h5", points=9)
    assert (read(one)[1].points, read(one, other)[1].points) == (8, None)
    with pytest.raises(MixError, match="holds no cloud"):
        read(write_h5(tmp_path / "c.h5", np.zeros((0, 8, 3), np.float32), np.zeros(0, int)))


def test_hard_labels_as_soft_ones(tmp_path):
    source = read(write_h5(tmp_path / "a.h5", np.zeros((4, 8, 3), np.float32), np.array([2, 0, -1, 1])))[1]
    assert not source.is_soft
    assert source.soft(np.array([3, 0, 2])).tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize("value", [2**63, 2**64 - 1])
def test_labels_that_no_integer_holds(tmp_path, value):
    labels = np.array([0, 1, value, 0], np.uint64)
    path = write_h5(tmp_path / "a.h5", np.zeros((4, 8, 3), np.float32), labels)
    with pytest.raises(MixError, match=rf"a\.h5\[2\]: label {value} is no class number"):
        read(path)


def test_links_inside_a_file_are_not_followed(tmp_path):
    cloud_file(tmp_path / "real.h5")
    with h5py.File(cloud_file(tmp_path / "a.h5"), "r+") as file:
        file["normal"] = h5py.ExternalLink("real.h5", "data")
        file["pid"] = h5py.SoftLink("/data")
    with pytest.raises(MixError, match="'normal' is no plain dataset"):
        read(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["normal"]
    with pytest.raises(MixError, match="'pid' is no plain dataset"):
        read(tmp_path / "a.h5")


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.uint16])
@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_labels_of_any_integer_type(tmp_path, dtype, shape):
    path = write_h5(tmp_path / "a.h5", np.zeros((4, 8, 3), np.float32), np.arange(4, dtype=dtype).reshape(shape))
    source = read(path)[1]
    assert source.labels.dtype == np.int64 and source.labels.tolist() == [0, 1, 2, 3] and source.known_classes() == 4


def test_class_names_beside_the_file(folder):
    (folder / "shape_names.txt").write_bytes(b"\xef\xbb\xbfairplane\r\nbathtub\n\n")
    assert read(folder / "ply_data_train0.h5")[1].class_names == ("airplane", "bathtub")
    os.truncate(folder / "shape_names.txt", 17 << 20)
    with pytest.raises(MixError, match="too many for a list"):
        read(folder / "ply_data_train0.h5")


def test_files_of_two_datasets(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        cloud_file(tmp_path / name / "x.h5")
        (tmp_path / name / "shape_names.txt").write_text(name)
    with pytest.raises(MixError, match="differ"):
        read(tmp_path / "a" / "x.h5", tmp_path / "b" / "x.h5")


def scan_object_nn(path, mask=None, **extra):
    clouds = np.random.default_rng(0).uniform(-1, 1, (3, 8, 3)).astype(np.float32)
    inside = np.array([[0, -1, 4, -1, 0, 0, -1, -1], [-1] * 8, [3] * 8])
    return clouds, write_h5(path, clouds, np.array([0, 14, 2]), mask=inside if mask is None else mask, **extra)


def test_background_is_dropped_on_request(tmp_path):
    clouds, path = scan_object_nn(tmp_path / "training_objectdataset.h5")
    kept = read(path)[1]
    assert kept.points == 8 and (kept.parts[0].read(slice(0, 3), Wanted(8, True)) == clouds).all()
    assert kept.class_names[:2] == ("bag", "bin") and kept.class_names[14] == "toilet" and kept.known_classes() == 15
    source = read(path, drop_background=True)[1]
    assert source.points is None
    first, none, last = source.parts[0].read(np.arange(3), Wanted(3, True))
    assert (first == clouds[0, [0, 2, 4]]).all() and (last == clouds[2, :3]).all()
    assert none == "all of its points are background ('mask' is -1)"
    every = source.parts[0].read(slice(0, 1), Wanted(3, False))
    assert (every[0] == clouds[0, [0, 2, 4, 5]]).all()


def test_a_cloud_of_background_is_a_bad_sample(tmp_path):
    path = scan_object_nn(tmp_path / "training_objectdataset.h5")[1]
    reader = Reader(read(path, drop_background=True)[1], 15, Preparation(4))
    with pytest.raises(MixError, match=r"\.h5\[1\]: all of its points are background"):
        reader.load()


def test_masks_that_do_not_fit(tmp_path):
    path = scan_object_nn(tmp_path / "a.h5", mask=np.zeros((3, 7), int))[1]
    assert len(read(path)[1]) == 3, "it is not read"
    with pytest.raises(MixError, match=r"'mask' is \(3, 7\) int64; expected \(3, 8\)"):
        read(path, drop_background=True)
    with pytest.raises(UsageError, match="--drop-background"):
        read(cloud_file(tmp_path / "b.h5"), drop_background=True)


def test_published_names_only_where_they_fit(tmp_path):
    path = write_h5(tmp_path / "test_objectdataset.h5", np.zeros((2, 8, 3), np.float32), np.array([0, 15]))
    assert read(path)[1].class_names is None
    (tmp_path / "shape_names.txt").write_text("\n".join(f"c{i}" for i in range(16)))
    assert read(path)[1].class_names[15] == "c15"


def test_variants_of_scan_object_nn_are_not_joined(tmp_path):
    for name in ("training_objectdataset", "training_objectdataset_augmentedrot_scale75", "test_objectdataset"):
        cloud_file(tmp_path / f"{name}.h5")
    with pytest.raises(UsageError, match="hold the same objects; name one of them"):
        read(tmp_path)
    assert read(tmp_path, split="test")[0] == ["test_objectdataset.h5"]


def shapenet_part(path, name="pid", **settings):
    seg = np.random.default_rng(1).integers(0, 50, (4, 16))
    return seg, cloud_file(path, **{name: seg[:, :, None] if name == "seg" else seg}, **settings)


@pytest.mark.parametrize("name", ["pid", "seg"])
def test_part_labels(tmp_path, name):
    seg, path = shapenet_part(tmp_path / "a.h5", name, label=15)
    source = read(path)[1]
    assert source.has_seg and (source.class_names is None) == (name == "seg"), "names where the file carries pid"
    found = source.parts[0].read(np.array([1, 3]), Wanted(8, True, seg=True))
    assert found.shape == (2, 8, 4) and (found[:, :, 3] == seg[[1, 3], :8]).all()
    assert source.parts[0].read(slice(0, 4), Wanted(8, False, seg=True)).shape == (4, 16, 4)


def test_shapenet_part_trains_on_train_and_val(tmp_path):
    for name in ("ply_data_train0", "ply_data_val0", "ply_data_test0"):
        shapenet_part(tmp_path / f"{name}.h5")
    names, source, notes = read(tmp_path)
    assert names == ["ply_data_train0.h5", "ply_data_val0.h5"] and "'train' or 'val'" in notes[0]
    assert source.class_names[0] == "Airplane" and source.class_names[15] == "Table" and len(source.class_names) == 16
    assert read(tmp_path, split="train")[0] == names and read(tmp_path, split="test")[0] == ["ply_data_test0.h5"]


@pytest.mark.parametrize("name", ["pid", "seg"])
def test_part_labels_that_do_not_fit(tmp_path, name):
    for wrong in (np.zeros((4, 15), int), np.zeros((3, 16), int), np.zeros((4, 16))):
        path = cloud_file(tmp_path / "a.h5", **{name: wrong})
        with pytest.raises(MixError, match=rf"a\.h5: '{name}' is .*expected \(4, 16\) integers"):
            read(path)
    large = read(cloud_file(tmp_path / "b.h5", **{name: np.full((4, 16), 2**40)}))[1]
    with pytest.raises(MixError, match="part label beyond"):
        large.parts[0].read(slice(0, 4), Wanted(16, True, seg=True))


def test_a_value_too_large_for_float32_is_a_bad_sample(tmp_path):
    clouds = np.zeros((2, 8, 3))
    clouds[1, 3, 0] = 1e300
    reader = Reader(read(write_h5(tmp_path / "a.h5", clouds, np.zeros(2, int)))[1], 1, Preparation(8))
    with pytest.raises(MixError, match=r"\[1\]: an infinite value"):
        reader.load()


def test_recorded_clouds(shared):
    """The real files, in ModelNet40's layout."""
    folder = shared / "data" / "pc_kaykit_cc0"
    names, source, notes = read(folder)
    assert names == ["ply_data_train0.h5"] and "train_files.txt" in notes[0]
    assert len(source) == 165 and source.points == 2048 and source.has_normals and not source.has_seg
    assert len(source.class_names) == 21 and len(read(folder, split="all")[1]) == 221
