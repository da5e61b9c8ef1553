"""DGCNN part segmentation: the published network, its fast path, and what a checkpoint tells of it."""

import json

import pytest
import torch
import torch.nn.functional as F
from test_dgcnn import by_autograd, path, warmed  # noqa: F401  (path is a fixture)

from mixcli import models
from mixcli.errors import CheckpointError, UsageError
from mixcli.models import dgcnn_partseg, edges, kernels
from mixcli.models.dgcnn_partseg import DGCNNPartSeg

SMALL = {
    "parts": 5, "k": 7, "classes": 6, "widths": (8, 6, 10, 12, 9), "emb": 16, "category": 4, "head": (9, 7, 8),
    "transform": (6, 12, 20, 9, 7),
}  # fmt: skip


def small(**options):
    """A network whose transform depends on the cloud."""
    net = warmed(DGCNNPartSeg(**{**SMALL, **options}))
    net.transform_net.transform.weight.data.normal_(std=0.2)
    return net


class Fixed(torch.nn.Module):
    """A network with its category fixed, so that it takes clouds alone."""

    def __init__(self, net, category):
        super().__init__()
        self.net, self.category = net, category

    def forward(self, x):
        return self.net(x, self.category)


# The published network, written again from its keys


def published(state, x, category, k):
    """Logits (B, N, parts) by the formulas, one cloud and one point at a time."""

    def block(name, y):  # (..., in): a 1x1 convolution without bias, BatchNorm, leaky ReLU
        y = y @ state[f"{name}.0.weight"].flatten(1).T
        return leaky(norm(f"{name}.1", y))

    def norm(name, y):
        scale = state[f"{name}.weight"] / (state[f"{name}.running_var"] + 1e-5).sqrt()
        return (y - state[f"{name}.running_mean"]) * scale + state[f"{name}.bias"]

    def leaky(y):
        return torch.where(y > 0, y, 0.2 * y)

    def graph(cloud):  # (N, C) -> (N, k, 2C)
        found = []
        for point in cloud:
            near = cloud[(cloud - point).square().sum(1).argsort()[:k]]
            found.append(torch.cat([near - point, point.expand_as(near)], 1))
        return torch.stack(found)

    def logits(cloud, kind):
        y = block("transform_net.conv2", block("transform_net.conv1", graph(cloud))).amax(1)
        y = block("transform_net.conv3", y).amax(0)
        y = leaky(norm("transform_net.bn3", state["transform_net.linear1.weight"] @ y))
        y = leaky(norm("transform_net.bn4", state["transform_net.linear2.weight"] @ y))
        y = state["transform_net.transform.weight"] @ y + state["transform_net.transform.bias"]
        one = block("conv2", block("conv1", graph(cloud @ y.view(3, 3)))).amax(1)
        two = block("conv4", block("conv3", graph(one))).amax(1)
        three = block("conv5", graph(two)).amax(1)
        levels = torch.cat([one, two, three], 1)
        whole = torch.cat([block("conv6", levels).amax(0), block("conv7", kind)])
        y = torch.cat([whole.expand(len(cloud), -1), levels], 1)
        y = block("conv10", block("conv9", block("conv8", y)))
        return y @ state["conv11.weight"].flatten(1).T

    kinds = torch.eye(state["conv7.0.weight"].shape[1], dtype=x.dtype)[category]
    return torch.stack([logits(cloud, kind) for cloud, kind in zip(x, kinds, strict=True)])


@pytest.fixture(scope="module")
def full(shared, tmp_path_factory):
    """A checkpoint of the published keys and shapes, as it is saved there, and its weights."""
    shapes = json.loads((shared / "reference" / "state_dict_keys.json").read_text())["AnTao.DGCNN_partseg(50)"]
    generator = torch.Generator().manual_seed(0)
    state = {key: torch.randn(shape, generator=generator) * 0.2 for key, shape in shapes.items()}
    for key in state:
        if key.endswith("running_var"):
            state[key] = state[key].abs() + 0.5
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(3)
    twice = [f"conv{i}.1." for i in range(1, 11)] + [f"transform_net.conv{i}.1." for i in (1, 2)]
    for key in state:  # one module, saved under two names
        for name in filter(key.startswith, twice):
            state[key] = state[key.replace(name, name.replace("conv", "bn").replace(".1.", "."))]
    file = tmp_path_factory.mktemp("partseg") / "model.t7"
    torch.save({f"module.{key}": value for key, value in state.items()}, file, _use_new_zipfile_serialization=False)
    return file, state


def test_the_published_network(full):
    file, state = full
    found = models.load(file)
    assert (found.name, found.task, found.parts, found.classes) == ("dgcnn_partseg", "segment", 50, 16)
    assert found.channels == 3
    assert found.options == {"k": 40, "first": 0} and found.note == "prefix 'module.' stripped"
    own = found.net.state_dict()
    assert own.keys() == state.keys() and all(torch.equal(own[key], state[key]) for key in own)
    assert len(own["transform_net.bn3.weight"]) == 512 and len(own["transform_net.conv3.1.weight"]) == 1024
    torch.manual_seed(1)
    x, category = torch.randn(2, 64, 3).double(), torch.tensor([0, 11])
    want = published({key: value.double() for key, value in state.items()}, x, category, 40)
    net = found.net.double()
    torch.testing.assert_close(net(x, category), want)
    torch.testing.assert_close(net.vjp(x, category)[0], want)
    torch.testing.assert_close(net.float().vjp(x.float(), category)[0].double(), want, atol=1e-2 * want.std(), rtol=0)


def test_a_small_network_is_the_same():
    torch.manual_seed(0)
    net, x, category = small().double(), torch.randn(3, 40, 3).double(), torch.tensor([5, 0, 2])
    want = published(net.state_dict(), x, category, 7)
    torch.testing.assert_close(net(x, category), want)
    assert want.std() > 0.01 and not torch.allclose(net(x, category.flip(0)), want)
    torch.testing.assert_close(net(x, F.one_hot(category, 6)), want)


# The fast path


def test_fast_path_is_exact(path):  # noqa: F811
    torch.manual_seed(0)
    net, x, category = small().double(), torch.randn(3, 40, 3).double(), torch.tensor([5, 0, 2])
    g = torch.randn(3, 40, 5).double()
    want = by_autograd(Fixed(net, category), x, g)
    logits, pull = net.vjp(x, category)
    torch.testing.assert_close((logits, pull(g)), want)
    torch.testing.assert_close(pull(2 * g), 2 * want[1])
    torch.testing.assert_close(net.vjp(x, F.one_hot(category, 6))[1](g), want[1])
    if path == "torch":  # a whole batch at once, as on a GPU
        logits, pull = dgcnn_partseg._vjp(net.weights(), net.k, x, F.one_hot(category, 6).double())
        torch.testing.assert_close((logits, pull(g)), want)


def test_no_cloud_depends_on_its_batch():
    torch.manual_seed(0)
    net, x, category = small().freeze(), torch.randn(4, 50, 3), torch.tensor([0, 1, 2, 3])
    g = torch.randn(4, 50, 5)
    logits, pull = net.vjp(x, category)
    together = pull(g)
    for i in range(4):
        alone, pull = net.vjp(x[i : i + 1], category[i : i + 1])
        assert torch.equal(alone[0], logits[i]) and torch.equal(pull(g[i : i + 1])[0], together[i])


def test_too_few_points_is_said():
    with pytest.raises(UsageError, match="7 neighbours"):
        small().freeze().vjp(torch.randn(1, 6, 3), torch.tensor([0]))


@pytest.mark.parametrize(("points", "k"), [(1, 1), (31, 5), (70, 9)])
def test_edges_of_two_layers(monkeypatch, points, k):
    torch.manual_seed(points)
    near, here, weight = torch.randn(2, points, 6), torch.randn(2, points, 6), torch.randn(11, 6)
    idx, g = torch.randint(0, points, (2, points, k), dtype=torch.int32), torch.randn(2, points, 11)
    g[:, ::3] = 0
    two = edges.Edges(near, here, idx, weight)
    values, at = edges.hidden_max(two)
    pulled = edges.hidden_scatter(g, at, two)
    monkeypatch.setattr(kernels, "native", lambda x: False)
    want, where = edges.hidden_max(two)
    torch.testing.assert_close(values, want)
    torch.testing.assert_close(pulled, edges.hidden_scatter(g, where, two))

    def loss(near, here):
        found = torch.stack([edge[idx[b].long()] for b, edge in enumerate(near)]) + here[:, :, None]
        return ((F.leaky_relu(found, 0.2) @ weight.T).amax(2) * g).sum()

    torch.testing.assert_close(pulled, torch.autograd.functional.jacobian(loss, (near, here)))


def test_it_trains():
    torch.manual_seed(0)
    net = DGCNNPartSeg(**SMALL).train()
    logits = net(torch.randn(3, 30, 3), torch.tensor([0, 1, 2]))
    F.cross_entropy(logits.flatten(0, 1), torch.randint(0, 5, (90,))).backward()
    for weight in (net.conv1[0].weight, net.conv7[0].weight, net.transform_net.transform.bias):
        assert weight.grad.abs().sum() > 0


# Checkpoints


@pytest.fixture
def saved(tmp_path):
    """A small checkpoint without some of its keys; gives the path."""

    def save(*left_out):
        state = {key: value for key, value in small().state_dict().items() if key not in left_out}
        torch.save(state, tmp_path / "part.pt")
        return tmp_path / "part.pt"

    return save


def test_options(saved):
    found = models.load(saved(), "dgcnn_partseg:k=9,first=12")
    assert found.options == {"k": 9, "first": 12} and (found.net.k, found.net.first) == (9, 12)
    assert (found.parts, found.classes) == (5, 6)
    assert found.net.vjp(torch.randn(2, 20, 3), torch.tensor([1, 5]))[0].shape == (2, 20, 5)


def test_nearly_one(saved):
    with pytest.raises(CheckpointError, match=r"not quite a dgcnn_partseg: 1 key missing \(transform_net.bn3.bias\)"):
        models.load(saved("transform_net.bn3.bias"))
    with pytest.raises(CheckpointError, match="is no pointnet"):
        models.load(saved(), "pointnet")
