import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixcli.algorithms.comix.problem import objective, shares
from mixcli.algorithms.comix.solve import alike
from mixcli.data.images import Images
from mixcli.errors import UsageError
from mixcli.methods.comixup import CoMixup, by_share, compatibility, dirichlet
from mixcli.rng import uniforms

GOLDEN = ["n8_b4", "n16_b4", "n16_b8", "n16_b4_soft"]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """These groups are small: a second thread would only be waited for."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def group(n=6, size=(8, 12), seed=0):
    """Images with a bright spot of saliency each."""
    rng = np.random.default_rng(seed)
    data, spot = rng.uniform(0, 255, (n, *size, 3)), rng.uniform(0, 1, (n, 2, 1, 1)) * np.array(size)[:, None, None]
    far = ((np.mgrid[: size[0], : size[1]] - spot) ** 2).sum(1)
    saliency = 7 * np.exp(-far / (max(size) / 4) ** 2) * rng.random((n, *size))
    return Images(*(torch.from_numpy(x.astype(np.float32)) for x in (data, saliency)))


def draws(method, n, j=0):
    return torch.from_numpy(uniforms(0, "mix", np.arange(n), j=j, width=method.traits.draws))


def mixed_from(images, mix):
    """Every pixel of a mix is one of its members' at this place, or the mean of two: None where it is not."""
    pixels = images.data[mix.members.clamp(min=0)]  # (n,P,H,W,3)
    means = (pixels[:, :, None] + pixels[:, None]) / 2
    there = mix.members >= 0
    both = (there[:, :, None] & there[:, None])[..., None, None]
    return ((means - mix.data[:, None, None]).abs().amax(-1) < 1e-3) & both


def check(method, images, mix):
    n, blocks = len(images.data), method.block_num**2
    assert mix.data.shape == images.data.shape and mix.data.dtype == torch.float32
    assert mix.weight.shape == mix.members.shape == (n, min(method.group, blocks))
    assert mix.weight.dtype == torch.float64 and mix.members.dtype == torch.int64
    assert (mix.weight.sum(1) == 1).all() and (mix.weight >= 0).all()
    assert (mix.weight.diff(dim=1) <= 0).all(), "the largest share first"
    assert ((mix.members >= 0) == (mix.weight > 0)).all() and (mix.members < n).all()
    assert all(len({*row} - {-1}) == sum(i >= 0 for i in row) for row in mix.members.tolist()), "each member once"
    assert mix.mask.shape == images.data.shape[:3] and mix.mask.dtype == torch.float32
    assert torch.isin(mix.mask, torch.tensor([0, 0.5, 1])).all()
    assert torch.allclose(mix.weight[:, 0], mix.mask.double().mean((1, 2)), atol=1e-6)
    assert torch.equal(mix.data[mix.mask == 1], images.data[mix.members[:, 0]][mix.mask == 1])
    assert mixed_from(images, mix).flatten(1, 2).any(1).all()
    assert mix.draw.shape == (n, 1) and mix.draw.sum() == pytest.approx(1)


@pytest.mark.parametrize("name", GOLDEN)
def test_the_recorded_problem_and_its_mixes(shared, name):
    """The costs and distances of the recorded maps; of the recorded labels, the pixels and labels of the mixes."""
    golden = np.load(shared / "golden" / "images" / f"comix_{name}.npz")
    n, prior = len(golden["x"]), golden["dirichlet"].astype(np.float64)
    method = CoMixup(block_num=int(golden["m_block_num"]), tau_type="soft" if name.endswith("soft") else "hard")
    problem = method.problem(torch.from_numpy(golden["sc"]), prior)
    expected = golden["cost"] - method.eta / method.block_num**2 * np.log(prior + 1e-8)[:, None, None]
    assert np.abs(problem.cost - expected).max() <= 1e-6
    assert np.abs(problem.compatibility - golden["A"]).max() <= 1e-6
    z = golden["mask_onehot"]
    two = np.argsort(-z, axis=-1, kind="stable")[..., :2]
    labels = np.where(np.take_along_axis(z, two, -1) > 0, two, two[..., :1])
    assert (shares(labels, n) == z).all()
    mix = method.mix_at(torch.from_numpy(golden["x"]).permute(0, 2, 3, 1), labels, prior)
    assert np.abs(mix.data.permute(0, 3, 1, 2).numpy() - golden["mixed_x"]).max() <= 1e-6
    target = (mix.weight.numpy()[..., None] * np.eye(10)[golden["y"]][mix.members.numpy()]).sum(1)
    assert np.abs(target - golden["target"]).max() <= 1e-6


def two_images():
    """16 pixels a side of 2x2 blocks: all saliency of image 0 in the left blocks, of image 1 in the right ones."""
    saliency = torch.zeros(2, 16, 16)
    saliency[0, :, :8] = saliency[1, :, 8:] = 3.0
    return Images(torch.tensor([100.0, 200.0])[:, None, None, None].expand(2, 16, 16, 3).contiguous(), saliency)


def test_hand_worked_example():
    """Blocks of image 0 cost -½ in the left column and 0 in the right one, those of image 1 the other way round.

    Both salient columns: 4·-½ and two borders of β/4 = 0.08, -1.84. One image alone: -1. Half of both in a column:
    two blocks of -½, two of -¼ and two borders of 0.02: -1.46. With τ of 0.83 · 4 blocks no image is over-used.
    """
    method = CoMixup(block_num=2, eta=0.0, resolve=False)
    mix = method.mix(two_images(), None, None, draws(method, 2))
    assert mix.data[:, 0, :, 0].tolist() == [[100.0] * 8 + [200.0] * 8] * 2
    assert mix.weight.tolist() == [[0.5, 0.5, 0, 0]] * 2 and mix.members.tolist() == [[0, 1, -1, -1]] * 2
    assert mix.mask[:, 0].tolist() == [[1.0] * 8 + [0.0] * 8] * 2, "of equal shares the lower member is first"


def test_diversity_by_hand():
    """The same with τ = ¼: one block. Both mixes as above see 2 blocks of either image in each other, and pay
    γ/4 · 4 · 2·2 = 4 for it, far more than -1.84 twice; one image each costs -1 twice and shares nothing. That is
    found from a start where mix 1 is all of image 0: mix 0 leaves it, and is of image 1 alone."""
    method = CoMixup(block_num=2, eta=0.0, tau=0.25)
    u = draws(method, 2)
    u[1, 1:] = 0.25
    mix = method.mix(two_images(), None, None, u)
    assert mix.members[:, :2].tolist() == [[1, -1], [0, -1]] and (mix.weight[:, 0] == 1).all()
    assert (mix.data[0] == 200).all() and (mix.data[1] == 100).all()


def test_a_prior_decides_where_saliency_does_not():
    """Uniform maps, η large: every block is of the image with the largest share of the prior."""
    method, images = CoMixup(block_num=2, eta=500.0, tau=1000.0, resolve=False), group(4)
    images = Images(images.data, torch.ones_like(images.saliency))
    mix = method.mix(images, None, None, draws(method, 4))
    assert (mix.members[:, 0] == mix.draw[:, 0].argmax()).all() and (mix.weight[:, 0] == 1).all()


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(2, 7),
    block_num=st.sampled_from([1, 2, 4]),
    tau_type=st.sampled_from(["hard", "soft"]),
    as_published=st.booleans(),
    alpha=st.sampled_from([1e-3, 2.0, 1e6]),
    omega=st.sampled_from([0.0, 0.001, 1.0]),
    rounds=st.integers(1, 4),
    end=st.sampled_from([None, 2.0**-53, 1 - 2.0**-53]),
)
def test_of_any_group(n, block_num, tau_type, as_published, alpha, omega, rounds, end):
    method = CoMixup(
        group=7, block_num=block_num, tau_type=tau_type, as_published=as_published, alpha=alpha, omega=omega,
        rounds=rounds,
    )  # fmt: skip
    images, u = group(n, seed=n), draws(method, n)
    check(method, images, method.mix(images, None, None, u if end is None else torch.full_like(u, end)))


@pytest.mark.parametrize("size", [(4, 4), (4, 8), (12, 4), (32, 32), (64, 96)])
def test_images_of_any_size_that_fits(size):
    method, images = CoMixup(), group(5, size)
    check(method, images, method.mix(images, None, None, draws(method, 5)))


def test_parents_are_left_as_they_are_and_the_mix_is_repeatable():
    method, images = CoMixup(), group(9)
    before, u = images.data.clone(), draws(method, 9)
    mix, again = (method.mix(images, None, None, u) for _ in range(2))
    assert torch.equal(images.data, before)
    for name in ("data", "weight", "members", "mask", "draw"):
        assert torch.equal(getattr(mix, name), getattr(again, name)), name


def test_draws_reach_the_mix():
    method, images = CoMixup(), group(6)
    mixes = [method.mix(images, None, None, draws(method, 6, j)).data for j in range(4)]
    assert all(not torch.equal(a, b) for i, a in enumerate(mixes) for b in mixes[:i])


def test_several_parents_and_few_mixes_alike():
    method, images = CoMixup(), group(20, (32, 32))
    mix = method.mix(images, None, None, draws(method, 20))
    check(method, images, mix)
    parents = (mix.members >= 0).sum(1)
    assert parents.max() > 2 and parents.double().mean() > 1.5
    assert torch.bincount(mix.members[:, 0], minlength=20).max() <= 3, "no image leads many mixes"
    has = torch.zeros(20, 21, dtype=torch.bool).scatter_(1, mix.members + 1, True)[:, 1:]
    assert len(alike(has.numpy())) == 0


def test_mixes_hold_more_saliency_than_images():
    """Which is what the method is for: each image has a saliency of 1 over its blocks."""
    method, images = CoMixup(), group(20, (32, 32))
    mix = method.mix(images, None, None, draws(method, 20))
    pixels = images.saliency / images.saliency.sum((1, 2), keepdim=True)
    kept = (pixels[mix.members[:, 0]] * mix.mask).sum((1, 2))
    for column in range(1, 4):  # at least what lies in blocks that are wholly of the next members
        member = mix.members[:, column].clamp(min=0)
        whole = (mix.data == images.data[member]).all(-1) & (mix.members[:, column] >= 0)[:, None, None]
        kept += (pixels[member] * whole).sum((1, 2))
    assert kept.mean() > 1.2


def test_maps_of_zeros_are_uniform():
    method, images = CoMixup(), group(5)
    blank = torch.zeros_like(images.saliency)
    assert np.allclose(method.problem(blank, np.full(5, 0.2)).cost + 0.05 / 16 * np.log(0.2 + 1e-8), -1 / 16)
    mix = method.mix(Images(images.data, blank), None, None, draws(method, 5))
    check(method, images, mix)
    ones = method.mix(Images(images.data, torch.ones_like(blank)), None, None, draws(method, 5))
    assert torch.equal(mix.data, ones.data)


@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_the_scale_of_a_map_does_not_matter(factor):
    method, images = CoMixup(), group(5)
    mix = method.mix(images, None, None, draws(method, 5))
    scaled = method.mix(Images(images.data, images.saliency * factor), None, None, draws(method, 5))
    assert torch.equal(scaled.data, mix.data)


def test_compatibility_by_hand():
    """Windows of 8x8 in 9x10 pixels have 2x3 places; those with most are at (0, 0), (1, 2) and (0, 2): distances 3, 2
    and 1, both ways. A = 0.9 I + 0.1 · 3 D / 12."""
    saliency = torch.zeros(3, 9, 10, dtype=torch.float64)
    saliency[0, 0, 0] = saliency[1, 8, 9] = saliency[2, 0, 9] = 1
    expected = np.array([[36, 3, 2], [3, 36, 1], [2, 1, 36]]) / 40
    assert np.abs(compatibility(saliency, 0.1) - expected).max() < 1e-12
    assert np.allclose(compatibility(torch.ones(3, 9, 10, dtype=torch.float64), 0.1), 0.9 * np.eye(3))
    small = torch.eye(3, dtype=torch.float64)[:, None].expand(3, 2, 3)  # smaller than a window: one place
    assert np.allclose(compatibility(small, 0.1), 0.9 * np.eye(3))


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_the_prior_is_dirichlet(alpha):
    """Of n shares of mean 1/n the variance is (n - 1) / (n² (nα + 1))."""
    u = np.random.default_rng(0).random((20000, 4))
    drawn = np.stack([dirichlet(row, alpha) for row in u[:4000]])
    assert np.abs(drawn.sum(1) - 1).max() < 1e-12
    assert np.abs(drawn.mean(0) - 0.25).max() < 0.01
    assert drawn.var(0).mean() == pytest.approx(3 / (16 * (4 * alpha + 1)), rel=0.05)


@pytest.mark.parametrize("alpha", [1e-9, 1e-3, 1e9])
def test_the_prior_at_extreme_alphas(alpha):
    drawn = dirichlet(np.array([2.0**-53, 0.3, 0.6, 1 - 2.0**-53]), alpha)
    assert np.isfinite(drawn).all() and drawn.sum() == pytest.approx(1) and (np.diff(drawn) >= 0).all()
    assert (drawn.max() > 0.999) if alpha < 1 else np.allclose(drawn, 0.25, atol=1e-3)


def test_shares_by_size():
    weight, members = by_share(np.array([[0.25, 0.5, 0.25], [1.0, 0.0, 0.0]]), 2)
    assert weight.tolist() == [[0.5, 0.25], [1.0, 0.0]] and members.tolist() == [[1, 0], [0, -1]]


def test_the_published_order_of_operations_is_an_option():
    """It decides between mixes: the objective of each form is lower for the labels that were found with it."""
    images = group(12, (32, 32), seed=3)
    prior = np.full(12, 1 / 12)
    forms = [CoMixup(omega=0.5, as_published=published).problem(images.saliency, prior) for published in (False, True)]
    assert [p.form for p in forms] == ["hard", "published"]
    assert CoMixup(as_published=True, tau_type="soft").problem(images.saliency, prior).form == "soft"
    z = shares(np.random.default_rng(0).integers(0, 12, (12, 4, 4, 1)).repeat(2, -1), 12)
    assert objective(forms[0], z) != pytest.approx(objective(forms[1], z), rel=1e-3)


def test_what_is_needed():
    traits = CoMixup().traits
    assert (traits.group, traits.parents, traits.draws, traits.saliency) == (20, 16, 17, "gradient")
    few = CoMixup(group=5, block_num=8).traits
    assert (few.group, few.parents, few.draws) == (5, 5, 65)


def test_blocks_that_do_not_fit():
    method = CoMixup()
    method.fits((32, 64))
    with pytest.raises(UsageError, match="--block-num 4 does not divide images of 30x32 pixels"):
        method.fits((30, 32))
    with pytest.raises(UsageError, match="--block-num 4"):
        method.mix(group(3, (30, 32)), None, None, draws(method, 3))


@pytest.mark.parametrize(
    "option",
    [
        {"group": 2}, {"group": 129}, {"group": 4.0}, {"block_num": 0}, {"block_num": 17}, {"alpha": 0.0},
        {"beta": -0.1}, {"gamma": float("nan")}, {"eta": float("inf")}, {"tau": -1.0}, {"omega": 1.1},
        {"tau_type": "firm"}, {"rounds": 0},
    ],
)  # fmt: skip
def test_options_out_of_range(option):
    with pytest.raises(UsageError, match="--" + next(iter(option)).replace("_", "-")):
        CoMixup(**option)
