import numpy as np
import pytest
import torch
from scipy import stats

from mixcli.data.points import Samples
from mixcli.errors import UsageError
from mixcli.methods.pointcutmix import PointCutMix, from_center, lowest, point_uniforms
from mixcli.rng import uniforms


def pairs(batch=16, n=64, seed=0):
    rng = np.random.default_rng(seed)
    a, b = (torch.from_numpy(rng.uniform(-1, 1, (batch, n, 3)).astype(np.float32)) for _ in range(2))
    saliency = torch.from_numpy(rng.dirichlet(np.ones(n), batch).astype(np.float32))
    phi = torch.from_numpy(np.stack([rng.permutation(n) for _ in range(batch)]))
    return Samples(a, saliency), Samples(b), phi, torch.from_numpy(uniforms(seed, "mix", np.arange(batch), width=2))


@pytest.mark.parametrize("name", ["k", "k_min", "r", "r_max"])
def test_recorded_output(shared, name):
    """To the last bit, from the recorded share and centre or subset, which one whole batch shares in R."""
    golden = np.load(shared / "golden" / "points" / f"pointcutmix_{name}.npz")
    xyz, phi = torch.from_numpy(golden["xyz"]), torch.from_numpy(golden["ass"])
    raw = torch.full((len(xyz),), float(golden["lam_raw"]), dtype=torch.float64)
    if name[0] == "k":
        center = torch.from_numpy(golden["center_idx"])
        order = from_center(xyz, center)
        nearest = order.argsort(1)[:, : int(golden["int_lam"])]
        assert np.array_equal(nearest.numpy(), golden["knn_idx"])
    else:
        center, order = None, torch.ones(xyz.shape[:2], dtype=torch.float64)
        order[:, golden["gamma"]] = 0.0
    variant = PointCutMix(variant=name[0])
    mixed = variant.mix_at(xyz, xyz[golden["rand_index"]], phi, -raw.logit(), order, center)
    assert np.array_equal(mixed.data.numpy(), golden["mixed_xyz"])
    assert (mixed.weight[:, 1].numpy() == golden["lam"]).all()


def test_hand_worked_example():
    """a = 0 1 2 9, centre a2 = 2, λ = 1/2, so two points: 2 itself and 1, become b2 = 12 and b0 = 10 by φ = 3 0 2 1."""
    a, b = (torch.tensor([[[float(v), 0, 0] for v in x]]) for x in ((0, 1, 2, 9), (10, 11, 12, 13)))
    phi, center = torch.tensor([[3, 0, 2, 1]]), torch.tensor([2])
    mixed = PointCutMix().mix_at(a, b, phi, torch.zeros(1).double(), from_center(a, center), center)
    assert mixed.data[0, :, 0].tolist() == [0, 10, 12, 9]
    assert mixed.index[0].tolist() == [[0, -1], [-1, 0], [-1, 2], [3, -1]]
    assert mixed.weight[0].tolist() == [0.5, 0.5] and mixed.query[0].tolist() == [2, 2]


def test_neighbours_of_the_centre_are_replaced():
    a, b, phi, u = pairs(batch=64)
    mixed = PointCutMix().mix(a, b, phi, u)
    away = (a.data - a.data.gather(1, mixed.query[:, :1, None].expand(-1, -1, 3))).norm(dim=2)
    replaced = mixed.point_weight == 0
    assert (away.where(replaced, 0).amax(1) <= away.where(~replaced, 9).amin(1)).all()
    assert replaced.gather(1, mixed.query[:, :1]).all(), "the centre is one of them"
    assert torch.equal(mixed.query[:, 1], phi.gather(1, mixed.query[:, :1])[:, 0])


def test_the_centre_comes_before_its_duplicates():
    a, b, phi, _ = pairs()
    same = torch.zeros_like(a.data)
    center = torch.full((16,), 40)
    share = torch.full((16,), 30.0).double()  # of b as good as nothing, so one point
    mixed = PointCutMix().mix_at(same, b.data, phi, share, from_center(same, center), center)
    assert ((mixed.point_weight == 0).nonzero()[:, 1] == 40).all()


def test_the_share_is_a_whole_number_of_points_and_at_least_one():
    a, b, phi, u = pairs(batch=64)
    for variant in ("k", "r"):
        mixed = PointCutMix(variant=variant, beta=0.1).mix(a, b, phi, u)
        count = (mixed.point_weight == 0).sum(1)
        assert torch.equal(mixed.weight[:, 1], count.double() / 64) and count.min() == 1
        assert (count == (64 * (1 - mixed.draw[:, 0])).long().clamp(min=1)).all()


def test_a_random_subset_each():
    """Published: one for the whole batch. Here each has its own, and no index is taken more often than another."""
    a, b, phi, u = pairs(batch=800)
    logit = torch.zeros(800, dtype=torch.float64)
    mixed = PointCutMix(variant="r").mix_at(a.data, b.data, phi, logit, point_uniforms(u[:, 1], 64))
    replaced = mixed.point_weight == 0
    assert len({tuple(row) for row in replaced.tolist()}) == 800 and (replaced.sum(1) == 32).all()
    variance = 800 * 0.25 * 64 / 63  # 32 of 64 without replacement: the counts sum to a constant
    assert stats.chi2.sf(((replaced.sum(0) - 400.0) ** 2).sum().item() / variance, 63) > 1e-3
    assert mixed.query is None


@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_shares_are_drawn_as_said(beta):
    a, b, phi, _ = pairs(batch=1, n=4)
    u = torch.from_numpy(uniforms(5, "mix", np.arange(3000), width=2))
    expanded = (x.expand(3000, *x.shape[1:]) for x in (a.data, b.data, phi))
    a, b, phi = expanded
    mixed = PointCutMix(beta=beta).mix(Samples(a), Samples(b), phi, u)
    assert stats.kstest(mixed.draw[:, 0].numpy(), stats.beta(beta, beta).cdf).pvalue > 1e-3
    assert stats.chisquare(torch.bincount(mixed.query[:, 0], minlength=4).numpy()).pvalue > 1e-3


def test_a_centre_drawn_by_saliency():
    a, b, phi, _ = pairs(batch=1, n=8)
    u = torch.from_numpy(uniforms(5, "mix", np.arange(3000), width=2))
    of_a, of_b = Samples(a.data.expand(3000, 8, 3), a.saliency.expand(3000, 8)), Samples(b.data.expand(3000, 8, 3))
    centers = PointCutMix(center="saliency").mix(of_a, of_b, phi.expand(3000, 8), u).query[:, 0]
    expected = 3000 * a.saliency[0].double() / a.saliency[0].double().sum()
    assert stats.chisquare(torch.bincount(centers, minlength=8).numpy(), expected.numpy()).pvalue > 1e-3


def test_the_options_decide_what_is_needed():
    assert PointCutMix().traits.saliency is None and PointCutMix().traits.query
    assert PointCutMix(center="saliency").traits.saliency == "gradient"
    assert not PointCutMix(variant="r").traits.query
    with pytest.raises(UsageError, match="--center saliency: variant r has no centre"):
        PointCutMix(variant="r", center="saliency")


def test_the_lowest_of_each_row():
    """As a stable sort would rank them, ties and all, from none to all."""
    order = torch.from_numpy(np.random.default_rng(0).integers(0, 4, (8, 7)).astype(float))
    count = torch.arange(8)
    ranks = order.argsort(dim=1, stable=True).argsort(dim=1)
    assert torch.equal(lowest(order, count), ranks < count[:, None])


def test_uniforms_of_points():
    """They follow from the one uniform alone, and more points change none of them."""
    u = torch.from_numpy(uniforms(0, "mix", np.arange(200), width=2))[:, 1]
    many = point_uniforms(u, 101)
    assert torch.equal(point_uniforms(u[3:4], 50), many[3:4, :50])
    assert stats.kstest(many.numpy().ravel(), "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(many.numpy().T)[np.triu_indices(101, 1)]).max() < 0.35
    assert abs(np.corrcoef(u.numpy(), many[:, 0].numpy())[0, 1]) < 0.25
