"""Which files --in means, and what is read from them."""

import h5py
import numpy as np
import pytest
from conftest import write_h5

from mixcli.errors import MixError, UsageError
from mixcli.formats.sources import open_source
from mixcli.reading import Reader


def cloud_file(path, n=4, points=16, label=0, seed=0, **settings):
    clouds = np.random.default_rng(seed).uniform(-1, 1, (n, points, 3)).astype(np.float32)
    return write_h5(path, clouds, np.full((n, 1), label, np.uint8), **settings)


@pytest.fixture
def folder(tmp_path):
    for i, name in enumerate(["ply_data_train1.h5", "ply_data_train0.h5", "ply_data_test0.h5"]):
        cloud_file(tmp_path / name, label=i, seed=i)
    return tmp_path


def read(*arguments):
    source, notes = open_source([str(a) for a in arguments])
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
        file.attrs["mixcli"] = "{}"
    assert read(folder)[0] == ["ply_data_train0.h5", "ply_data_train1.h5"]


def test_nothing_there(tmp_path):
    wrong = [(tmp_path, "no .h5"), (tmp_path / "*.h5", "no file matches"), (tmp_path / "a.h5", "no such")]
    for argument, says in wrong:
        with pytest.raises(UsageError, match=says):
            read(argument)


def test_other_formats_are_refused(tmp_path):
    (tmp_path / "a.ply").write_text("ply")
    with pytest.raises(UsageError, match=r"this version reads \.h5"):
        read(tmp_path / "a.ply")


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.uint16])
@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_labels_of_any_integer_type(tmp_path, dtype, shape):
    path = write_h5(tmp_path / "a.h5", np.zeros((4, 8, 3), np.float32), np.arange(4, dtype=dtype).reshape(shape))
    source = read(path)[1]
    assert source.labels.dtype == np.int64 and source.labels.tolist() == [0, 1, 2, 3] and source.known_classes() == 4


def test_class_names_beside_the_file(folder):
    (folder / "shape_names.txt").write_text("airplane\r\nbathtub\n\n")
    assert read(folder / "ply_data_train0.h5")[1].class_names == ("airplane", "bathtub")


def test_files_of_two_datasets(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        cloud_file(tmp_path / name / "x.h5")
        (tmp_path / name / "shape_names.txt").write_text(name)
    with pytest.raises(MixError, match="differ"):
        read(tmp_path / "a" / "x.h5", tmp_path / "b" / "x.h5")


@pytest.mark.parametrize("layout", [{}, {"chunks": (3, 8, 3), "compression": "gzip"}, {"chunks": (1, 16, 3)}])
@pytest.mark.parametrize("keep", [True, False])
def test_windows_hold_the_right_clouds_however_they_are_read(tmp_path, monkeypatch, layout, keep):
    import mixcli.reading

    monkeypatch.setattr(mixcli.reading, "KEEP_BYTES", 2**31 if keep else 0)
    monkeypatch.setattr(mixcli.reading, "STRIDE", 5)
    clouds = np.random.default_rng(0).uniform(-1, 1, (20, 16, 3)).astype(np.float32)
    for i, part in enumerate(np.split(clouds, 2)):
        with h5py.File(tmp_path / f"{i}.h5", "w") as file:
            file.create_dataset("data", data=part, **layout)
            file["label"] = np.zeros(10, np.uint8)
    source = read(tmp_path / "*.h5")[1]
    reader = Reader(source, 1, points=8, spool=tmp_path)
    reader.load()
    assert (reader.kept is None) == (not keep and layout.get("chunks", (1,))[0] == 1)
    order = np.random.default_rng(1).permutation(20)
    assert (reader.read(order) == clouds[order, :8]).all()
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".h5", ".h5"], "the spool has no name"


def test_the_source_is_decoded_once(tmp_path, monkeypatch):
    source = read(cloud_file(tmp_path / "a.h5", n=64))[1]
    rows = []
    original = source.parts[0].read
    monkeypatch.setattr(source.parts[0], "read", lambda r, *a: rows.append(len(range(64)[r])) or original(r, *a))
    reader = Reader(source, 1, points=16)
    reader.load()
    for window in np.array_split(np.random.default_rng(0).permutation(64), 8):
        reader.read(window)
    assert sum(rows) == 64


def test_subsampling(tmp_path):
    source = read(cloud_file(tmp_path / "a.h5", points=32))[1]
    raw = source.parts[0].read(slice(0, 4), 32)
    read_as = lambda how, seed=0: Reader(source, 1, 8, how, seed=seed).read(np.arange(4))  # noqa: E731
    assert (read_as("first") == raw[:, :8]).all()
    for how in ("random", "fps"):
        chosen = read_as(how)
        found = (chosen[:, :, None] == raw[:, None]).all(3)
        assert (found.sum(2) == 1).all() and (found.sum(1) <= 1).all(), "points of the cloud, none twice"
    assert (read_as("random", 0) != read_as("random", 1)).any()
    one = Reader(source, 1, 8, "random").read(np.array([2]))
    assert (one[0] == read_as("random")[2]).all(), "a cloud's points do not depend on its window"


def test_fps_is_spread_out(tmp_path):
    source = read(cloud_file(tmp_path / "a.h5", points=256))[1]
    gap = lambda c: np.sort(np.linalg.norm(c[:, None] - c[None], axis=2), 1)[:, 1].min()  # noqa: E731
    fps, first = (Reader(source, 1, 32, how).read(np.array([0]))[0] for how in ("fps", "first"))
    assert gap(fps) > 2 * gap(first)


def test_farthest_points_without_numba(monkeypatch):
    from mixcli import clouds

    points = np.random.default_rng(0).uniform(-1, 1, (100, 3)).astype(np.float32)
    compiled = clouds.farthest(points, 40, 7)
    monkeypatch.setattr(clouds, "have_numba", lambda: False)
    assert (clouds.farthest(points, 40, 7) == compiled).all() and compiled[0] == 7


def test_unit_sphere(tmp_path):
    clouds = np.random.default_rng(0).uniform(5, 90, (3, 16, 3)).astype(np.float32)
    clouds[2] = 7.0  # a cloud that is one point has no radius
    source = read(write_h5(tmp_path / "a.h5", clouds, np.zeros(3, int)))[1]
    found = Reader(source, 1, 16, normalize="unit-sphere").read(np.arange(3))
    assert np.allclose(found.mean(1), 0, atol=1e-6)
    assert np.allclose(np.linalg.norm(found, axis=2).max(1), [1, 1, 0], atol=1e-6)


def test_normals(tmp_path):
    rng = np.random.default_rng(0)
    clouds, normals = rng.uniform(-1, 1, (2, 4, 16, 3)).astype(np.float32)
    source = read(write_h5(tmp_path / "a.h5", clouds, np.zeros(4, int), normal=normals))[1]
    found = Reader(source, 1, 8, normals=True).read(np.array([3, 1]))
    assert (found == np.concatenate([clouds, normals], 2)[[3, 1], :8]).all()
    bare = read(cloud_file(tmp_path / "b.h5"))[1]
    with pytest.raises(UsageError, match="wants normals"):
        Reader(bare, 1, 8, normals=True)


def test_a_bad_value_in_an_unused_point_does_no_harm(tmp_path):
    clouds = np.zeros((4, 16, 3), np.float32)
    clouds[1, 12] = np.nan
    source = read(write_h5(tmp_path / "a.h5", clouds, np.zeros(4, int)))[1]
    Reader(source, 1, 8).load()
    with pytest.raises(MixError, match=r"\[1\]: NaN"):
        Reader(source, 1, 16).load()
