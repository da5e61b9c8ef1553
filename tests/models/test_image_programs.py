"""Image networks that are programs: TorchScript, torch.export and factories, from --ckpt to a replayed dataset."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import mixcli
from mixcli import models
from mixcli.errors import CheckpointError, UsageError

ANY = torch.export.Dim.DYNAMIC
X = torch.linspace(-2, 2, 7 * 3 * 20 * 20).reshape(7, 3, 20, 20)


class Net(nn.Module):
    """A convolution, a pool and a linear layer."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Linear(4, 3)

    def logits(self, x: Tensor) -> Tensor:
        return self.fc(torch.relu(self.bn(self.conv(x))).mean((2, 3)))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x)


class Maps(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Named(Net):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.logits(x)}


class Squeezed(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x).squeeze()


class Detached(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x.detach())


class Constant(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc.weight.sum(1).expand(len(x), 3).clone()


class Hard(Net):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.one_hot(self.logits(x).argmax(1), 3)


class Angry(Net):
    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 0:
            raise ValueError("not today")
        return self.logits(x)


class OneWay(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, g):
        raise NotImplementedError("no way back")


class NoWayBack(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.logits(OneWay.apply(x))


def seeded(make=Net):
    torch.manual_seed(0)
    return make().eval()


def scripted(path, net):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is on its way out; its files are not
        torch.jit.script(net).save(path)
    return str(path)


def exported(path, net, *axes, batch=4, x=X):
    torch.export.save(torch.export.export(net, (x[:batch],), dynamic_shapes=(dict.fromkeys(axes, ANY),)), path)
    return str(path)


FACTORIES = """
import torch
from test_image_programs import Detached, NoWayBack
from test_image_programs import Net as net

def broken():
    raise OSError("no weights on this machine")

def text():
    return "net"
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with 14 images of three classes in `train`, and with factories in `nets.py`."""
    rng = np.random.default_rng(0)
    for i in range(14):
        folder = tmp_path / "train" / "abc"[i % 3]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), np.uint8)).save(folder / f"{i}.png")
    (tmp_path / "nets.py").write_text(FACTORIES)
    monkeypatch.syspath_prepend(os.path.dirname(__file__))
    return tmp_path


def mix(place, **arguments):
    settings = {"trust_ckpt": True, "normalize": "half", "window": 7, **arguments}
    return mixcli.mix("sage", str(place / "train"), str(place / "mixed.h5"), **settings)


def refused(place, error=CheckpointError, **arguments):
    """The sentence; nothing is left behind."""
    before = sorted(os.listdir(place))
    with pytest.raises(error) as caught:
        mix(place, **arguments)
    assert sorted(os.listdir(place)) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


KINDS = {
    "torchscript": scripted,
    "export of any batch": lambda path, net: exported(path, net, 0),
    "export of any size": lambda path, net: exported(path, net, 0, 2, 3),
    "export of four": exported,
    "export of one": lambda path, net: exported(path, net, batch=1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_programs(place, kind):
    net = seeded()
    path = KINDS[kind](place / "net.pt2", net)
    found = models.load(path, trust=True, data="images")
    assert (found.data, found.options, found.classes) == ("images", {}, None)
    x, y = X.clone().requires_grad_(), X.clone().requires_grad_()
    torch.testing.assert_close(found.net(x), net(y))  # seven images, if need be in fours
    (gx,), (gy,) = (torch.autograd.grad(f(z).square().sum(), z) for f, z in ((found.net, x), (net, y)))
    torch.testing.assert_close(gx, gy)
    made = mix(place, ckpt=path)
    assert made.manifest["checkpoint"]["trusted"] and made.manifest["checkpoint"]["classes"] == 3
    assert mixcli.verify(made.path, replay=None, trust_ckpt=True)["faults"] == []
    with pytest.raises(CheckpointError, match="pass --trust-ckpt"):
        mixcli.verify(made.path, replay=1)


@pytest.mark.parametrize("own_weights", [True, False])
def test_factories(place, own_weights):
    torch.save(seeded().state_dict(), place / "weights.pt")
    ckpt = None if own_weights else str(place / "weights.pt")
    rng = torch.get_rng_state()
    made = mix(place, ckpt=ckpt, model=f"{place}/nets.py:net")
    assert torch.equal(torch.get_rng_state(), rng)
    assert mixcli.verify(made.path, replay=None, trust_ckpt=True)["faults"] == []
    other = mixcli.mix("sage", str(place / "train"), str(place / "own.h5"), ckpt=scripted(place / "net.pt", seeded()),
                       trust_ckpt=True, normalize="half", window=7)  # fmt: skip
    assert [w["sha256"] for w in made.manifest["windows"]] == [w["sha256"] for w in other.manifest["windows"]]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Maps, r"gives shape \(1, 4, 20, 20\) for 1 images where mixcli needs \(images, classes\)"),
        (Named, "gives a dict for 1 images"),
        (Squeezed, r"gives shape \(3,\) for 1 images"),
        (Detached, "its logits cannot be differentiated by its input, which saliency needs; take"),
        (Constant, "its logits cannot be differentiated by its input"),
        (Hard, "its logits cannot be differentiated by its input"),
        (Angry, r"fails on images of shape \(1, 3, 20, 20\) \(RuntimeError: builtins.ValueError: not today\)"),
        (lambda: Net().double(), r"torch.float32, where it has weights of torch.float64 \(RuntimeError: .* \(double\)"),
    ],
)
def test_torchscript_that_will_not_do(place, make, words):
    path = scripted(place / "net.pt", seeded(make))
    with pytest.raises(CheckpointError, match=f"net.pt: .*{words}"):
        raise CheckpointError(refused(place, ckpt=path))


def test_without_gradient_it_will_do_for_other_maps(place):
    path = scripted(place / "net.pt", seeded(Detached))
    assert mix(place, ckpt=path, saliency="spectral").rows == 14


def test_exports_that_will_not_do(place):
    path = exported(place / "net.pt2", seeded())
    told = refused(place, ckpt=path, size=(24, 32))
    assert "takes only images of shape (B, 3, 20, 20) and gets (1, 3, 24, 32); --size 20x20 brings them to it" in told
    path = exported(place / "net.pt2", seeded(lambda: Net().double()), x=X.double())
    assert "takes torch.float64; export it for one batch of images (B, 3, H, W) in float32" in refused(place, ckpt=path)
    flat = nn.Flatten(0, 1).eval()
    path = exported(place / "net.pt2", flat, x=X[:, 0])
    assert "takes 1 inputs ((4, 20, 20)); export it for one batch of images" in refused(place, ckpt=path)
    path = exported(place / "net.pt2", seeded(Detached), 0)
    assert "its logits cannot be differentiated" in refused(place, ckpt=path)


def test_factories_that_will_not_do(place):
    nets = f"{place}/nets.py"
    assert "the factory failed (OSError: no weights on this machine)" in refused(place, model=f"{nets}:broken")
    assert "the factory returned a str" in refused(place, model=f"{nets}:text")
    assert "cannot be differentiated" in refused(place, model=f"{nets}:Detached")
    assert "which saliency needs (NotImplementedError: no way back)" in refused(place, model=f"{nets}:NoWayBack")
    assert "defines no function absent" in refused(place, UsageError, model=f"{nets}:absent")
    assert "pass --trust-ckpt" in refused(place, model=f"{nets}:net", trust_ckpt=False)
    assert "has no option 'layout'" in refused(place, UsageError, model=f"{nets}:net:layout=bcn")
