"""Clouds with part labels through every method, guided by a segmentation network or by a classifier."""

import numpy as np
import pytest
import torch
from conftest import write_h5

import mixcli
from mixcli.datasets.dataset import Dataset
from mixcli.errors import BadSample, CheckpointError
from mixcli.models.dgcnn_partseg import DGCNNPartSeg

PARTS = 6


@pytest.fixture
def parted(tmp_path):
    """12 clouds of 3 categories in ShapeNetPart's layout, and an untrained segmentation network of 6 parts."""
    rng = np.random.default_rng(0)
    labels = np.arange(12) % 3
    pid = 2 * labels[:, None] + rng.integers(0, 2, (12, 48))
    clouds = rng.uniform(-1, 1, (12, 48, 3)).astype(np.float32)
    path = write_h5(tmp_path / "ply_data_train0.h5", clouds, labels[:, None].astype(np.uint8), pid=pid)
    torch.manual_seed(0)
    small = {"widths": (8,) * 5, "emb": 16, "category": 8, "head": (16, 16, 8), "transform": (8, 8, 16, 16, 8)}
    net = DGCNNPartSeg(PARTS, k=8, **small)
    torch.save(net.state_dict(), tmp_path / "partseg.t7")
    return path, tmp_path / "partseg.t7", pid


def mixed(parted, method="sagemix", **arguments):
    path, ckpt, _ = parted
    settings = {"ckpt": str(ckpt), "model": "dgcnn_partseg:k=8", "points": 48, "window": 6, **arguments}
    return mixcli.mix(method, str(path), str(path.parent / f"{method}.h5"), **settings)


@pytest.mark.parametrize("method", ["sagemix", "pointmixup", "rsmix", "pointcutmix", "mixup"])
def test_every_methods_part_labels_are_those_of_the_points_it_took(parted, method):
    result = mixed(parted, method, keep=("point_source",), k=2)
    rows = Dataset(result.path).require().read(0, result.rows)
    for slot in range(2):
        source, seg = rows["point_source"][:, :, slot], rows["seg"][:, :, slot]
        theirs = np.take_along_axis(parted[2][rows["parent"][:, slot]], np.maximum(source, 0), 1)
        assert (seg == np.where(source < 0, -1, theirs)).all()
    lam = rows["point_weight"]
    soft = lam[..., None] * np.eye(PARTS)[rows["seg"][:, :, 0]] * (rows["seg"][:, :, :1] >= 0)
    soft = soft + (1 - lam[..., None]) * np.eye(PARTS)[rows["seg"][:, :, 1]] * (rows["seg"][:, :, 1:] >= 0)
    assert np.allclose(soft.sum(2), 1, atol=1e-6), "a point's soft label over the parts is a distribution"
    assert mixcli.verify(result.path, replay=None)["faults"] == []


def test_accuracy_counts_points(parted):
    result = mixed(parted)
    told = result.manifest["checkpoint"]
    assert told["name"] == "dgcnn_partseg" and told["judged"] == 12 * 48
    assert told["accuracy"] == pytest.approx(told["correct"] / told["judged"], abs=1e-6)


def test_saliency_towards_the_networks_own_parts_needs_no_part_labels(parted):
    path, _, _ = parted
    clouds = np.random.default_rng(1).uniform(-1, 1, (6, 48, 3)).astype(np.float32)
    bare = write_h5(path.with_name("bare.h5"), clouds, [0] * 6)
    with pytest.raises(CheckpointError, match="no part labels; pass a classifier, or --saliency-target predicted"):
        mixed((bare, *parted[1:]))
    result = mixed((bare, *parted[1:]), saliency_target="predicted")
    assert result.manifest["checkpoint"]["accuracy"] is None
    assert "seg" not in [f["name"] for f in result.manifest["fields"]]


def test_a_part_that_the_checkpoint_does_not_know(parted):
    path, _, pid = parted
    pid[5, 7] = PARTS
    clouds = np.random.default_rng(1).uniform(-1, 1, (12, 48, 3)).astype(np.float32)
    bad = write_h5(path.with_name("bad.h5"), clouds, np.arange(12) % 3, pid=pid)
    with pytest.raises(BadSample, match=r"bad\.h5\[5\]: a part label outside the checkpoint's parts 0\.\.5"):
        mixed((bad, *parted[1:]))
    result = mixed((bad, *parted[1:]), on_error="skip")
    assert [s["sample"] for s in result.manifest["skipped"]] == [5]


def test_more_categories_than_the_network_tells_apart(parted):
    path, _, pid = parted
    clouds = np.zeros((12, 48, 3), np.float32)
    many = write_h5(path.with_name("many.h5"), clouds, np.arange(12) + 8, pid=pid)
    with pytest.raises(CheckpointError, match="tells 16 categories apart, the source has 20"):
        mixed((many, *parted[1:]))
