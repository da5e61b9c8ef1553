"""DGCNN: the fast path is the network, the compiled loops are the torch operations."""

import json
import threading

import pytest
import torch
from torch import nn

from mixcli.errors import UsageError
from mixcli.jit import have_numba
from mixcli.models import dgcnn, kernels
from mixcli.models.dgcnn import DGCNN
from mixcli.models.registry import built_in


def warmed(net):
    """The network with BatchNorm as training leaves it, and worse: scales of both signs. In eval mode."""
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for tensor in (module.weight.data, module.bias.data, module.running_mean):
                tensor.normal_()
            module.running_var.uniform_(0.5, 2)
    return net.eval()


def by_autograd(net, x, g):
    """Logits and the gradient of g·logits with respect to x, by autograd on ``forward``."""
    x = x.clone().requires_grad_()
    logits = net(x)
    return logits.detach(), torch.autograd.grad(logits, x, g)[0]


def small(channels=3, k=5):
    return warmed(DGCNN(classes=4, k=k, channels=channels, widths=(8, 6, 10, 12), emb=16, hidden=(9, 7)))


@pytest.fixture(params=["compiled", "torch"])
def path(request, monkeypatch):
    if request.param == "torch":
        monkeypatch.setattr(kernels, "native", lambda x: False)
    return request.param


@pytest.mark.parametrize("channels", [3, 6])
def test_fast_path_is_exact(channels, path):
    torch.manual_seed(0)
    net, x, g = small(channels).double(), torch.randn(3, 40, channels).double(), torch.randn(3, 4).double()
    want = by_autograd(net, x, g)
    logits, pull = net.vjp(x)
    torch.testing.assert_close((logits, pull(g)), want)
    torch.testing.assert_close(pull(2 * g), 2 * want[1])  # pulls as often as one likes
    if path == "torch":  # a whole batch at once, as on a GPU
        logits, pull = dgcnn._vjp(net.weights(), net.k, x)
        torch.testing.assert_close((logits, pull(g)), want)


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_batch_threads_and_runs_give_the_same_bits(one_thread):
    torch.manual_seed(0)
    net, x, g = small().freeze(), torch.randn(6, 50, 3), torch.randn(6, 4)
    logits, pull = net.vjp(x)
    want, results = pull(g), {}

    def work(i):
        z, pull = net.vjp(x[i : i + 1])
        results[i] = z, pull(g[i : i + 1])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torch.equal(torch.cat([results[i][0] for i in range(6)]), logits)
    assert torch.equal(torch.cat([results[i][1] for i in range(6)]), want)


def test_folded_weights_follow_the_network():
    torch.manual_seed(0)
    net, x = small().freeze(), torch.randn(1, 30, 3)
    before = net.vjp(x)[0]
    state = {key: value * 1.5 for key, value in net.state_dict().items()}
    net.load_state_dict(state)
    assert not torch.allclose(net.vjp(x)[0], before)
    assert net.double().vjp(x.double())[0].dtype == torch.float64
    with pytest.raises(RuntimeError, match="eval"):
        net.train().vjp(x)


def test_one_cloud_trains():
    net = DGCNN(classes=4, k=5, emb=16).train()
    loss = nn.functional.cross_entropy(net(torch.randn(2, 20, 3)), torch.tensor([0, 1]))
    loss.backward()
    assert net.conv1[0].weight.grad.abs().sum() > 0
    assert net.eval()(torch.randn(1, 20, 3)).shape == (1, 4)


def test_too_few_points_is_said():
    with pytest.raises(UsageError, match="20 neighbours"):
        DGCNN(classes=4, k=20).freeze().vjp(torch.randn(1, 19, 3))


# The compiled loops against torch


def both(monkeypatch, function, *args):
    compiled = function(*args)
    monkeypatch.setattr(kernels, "native", lambda x: False)
    return compiled, function(*args)


@pytest.mark.parametrize(("points", "k"), [(1, 1), (7, 7), (100, 20), (130, 40), (300, 20), (64, 33)])
def test_knn(monkeypatch, points, k):
    torch.manual_seed(points)
    x = torch.randn(2, points, 4)
    compiled, plain = both(monkeypatch, kernels.knn, x, k)
    assert torch.equal(compiled.long().sort(-1)[0], plain.sort(-1)[0])


@pytest.mark.skipif(not have_numba(), reason="torch.topk promises nothing of ties")
def test_knn_of_equal_points_takes_the_lowest_indices():
    assert torch.equal(kernels.knn(torch.ones(1, 70, 3), 3)[0], torch.arange(3).expand(70, 3).int())
    found = kernels.knn(torch.randn(1, 20, 3).repeat(1, 4, 1), 4)[0]  # each point four times
    assert torch.equal(found.long() % 20, torch.arange(80)[:, None].expand(80, 4) % 20)


def test_knn_of_nan_stays_in_range():
    x = torch.randn(1, 70, 3)
    x[0, 3] = torch.nan
    found = kernels.knn(x, 5)
    assert found.min() >= 0 and found.max() < 70


def test_edges(monkeypatch):
    torch.manual_seed(0)
    y, g = torch.randn(2, 30, 17), torch.randn(2, 30, 17)
    idx = torch.randint(0, 30, (2, 30, 6))
    (values, arg), (want, where) = both(monkeypatch, kernels.edge_max, y, idx)
    assert torch.equal(values, want) and torch.equal(arg.long(), where)
    plain = kernels.edge_scatter(g, where, 30)
    monkeypatch.undo()
    torch.testing.assert_close(kernels.edge_scatter(g, arg, 30), plain)


def test_pools(monkeypatch):
    torch.manual_seed(0)
    y, g = torch.randn(2, 30, 17), torch.randn(2, 17)
    compiled, plain = both(monkeypatch, kernels.point_max, y)
    assert all(map(torch.equal, compiled, plain))
    monkeypatch.undo()
    torch.testing.assert_close(*both(monkeypatch, kernels.leaky_mean, y, 0.2))
    monkeypatch.undo()
    torch.testing.assert_close(*both(monkeypatch, kernels.leaky_spread, g, y, 0.2))


# Layouts

KNOWN = {
    "DGCNN(40)": "dgcnn",
    "DGCNN_cls(40)": "dgcnn",
    "PointNet(40)": "pointnet",
    "PointNet": "pointnet",
    "pointnet_cls": "pointnet_tnet",
    "pointnet2_cls_ssg": "pointnet2_ssg",
    "pointnet2_cls_msg": "pointnet2_msg",
    "DGCNN_partseg(50)": "dgcnn_partseg",
}


def test_published_keys_match_one_layout_or_none(shared):
    published = json.loads((shared / "reference" / "state_dict_keys.json").read_text())
    for title, shapes in published.items():
        shapes = {key: tuple(shape) for key, shape in shapes.items()}
        found = [layout.name for layout in built_in() if layout.matches(shapes)]
        name = title.split(".")[1]
        want = [value for key, value in KNOWN.items() if name in (key, key + "(40,normals)", key + "(40,no normals)")]
        assert found == want, title
        if found:
            net = next(layout for layout in built_in() if layout.name == found[0]).build(shapes)
            assert net.classes == (16 if "partseg" in name else 40)
            assert net.channels == (6 if "(40,normals)" in name else 3)
