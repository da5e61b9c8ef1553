"""Arrays of pictures in .npz and HDF5: their names, their labels, and how they are read."""

import json

import h5py
import numpy as np
import pytest
from test_decode import saved

from mixcli.errors import MixError, UsageError
from mixcli.sources.images.arrays import array_file
from mixcli.sources.images.decode import Fit, decode

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (9, 6, 4, 3), np.uint8)
LABEL = np.array([2, 0, 1, 1, 0, 2, 2, 0, 1])
WRITERS = {}


def writer(function):
    WRITERS[function.__name__] = function
    return function


@writer
def stored(folder, **arrays):
    np.savez(folder / "a.npz", **arrays)
    return folder / "a.npz"


@writer
def deflated(folder, **arrays):
    np.savez_compressed(folder / "a.npz", **arrays)
    return folder / "a.npz"


def hdf5(folder, arrays, **options):
    with h5py.File(folder / "a.h5", "w") as file:
        for name, array in arrays.items():
            text = array.dtype.kind == "U"
            file.create_dataset(name, data=array.astype(object) if text else array, **({} if text else options))
    return folder / "a.h5"


@writer
def contiguous(folder, **arrays):
    return hdf5(folder, arrays)


@writer
def chunked(folder, **arrays):
    return hdf5(folder, arrays, chunks=True, compression="gzip")


@pytest.fixture(params=WRITERS)
def write(request, tmp_path):
    return lambda **arrays: WRITERS[request.param](tmp_path, **arrays)


@pytest.mark.parametrize("names", [("data", "label"), ("images", "labels"), ("x", "y"), ("X", "Y")])
def test_names(write, names):
    path = write(**{names[0]: COLOUR, names[1]: LABEL})
    part = array_file(path)
    assert (part.labels == LABEL).all() and part.labels.dtype == np.int64 and part.class_names is None
    assert part.files == [path] and part.size == (6, 4) and part.address(5) == (str(path), 5) and not part.notes
    for rows in ([0, 1, 2], [8, 3, 3, 0], []):
        found = part.read(np.array(rows, np.int64))
        assert len(found) == len(rows)
        assert all((a == COLOUR[row]).all() for a, row in zip(found, rows, strict=True))
    assert part.sizes(np.array([1, 1])).tolist() == [[6, 4], [6, 4]]


@pytest.mark.parametrize("grey", [COLOUR[..., 0], COLOUR[..., :1]])
def test_grey(write, grey):
    part = array_file(write(data=grey, label=LABEL[:, None].astype(np.uint8)))
    assert (part.labels == LABEL).all()
    for fit in (None, Fit(6, 4), Fit(8, 8)):
        for found, expected in zip(part.read(np.arange(9), fit), grey.reshape(9, 6, 4), strict=True):
            assert (found == decode(saved(expected), fit)).all() and found.shape[2] == 3


def test_what_is_read_at_once(tmp_path):
    arrays = {"data": COLOUR, "label": LABEL}
    traits = {name: array_file(write(tmp_path, **arrays)) for name, write in WRITERS.items()}
    assert {name: (part.random_access, part.preload) for name, part in traits.items()} == {
        "stored": (True, False), "deflated": (True, False), "contiguous": (True, False), "chunked": (False, True),
    }  # fmt: skip
    with h5py.File(tmp_path / "one.h5", "w") as file:
        file.create_dataset("data", data=COLOUR, chunks=(1, 6, 4, 3))
        file["label"] = LABEL
    assert array_file(tmp_path / "one.h5").random_access


def test_names_of_classes(write):
    part = array_file(write(data=COLOUR, label=LABEL, class_names=np.array(["owl", "Ära", "kea"])))
    assert part.class_names == ("owl", "Ära", "kea")


def test_names_of_classes_as_mixcli_writes_them(tmp_path):
    path = contiguous(tmp_path, data=COLOUR, label=LABEL)
    with h5py.File(path, "a") as file:
        file.attrs["class_names"] = json.dumps(["a", "b", "c"])
    assert array_file(path).class_names == ("a", "b", "c")


def test_names_of_classes_beside(tmp_path):
    (tmp_path / "classes.txt").write_text("a\nb\nc\n")
    assert array_file(stored(tmp_path, data=COLOUR, label=LABEL)).class_names == ("a", "b", "c")


def test_soft_labels(write):
    soft = RNG.dirichlet(np.ones(3), 9).astype(np.float32)
    part = array_file(write(images=COLOUR, labels=soft))
    assert part.shares is not None and (part.labels == soft.argmax(1)).all()
    rows = np.array([4, 0, 4])
    assert (part.shares.dense(rows) == soft[rows]).all() and part.shares.dense(rows[:0]).shape == (0, 3)


def test_soft_labels_beside_labels_as_mixcli_writes_them(write):
    soft = np.tile(np.array([[0.5, 0, 0.5]], np.float32), (9, 1))
    part = array_file(write(data=COLOUR, label=LABEL, soft_label=soft))
    assert (
        part.shares is not None
        and (part.labels == LABEL).all()
        and part.shares.dense(np.array([1])).tolist() == [[0.5, 0, 0.5]]
    )


def test_soft_labels_that_are_none_are_named(tmp_path):
    soft = np.full((9, 2), 0.5)
    soft[3] = np.nan, 1
    part = array_file(stored(tmp_path, images=COLOUR, labels=soft))
    assert part.shares.dense(np.array([0, 1])).shape == (2, 2)
    with pytest.raises(MixError, match=r"a.npz\[3\]: the shares in 'labels' do not add up to 1"):
        part.shares.dense(np.array([0, 3]))


def test_one_hot_labels(write):
    part = array_file(write(x=COLOUR, y=np.eye(3, dtype=np.int32)[LABEL]))
    assert (part.labels == LABEL).all() and part.shares is None


def test_several_classes_of_one_picture_are_refused(tmp_path):
    several = np.eye(3, dtype=np.int32)[LABEL]
    several[4] = 1
    with pytest.raises(MixError, match=r"a.npz\[4\]: several classes or none in 'y'"):
        array_file(stored(tmp_path, x=COLOUR, y=several))


@pytest.mark.parametrize("form", ["{}_{}", "{1}_{0}"])
@pytest.mark.parametrize(("split", "rows"), [("auto", "t"), ("train", "t"), ("test", "e"), ("all", "te")])
def test_a_pair_for_each_split(write, form, split, rows):
    parts = {"t": slice(0, 5), "e": slice(5, 9)}
    kinds = {"t": "train", "e": "test"}
    arrays = {}
    for key, of in parts.items():
        arrays[form.format("images", kinds[key])] = COLOUR[of]
        arrays[form.format("labels", kinds[key])] = LABEL[of]
    part = array_file(write(**arrays), split)
    wanted = np.concatenate([np.arange(9)[parts[key]] for key in rows])
    assert (part.labels == LABEL[wanted]).all()
    found = part.read(np.arange(len(part)))
    assert all((a == COLOUR[row]).all() for a, row in zip(found, wanted, strict=True))
    assert bool(part.notes) == (split == "auto")


def test_splits_that_are_not_there_are_said(tmp_path):
    path = stored(tmp_path, x_train=COLOUR, y_train=LABEL)
    with pytest.raises(UsageError, match=r"--split test: .* has 'train' and nothing named as that split"):
        array_file(path, "test")
    part = array_file(stored(tmp_path, x=COLOUR, y=LABEL), "test")
    assert len(part) == 9 and "does not tell train from test" in part.notes[0]


def test_clouds_are_no_pictures(write):
    assert array_file(write(data=np.zeros((9, 6, 3), np.float32), label=LABEL)) is None
    assert array_file(write(other=COLOUR)) is None


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"data": COLOUR.astype(np.float32), "label": LABEL}, r"float32; expected \(pictures, H, W, 3\)"),
        ({"data": COLOUR.transpose(0, 3, 1, 2), "label": LABEL}, r"channels first; transpose it to \(n, H, W, 3\)"),
        ({"data": np.zeros((9, 6, 4, 4), np.uint8), "label": LABEL}, r"expected \(pictures, H, W, 3\)"),
        ({"data": np.zeros((9, 0, 4, 3), np.uint8), "label": LABEL}, "that is no picture"),
        ({"data": COLOUR}, "no 'label' or 'labels' or 'y' beside 'data'"),
        ({"data": COLOUR, "label": LABEL[:-1]}, "expected 9 integers, one a picture"),
        ({"data": COLOUR, "label": LABEL + 0.5}, "is no class number"),
        (
            {"data": COLOUR, "label": LABEL, "soft_label": LABEL},
            r"'soft_label' is \(9,\) int64; expected \(9, classes\)",
        ),
        ({"data": COLOUR, "label": np.full(9, 1 << 63, np.uint64)}, "is no class number"),
    ],
)
def test_arrays_that_do_not_fit_are_said(write, arrays, says):
    with pytest.raises(MixError, match=says):
        array_file(write(**arrays))


def test_a_damaged_chunk_is_said(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=COLOUR, chunks=(3, 6, 4, 3), compression="gzip")
        file["label"] = LABEL
        where = file["data"].id.get_chunk_info(1)
    data = bytearray(path.read_bytes())
    data[where.byte_offset : where.byte_offset + where.size] = b"\xff" * where.size
    path.write_bytes(data)
    part = array_file(path)
    assert (part.read(np.array([1]))[0] == COLOUR[1]).all()
    with pytest.raises(MixError, match=r"cannot read pictures 4..4 .* the file is damaged"):
        part.read(np.array([1, 4]))


def test_pickled_arrays_are_not_read(tmp_path):
    path = stored(tmp_path, data=COLOUR, label=np.array([None] * 9))
    with pytest.raises(MixError, match="holds pickled objects, which are not read"):
        array_file(path)


def test_links_to_other_files_are_not_followed(tmp_path):
    (tmp_path / "b").mkdir()
    other = contiguous(tmp_path / "b", data=COLOUR)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["label"], file["data"] = LABEL, h5py.ExternalLink(str(other), "data")
    with pytest.raises(MixError, match="'data' is no plain dataset of this file"):
        array_file(tmp_path / "a.h5")


def test_real_arrays_are_the_real_files(shared):
    from mixcli.sources.images.class_folders import class_folders

    folder = shared / "data/fashion_mnist_900_mit"
    part, files = array_file(folder / "fashion_mnist_900.npz"), class_folders(folder / "png")
    assert len(part) == len(files) == 900 and set(part.class_names) == set(files.class_names)
    label = part.class_names.index("bag")
    ours = {a.tobytes() for a in part.read(np.flatnonzero(part.labels == label))}
    rows = np.flatnonzero(files.labels == files.class_names.index("bag"))
    assert ours == {a.tobytes() for a in files.read(rows)}
