"""Manifold Mixup: hidden states of a layer, mixed, written and trained on."""

import re
import shlex

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import ROOT
from PIL import Image

import mixcli
from mixcli.cli.main import main
from mixcli.datasets.dataset import Dataset
from mixcli.errors import UsageError
from mixcli.models import load
from mixcli.models.hidden import hidden, rest


def mixed(gallery, out="hidden.h5", **arguments):
    return gallery.mix("manifoldmixup", out, **{"layer": "layer2", **arguments})


def states(gallery, layer):
    """Of all source images in source order, by a forward hook on a network that is not frozen."""
    net = load(gallery.ckpt).net
    paths = sorted(gallery.source.glob("*/*.png"))
    x = torch.from_numpy(np.stack([np.asarray(Image.open(path)) for path in paths])).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        return hidden(net, x, layer)


@pytest.mark.parametrize("layer", ["conv1", "layer1", "layer2.0", "layer3"])
def test_states_are_interpolated(gallery, layer):
    result = mixed(gallery, layer=layer, include_originals=True)
    rows, own = Dataset(result.path).require().read(0, result.rows), states(gallery, layer).numpy()
    assert rows["data"].shape[1:] == own.shape[1:] and rows["data"].dtype == np.float32
    a, b = (own[rows["parent"][:48, slot]] for slot in (0, 1))
    lam = rows["weight"][:48, 0][:, None, None, None]
    assert np.allclose(rows["data"][:48], lam * a + (1 - lam) * b, atol=1e-5)
    assert np.allclose(rows["data"][48:], own, atol=1e-5)
    assert rows["weight"][:48, 0].std() > 0.1, "lambda is drawn for each mix"
    assert mixcli.verify(result.path, replay=None)["faults"] == []


def test_the_rest_of_the_network_trains_on_them(gallery):
    dataset = mixcli.open_dataset(mixed(gallery, k=4).path)
    net = load(gallery.ckpt).net
    for parameter in net.parameters():
        parameter.requires_grad_(True)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    data, soft = (torch.stack(part) for part in zip(*(dataset[i] for i in range(len(dataset))), strict=True))
    losses = []
    for _ in range(8):
        loss = torch.nn.functional.cross_entropy(rest(net, data, "layer2"), soft)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(p.grad is None for p in net.get_submodule("layer1").parameters()), "what lies before stays as it is"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"layer": None}, "needs --layer, one of conv1, layer1"),
        ({"layer": "layer9"}, "has no such layer"),
        ({"out": "hidden"}, "hidden states are no pictures"),
        ({"saliency": "gradient"}, "--saliency: is for images, and hidden states are mixed; leave it out"),
        (
            {"pairing": "greedy"},
            "--pairing greedy: for hidden states must be one of random, different-class, same",
        ),
        ({"keep": ("mask",)}, "--keep: is for"),
    ],
)
def test_what_does_not_fit_is_told_before_any_work(gallery, arguments, told):
    with pytest.raises(UsageError, match=told):
        mixed(gallery, **arguments)
    assert not list(gallery.folder.glob("hidden*"))


def test_the_page_on_hidden_states(gallery, monkeypatch):
    """Its commands and its training, on a small network."""
    gallery.source.rename(gallery.folder / "images")
    (gallery.folder / "photos").mkdir()
    (gallery.folder / "images").rename(gallery.folder / "photos" / "train")
    gallery.ckpt.rename(gallery.folder / "preact_resnet.pt")
    monkeypatch.chdir(gallery.folder)
    text = (ROOT / "docs" / "hidden_states.md").read_text()
    for line in re.search(r"```sh\n(.*?)```", text, re.S)[1].splitlines():
        done = CliRunner().invoke(main, shlex.split(line)[1:])
        assert done.exit_code == 0, done.stderr
    exec(compile(re.search(r"```python\n(.*?)```", text, re.S)[1], "hidden_states.md", "exec"), {})
    before, after = load("preact_resnet.pt").net.state_dict(), load("after.pt").net.state_dict()
    assert torch.equal(before["layer1.0.conv1.weight"], after["layer1.0.conv1.weight"])
    assert not torch.equal(before["layer3.0.conv1.weight"], after["layer3.0.conv1.weight"])
    assert "docs/hidden_states.md" in (ROOT / "README.md").read_text()


def test_what_is_told_of_them(gallery):
    path = str(mixed(gallery).path)
    told = CliRunner().invoke(main, ["inspect", path])
    assert told.exit_code == 0 and "48 mixed hidden states, 8x10x10, 3 classes" in told.stdout
    assert "hidden states of --layer layer2, --normalize" in told.stdout
    scored = CliRunner().invoke(main, ["inspect", path, "--score"])
    assert scored.exit_code == 2 and "hidden states cannot be scored" in scored.stderr
    shown = CliRunner().invoke(main, ["view", path])
    assert shown.exit_code == 2 and "cannot be seen" in shown.stderr
    again = CliRunner().invoke(main, ["mixup", "--on", "images", "--in", path, "--out", path + ".h5"])
    assert again.exit_code in (1, 2) and "hidden" in again.stderr and "internal" not in again.stderr
