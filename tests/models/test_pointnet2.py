"""PointNet++: the fast path is the network, the compiled loops are the torch operations."""

import pytest
import torch
from test_dgcnn import both, by_autograd, warmed

from mixcli.models import grouping, kernels
from mixcli.models.pointnet2 import MultiScale, PointNet2, SetAbstraction


def small(scales, channels):
    """Both kinds with few centres and channels."""
    if scales == 1:
        first = SetAbstraction([channels, 8, 8], 12, [(0.7, 6)])
        second = SetAbstraction([8 + 3, 9, 10], 5, [(1.2, 8)])
    else:
        first = MultiScale([[channels, 6, 6], [channels, 5, 4, 4]], 12, [(0.5, 4), (0.9, 9)])
        second = MultiScale([[10 + 3, 5, 6], [10 + 3, 4, 4]], 5, [(0.9, 4), (1.5, 8)])
    return warmed(PointNet2([first, second, SetAbstraction([10 + 3, 12, 1024])], 4, channels))


@pytest.mark.parametrize("scales", [1, 2])
@pytest.mark.parametrize("channels", [3, 6])
@pytest.mark.parametrize("points", [60, 8])  # 8: fewer points than centres, so that some are a centre twice
def test_fast_path_is_exact(scales, channels, points):
    torch.manual_seed(points)
    net, x, g = small(scales, channels).double(), torch.randn(3, points, channels).double(), torch.randn(3, 4).double()
    net.fps_start = [torch.tensor([0, 3, 7]), torch.tensor([1, 0, 4])]
    logp, want = by_autograd(net, x, g)
    logits, pull = net.vjp(x)
    torch.testing.assert_close(logits.log_softmax(1), logp)
    torch.testing.assert_close(pull(g - logits.softmax(1) * g.sum(1, keepdim=True)), want)


def test_without_the_compiled_loops_autograd_serves(monkeypatch):
    torch.manual_seed(0)
    net, x, g = small(1, 3).freeze(), torch.randn(2, 30, 3), torch.randn(2, 4)
    g -= g.mean(1, keepdim=True)
    monkeypatch.setattr(kernels, "native", lambda x: False)
    logits, pull = net.vjp(x)
    torch.testing.assert_close((logits, pull(g)), by_autograd(net, x, g))


def test_start_moves_the_sample_and_the_default_is_fixed():
    torch.manual_seed(0)
    net, x = small(1, 3).freeze(), torch.randn(1, 60, 3)
    first = net.vjp(x)[0]
    assert torch.equal(net.vjp(x)[0], first)
    net.fps_start = 9
    assert not torch.equal(net.vjp(x)[0], first)


def test_farthest_points(monkeypatch):
    torch.manual_seed(0)
    xyz, start = torch.randn(3, 37, 3), torch.tensor([0, 5, 36])
    compiled, plain = both(monkeypatch, grouping.farthest_points, xyz, 20, start)
    assert torch.equal(compiled, plain)
    assert all(len(set(row)) == 20 for row in compiled.tolist())
    line = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [4, 0, 0], [2, 0, 0]]])  # 0, then 4, then 2 (both ends 2 away)
    assert grouping.farthest_points(line, 3, torch.tensor([0])).tolist() == [[0, 2, 3]]


def test_balls():
    pytest.importorskip("numba")
    torch.manual_seed(0)
    xyz = torch.rand(1, 80, 3)
    centres = xyz[:, :9].contiguous()
    for radius, most in [(0.2, 5), (0.5, 7), (2.0, 80)]:
        dense = grouping.ball_query(xyz, centres, radius, most)[0]
        pairs = grouping.ball_pairs(xyz[0], centres[0], radius, most)
        parts = pairs.point.split(pairs.offsets.diff().tolist())
        assert [sorted(set(row)) for row in dense.tolist()] == [part.tolist() for part in parts]
        assert torch.equal(pairs.centre, torch.arange(9).repeat_interleave(pairs.offsets.diff()))


def test_segments():
    pytest.importorskip("numba")
    torch.manual_seed(0)
    y, offsets = torch.randn(20, 5), torch.tensor([0, 1, 7, 20])
    values, arg = grouping.segment_max(y, offsets)
    for s, part in enumerate(y.split(offsets.diff().tolist())):
        assert torch.equal(values[s], part.amax(0))
    assert torch.equal(y.gather(0, arg.long()), values)
    index = torch.randint(0, 6, (20,))
    torch.testing.assert_close(grouping.add_rows(y, index, 6), torch.zeros(6, 5).index_add_(0, index, y))
