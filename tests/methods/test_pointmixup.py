import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial.distance import cdist

from mixcli.algorithms import assignment
from mixcli.algorithms.mirror import LEVEL
from mixcli.data.fields import labels
from mixcli.data.points import Samples
from mixcli.errors import UsageError
from mixcli.methods.pointmixup import PointMixup
from mixcli.rng import uniforms

GOLDEN = ["small", "1024", "small_align"]


@pytest.fixture(params=GOLDEN)
def golden(request, shared):
    return np.load(shared / "golden" / "points" / f"pointmixup_{request.param}.npz")


def test_recorded_output(golden):
    """From the raw Beta draw, folded. Float32 rounds once in our form, twice in the published one."""
    xyz, raw = torch.from_numpy(golden["xyz"]), torch.from_numpy(golden["beta_raw"])
    phi = torch.from_numpy(golden["ass"])
    mixed = PointMixup(minor=True).mix_at(xyz, xyz[golden["idx_minor"]], phi, raw.logit())
    assert np.array_equal(mixed.data.numpy(), golden["mixed_xyz"])
    assert np.abs(mixed.weight[:, 1].numpy() - golden["mixrates"]).max() <= 1e-15
    of = golden["label"]
    soft, _ = labels(np.stack([of, of[golden["idx_minor"]]], 1), mixed.weight.numpy(), int(golden["num_class"]))
    assert np.abs(soft - golden["mixed_label"]).max() <= 6e-8


def test_recorded_alignment(shared):
    """Angles and turned clouds to the last bit; the assignment to them costs what the recorded one does."""
    golden, method = np.load(shared / "golden" / "points" / "pointmixup_small_align.npz"), PointMixup(align=True)
    xyz, poses = golden["xyz"], [method.pose(cloud) for cloud in golden["xyz"]]
    assert np.array_equal(np.float32(poses), golden["thetas"])
    for i, j in enumerate(golden["idx_minor"]):
        posed = method.posed(xyz[j], poses[i], poses[j])
        assert np.array_equal(posed, golden["xyz_minor_rot"][i])
        cost = cdist(xyz[i].astype(float), posed.astype(float))
        rows = np.arange(len(cost))
        assert cost[rows, assignment.assign(xyz[i], posed)].sum() == pytest.approx(
            cost[rows, golden["ass"][i]].sum(), rel=1e-6
        )


def test_hand_worked_example():
    """λ = 3/4 and φ swaps: 0 meets 8, at 2, and 4 meets 0, at 3. λ = 1/4 folds to 3/4."""
    a, b = (torch.tensor([[[float(v), 0, 0] for v in x]]) for x in ((0, 4), (0, 8)))
    phi, three = torch.tensor([[1, 0]]), torch.tensor([3.0], dtype=torch.float64)
    for method, logit in ((PointMixup(), three.log()), (PointMixup(minor=True), -three.log())):
        mixed = method.mix_at(a, b, phi, logit)
        assert mixed.data[0, :, 0].tolist() == pytest.approx([2, 3], abs=1e-6)
        assert mixed.weight[0].tolist() == pytest.approx([0.75, 0.25], abs=1e-15)
        assert mixed.index[0].tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("minor", [False, True])
@pytest.mark.parametrize("alpha", [0.4, 1.0])
def test_lambda_is_drawn_as_said(alpha, minor):
    cloud, phi = Samples(torch.zeros(3000, 2, 3)), torch.arange(2).expand(3000, 2)
    u = torch.from_numpy(uniforms(3, "mix", np.arange(3000)))
    share = PointMixup(alpha=alpha, minor=minor).mix(cloud, cloud, phi, u).weight[:, 0].numpy()
    beta = stats.beta(alpha, alpha)
    cdf = (lambda x: np.where(x < 0.5, 0, 1 - 2 * beta.sf(x))) if minor else beta.cdf
    assert stats.kstest(share, cdf).pvalue > 1e-3


@pytest.mark.parametrize("up", ["x", "y", "z"])
def test_b_is_turned_for_the_assignment_alone(up):
    """A long bar, mirrored at its length, and the same a quarter turn on: turned, they coincide."""
    half = np.random.default_rng(0).uniform([-1, -0.1, 0], [1, 0.1, 0.02], (200, 3)).astype(np.float32)
    first, second = LEVEL[up]
    lying = np.empty((400, 3), np.float32)
    lying[:, [first, 3 - first - second, second]] = np.concatenate([half, half * np.float32([1, 1, -1])])
    other = lying.copy()
    other[:, [first, second]] = lying[:, [second, first]]
    method = PointMixup(align=True, up=up)
    posed = method.posed(other, method.pose(lying), method.pose(other))
    before, after = (assignment.certify(lying, x, assignment.assign(lying, x)).cost for x in (other, posed))
    assert after < 0.05 * before


@pytest.mark.parametrize("option", [{"alpha": -1.0}, {"up": "w"}])
def test_options_out_of_range(option):
    with pytest.raises(UsageError, match=next(iter(option))):
        PointMixup(**option)
