"""What is asked of a network: declared by mixcli's own, and answered for those of others."""

import copy

import pytest
import torch
from test_image_models import images, network
from torch import nn

from mixcli.errors import CheckpointError
from mixcli.models.dgcnn_partseg import DGCNNPartSeg
from mixcli.models.images.layers import Layers
from mixcli.models.images.network import ImageNetwork, Plan, placed, put
from mixcli.models.network import Network, adapted
from mixcli.models.pointnet import PointNet
from mixcli.models.programs import Program


class Plain(nn.Module):
    """Somebody's classifier of clouds, with a layer whose name is one of mixcli's."""

    def __init__(self):
        super().__init__()
        self.only, self.parts = nn.Linear(3, 4), nn.Linear(1, 1)

    def forward(self, x):
        return self.only(x.amax(1))


def test_a_network_is_itself():
    net = PointNet(classes=4)
    assert adapted(net) is net
    program = Program(Plain(), "net.py")
    assert adapted(program) is program


def test_a_plain_module_is_called_and_tells_what_it_tells():
    plain = Plain().eval()
    plain.classes, plain.task, plain.channels = 4, "segment", 6
    net = adapted(plain)
    assert (net.classes, net.task, net.channels, net.data, net.first) == (4, "segment", 6, "points", 0)
    assert net.parts is None, "a layer of that name tells nothing"
    assert not net.training and not net.needs_trial and not net.tells_evidence
    x = torch.randn(2, 5, 3)
    assert torch.equal(net(x), plain(x)) and torch.equal(net.logits(x), plain(x))
    assert net.layers() == ("only", "parts")
    adapted(plain.train())
    assert plain.training, "to wrap a network does not change it"


def test_a_program_is_tried_before_it_is_used():
    program = Program(Plain(), "net.py")
    assert program.needs_trial and program.classes is None and not program.training


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda net: net.features(images(1)), "no last feature maps by name; --layer names one of its layers"),
        (
            lambda net: net.rest(images(1), "only"),
            "--layer only: only mixcli.s own networks can be run from a layer",
        ),
    ],
)
def test_what_others_cannot_do_is_said(ask, words):
    with pytest.raises(CheckpointError, match=words):
        ask(adapted(Plain()))


def test_logits_are_those_of_the_fast_pass():
    torch.manual_seed(0)
    net, x = PointNet(classes=4).freeze(), torch.randn(2, 30, 3)
    assert torch.equal(net.logits(x), net.vjp(x)[0])
    torch.testing.assert_close(net.logits(x), net(x))


def test_a_segmentation_network_wants_its_category():
    with pytest.raises(ValueError, match="category"):
        DGCNNPartSeg(parts=4, k=5).freeze().vjp(torch.randn(1, 20, 3))


def test_the_transpose_of_any_network_is_its_gradient():
    net, _ = network("resnet_cifar")
    x = images(2).requires_grad_()
    g = torch.randn(2, 5, dtype=torch.float64)
    (want,) = torch.autograd.grad(net(x), x, g)
    logits, pull = net.freeze().vjp(x.detach())
    torch.testing.assert_close(logits, net(x.detach()))
    torch.testing.assert_close(pull(g), want)


@pytest.mark.parametrize("name", ["features", "layers", "head", "classify", "first", "plan"])
def test_layers_may_be_saved_under_names_of_methods(name):
    """Published keys begin with whatever their authors chose: VGG's with `features`, Swin's with `layers`."""
    layers = Layers({})
    layers |= {f"{name}.0": nn.Conv2d(3, 4, 3), f"{name}.head.fc": nn.Linear(4, 2)}
    net = ImageNetwork(Plan([layers[f"{name}.0"]], []), layers, f"{name}.head.fc").eval()
    assert list(net.state_dict()) == [f"{key}.{part}" for key in layers for part in ("weight", "bias")]
    assert net(torch.randn(2, 3, 8, 8)).shape == (2, 2) and net.classes == 2
    twin = copy.deepcopy(net)
    twin.load_state_dict({key: torch.zeros_like(value) for key, value in net.state_dict().items()})
    assert not twin(torch.randn(2, 3, 8, 8)).any() and net(torch.randn(2, 3, 8, 8)).any()


def test_the_last_layer_is_linear():
    layers = Layers({})
    layers |= {"conv": nn.Conv2d(3, 4, 3), "norm": nn.BatchNorm2d(4)}
    with pytest.raises(TypeError, match="norm is no linear layer"):
        ImageNetwork(Plan([layers["conv"]], []), layers, "norm")


def test_placed_finds_what_put_put():
    module, layer = nn.Module(), nn.Linear(1, 1)
    put(module, "a.b.c", layer)
    assert placed(module, "a.b.c") is layer
    with pytest.raises(KeyError):
        placed(module, "a.x")


def test_the_base_says_nothing_of_its_own():
    with pytest.raises(NotImplementedError):
        Network().classify(images(1))
    with pytest.raises(NotImplementedError):
        Network().evidence(images(1), torch.tensor([0]))
