"""From a file and a ``--model`` to a classifier, or to a sentence that says why not."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from importlib.metadata import EntryPoint

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mixcli import models
from mixcli.errors import CheckpointError, UsageError
from mixcli.models import checkpoint, refusals, registry
from mixcli.models.dgcnn import DGCNN
from mixcli.models.fold import Folded

CLOUDS = torch.randn(5, 32, 3, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def state():
    """The weights of a small DGCNN of 6 classes."""
    net = DGCNN(classes=6, widths=(8, 8, 16, 16), emb=24, hidden=(16, 12))
    return net.state_dict()


@pytest.fixture
def saved(state, tmp_path):
    """That net's checkpoint, after an optional change to its state dict."""

    def save(change=lambda state: state):
        torch.save(change(dict(state)), tmp_path / "dgcnn.t7")
        return tmp_path / "dgcnn.t7"

    return save


def refused(path, spec=None, trust=False):
    """The one sentence of a refusal."""
    with pytest.raises(CheckpointError) as caught:
        models.load(path, spec, trust)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def is_frozen(classifier):
    return not classifier.net.training and not any(p.requires_grad for p in classifier.net.parameters())


# Checkpoints of known networks


def test_importing_costs_no_torch():
    code = "import sys, mixcli.models; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("file", "name", "classes"),
    [
        ("learning3d_pointnet_cls_mn40.t7", "pointnet_learning3d", 40),
        ("synthetic_dgcnn_cls1024_40cls_module.t7", "dgcnn", 40),
        ("synthetic_dgcnn_emb64_15cls_module.t7", "dgcnn", 15),
        ("synthetic_pointnet_emb64_15cls_module.t7", "pointnet", 15),
        ("synthetic_yanx27_pointnet_cls_40cls.pth", "pointnet_tnet", 40),
        ("synthetic_yanx27_pointnet2_cls_ssg_40cls.pth", "pointnet2_ssg", 40),
        ("synthetic_yanx27_pointnet2_cls_msg_40cls.pth", "pointnet2_msg", 40),
    ],
)
def test_published_checkpoints(shared, monkeypatch, capfd, file, name, classes):
    path = shared / "data" / "ckpt_points" / file
    monkeypatch.setattr(Folded, "freeze", lambda net: net)  # freezing may fold the weights away
    found = models.load(path)
    state, _ = checkpoint.read(path)
    assert (found.name, found.classes, found.channels, found.trusted) == (name, classes, 3, False)
    assert (found.task, found.parts) == ("classify", None)
    assert (found.path, found.sha256) == (str(path), checkpoint.sha256(path))
    own = found.net.state_dict()
    assert own.keys() == state.keys() and all(torch.equal(own[key], state[key]) for key in own)
    assert capfd.readouterr() == ("", "")


def test_a_small_dgcnn(saved, state):
    found = models.load(saved(lambda state: {"model_state_dict": {f"module.{k}": v for k, v in state.items()}}))
    assert (found.name, found.options, found.classes, found.channels) == ("dgcnn", {"k": 20}, 6, 3)
    assert found.note == "found under 'model_state_dict'; prefix 'module.' stripped"
    assert is_frozen(found) and found.net(CLOUDS).shape == (5, 6)


def test_the_weights_are_those_of_the_file(saved, state):
    net = DGCNN(classes=6, widths=(8, 8, 16, 16), emb=24, hidden=(16, 12)).eval()
    net.load_state_dict(state)
    assert torch.allclose(models.load(saved()).net(CLOUDS), net(CLOUDS), atol=1e-5)


def test_safetensors_and_old_checkpoints_without_counters(state, tmp_path):
    bare = {key: value.clone() for key, value in state.items() if not key.endswith("num_batches_tracked")}
    save_file(bare, tmp_path / "m.safetensors")
    assert models.load(tmp_path / "m.safetensors").name == "dgcnn"


def test_half_precision(saved):
    found = models.load(saved(lambda state: {k: v.half() if v.is_floating_point() else v for k, v in state.items()}))
    assert found.net(CLOUDS).dtype == torch.float32


def test_two_loads_are_equal_and_draw_nothing(saved):
    path, before = saved(), torch.get_rng_state()
    first, second = models.load(path), models.load(path)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.net(CLOUDS), second.net(CLOUDS)) and first.sha256 == second.sha256


# --model


def test_options_of_a_named_network(saved):
    path = saved()
    assert models.load(path, "dgcnn").options == {"k": 20}
    found = models.load(path, "dgcnn:k=9")
    assert found.options == {"k": 9} and found.net.k == 9
    assert not torch.equal(found.net(CLOUDS), models.load(path).net(CLOUDS))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("dgnn", "did you mean dgcnn?"),
        ("transformer", "there are dgcnn, pointnet"),
        ("dgcnn:j=4", "no option 'j'; its options and defaults: k=20"),
        ("pointnet:k=4", "and defaults: none"),
        ("dgcnn:k", "not key=value"),
        ("dgcnn:k=", "not key=value"),
        ("dgcnn:k=ten", "k=ten must be a whole number from 1"),
        ("dgcnn:k=0", "k=0 must be a whole number from 1"),
        ("dgcnn:k=-3", "must be a whole number"),
        ("torchscript:layout=abc", "layout=abc must be bnc or bcn"),
        ("export:channels=4", "channels=4 must be 3 or 6"),
        ("file.py", "name a network, or a function of a file"),
        ("file.py:", "name a network, or a function of a file"),
        (".py:make", "name a network, or a function of a file"),
        ("", "name a network"),
        (":k=3", "name a network"),
    ],
)
def test_specs_that_make_no_sense(saved, spec, words):
    with pytest.raises(UsageError) as caught:
        models.load(saved(), spec, trust=True)
    assert words in str(caught.value)


def test_no_checkpoint_at_all():
    with pytest.raises(UsageError, match="--ckpt"):
        models.load(None, "dgcnn")


# Checkpoints of something else


def test_segmentation_net(shared):
    sentence = refused(shared / "data" / "ckpt_points" / "antao97_dgcnn_semseg_s3dis_area1.t7")
    assert sentence.endswith("is a DGCNN semantic-segmentation net (13 outputs per point), not a classifier; "
                             "mixcli needs a classifier or a DGCNN part-segmentation net")  # fmt: skip


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("AnTao.DGCNN_semseg_s3dis", "a DGCNN semantic-segmentation net (13 "),
        ("yanx27.pointnet2_part_seg_ssg(50)", "a PointNet++ part-segmentation net (50 "),
        ("yanx27.pointnet2_part_seg_msg(50,normals)", "a PointNet++ part-segmentation net (50 "),
        ("yanx27.pointnet_part_seg(50)", "a PointNet part-segmentation net (50 "),
    ],
)
def test_segmentation_keys(shared, name, words):
    keys = json.loads((shared / "reference" / "state_dict_keys.json").read_text())[name]
    with pytest.raises(CheckpointError) as caught:
        refusals.refuse_others("m.pt", {key: tuple(shape) for key, shape in keys.items()})
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["SageMix.DGCNN(40)", "yanx27.pointnet2_cls_msg(40,normals)"])
def test_classifier_keys_pass(shared, name):
    keys = json.loads((shared / "reference" / "state_dict_keys.json").read_text())[name]
    refusals.refuse_others("m.pt", {key: tuple(shape) for key, shape in keys.items()})


def test_a_network_that_nobody_knows(tmp_path):
    torch.save({"conv1.weight": torch.zeros(8, 3, 3, 3), "fc.weight": torch.zeros(2, 8)}, tmp_path / "m.pt")
    assert "is none of the networks that mixcli knows" in refused(tmp_path / "m.pt")


def test_unknown_network(tmp_path):
    torch.save({f"block{i}.weight": torch.zeros(2, 2) for i in range(9)}, tmp_path / "m.pt")
    sentence = refused(tmp_path / "m.pt")
    assert "none of the networks that mixcli knows (dgcnn, pointnet, " in sentence
    assert "block4.weight, ...; build it with --model" in sentence and "block5" not in sentence


def without(key):
    return lambda state: {k: v for k, v in state.items() if k != key}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("bn6.weight"), "not quite a dgcnn: 1 key missing (bn6.weight)"),
        (without("conv3.0.weight"), "not quite a dgcnn: 1 key missing (conv3.0.weight)"),
        (lambda state: {**state, "extra.weight": torch.ones(1)}, "1 key too many (extra.weight)"),
        (lambda state: {**state, "bn7.bias": torch.ones(3)}, "bn7.bias is (3,), not (12,)"),
        (
            lambda state: {k: v for k, v in state.items() if not k.startswith("bn")},
            "keys missing (bn1.weight, bn1.bias, bn1.running_mean, bn1.running_var, bn2.weight, ...)",
        ),
    ],
)
def test_nearly_a_dgcnn(saved, change, words):
    assert words in refused(saved(change))
    assert words in refused(saved(change), "dgcnn")


def test_named_but_another(saved):
    assert "is no pointnet_tnet: " in refused(saved(), "pointnet_tnet")


def test_nan_weights(saved):
    spoil = lambda state: {**state, "linear3.bias": torch.full((6,), float("nan"))}  # noqa: E731
    assert "6 of the 6 values of linear3.bias are NaN" in refused(saved(spoil))


@pytest.mark.parametrize(
    ("cast", "words"),
    [
        (torch.Tensor.int, "holds whole numbers (torch.int32) where the network has floating-point ones"),
        (torch.Tensor.bool, "holds whole numbers (torch.bool)"),
        (lambda value: value + 1j, "holds complex numbers (torch.complex64)"),
    ],
)
def test_numbers_of_another_kind(saved, factories, tmp_path, cast, words):
    change = lambda state: {**state, "bn6.weight": cast(state["bn6.weight"])}  # noqa: E731
    assert f"bn6.weight {words}" in refused(saved(change))
    torch.save({"fc.weight": cast(torch.ones(4, 3)), "fc.bias": torch.zeros(4)}, tmp_path / "m.pt")
    assert f"fc.weight {words}" in refused(tmp_path / "m.pt", f"{factories}:Net", trust=True)


def test_counters_may_be_cast_with_the_rest(saved, state):
    found = models.load(saved(lambda state: {key: value.double() for key, value in state.items()}))
    assert torch.equal(found.net.linear3.weight, state["linear3.weight"])
    spoil = lambda state: {**state, "bn6.num_batches_tracked": torch.tensor(1j)}  # noqa: E731
    assert "bn6.num_batches_tracked holds complex numbers" in refused(saved(spoil))


# Programs


class Small(nn.Module):
    """A pooled linear map with a BatchNorm, for clouds (B, N, 3) or (B, 3, N)."""

    def __init__(self, points: int = 1):
        super().__init__()
        self.points, self.fc, self.bn = points, nn.Linear(3, 4), nn.BatchNorm1d(4)

    def forward(self, x):
        return self.bn(self.fc(x.amax(self.points)))


@pytest.fixture(params=["torchscript", "export", "export-one"])
def program(request, tmp_path):
    """A saved program: gives path, kind and the network in it."""

    def make(points=1):
        net, path = Small(points).eval(), tmp_path / "net.pt2"
        shape = (2, 32, 3) if points == 1 else (2, 3, 32)
        if request.param == "torchscript":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch.jit is on its way out; its files are not
                torch.jit.trace(net, torch.randn(shape)).save(path)
        else:
            batch = {0: torch.export.Dim.DYNAMIC} if request.param == "export" else {}
            exported = torch.export.export(net, (torch.randn(shape),), dynamic_shapes=(batch,))
            torch.export.save(exported, path)
        return path, request.param.partition("-")[0], net

    return make


def test_programs_want_trust(program):
    path, _, _ = program()
    assert refused(path).endswith("pass --trust-ckpt if you trust its author")


def test_programs_run_and_give_gradients(program):
    path, kind, net = program()
    found = models.load(path, trust=True)
    assert (found.name, found.trusted, found.options) == (kind, True, {"layout": "bnc", "channels": 3})
    assert found.sha256 == checkpoint.sha256(path) and is_frozen(found)
    x, y = CLOUDS.clone().requires_grad_(), CLOUDS.clone().requires_grad_()
    assert torch.allclose(found.net(x), net(y), atol=1e-6)  # five clouds, if need be in twos
    found.net(x).square().sum().backward()
    net(y).square().sum().backward()
    assert torch.allclose(x.grad, y.grad, atol=1e-5)


def test_programs_of_the_other_order(program):
    path, kind, net = program(points=2)
    found = models.load(path, f"{kind}:layout=bcn", trust=True)
    assert torch.allclose(found.net(CLOUDS), net(CLOUDS.transpose(1, 2)), atol=1e-6)
    with pytest.raises(CheckpointError, match="layout"):
        models.load(path, kind, trust=True).net(CLOUDS)


def test_a_program_stays_in_its_mode(program):
    found = models.load(program()[0], trust=True)
    found.net.eval()
    found.net.train()
    assert is_frozen(found) or not any(m.training for m in found.net.net.modules())


def test_programs_that_are_none(program, saved, tmp_path):
    path, kind, _ = program()
    assert "leave --model dgcnn out" in refused(path, "dgcnn", trust=True)
    assert f"holds weights, not a program; leave --model {kind} out" in refused(saved(), kind, trust=True)
    (tmp_path / "cut.pt2").write_bytes(path.read_bytes()[:-40])
    assert "cut short" in refused(tmp_path / "cut.pt2", trust=True)


FACTORIES = """
import torch
from beside import Base

class Net(Base):
    classes = 4
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(3, 4)
    def forward(self, x):
        return self.fc(x.amax(1)), x

class Points(Net):
    def forward(self, x):
        return self.fc(x)

class Channels(Net):
    def forward(self, x):
        return self.fc(x.amax(2))

def text():
    return "net"

def broken():
    raise ValueError("no such luck")

def leaves():
    raise SystemExit(3)
"""


@pytest.fixture
def factories(tmp_path):
    """A Python file of factories."""
    (tmp_path / "beside.py").write_text("import torch\nBase = torch.nn.Module\n")
    (tmp_path / "nets.py").write_text(FACTORIES)
    return tmp_path / "nets.py"


def test_factory_with_a_checkpoint(factories, tmp_path):
    state = {"fc.weight": torch.ones(4, 3), "fc.bias": torch.zeros(4)}
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "m.pt")
    before = list(sys.path)
    found = models.load(tmp_path / "m.pt", f"{factories}:Net", trust=True)
    assert sys.path == before
    assert (found.name, found.classes, found.trusted) == (f"{factories}:Net", 4, True)
    assert found.note.startswith("found under 'state_dict'; prefix 'module.' stripped; factory SHA-256 ")
    assert torch.equal(found.net(CLOUDS)[:, 0], CLOUDS.amax(1).sum(1)) and is_frozen(found)


def test_factory_alone(factories):
    found = models.load(None, f"{factories}:Channels:layout=bcn", trust=True)
    assert (found.path, found.sha256) == (str(factories), checkpoint.sha256(factories))
    assert found.net(CLOUDS).shape == (5, 4)


def test_factory_wants_trust_before_it_runs(factories):
    factories.write_text("open('ran', 'w')")
    assert "pass --trust-ckpt" in refused(None, f"{factories}:Net")
    assert not (factories.parent / "ran").exists()


def test_factories_that_fail(factories, saved, tmp_path):
    assert "the factory returned a str" in refused(None, f"{factories}:text", trust=True)
    assert "the factory failed (ValueError: no such luck)" in refused(None, f"{factories}:broken", trust=True)
    assert "the factory failed (SystemExit: 3)" in refused(None, f"{factories}:leaves", trust=True)
    assert "does not fit the factory's network: 2 keys missing (fc.weight, fc.bias)" in refused(
        saved(), f"{factories}:Net", trust=True
    )
    (tmp_path / "wrong.py").write_text("import nothing_of_this_name")
    assert "cannot be run (ModuleNotFoundError" in refused(None, f"{tmp_path / 'wrong.py'}:Net", trust=True)
    for spec, words in ((f"{factories}:absent", "no function absent"), (f"{tmp_path}/no.py:f", "no file")):
        with pytest.raises(UsageError, match=words):
            models.load(None, spec, trust=True)


def test_a_network_with_outputs_per_point(factories):
    with pytest.raises(CheckpointError, match=r"gives shape \(5, 32, 4\) for 5 clouds"):
        models.load(None, f"{factories}:Points", trust=True).net(CLOUDS)


PLUGIN = """
import torch
from mixcli.models.layout import layout

class Net(torch.nn.Module):
    classes, channels = 2, 3
    def __init__(self, out=2, scale=1):
        super().__init__()
        self.only = torch.nn.Linear(3, out)
        self.scale = scale
    def forward(self, x):
        return self.only(x.amax(1)) * self.scale

def build(shapes, scale=1):
    return Net(shapes["only.weight"][0], scale)

LAYOUT = layout("plugged", build, scale=1)
"""


def test_networks_of_installed_packages(tmp_path, monkeypatch):
    (tmp_path / "mixcli_plugged.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    entries = [
        EntryPoint(name, f"mixcli_plugged:{value}", registry.GROUP)
        for name, value in (("plugged", "LAYOUT"), ("made", "Net"), ("gone", "Gone"))
    ]
    monkeypatch.setattr(registry.metadata, "entry_points", lambda group: entries)
    torch.save({"only.weight": torch.ones(2, 3), "only.bias": torch.zeros(2)}, tmp_path / "m.pt")
    assert models.load(tmp_path / "m.pt", "plugged:scale=2").options == {"scale": 2}
    found = models.load(tmp_path / "m.pt", "made")
    assert (found.name, found.trusted, found.classes) == ("made", False, 2)
    assert found.net(CLOUDS).shape == (5, 2)
    assert "cannot be imported" in refused(tmp_path / "m.pt", "gone")
    del entries[2]
    assert models.load(tmp_path / "m.pt").name == "plugged"
