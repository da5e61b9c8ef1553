import numpy as np
import pytest
import torch
from scipy import stats

from mixcli.data.images import Images
from mixcli.errors import UsageError
from mixcli.methods.saliencygrafting import SaliencyGrafting
from mixcli.rng import uniforms


def pictures(batch=16, size=(16, 32), seed=0):
    rng = np.random.default_rng(seed)
    data, maps = rng.uniform(0, 255, (2, batch, *size, 3)), rng.random((2, batch, *size))
    parts = [torch.from_numpy(part.astype(np.float32)) for part in (*data, *maps)]
    return [Images(parts[0], parts[2]), Images(parts[1], parts[3])]


def draws(batch, method=SaliencyGrafting(), seed=0):
    return torch.from_numpy(uniforms(seed, "mix", np.arange(batch), width=method.traits.draws))


def by_loops(s_a, s_b, side, temperature, p, u):
    """Eq. 3 to 5 as they are printed, for one pair of maps of side x side regions."""
    scaled = s_a / s_a.max()
    total = sum(np.exp(scaled[h, w] / temperature) for h in range(side) for w in range(side))
    mask, sigma = np.zeros((side, side)), 1 / side**2
    for s in range(side):
        for t in range(side):
            above = np.exp(scaled[s, t] / temperature) / total > sigma
            mask[s, t] = above * (u[s * side + t] < p)
    kept = [np.linalg.norm(s * m) / np.linalg.norm(s) for s, m in ((s_a, mask), (s_b, 1 - mask))]
    return mask, kept[0] / sum(kept)


@pytest.mark.parametrize("temperature", [0.05, 0.2, 1.0, 1e6])
def test_equations_3_to_5_by_loops(temperature):
    a, b = pictures()
    method = SaliencyGrafting(temperature=temperature, scale="8")
    u = draws(16, method)
    mixed = method.mix(a, b, None, u)
    for i in range(16):
        s_a, s_b = (p.saliency[i].double().numpy().reshape(8, 2, 8, 4).mean((1, 3)) for p in (a, b))
        mask, lam = by_loops(s_a, s_b, 8, temperature, mixed.draw[i, 0].item(), u[i, 2:].numpy())
        assert np.array_equal(mixed.mask[i].numpy(), mask.repeat(2, 0).repeat(4, 1))
        assert mixed.weight[i, 0].item() == pytest.approx(lam, abs=1e-12)


def test_hand_worked_example():
    """2 x 2 regions of a pixel each, S_i = (1, 0; 0.8, 0), T = 0.2, p = 1/2 and u = (.4, .1; .6, .1).

    exp(S/T) is 148.4, 1; 54.6, 1 with mean 51.2: the left two are salient, and of these the first has u < p.
    I(S_i, M) = 1 / √1.64 = .7809; with S_j = (3, 0; 0, 4) I(S_j, 1 - M) = 4/5; λ = .7809 / 1.5809 = .4939.
    """
    s_a, s_b = torch.tensor([[[1.0, 0.0], [0.8, 0.0]]]), torch.tensor([[[3.0, 0.0], [0.0, 4.0]]])
    a, b = Images(torch.full((1, 2, 2, 3), 10.0), s_a), Images(torch.full((1, 2, 2, 3), 20.0), s_b)
    u = torch.tensor([[0.5, 0.9, 0.4, 0.1, 0.6, 0.1]], dtype=torch.float64)
    mixed = SaliencyGrafting(scale="2").mix(a, b, None, u)
    assert mixed.data[0, :, :, 0].tolist() == [[10, 20], [20, 20]]
    assert mixed.weight[0].tolist() == pytest.approx([0.4939, 0.5061], abs=1e-4)
    assert mixed.draw[0].tolist() == pytest.approx([0.5, 2])


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 3), (16, 32), (30, 17)])
def test_shapes_ranges_and_shares(size):
    a, b = pictures(64, size)
    mixed = SaliencyGrafting().mix(a, b, None, draws(64))
    assert mixed.data.shape == a.data.shape and mixed.data.dtype == torch.float32
    assert ((mixed.mask == 0) | (mixed.mask == 1)).all()
    assert torch.equal(mixed.data, torch.where(mixed.mask[..., None] == 1, a.data, b.data))
    assert ((mixed.weight >= 0) & (mixed.weight <= 1)).all()
    assert torch.allclose(mixed.weight.sum(1), torch.ones(64, dtype=torch.float64), atol=1e-15)
    none, whole = mixed.mask.flatten(1).amax(1) == 0, mixed.mask.flatten(1).amin(1) == 1
    assert (mixed.weight[none, 0] == 0).all() and (mixed.weight[whole, 0] == 1).all()


def test_p_is_beta_and_each_region_bernoulli():
    """Flat maps, so every region is salient: 64 of them are taken with the chance p of their own mix."""
    method, flat = SaliencyGrafting(alpha=0.5, scale="8"), Images(torch.zeros(2000, 8, 8, 3), torch.ones(2000, 8, 8))
    mixed = method.mix(flat, flat, None, draws(2000, method))
    p, taken = mixed.draw[:, 0].numpy(), mixed.mask.flatten(1).sum(1).numpy()
    assert stats.kstest(p, stats.beta(0.5, 0.5).cdf).pvalue > 1e-3
    residual = ((taken - 64 * p) / np.sqrt(64 * p * (1 - p)))[(p > 0.05) & (p < 0.95)]
    assert abs(residual.mean()) < 0.1 and residual.std() == pytest.approx(1, abs=0.1)


def test_the_grid_is_drawn_for_each_mix():
    a, b = pictures(3000, (16, 16))
    mixed = SaliencyGrafting().mix(a, b, None, draws(3000))
    grid = mixed.draw[:, 1]
    assert stats.chisquare([(grid == g).sum() for g in (4, 8, 16)]).pvalue > 1e-3
    coarse = mixed.mask[grid == 4].reshape(-1, 4, 4, 4, 4)
    assert (coarse.amax((2, 4)) == coarse.amin((2, 4))).all(), "regions of 4 x 4 pixels are taken whole"
    fine = mixed.mask[grid == 16].reshape(-1, 4, 4, 4, 4)
    assert (fine.amax((2, 4)) != fine.amin((2, 4))).any()


def test_draws_depend_on_the_grid():
    assert SaliencyGrafting().traits.draws == 2 + 16**2
    assert SaliencyGrafting(scale="7").traits.draws == 2 + 7**2
    assert SaliencyGrafting(scale=" 4, 2").traits.draws == 2 + 4**2


def test_a_lower_temperature_selects_fewer_regions():
    (a, b), every = pictures(), (torch.ones(16), torch.zeros(16, 64))  # p = 1: all that are salient are taken
    masks = [SaliencyGrafting(temperature=t).graft(a.saliency, b.saliency, 8, *every)[0] for t in (1e-6, 0.2, 1e6)]
    sharp, middle, wide = (mask.double().mean((1, 2)) for mask in masks)
    assert (sharp == 1 / 64).all() and (sharp < middle).all() and (middle <= wide).all()
    s = torch.nn.functional.adaptive_avg_pool2d(a.saliency, (8, 8))
    above = (s > s.mean((1, 2), keepdim=True)).double().mean((1, 2))
    assert torch.allclose(wide, above, atol=1 / 64), "without a temperature it is the mean of the map"


@pytest.mark.parametrize("level", [0.0, 0.3, 1e30])
def test_constant_maps_prefer_no_region(level):
    a, b = pictures()
    flat = torch.full_like(a.saliency, level)
    mixed = SaliencyGrafting().mix(Images(a.data, flat), Images(b.data, flat), None, draws(16))
    assert mixed.weight.isfinite().all()
    area = mixed.mask.double().mean((1, 2)).sqrt()  # I is a norm: the root of the share of equal regions
    rest = (1 - mixed.mask.double().mean((1, 2))).sqrt()
    assert torch.allclose(mixed.weight[:, 0], area / (area + rest), atol=1e-6)
    assert 0.2 < mixed.mask.mean() < 0.8


def test_all_zero_maps_beside_others():
    a, b = pictures()
    zero = torch.zeros_like(a.saliency)
    for pair in ((Images(a.data, zero), b), (a, Images(b.data, zero))):
        mixed = SaliencyGrafting().mix(*pair, None, draws(16))
        assert mixed.weight.isfinite().all() and ((mixed.weight >= 0) & (mixed.weight <= 1)).all()


def test_the_scale_of_a_map_does_not_matter():
    a, b = pictures()
    mixed = SaliencyGrafting().mix(a, b, None, draws(16))
    scaled = SaliencyGrafting().mix(Images(a.data, a.saliency * 64), Images(b.data, b.saliency / 64), None, draws(16))
    assert torch.equal(scaled.data, mixed.data) and torch.equal(scaled.weight, mixed.weight)


def test_declared_identities():
    a, _ = pictures()
    assert SaliencyGrafting.traits.keeps == ("self-pair",)
    assert torch.equal(SaliencyGrafting().mix(a, a, None, draws(16)).data, a.data)


def test_the_batch_does_not_matter():
    a, b = pictures()
    whole = SaliencyGrafting().mix(a, b, None, draws(16))
    part = SaliencyGrafting().mix(*(Images(p.data[3:5], p.saliency[3:5]) for p in (a, b)), None, draws(16)[3:5])
    assert torch.equal(part.data, whole.data[3:5]) and torch.equal(part.weight, whole.weight[3:5])
    assert torch.equal(part.draw, whole.draw[3:5])


def test_which_saliency_is_needed():
    assert SaliencyGrafting().traits.saliency == "activation"
    assert SaliencyGrafting(saliency="gradient").traits.saliency == "gradient"


@pytest.mark.parametrize(
    "option",
    [{"temperature": 0.0}, {"alpha": -1.0}, {"saliency": "best"}]
    + [{"scale": s} for s in ("", "0", "4,", "65", "2.5", "-4", "9" * 5000)],
)
def test_options_out_of_range(option):
    with pytest.raises(UsageError, match=next(iter(option))):
        SaliencyGrafting(**option)
