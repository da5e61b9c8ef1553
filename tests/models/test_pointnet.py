"""PointNet in three layouts: the fast path is the network, and visits only critical points."""

import pytest
import torch
from test_dgcnn import by_autograd, path, warmed  # noqa: F401

from mixcli.models import pointnet, pointnet_tnet
from mixcli.models.pointnet import PointNet
from mixcli.models.pointnet_learning3d import PointNetLearning3d
from mixcli.models.pointnet_tnet import PointNetTNet


@pytest.mark.parametrize("make", [PointNet, PointNetLearning3d])
@pytest.mark.parametrize("channels", [3, 6])
def test_fast_path_is_exact(make, channels, path):  # noqa: F811
    torch.manual_seed(0)
    net = warmed(make(classes=4, channels=channels, emb=32)).double()
    x, g = torch.randn(3, 50, channels).double(), torch.randn(3, 4).double()
    want = by_autograd(net, x, g)
    logits, pull = net.vjp(x)
    torch.testing.assert_close((logits, pull(g)), want)
    logits, pull = pointnet.critical_vjp(net.weights(), x)  # a whole batch at once, as on a GPU
    with torch.no_grad():
        torch.testing.assert_close((logits, pull(g)), want)


@pytest.mark.parametrize("channels", [3, 6])
def test_fast_path_with_transforms_is_exact(channels, path):  # noqa: F811
    torch.manual_seed(0)
    net = warmed(PointNetTNet(classes=4, channels=channels)).double()
    x, g = torch.randn(3, 50, channels).double(), torch.randn(3, 4).double()
    logp, want = by_autograd(net, x, g)
    logits, pull = net.vjp(x)
    g = g - logits.softmax(1) * g.sum(1, keepdim=True)  # through the log-softmax that ends ``forward``
    torch.testing.assert_close((logits.log_softmax(1), pull(g)), (logp, want))
    with torch.no_grad():
        torch.testing.assert_close(pointnet_tnet._vjp(net.weights(), x)[1](g), want)  # a whole batch at once


def test_only_critical_points_matter():
    torch.manual_seed(0)
    net, x = warmed(PointNet(classes=4, emb=16)).freeze(), torch.randn(1, 200, 3)
    g = net.vjp(x)[1](torch.ones(1, 4))[0]
    critical = g.abs().sum(1) > 0
    assert 0 < critical.sum() <= 16
    torch.testing.assert_close(net.vjp(x[:, critical])[0], net.vjp(x)[0])


@pytest.mark.parametrize("make", [PointNet, PointNetLearning3d, PointNetTNet])
def test_trains_and_takes_one_cloud(make):
    net = make(classes=4)
    net.train()(torch.randn(2, 20, 3)).sum().backward()
    assert net.eval()(torch.randn(1, 20, 3)).shape == (1, 4)


def test_transforms_leave_normals_alone():
    torch.manual_seed(0)
    net, x = PointNetTNet(classes=4, channels=6).eval(), torch.randn(2, 20, 6)
    assert net(x).shape == (2, 4)
    with torch.no_grad():
        torch.testing.assert_close(net(x).exp().sum(1), torch.ones(2))
