"""Gradient saliency: the recorded outputs of the published code, and what holds for any network."""

import numpy as np
import pytest
import torch
from torch import nn

from mixcli import models
from mixcli.models.pointnet import PointNet
from mixcli.saliency import NonFinite, cotangent, gradient

RECORDED = [
    "dgcnn_emb64",
    "dgcnn_cls1024",
    "pointnet_emb64",
    "learning3d_pointnet",
    "yanx27_pointnet_cls",
    "yanx27_pointnet2_cls_ssg",
    "yanx27_pointnet2_cls_msg",
]


class Generic(nn.Module):
    """A network without its fast path."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)


@pytest.fixture(params=RECORDED)
def recorded(request, shared):
    """A recorded run: the network of its checkpoint, and its arrays."""
    golden = dict(np.load(shared / "golden" / "points" / f"saliency_{request.param}.npz"))
    net = models.load(shared / "data" / "ckpt_points" / str(golden["ckpt"])).net
    if "fps_start_0" in golden:
        net.fps_start = [torch.tensor(golden[f"fps_start_{level}"]) for level in range(2)]
    return net, {key: torch.tensor(value) for key, value in golden.items() if value.dtype.kind in "fi"}


def variation(found, golden):
    """Total variation of each map from the recorded one, which is not normalised."""
    want = golden["saliency"] / golden["saliency"].sum(1, keepdim=True)
    return (found.map - want).abs().sum(1) / 2


@pytest.mark.parametrize("fast", [False, True], ids=["generic", "fast"])
def test_recorded_outputs(recorded, fast):
    """A neighbour or a maximum that float error flips moves a map a little, hence the room for single clouds."""
    net, golden = recorded
    found = gradient(net if fast else Generic(net).eval(), golden["xyz"], golden["label"].flatten())
    log_probabilities = golden["logits"].exp().sum(1).sub(1).abs().max() < 1e-3
    logits = found.logits.log_softmax(1) if log_probabilities else found.logits
    torch.testing.assert_close(logits, golden["logits"], atol=1e-4, rtol=0)
    away = variation(found, golden)
    assert away.median() <= 1e-4 and away.max() <= 0.05


# Any network


class Linear(nn.Module):
    """Two logits: margin + x·w, and 0; every gradient is along w."""

    def __init__(self, w, margin=0.0):
        super().__init__()
        self.register_buffer("w", torch.tensor(w))  # (N, 3)
        self.margin = margin

    def forward(self, x):
        z = self.margin + (x * self.w).sum((1, 2))
        return torch.stack([z, torch.zeros_like(z)], 1)


WEIGHTS = [[3.0, 4, 0], [0, 0, 15]]  # norms 5 and 15


@pytest.mark.parametrize("margin", [0.0, 60, 400, 700])
@pytest.mark.parametrize("label", [0, 1])
def test_saturated_predictions_keep_their_map(margin, label):
    found = gradient(Linear(WEIGHTS, margin).eval(), torch.zeros(1, 2, 3), torch.tensor([label]))
    torch.testing.assert_close(found.map, torch.tensor([[0.25, 0.75]]))
    assert not found.uniform.any() and found.logits[0, 0] == margin


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_norms_neither_underflow_nor_overflow(scale):
    weights = (torch.tensor(WEIGHTS) * scale).tolist()
    torch.testing.assert_close(
        gradient(Linear(weights).eval(), torch.zeros(1, 2, 3)).map, torch.tensor([[0.25, 0.75]])
    )


def test_zero_gradient_is_uniform_and_said():
    net = Linear([[0.0, 0, 0]] * 4).eval()
    found = gradient(net, torch.randn(2, 4, 3))
    assert found.uniform.tolist() == [True, True] and torch.equal(found.map, torch.full((2, 4), 0.25))


def test_rows_are_distributions_and_normals_do_not_count():
    torch.manual_seed(0)
    net, x = PointNet(classes=5, channels=6).freeze(), torch.randn(3, 100, 6)
    for found in (gradient(net, x), gradient(Generic(net).eval(), x)):
        assert found.map.shape == (3, 100) and found.logits.shape == (3, 5) and found.map.dtype == torch.float32
        assert (found.map >= 0).all() and torch.allclose(found.map.sum(1), torch.ones(3))
    grad = net.vjp(x)[1](cotangent(found.logits, found.logits.argmax(1)).float())
    norm = grad[..., :3].norm(dim=2)
    torch.testing.assert_close(gradient(net, x).map, norm / norm.sum(1, keepdim=True))


def test_no_label_is_the_prediction():
    torch.manual_seed(0)
    net, x = PointNet(classes=5).freeze(), torch.randn(3, 50, 3)
    found = gradient(net, x)
    assert torch.equal(found.map, gradient(net, x, found.logits.argmax(1)).map)


def test_cotangent_is_the_gradient_of_the_loss():
    torch.manual_seed(0)
    logits, label = torch.randn(4, 6, dtype=torch.float64, requires_grad=True), torch.tensor([0, 5, 2, 2])
    (want,) = torch.autograd.grad(nn.functional.cross_entropy(logits, label, reduction="sum"), logits)
    torch.testing.assert_close(cotangent(logits.detach(), label), want / want.abs().amax(1, keepdim=True))


def test_non_finite_rows_are_named():
    net, x = Linear(WEIGHTS).eval(), torch.zeros(3, 2, 3)
    x[1, 0, 0], x[2, 1, 2] = torch.nan, torch.inf
    with pytest.raises(NonFinite) as caught:
        gradient(net, x)
    assert caught.value.rows == [1, 2]


def test_training_mode_is_refused():
    with pytest.raises(ValueError, match="eval"):
        gradient(PointNet(classes=5).train(), torch.randn(1, 50, 3))


def test_torchscript():
    net = torch.jit.script(Linear(WEIGHTS).eval())
    torch.testing.assert_close(gradient(net, torch.zeros(2, 2, 3)).map, torch.tensor([[0.25, 0.75]] * 2))
