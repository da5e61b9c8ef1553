import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from mixcli.data.points import Samples, travel_seg
from mixcli.errors import UsageError
from mixcli.methods.sagemix import SageMix
from mixcli.rng import uniforms

GOLDEN = ["small_dgcnn", "small_pointnet", "small_underflow", "small_selfpair", "1024_dgcnn", "1024_pointnet"]


def pairs(batch=16, n=64, seed=0):
    rng = np.random.default_rng(seed)
    a, b = (torch.from_numpy(rng.uniform(-1, 1, (batch, n, 3)).astype(np.float32)) for _ in range(2))
    s_a, s_b = (torch.from_numpy(rng.dirichlet(np.ones(n), batch).astype(np.float32)) for _ in range(2))
    phi = torch.from_numpy(np.stack([rng.permutation(n) for _ in range(batch)]))
    u = torch.from_numpy(uniforms(seed, "mix", np.arange(batch), width=3))
    return Samples(a, s_a), Samples(b, s_b), phi, u


@pytest.fixture(params=GOLDEN)
def golden(request, shared):
    return np.load(shared / "golden" / "points" / f"sagemix_{request.param}.npz")


def replay(golden, **options):
    """The recorded π, q_α and q_β through Eq. 6 to 9."""
    xyz, partner = torch.from_numpy(golden["xyz"]), torch.from_numpy(golden["idxs"])
    pi = torch.from_numpy(golden["pi"][:, 0]).double()
    queries = torch.from_numpy(golden["q_alpha"]), torch.from_numpy(golden["q_beta_orig"])
    method = SageMix(sigma=float(golden["sigma"]), theta=float(golden["theta"]), **options)
    return method.mix_at(xyz, xyz[partner], torch.from_numpy(golden["ass"]), pi.logit(), queries)


def test_published_form_gives_the_recorded_output(golden):
    mixed = replay(golden, as_published=True)
    assert np.abs(mixed.data.numpy() - golden["mixed_xyz"]).max() <= 2e-6
    assert np.abs(mixed.point_weight.numpy() - golden["lam_point"]).max() <= 2e-6
    assert np.abs(mixed.weight[:, 0].numpy() - golden["lam_shape"]).max() <= 2e-6


def test_papers_form_gives_the_recorded_output_where_the_floor_is_far_below(golden):
    mixed, pi = replay(golden), golden["pi"]
    total = pi * golden["kernel_alpha"] + (1 - pi) * golden["kernel_beta"]
    clear = total > 1e-9  # the floor moves λ by at most 1e-16 / total
    assert clear.mean() > (0.2 if golden["sigma"] < 0.2 else 0.9)
    assert np.abs(mixed.data.numpy() - golden["mixed_xyz"])[clear].max() <= 2e-6


def test_recorded_query_distributions(golden):
    """Eq. 4 and Eq. 5: Eq. 5 over b's own points, the recorded one carried back from matched order."""
    xyz, partner, phi = golden["xyz"], golden["idxs"], golden["ass"]
    saliency = golden["saliency"].astype(float)
    prob_a = saliency / saliency.sum(1, keepdims=True)
    assert np.abs(prob_a - golden["prob_alpha"]).max() < 1e-6
    for i, j in enumerate(partner):
        weight = np.linalg.norm(xyz[j] - xyz[i][golden["q_alpha"][i]], axis=1) * saliency[j]
        assert np.abs((weight / weight.sum())[phi[i]] - golden["prob_beta"][i]).max() < 1e-6


def test_a_draw_lands_where_the_recorded_distribution_puts_it(golden):
    """u in the middle of the recorded query's step of the CDF must give that query."""
    xyz, partner = torch.from_numpy(golden["xyz"]), torch.from_numpy(golden["idxs"])
    saliency = torch.from_numpy(golden["saliency"])
    q_a, q_b = torch.from_numpy(golden["q_alpha"]), torch.from_numpy(golden["q_beta_orig"])
    at_a = torch.gather(xyz, 1, q_a[:, None, None].expand(-1, 1, 3))
    s_b = saliency[partner].double() * (xyz[partner].double() - at_a.double()).norm(dim=2)
    u_a, u_b = middle(saliency.double(), q_a), middle(s_b, q_b)
    drawn = SageMix().queries(Samples(xyz, saliency), Samples(xyz[partner], saliency[partner]), u_a, u_b)
    assert torch.equal(drawn[0], q_a) and torch.equal(drawn[1], q_b)


def middle(weight, index):
    cdf = weight.cumsum(1) / weight.sum(1, keepdim=True)
    step = weight / weight.sum(1, keepdim=True)
    return (cdf - step / 2).gather(1, index[:, None])[:, 0]


def test_hand_worked_example():
    """Two clouds of two points on a line, σ = 1, π = 1/2, queries a0 = 0 and b1 = 3, φ swaps.

    λ_0: point a0 (distance 0) with b1 (distance 0): σ(0) = 1/2, at 0 + 3 halves: 1.5
    λ_1: point a1 = 1 (distance 1) with b0 = 2 (distance 1): σ(0) = 1/2 again, at 1.5
    Move b0 to 1 (distance 2): λ_1 = σ((4 - 1) / 2) = 1 / (1 + e^-1.5) = 0.817574, at 1.
    """
    line = lambda *x: torch.tensor([[[float(v), 0.0, 0.0] for v in x]])  # noqa: E731
    phi, zero = torch.tensor([[1, 0]]), torch.zeros(1, dtype=torch.float64)
    mixed = SageMix(sigma=1.0).mix_at(line(0, 1), line(1, 3), phi, zero, (torch.tensor([0]), torch.tensor([1])))
    assert mixed.point_weight[0].tolist() == pytest.approx([0.5, 0.817574], abs=1e-6)
    assert mixed.data[0, :, 0].tolist() == pytest.approx([1.5, 1.0], abs=1e-6)
    assert mixed.weight[0].tolist() == pytest.approx([0.658787, 0.341213], abs=1e-6)


def test_shapes_ranges_and_shares():
    a, b, phi, u = pairs()
    mixed = SageMix().mix(a, b, phi, u)
    assert mixed.data.shape == (16, 64, 3) and mixed.data.dtype == torch.float32
    assert ((mixed.point_weight >= 0) & (mixed.point_weight <= 1)).all()
    assert torch.allclose(mixed.weight.sum(1), torch.ones(16, dtype=torch.float64), atol=1e-15)
    low, high = torch.minimum(a.data.amin(), b.data.amin()), torch.maximum(a.data.amax(), b.data.amax())
    assert (mixed.data >= low).all() and (mixed.data <= high).all(), "a mix lies between its parents"


def test_self_pair_gives_itself():
    a, _, _, u = pairs()
    own = torch.arange(64).expand(16, -1)
    mixed = SageMix().mix(a, a, own, u)
    assert torch.equal(mixed.data, a.data)


def test_pi_one_gives_parent_a_and_pi_zero_its_partner():
    a, b, phi, _ = pairs()
    query = torch.zeros(16, dtype=torch.int64)
    ones = SageMix().mix_at(a.data, b.data, phi, torch.full((16,), 800.0).double(), (query, query))
    assert torch.equal(ones.data, a.data)
    zeros = SageMix().mix_at(a.data, b.data, phi, torch.full((16,), -800.0).double(), (query, query))
    assert torch.equal(zeros.data, b.data.gather(1, phi[:, :, None].expand(-1, -1, 3)))


def test_a_wide_kernel_is_pointmixup():
    """Remark of section 3.2: for large σ all points are mixed by π."""
    a, b, phi, u = pairs()
    mixed = SageMix(sigma=1000.0).mix(a, b, phi, u)
    pi = mixed.draw[:, 0].float()[:, None, None]
    matched = b.data.gather(1, phi[:, :, None].expand(-1, -1, 3))
    assert (mixed.data - (pi * a.data + (1 - pi) * matched)).abs().max() <= 1e-5
    assert (mixed.weight[:, 0] - mixed.draw[:, 0]).abs().max() <= 1e-5


def test_a_narrow_kernel_takes_one_parent_or_the_other():
    a, b, phi, u = pairs(batch=64, n=256)
    lam = SageMix(sigma=0.01).mix(a, b, phi, u).point_weight
    assert ((lam < 0.01) | (lam > 0.99)).double().mean() >= 0.99


def test_the_floor_halves_where_both_kernels_vanish():
    """Far from both queries the published form goes to 1/2; Eq. 9 stays with the nearer query."""
    a, b, phi, u = pairs()
    exact, published = (SageMix(sigma=0.05, as_published=p).mix(a, b, phi, u).point_weight for p in (False, True))
    assert ((published - 0.5).abs() < 1e-3).double().mean() > 0.1
    assert ((exact - 0.5).abs() < 1e-3).double().mean() < 0.01


def test_query_columns_of_table_4():
    a, b, phi, u = pairs(batch=64)
    taken = {q: SageMix(query=q).mix(a, b, phi, u).query for q in ("sagemix", "saliency", "uniform", "max")}
    assert torch.equal(taken["max"], torch.stack([a.saliency.argmax(1), b.saliency.argmax(1)], 1))
    assert torch.equal(taken["sagemix"][:, 0], taken["saliency"][:, 0]), "both draw q_α by Eq. 4"
    assert not torch.equal(taken["sagemix"][:, 1], taken["saliency"][:, 1])
    assert torch.equal(taken["uniform"][:, 0], (u[:, 1] * 64).long())


def test_eq_5_keeps_queries_apart():
    a, b, phi, u = pairs(batch=512)
    apart = {}
    for query in ("sagemix", "saliency"):
        q = SageMix(query=query).mix(a, b, phi, u).query.numpy()
        apart[query] = np.mean([cdist(a.data[[i], q[i, 0]], b.data[[i], q[i, 1]]) for i in range(512)])
    assert apart["sagemix"] > apart["saliency"] + 0.05


def test_all_saliency_on_the_first_query():
    """Eq. 5 is 0/0 in a self-pair whose only salient point is q_α: that point is then taken again."""
    a, _, _, u = pairs()
    spike = torch.zeros(16, 64)
    spike[:, 7] = 1.0
    query = SageMix().mix(Samples(a.data, spike), Samples(a.data, spike), torch.arange(64).expand(16, -1), u).query
    assert (query == 7).all()


def test_the_batch_does_not_matter():
    a, b, phi, u = pairs()
    whole = SageMix().mix(a, b, phi, u)
    part = SageMix().mix(Samples(a.data[3:5], a.saliency[3:5]), Samples(b.data[3:5], b.saliency[3:5]), phi[3:5], u[3:5])
    assert torch.equal(part.query, whole.query[3:5])
    assert torch.allclose(part.data, whole.data[3:5], atol=1e-7)


@pytest.mark.parametrize("option", [{"sigma": 0.0}, {"sigma": float("nan")}, {"theta": -1.0}, {"query": "best"}])
def test_options_out_of_range(option):
    with pytest.raises(UsageError, match=next(iter(option))):
        SageMix(**option)


def test_part_labels_follow_the_recorded_assignment(golden):
    """Section 4.3: ỹ_i = λ_i y_i^α + (1 - λ_i) y_φ(i)^β, with the part of each parent at point i."""
    seg = torch.from_numpy(golden["seg"])
    mixed = replay(golden, as_published=True)
    found = travel_seg(mixed, seg, seg[torch.from_numpy(golden["idxs"])])
    assert np.array_equal(found[..., 0], golden["seg"]) and np.array_equal(found[..., 1], golden["seg_beta_matched"])
    lam = mixed.point_weight[..., None]
    soft = lam * torch.eye(60)[found[..., 0]] + (1 - lam) * torch.eye(60)[found[..., 1]]
    assert torch.allclose(soft.sum(2), torch.ones(()), atol=1e-6)
    own = np.take_along_axis(soft.numpy(), golden["seg"][..., None], 2)[..., 0]
    same = golden["seg"] == golden["seg_beta_matched"]
    assert np.allclose(own, np.where(same, 1, golden["lam_point"]), atol=2e-6)


def test_a_kernel_so_narrow_that_its_square_is_zero():
    a, b, phi, u = pairs()
    for published in (False, True):
        mixed = SageMix(sigma=1e-200, as_published=published).mix(a, b, phi, u)
        assert mixed.point_weight.isfinite().all() and mixed.data.isfinite().all()
