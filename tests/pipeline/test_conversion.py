"""Any source to any container, and any dataset to another container."""

import h5py
import numpy as np
import pytest
from conftest import rows_of, write_h5

import mixcli
from mixcli.datasets.dataset import Dataset
from mixcli.errors import UsageError


@pytest.mark.parametrize("out", ["a.npz", "a", "a.h5"])
def test_a_source_as_it_is(tmp_path, out):
    rng = np.random.default_rng(0)
    clouds, normals = rng.uniform(-1, 1, (2, 9, 40, 3)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    pid = np.arange(360).reshape(9, 40) % 5
    source = write_h5(tmp_path / "in.h5", clouds, np.arange(9) % 3, normal=normals, pid=pid)
    result = mixcli.convert(str(source), str(tmp_path / out))
    rows = Dataset(result.path).require().read(0, 9)
    assert (rows["data"] == clouds).all() and (rows["label"] == np.arange(9) % 3).all()
    assert np.allclose(rows["normal"], normals, atol=1e-6)
    assert rows["seg"].shape == (9, 40, 1) and (rows["seg"][:, :, 0] == pid).all()
    assert (rows["parent"] == np.arange(9)[:, None]).all() and (rows["weight"] == 1).all()
    assert mixcli.verify(result.path, replay=None)["faults"] == []


def test_a_converted_source_is_a_source(tiny):
    """Mixing what was converted gives the same mixes."""
    folder = mixcli.convert(str(tiny.source), str(tiny.folder / "clouds")).path
    again = mixcli.mix(
        "sagemix", str(folder), str(tiny.folder / "again.h5"), ckpt=str(tiny.ckpt), points=64, window=8, k=2
    )
    assert rows_of(again.path) == rows_of(tiny.mix("mixed.h5", k=2).path)


@pytest.mark.parametrize("out", ["b.npz", "b", "b.h5"])
def test_a_mixed_dataset_keeps_every_field_and_its_manifest(tiny, out):
    mixed = tiny.mix("mixed.h5", k=2, include_originals=True, keep=("point_source", "saliency"))
    found = mixcli.convert(str(mixed.path), str(tiny.folder / out))
    assert rows_of(found.path) == rows_of(mixed.path) and found.manifest == mixed.manifest
    assert mixcli.verify(found.path, replay=4)["faults"] == []
    with pytest.raises(UsageError, match="exists; --overwrite"):
        mixcli.convert(str(mixed.path), str(tiny.folder / out))
    with pytest.raises(UsageError, match="rows are copied as they are"):
        mixcli.convert(str(mixed.path), str(tiny.folder / "c.h5"), points=32)


def test_mixed_sets_are_mixed_again(tiny):
    """Soft labels combine: the label of a mix of mixes is the shares' mean of their labels."""
    mixed = tiny.mix("mixed.h5").path
    again = mixcli.mix("mixup", str(mixed), str(tiny.folder / "again.h5"), points=64, window=8)
    with h5py.File(mixed) as first, h5py.File(again.path) as second:
        soft, parent, weight = first["soft_label"][()], second["parent"][()], second["weight"][()]
        expected = (soft[parent] * weight[:, :, None]).sum(1)
        assert np.allclose(second["soft_label"], expected, atol=1e-6) and (expected > 0).sum(1).max() > 2
    assert mixcli.verify(again.path, replay=None)["faults"] == []
    assert mixcli.verify(again.path, source=[str(tiny.source)])["faults"], "another source"
