"""Gradient saliency: the recorded outputs of the published code, and what holds for any network."""

import numpy as np
import pytest
import torch
from torch import nn

from mixcli import models
from mixcli.errors import CheckpointError
from mixcli.models.dgcnn_partseg import DGCNNPartSeg
from mixcli.models.pointnet import PointNet
from mixcli.saliency.points import NonFinite, cotangent, gradient

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
    torch.testing.assert_close(gradient(Linear(weights).eval(), torch.zeros(1, 2, 3)).map, torch.tensor([[0.25, 0.75]]))


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


# Segmentation networks


class Points(nn.Module):
    """Two logits a point: margin_i + x_i·w_i, and 0; in category 1 only the first point moves them."""

    task, classes = "segment", 2

    def __init__(self, margin=(0.0, 0.0), w=WEIGHTS, first=0):
        super().__init__()
        self.w, self.margin, self.first = torch.tensor(w), torch.tensor(margin), first  # (N, 3), (N,)

    def forward(self, x, category):
        moved = (x * self.w).sum(2)
        moved = torch.cat([moved[:, :1], moved[:, 1:] * (1 - category[:, None])], 1)
        return torch.stack([self.margin + moved, torch.zeros_like(moved)], 2)


class GenericPoints(Generic):
    """A segmentation network without its fast path."""

    task, classes, first = "segment", 3, 10

    def forward(self, x, category):
        return self.net(x, category)


def partseg():
    torch.manual_seed(0)
    net = DGCNNPartSeg(
        parts=4, k=5, first=10, classes=3, widths=(8, 6, 10, 12, 9), emb=16, category=4, head=(9, 7, 8),
        transform=(6, 12, 20, 9, 7),
    )  # fmt: skip
    net.transform_net.transform.weight.data.normal_(std=0.1)
    return net.double().freeze()


def parts(seg, category=0, **network):
    """The maps of ``Points`` at zero."""
    seg = None if seg is None else torch.tensor([seg])
    return gradient(Points(**network).eval(), torch.zeros(1, 2, 3), torch.tensor([category]), seg)


@pytest.mark.parametrize("fast", [False, True], ids=["generic", "fast"])
def test_segmentation_map_is_of_the_summed_loss(fast):
    net, category = partseg(), torch.tensor([0, 1, 2])
    x, seg = torch.randn(3, 40, 3).double().requires_grad_(), torch.randint(10, 14, (3, 40))
    seg[0, ::2] = -1
    loss = nn.functional.cross_entropy(
        net(x, category).flatten(0, 1), (seg - 10).flatten(), ignore_index=-11, reduction="sum"
    )
    (g,) = torch.autograd.grad(loss, x)
    want = (g.norm(dim=2) / g.norm(dim=2).sum(1, keepdim=True)).float()
    found = gradient(net if fast else GenericPoints(net).eval(), x.detach(), category, seg)
    torch.testing.assert_close(found.map, want)
    assert found.logits.shape == (3, 40, 4) and found.logits.dtype == torch.float32 and not found.uniform.any()


def test_no_parts_are_the_predictions():
    net, x, category = partseg(), torch.randn(2, 40, 3).double(), torch.tensor([0, 1])
    found = gradient(net, x, category)
    assert torch.equal(found.map, gradient(net, x, category, found.logits.argmax(2) + 10).map)
    assert not torch.allclose(found.map, gradient(net, x, category.flip(0)).map)


@pytest.mark.parametrize("both", [0.0, 30.0, 500.0])
def test_points_keep_their_shares(both):
    """Norms 5 and 15 times 1 - p: at margins ln 2 and 0, 1/3 and 1/2; at large ones, in the ratio 1 to 2."""
    found = parts([0, 0], margin=(both + 0.6931472, both))
    share = (1 / 3 * 5) / (1 / 3 * 5 + 1 / 2 * 15) if both == 0 else 5 / 35
    torch.testing.assert_close(found.map, torch.tensor([[share, 1 - share]]), atol=1e-5, rtol=1e-4)


def test_points_without_a_part_and_categories():
    torch.testing.assert_close(parts([-1, 0]).map, torch.tensor([[0.0, 1]]))
    torch.testing.assert_close(parts([1, 0]).map, torch.tensor([[0.25, 0.75]]))
    torch.testing.assert_close(parts([1, 0], category=1).map, torch.tensor([[1.0, 0]]))
    for found in (parts([-1, -1]), parts([-1, 0], category=1)):
        assert found.uniform.tolist() == [True] and found.map.tolist() == [[0.5, 0.5]]


def test_parts_of_one_category_are_counted_from_its_first():
    torch.testing.assert_close(parts([13, 12], first=12).map, parts([1, 0]).map)
    for seg, told in (([14, 12], "part 14"), ([12, 0], "part 0"), ([12, -2], "part -2")):
        with pytest.raises(CheckpointError, match=f"{told} is none of the network's parts, 12 to 13"):
            parts(seg, first=12)


@pytest.mark.parametrize("category", [2, -1])
def test_categories_that_the_network_has_not(category):
    with pytest.raises(CheckpointError, match=f"label {category} is none of the network's 2 categories, 0 to 1"):
        parts([0, 0], category=category)


def test_segmentation_wants_categories_and_parts_of_the_points():
    x = torch.zeros(1, 2, 3)
    for label in (None, torch.zeros(2).long()):
        with pytest.raises(ValueError, match="category"):
            gradient(Points().eval(), x, label)
    with pytest.raises(ValueError, match="seg"):
        gradient(Points().eval(), x, torch.tensor([0]), torch.zeros(1, 3).long())


def test_non_finite_clouds_of_a_segmentation_network_are_named():
    x, category = torch.randn(3, 40, 3).double(), torch.tensor([0, 1, 2])
    x[1, 7] = torch.nan
    with pytest.raises(NonFinite) as caught:
        gradient(partseg(), x, category)
    assert caught.value.rows == [1]


def test_a_classifier_does_not_look_at_parts():
    net, x = Linear(WEIGHTS).eval(), torch.zeros(1, 2, 3)
    assert torch.equal(gradient(net, x, None, torch.tensor([[5, -1]])).map, gradient(net, x).map)
