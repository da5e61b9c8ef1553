"""mixcli's own datasets as a source."""

import h5py
import numpy as np
import pytest
from conftest import write_h5

from mixcli.data.fields import Field
from mixcli.datasets.container import container_of, open_sink
from mixcli.errors import MixError
from mixcli.sources import fingerprint
from mixcli.sources.cloud_part import Wanted
from mixcli.sources.source import CloudSource, open_source

ROWS, POINTS = 6, 8
NAMES = ("m.h5", "m.npz", "m")  # a folder of .ply has no suffix


def mixed(path, parents=2, names=("a", "b", "c"), **fields):
    """A small dataset, and what is in it."""
    rng = np.random.default_rng(0)
    soft = rng.dirichlet(np.ones(3), ROWS).astype(np.float32)
    arrays = {
        "data": rng.uniform(-1, 1, (ROWS, POINTS, 3)).astype(np.float32),
        "label": soft.argmax(1),
        "soft_label": soft,
        "normal": rng.uniform(-1, 1, (ROWS, POINTS, 3)).astype(np.float32),
        "seg": rng.integers(0, 50, (ROWS, POINTS, parents)),
        **fields,
    }
    spec = tuple(Field(name, a.shape[1:], a.dtype.str) for name, a in arrays.items())
    sink = open_sink(path, spec, ROWS, container_of(path))
    sink.create()
    sink.write(0, 0, arrays)
    sink.finish(0)
    fields = [{"name": f.name, "shape": list(f.shape), "dtype": f.dtype} for f in spec]
    sink.seal({"schema": "mixcli.manifest/1", "fields": fields}, names)
    return arrays


def read(*arguments):
    return open_source([str(a) for a in arguments])


@pytest.mark.parametrize("name", NAMES)
def test_everything_a_dataset_carries(tmp_path, name):
    arrays = mixed(tmp_path / name)
    source, notes = read(tmp_path / name)
    part = source.parts[0]
    assert source.is_soft and (source.labels == arrays["label"]).all() and source.class_names == ("a", "b", "c")
    assert source.points == POINTS and source.has_normals and part.preload and part.random_access
    assert source.address(3) == (str(tmp_path / name), 3)
    assert (source.soft(np.array([4, 0, 4])) == arrays["soft_label"][[4, 0, 4]]).all()
    assert (part.read(slice(1, 4), Wanted(5, True)) == arrays["data"][1:4, :5]).all()
    both = np.concatenate([arrays["data"], arrays["normal"]], 2)
    assert (part.read(np.array([0, 5]), Wanted(5, False, normals=True)) == both[[0, 5]]).all()
    assert not source.has_seg and any("part labels of a mixed set are not mixed again" in note for note in notes)
    assert (CloudSource(source.paths).labels == source.labels).all()


@pytest.mark.parametrize("name", NAMES)
def test_part_labels_of_one_parent_are_carried_on(tmp_path, name):
    arrays = mixed(tmp_path / name, parents=1)
    source, notes = read(tmp_path / name)
    assert source.has_seg and not notes
    found = source.parts[0].read(slice(0, 6), Wanted(4, True, seg=True))
    assert (found[:, :, 3] == arrays["seg"][:, :4, 0]).all()


@pytest.mark.parametrize("name", NAMES)
def test_its_fingerprint(tmp_path, name):
    mixed(tmp_path / name)
    before = fingerprint.describe(read(tmp_path / name)[0].parts[0])
    assert before["count"] == ROWS and before["path"] == str(tmp_path / name)
    if (tmp_path / name).is_dir():
        (tmp_path / name / "README.md").write_text("a note beside it is not of it")
        assert fingerprint.describe(read(tmp_path / name)[0].parts[0]) == before
    soft = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]]
    mixed(tmp_path / f"other{(tmp_path / name).suffix}", soft_label=soft)
    other = read(tmp_path / f"other{(tmp_path / name).suffix}")[0].parts[0]
    assert fingerprint.digest(other) != before["sha256"]


def test_soft_and_hard_labels_together(tmp_path):
    arrays = mixed(tmp_path / "m.h5")
    write_h5(tmp_path / "n.h5", np.zeros((2, POINTS, 3), np.float32), np.array([2, 0]))
    source, _ = read(tmp_path / "m.h5", tmp_path / "n.h5")
    assert len(source) == 8 and source.is_soft and source.known_classes() == 3
    found = source.soft(np.array([6, 1, 7]))
    assert (found == [[0, 0, 1], arrays["soft_label"][1], [1, 0, 0]]).all()


def test_classes_without_names(tmp_path):
    mixed(tmp_path / "m.h5", names=None, label=np.zeros(ROWS, np.int64))
    source, _ = read(tmp_path / "m.h5")
    assert source.class_names is None and source.known_classes() == 3, "as many as the soft labels have"


def test_soft_labels_of_other_classes(tmp_path):
    mixed(tmp_path / "m.h5", names=("a", "b"))
    with pytest.raises(MixError, match="soft labels of 3 classes, but 2 class names"):
        read(tmp_path / "m.h5")


@pytest.mark.parametrize("value", [-0.5, np.nan, np.inf, 0.9])
def test_soft_labels_that_are_none(tmp_path, value):
    arrays = mixed(tmp_path / "m.h5")
    soft = arrays["soft_label"].copy()
    soft[4] = [value, 1, 0]
    mixed(tmp_path / "m.h5", soft_label=soft)
    source, _ = read(tmp_path / "m.h5")
    assert len(source.soft(np.arange(4))) == 4
    with pytest.raises(MixError, match=r"m\.h5\[4\]: 'soft_label' is no distribution"):
        source.soft(np.array([5, 4, 3]))


@pytest.mark.parametrize("name", ["data", "label"])
def test_a_dataset_that_lacks_a_field(tmp_path, name):
    mixed(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        del file[name]
    with pytest.raises(MixError, match=f"no '{name}' in it; mixcli verify"):
        read(tmp_path / "m.h5")


def test_images_are_no_clouds(tmp_path):
    mixed(tmp_path / "m.h5", data=np.zeros((ROWS, 4, 4, 3), np.uint8))
    with pytest.raises(MixError, match=r"'data' is \(6, 4, 4, 3\) uint8"):
        read(tmp_path / "m.h5")


def test_damaged_datasets(tmp_path):
    mixed(tmp_path / "m.h5")
    whole = (tmp_path / "m.h5").read_bytes()
    for at in range(0, 2000, 11):
        (tmp_path / "m.h5").write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
        try:
            source, _ = read(tmp_path / "m.h5")
            assert source.parts[0].read(slice(0, 2), Wanted(4, True)).shape == (min(2, len(source)), 4, 3)
        except MixError as e:
            assert str(e).startswith(str(tmp_path / "m.h5"))
