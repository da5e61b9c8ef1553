"""Lists of ids: modelnet40_normal_resampled, and ShapeNetPart as text."""

import json
import os

import numpy as np
import pytest

from mixcli.errors import MixError, UsageError
from mixcli.sources.cloud_part import Wanted
from mixcli.sources.reading import Reading
from mixcli.sources.source import CloudSource, open_source


def cloud(path, columns, separator, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).uniform(-1, 1, (8, columns))
    values[:, 3:6] /= np.linalg.norm(values[:, 3:6], axis=1, keepdims=True)
    values = values.round(4).astype(np.float32)
    if columns == 7:
        values[:, 6] = np.arange(8) % 4
    np.savetxt(path, values, "%.4f", separator)
    return values


def read(*arguments, **reading):
    return open_source([str(a) for a in arguments], Reading(**reading))


def files(source, root):
    return [os.path.relpath(source.address(i)[0], root) for i in range(len(source))]


@pytest.fixture
def modelnet(tmp_path):
    (tmp_path / "modelnet40_shape_names.txt").write_text("night_stand\nairplane\n")
    (tmp_path / "modelnet40_train.txt").write_text("airplane_0002\r\nnight_stand_0001\r\nairplane_0001\r\n")
    (tmp_path / "modelnet40_test.txt").write_text("night_stand_0002\n")
    for i, name in enumerate(["airplane_0001", "airplane_0002", "night_stand_0001", "night_stand_0002"]):
        cloud(tmp_path / name[:-5] / f"{name}.txt", 6, ",", i)
    return tmp_path


@pytest.fixture
def shapenet(tmp_path):
    (tmp_path / "synsetoffset2category.txt").write_text("Mug\t03797390\nAirplane\t02691156\n")
    lists = tmp_path / "train_test_split"
    lists.mkdir()
    ids = {"train": ["02691156/b", "03797390/a"], "val": ["03797390/c"], "test": ["02691156/d"]}
    for i, (split, names) in enumerate(ids.items()):
        (lists / f"shuffled_{split}_file_list.json").write_text(json.dumps([f"shape_data/{n}" for n in names]))
        for j, name in enumerate(names):
            cloud(tmp_path / f"{name}.txt", 7, " ", 10 * i + j)
    return tmp_path


def test_the_train_list_of_a_folder(modelnet):
    source, notes = read(modelnet)
    assert files(source, modelnet) == [
        "airplane/airplane_0002.txt", "night_stand/night_stand_0001.txt", "airplane/airplane_0001.txt"
    ]  # fmt: skip
    assert source.labels.tolist() == [1, 0, 1] and source.class_names == ("night_stand", "airplane")
    assert source.paths == [modelnet / "modelnet40_train.txt"] and "clouds of modelnet40_train.txt" in notes[0]
    assert source.has_normals and not source.has_seg and source.points is None
    assert [p.name for p in source.parts[0].files[:2]] == ["modelnet40_train.txt", "modelnet40_shape_names.txt"]
    values = np.loadtxt(modelnet / "airplane" / "airplane_0002.txt", delimiter=",")
    assert (source.parts[0].read(slice(0, 1), Wanted(5, True, normals=True))[0] == values[:6]).all()


def test_other_splits_and_a_list_of_its_own(modelnet):
    assert files(read(modelnet, split="test")[0], modelnet) == ["night_stand/night_stand_0002.txt"]
    assert len(read(modelnet, split="all")[0]) == 4
    assert files(read(modelnet / "modelnet40_test.txt")[0], modelnet) == ["night_stand/night_stand_0002.txt"]
    source, notes = read(modelnet / "modelnet40_train.txt", split="test")
    assert len(source) == 3 and "was named" in notes[0]
    (modelnet / "mine.txt").write_text("airplane_0001\n")
    source, _ = read(modelnet / "mine.txt")
    assert source.labels.tolist() == [1]
    assert CloudSource(source.paths).labels.tolist() == [1]


def test_forty_classes_before_ten(modelnet):
    (modelnet / "modelnet10_shape_names.txt").write_text("night_stand\n")
    (modelnet / "modelnet10_train.txt").write_text("night_stand_0001\n")
    source, notes = read(modelnet)
    assert len(source.class_names) == 2 and "lists for 10 and for 40 classes; read ModelNet40's" in notes[0]
    assert read(modelnet / "modelnet10_train.txt")[0].class_names == ("night_stand",)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("airplane_0009", r"modelnet40_train\.txt, line 2: .*airplane_0009\.txt is not there"),
        ("vase_0001", "is of class 'vase', which .*shape_names.txt does not name"),
        ("../airplane_0001", "'../airplane_0001' is no id"),
        (".._0001", "is no id"),
        ("airplane/../airplane_0001", "is no id"),
        ("airplane", "is no id"),
        ("airplane_\0001", "is no id"),
        ("airplane_" + "9" * 5000, "is not there"),
    ],
)
def test_lines_that_name_no_cloud(modelnet, line, says):
    cloud(modelnet / "vase" / "vase_0001.txt", 6, ",")
    (modelnet / "modelnet40_train.txt").write_text(f"airplane_0001\n{line}\n")
    with pytest.raises(UsageError, match=says):
        read(modelnet)


def test_a_listed_file_must_be_a_regular_one_inside(modelnet, tmp_path_factory):
    target = modelnet / "airplane" / "airplane_0001.txt"
    target.unlink()
    os.mkfifo(target)
    with pytest.raises(UsageError, match=r"line 3: .* is no regular file"):
        read(modelnet)
    target.unlink()
    outside = tmp_path_factory.mktemp("outside")
    cloud(outside / "airplane_0001.txt", 6, ",")
    target.symlink_to(outside / "airplane_0001.txt")
    with pytest.raises(MixError, match="leads out of"):
        read(modelnet)
    target.unlink()
    cloud(outside / "airplane_0002.txt", 6, ",")
    for file in (modelnet / "airplane").iterdir():
        file.unlink()
    (modelnet / "airplane").rmdir()
    (modelnet / "airplane").symlink_to(outside)
    with pytest.raises(MixError, match="leads out of"):
        read(modelnet)


def test_lists_that_lack_something(modelnet):
    (modelnet / "modelnet40_train.txt").write_text("\n \n")
    with pytest.raises(UsageError, match="the list is empty"):
        read(modelnet)
    (modelnet / "modelnet40_test.txt").unlink()
    with pytest.raises(UsageError, match=r"--split test: no modelnet40_test\.txt"):
        read(modelnet, split="test")
    (modelnet / "modelnet40_train.txt").rename(modelnet / "modelnet40_test.txt")
    (modelnet / "modelnet40_test.txt").write_text("airplane_0001")
    assert len(read(modelnet)[0]) == 1, "there is no other split"
    (modelnet / "modelnet40_shape_names.txt").unlink()
    with pytest.raises(UsageError, match=r"no modelnet40_shape_names\.txt beside it"):
        read(modelnet)


def test_shapenet_trains_on_train_and_val(shapenet):
    source, notes = read(shapenet)
    assert files(source, shapenet) == ["02691156/b.txt", "03797390/a.txt", "03797390/c.txt"]
    assert source.labels.tolist() == [1, 0, 0] and source.class_names == ("Mug", "Airplane")
    assert "shuffled_train_file_list.json and shuffled_val_file_list.json" in notes[0]
    assert source.has_normals and source.has_seg
    values = np.loadtxt(shapenet / "02691156" / "b.txt")
    assert (source.parts[0].read(slice(0, 1), Wanted(8, True, True, True))[0] == values).all()
    assert (CloudSource(source.paths).labels == source.labels).all()


def test_splits_of_shapenet(shapenet):
    assert files(read(shapenet, split="test")[0], shapenet) == ["02691156/d.txt"]
    assert len(read(shapenet, split="train")[0]) == 3 and len(read(shapenet, split="all")[0]) == 4
    one = shapenet / "train_test_split" / "shuffled_test_file_list.json"
    assert files(read(one)[0], shapenet) == ["02691156/d.txt"]


def test_shapenet_without_lists(shapenet):
    for path in (shapenet / "train_test_split").iterdir():
        path.unlink()
    source, notes = read(shapenet)
    assert files(source, shapenet) == ["03797390/a.txt", "03797390/c.txt", "02691156/b.txt", "02691156/d.txt"]
    assert source.paths == [shapenet] and not notes and source.labels.tolist() == [0, 0, 1, 1]
    with pytest.raises(UsageError, match="--split train: no train_test_split"):
        read(shapenet, split="train")
    (shapenet / "03797390" / "a.txt").unlink()
    (shapenet / "03797390" / "c.txt").unlink()
    with pytest.raises(UsageError, match=r"no \.txt cloud of 'Mug' in it"):
        read(shapenet)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('["shape_data/02691156/b", "shape_data/02691156/zz"]', r"list\.json\[1\]: .*zz\.txt is not there"),
        ('["shape_data/04379243/b"]', r"\[0\]: .* is of a category that .* does not name"),
        ('["shape_data/02691156/../../x"]', "is no entry"),
        ('["shape_data/../x"]', "is no entry"),
        ('["/etc/passwd"]', "is no entry"),
        ('["a/02691156/\\u0000"]', "is no entry"),
        ("[1, 2]", "expected a list of strings"),
        ('{"a": 1}', "expected a list of strings"),
        ("[]", "expected a list of strings"),
        ("[" * 100_000, "does not parse as JSON"),
        ('["shape', "does not parse as JSON"),
    ],
)
def test_lists_of_shapenet_that_cannot_be_followed(shapenet, text, says):
    (shapenet / "train_test_split" / "shuffled_train_file_list.json").write_text(text)
    with pytest.raises(MixError, match=says):
        read(shapenet)


@pytest.mark.parametrize("text", ["", "Mug\n", "Mug\t03797390\nCup\t03797390\n", "Mug\t../outside\n", "Mug\t/etc\n"])
def test_categories_that_cannot_be_followed(shapenet, text):
    (shapenet / "synsetoffset2category.txt").write_text(text)
    with pytest.raises(MixError, match=r"synsetoffset2category\.txt"):
        read(shapenet)


def test_a_category_folder_that_leads_out(shapenet, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    cloud(outside / "z.txt", 7, " ")
    with open(shapenet / "synsetoffset2category.txt", "a") as file:
        file.write("Bag\t02773838\n")
    (shapenet / "02773838").symlink_to(outside)
    for path in (shapenet / "train_test_split").iterdir():
        path.unlink()
    with pytest.raises(MixError, match="leads out of"):
        read(shapenet)
