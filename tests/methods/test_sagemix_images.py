import numpy as np
import pytest
import torch
from scipy import stats

import mixcli
from mixcli.data.images import Images
from mixcli.data.points import Samples
from mixcli.methods.sagemix import SageMix, squared_distance
from mixcli.rng import uniforms


def pictures(batch=16, size=(9, 14), seed=0):
    rng = np.random.default_rng(seed)
    data, maps = rng.uniform(0, 255, (2, batch, *size, 3)), rng.random((2, batch, *size)) ** 4
    parts = [torch.from_numpy(part.astype(np.float32)) for part in (*data, *maps)]
    return Images(parts[0], parts[2]), Images(parts[1], parts[3])


def draws(batch, seed=0):
    return torch.from_numpy(uniforms(seed, "mix", np.arange(batch), width=3))


def sagemix(**options):
    return SageMix(on="images", **options)


def pixels(*index):
    return torch.tensor(index)


def test_hand_worked_example():
    """Four pixels in a row, σ = 1, π = 1/2, queries a0 and b3: the row spans [-1, 1], so a pixel is 1/2 wide.

    Distances from a0: 0, .5, 1, 1.5; from b3: 1.5, 1, .5, 0. Eq. 9 is σ((d_b² - d_a²) / 2):
    σ(2.25/2) = .754915, σ((1 - .25)/2) = .592667, and by symmetry 1 minus those. White over black: 255 λ.
    """
    a, b = torch.full((1, 1, 4, 3), 255.0), torch.zeros(1, 1, 4, 3)
    mixed = sagemix(sigma=1.0).mix_images_at(a, b, torch.zeros(1).double(), (pixels(0), pixels(3)))
    expected = [0.754915, 0.592667, 0.407333, 0.245085]
    assert mixed.mask[0, 0].tolist() == pytest.approx(expected, abs=1e-6)
    assert mixed.data[0, 0, :, 1].tolist() == pytest.approx([255 * x for x in expected], abs=1e-3)
    assert mixed.weight[0].tolist() == pytest.approx([0.5, 0.5], abs=1e-12)
    assert mixed.query.tolist() == [[0, 3]]


def test_eq_4_and_5_by_hand():
    """A row of three: a's map is all on pixel 0. Eq. 5 for b, distances 0, 2/3, 4/3 times (4, 2, 1): 0, 4/3, 4/3."""
    a, b = (Images(torch.zeros(4, 1, 3, 3), torch.tensor([[s]]).expand(4, 1, 3)) for s in ([5.0, 0, 0], [4.0, 2, 1]))
    u = torch.tensor([0.01, 0.49, 0.51, 0.99], dtype=torch.float64)
    assert [q.tolist() for q in sagemix().query_pixels(a, b, u, u)] == [[0, 0, 0, 0], [1, 1, 2, 2]]


def test_distances_are_round_whatever_the_proportions():
    found = squared_distance(pixels(0, 3 * 8 + 7), (4, 8)).sqrt()
    assert found[0, 1, 0] == found[0, 0, 1] == 0.25, "2 over the longer side"
    assert found[0, 3, 7] == found[1, 0, 0] == pytest.approx(0.25 * np.hypot(3, 7))
    assert squared_distance(pixels(0), (1, 1)).tolist() == [[[0.0]]]


def reference(method, a, b, logit, query_a, query_b):
    """Eq. 6 to 9 pixel by pixel, from coordinates in [-1, 1] of the longer side."""
    height, width = a.shape[:2]
    longer = max(height, width)
    place = np.stack(np.meshgrid(*((2 * np.arange(n) + 1 - n) / longer for n in (height, width)), indexing="ij"), 2)
    flat = place.reshape(-1, 2)
    w_a, w_b = (np.exp(-((flat - flat[q]) ** 2).sum(1) / (2 * method.sigma**2)) for q in (query_a, query_b))
    pi = 1 / (1 + np.exp(-logit))
    lam = (pi * w_a / (pi * w_a + (1 - pi) * w_b)).reshape(height, width, 1)
    return lam * a + (1 - lam) * b, lam[..., 0]


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 3), (16, 16)])
def test_the_mask_is_that_of_the_equations(size):
    a, b = pictures(size=size)
    mixed = sagemix().mix(a, b, None, draws(16))
    for i, (query_a, query_b) in enumerate(mixed.query.tolist()):
        images = a.data[i].double().numpy(), b.data[i].double().numpy()
        data, lam = reference(sagemix(), *images, float(mixed.draw[i, 1]), query_a, query_b)
        assert np.abs(mixed.mask[i].numpy() - lam).max() < 1e-6
        assert np.abs(mixed.data[i].numpy() - data).max() < 1e-3
        assert float(mixed.weight[i, 0]) == pytest.approx(lam.mean(), abs=1e-12)


def test_the_mask_is_a_ramp_between_the_queries():
    """Its logit is linear: second differences along both axes vanish."""
    a, b = pictures()
    mixed = sagemix(sigma=2.0).mix(a, b, None, draws(16))
    steady = (mixed.draw[:, 0] - 0.5).abs() < 0.49
    logit = mixed.mask[steady].double().logit()
    assert steady.sum() >= 4
    for axis in (1, 2):
        assert logit.diff(n=2, dim=axis).abs().max() < 1e-4


def test_nothing_underflows_where_both_kernels_do():
    """At σ = 0.01 both weights of Eq. 9 are 0 in float64 at most pixels; the nearer query still decides."""
    white, black = torch.full((1, 1, 64, 3), 255.0), torch.zeros(1, 1, 64, 3)
    half, ends = torch.zeros(1).double(), (pixels(0), pixels(63))
    lam = sagemix(sigma=0.01).mix_images_at(white, black, half, ends).mask[0, 0]
    assert (lam[:32] > 0.99).all() and (lam[32:] < 0.01).all()
    published = sagemix(sigma=0.01, as_published=True).mix_images_at(white, black, half, ends).mask[0, 0]
    assert (published[10:54] == 0.5).all(), "the floor of both"
    assert sagemix(sigma=1e-200).mix_images_at(white, black, half, ends).mask.isfinite().all()


def test_the_published_floor_hardly_matters_near_the_queries():
    a, b = pictures(size=(6, 6))
    exact, published = (sagemix(sigma=0.5, as_published=p).mix(a, b, None, draws(16)) for p in (False, True))
    total = published.draw[:, 0].clamp(1e-9, 1 - 1e-9)
    clear = (total > 1e-3) & (total < 1 - 1e-3)
    assert clear.sum() >= 4 and (exact.mask - published.mask)[clear].abs().max() < 1e-5


def test_queries_follow_the_raw_map():
    """Eq. 4: 4000 draws over one map of 12 pixels; its scale does not matter."""
    s = torch.tensor([0.0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]).view(1, 3, 4).expand(4000, 3, 4)
    a = Images(torch.zeros(4000, 3, 4, 3), s)
    u = draws(4000, seed=1)
    query_a, _ = sagemix().query_pixels(a, a, u[:, 1], u[:, 2])
    count = np.bincount(query_a.numpy(), minlength=12)
    assert count[0] == 0 and stats.chisquare(count[1:], np.arange(1, 12) * 4000 / 66).pvalue > 1e-3
    for factor in (1e-30, 1e30):
        scaled = Images(a.data, a.saliency * factor)
        assert torch.equal(sagemix().query_pixels(scaled, scaled, u[:, 1], u[:, 2])[0], query_a)


def test_eq_5_keeps_queries_apart():
    a, b = pictures(512)
    apart = {}
    for query in ("sagemix", "saliency", "uniform", "max"):
        drawn = sagemix(query=query).mix(a, b, None, draws(512)).query
        apart[query] = float(squared_distance(drawn[:, 0], (9, 14)).flatten(1).gather(1, drawn[:, 1:]).sqrt().mean())
    assert apart["sagemix"] > apart["saliency"] + 0.05
    assert torch.equal(drawn, torch.stack([a.saliency.flatten(1).argmax(1), b.saliency.flatten(1).argmax(1)], 1))


@pytest.mark.parametrize("query", ["sagemix", "saliency", "max"])
def test_maps_of_zeros(query):
    a, b = pictures(64)
    zero = torch.zeros_like(a.saliency)
    mixed = sagemix(query=query).mix(Images(a.data, zero), Images(b.data, zero), None, draws(64))
    uniform = sagemix(query=query).mix(Images(a.data, zero + 1), Images(b.data, zero + 1), None, draws(64))
    assert torch.equal(mixed.query, uniform.query) and torch.equal(mixed.data, uniform.data)


def test_all_saliency_on_the_first_query():
    """Eq. 5 is 0/0 where b's only salient pixel is q_α: that pixel is taken, and all pixels are mixed by π."""
    a, b = pictures()
    spike = torch.zeros_like(a.saliency)
    spike[:, 2, 3] = 1.0
    mixed = sagemix().mix(Images(a.data, spike), Images(b.data, spike), None, draws(16))
    assert (mixed.query == 2 * 14 + 3).all()
    assert torch.allclose(mixed.mask.double(), mixed.draw[:, :1, None].expand(-1, 9, 14), atol=1e-7)


def test_pi_and_queries_are_drawn_as_on_clouds():
    """A row of pixels is a line of points: the same draws, the same λ_i."""
    a, b = pictures(size=(1, 14))
    line = torch.stack([(2 * torch.arange(14.0) - 13) / 14, torch.zeros(14), torch.zeros(14)], 1).expand(16, 14, 3)
    own = torch.arange(14).expand(16, 14)
    on_line = SageMix().mix(Samples(line, a.saliency[:, 0]), Samples(line, b.saliency[:, 0]), own, draws(16))
    mixed = sagemix().mix(a, b, None, draws(16))
    assert torch.equal(mixed.draw, on_line.draw) and torch.equal(mixed.query, on_line.query)
    assert torch.allclose(mixed.mask[:, 0], on_line.point_weight, atol=1e-5)


def test_what_it_needs_on_images():
    assert (sagemix().traits.data, sagemix().traits.assignment) == ("images", False)
    assert (SageMix().traits.data, SageMix().traits.assignment) == ("points", True)
    assert sagemix().traits.keeps == ("self-pair", "lam-one")
    assert sagemix(as_published=True).traits.keeps == ("self-pair",)


def test_a_run_of_images_of_any_size(tmp_path):
    """Maps that need no model; every row can be made again."""
    values = np.random.default_rng(0).integers(0, 256, (12, 6, 10, 3), np.uint8)
    np.savez(tmp_path / "pictures.npz", images=values, labels=np.arange(12) % 3)
    result = mixcli.mix(
        "sagemix", str(tmp_path / "pictures.npz"), str(tmp_path / "m.npz"),
        on="images", saliency="static", keep=("mask",), k=2,
    )  # fmt: skip
    found = np.load(tmp_path / "m.npz")
    assert found["data"].shape == (24, 6, 10, 3) and found["query"].shape == (24, 2)
    assert np.abs(found["mask"].mean((1, 2)) / 255 - found["weight"][:, 0]).max() < 1 / 255
    assert result.manifest["recipe"]["options"]["on"] == "images"
    assert mixcli.verify(result.path, replay=None)["faults"] == []
