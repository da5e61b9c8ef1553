"""Networks of timm: weights from a checkpoint in them, nothing from elsewhere; without timm one sentence."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from PIL import Image

import mixcli
from mixcli import models
from mixcli.errors import CheckpointError, UsageError
from mixcli.models.spec import parse
from mixcli.saliency import images as picture_saliency

SMALL = "resnet10t"  # 5 million weights
X = torch.linspace(-1, 1, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32)


@pytest.fixture
def timm(monkeypatch):
    timm = pytest.importorskip("timm", reason="timm is not installed (pip install '.[timm]')")
    hub = pytest.importorskip("huggingface_hub")  # comes with it

    def fetched(*args, **kwargs):
        raise AssertionError("something is downloaded")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fetched)
    monkeypatch.setattr(hub, "hf_hub_download", fetched)
    monkeypatch.setattr("socket.socket.connect", fetched)
    return timm


@pytest.fixture
def saved(timm, tmp_path):
    """Saves the state of a network as timm's train.py does: gives the path and the network."""

    def save(name=SMALL, classes=3, **arguments):
        torch.manual_seed(0)
        net = timm.create_model(name, num_classes=classes, **arguments).eval()
        torch.save({"arch": name, "state_dict": net.state_dict(), "epoch": 3}, tmp_path / "net.pth")
        return tmp_path / "net.pth", net

    return save


def test_without_timm_it_is_asked_for(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "timm"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UsageError, match=r"timm:resnet18: needs the package timm; pip install '\.\[timm\]'"):
        models.load(tmp_path / "net.pth", "timm:resnet18")


def test_the_name_of_a_function_may_be_timm():
    assert parse("nets.py:timm:layout=bcn").options == {"layout": "bcn"}


def test_weights_classes_and_mode(saved):
    path, net = saved(classes=7)
    rng = torch.get_rng_state()
    found = models.load(path, f"timm:{SMALL}")
    assert torch.equal(torch.get_rng_state(), rng)
    assert (found.name, found.classes, found.data, found.options) == (f"timm:{SMALL}", 7, "images", {})
    assert (found.note, found.trusted) == ("found under 'state_dict'", False)
    assert not any(p.requires_grad for p in found.net.parameters())
    assert not any(module.training for module in found.net.net.modules())
    assert torch.equal(found.net(X), net(X))


@pytest.mark.parametrize("name", [SMALL, "mambaout_femto"])  # channels first, and behind
def test_last_maps_are_those_that_are_pooled(saved, name):
    path, net = saved(name)
    found = models.load(path, f"timm:{name}").net
    with torch.no_grad():
        maps = found.features(X)
        assert maps.shape[:2] == (2, net.num_features)
        torch.testing.assert_close(found.classify(maps), net(X))
        assert picture_saliency.activation(found, X).map.shape == (2, 32, 32)


def test_gradients_are_the_networks_own(saved):
    path, net = saved()
    x = X.clone().requires_grad_()
    torch.nn.functional.cross_entropy(net(x), torch.tensor([0, 2]), reduction="sum").backward()
    want = x.grad.norm(dim=1)
    found = picture_saliency.gradient(models.load(path, f"timm:{SMALL}").net, X, torch.tensor([0, 2])).map
    scale = lambda maps: maps / maps.sum((1, 2), keepdim=True)  # noqa: E731
    torch.testing.assert_close(scale(found), scale(want), rtol=1e-4, atol=1e-7)


def test_names_that_are_none(saved):
    path, _ = saved()
    for name, words in (
        ("resnet17", r"has no such network; did you mean timm:resnet18\?"),
        ("hf-hub:somebody/net", "is not key=value"),
        (f"{SMALL}:stride=2", "has no option 'stride'"),
    ):
        with pytest.raises(UsageError, match=words):
            models.load(path, f"timm:{name}")


def test_weights_of_another_network(saved):
    path, _ = saved()
    with pytest.raises(CheckpointError, match=r"net.pth: is not quite a timm:resnet14t: \d+ keys? missing \(layer1.0"):
        models.load(path, "timm:resnet14t")


def test_a_head_too_large_for_its_file_is_not_built(saved, monkeypatch, timm):
    path, net = saved()
    state = net.state_dict()
    torch.save({**state, "fc.weight": torch.zeros(10_000_000, 1), "fc.bias": torch.zeros(10_000_000)}, path)
    with pytest.raises(CheckpointError, match=r"fc.weight is \(10000000, 1\), not \(10000000, 512\)"):
        models.load(path, f"timm:{SMALL}")


def test_transformers_of_one_size(saved):
    path, _ = saved("vit_tiny_patch16_224")
    net = models.load(path, "timm:vit_tiny_patch16_224").net
    with pytest.raises(CheckpointError, match=r"takes only images of shape \(B, 3, 224, 224\) .*; --size 224x224"):
        net(X)
    with pytest.raises(CheckpointError, match="has tokens where others have feature maps; use --saliency gradient"):
        net.features(torch.zeros(1, 3, 224, 224))


@pytest.mark.parametrize("saliency", ["gradient", "activation"])
def test_a_run_and_its_replay(saved, tmp_path, saliency):
    path, _ = saved()
    rng = np.random.default_rng(0)
    for i in range(12):
        folder = tmp_path / "train" / "abc"[i % 3]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(folder / f"{i}.png")
    out = str(tmp_path / "mixed.h5")
    made = mixcli.mix("sage", str(tmp_path / "train"), out, ckpt=str(path), model=f"timm:{SMALL}", saliency=saliency)
    assert made.manifest["checkpoint"]["name"] == f"timm:{SMALL}"
    assert mixcli.verify(made.path, replay=None)["faults"] == []
