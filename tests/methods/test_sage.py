import numpy as np
import pytest
import torch

from mixcli.data.images import Images
from mixcli.errors import UsageError
from mixcli.methods import sage
from mixcli.methods.sage import Sage, subsets
from mixcli.rng import uniforms

GOLDEN = ["random_full16", "random_rp001", "zeros16", "e2e_resnet20"]


def pairs(batch=6, height=12, width=9, seed=0):
    rng = np.random.default_rng(seed)
    tensor = lambda *shape: torch.from_numpy(rng.random((batch, height, width, *shape)).astype(np.float32))  # noqa: E731
    a, b = (Images(tensor(3) * 255, tensor() ** 4) for _ in range(2))
    return a, b, torch.from_numpy(uniforms(seed, "mix", np.arange(batch), width=2))


def mixed(options=None, **parents):
    a, b, u = pairs(**parents)
    method = Sage(**(options or {}))
    return method.mix(a, b, None, u[:, : method.traits.draws])


@pytest.fixture(params=GOLDEN)
def golden(request, shared):
    return np.load(shared / "golden" / "images" / f"sage_{request.param}.npz")


def parents(golden):
    """Both parents of the recorded batch; the recorded maps are blurred already."""
    data, saliency = torch.from_numpy(golden["x"]).permute(0, 2, 3, 1), torch.from_numpy(golden["s_tilde"][:, 0])
    index = torch.from_numpy(golden["index"])
    return Images(data, saliency), Images(data[index], saliency[index])


def test_the_published_run(golden, monkeypatch):
    """The published options, with the recorded α and subset of offsets in place of what would be drawn."""
    tried = np.zeros_like(golden["rand_perm"], bool)
    tried[np.ravel_multi_index(golden["coord"] - 1, [round(tried.size**0.5)] * 2)] = True
    monkeypatch.setattr(sage, "subsets", lambda u, size, count: np.tile(tried, (len(u), 1)))
    a, b = parents(golden)
    u = torch.full((len(a.data), 2), float(golden["alpha"]), dtype=torch.float64)  # Beta(1, 1): u itself is α
    method = Sage(offsets=0.5, alpha=1.0, kernel=1, as_published=True)
    found = method.mix(a, b, None, u)
    v, best = golden["v_tau"], golden["v_tau"].max(1, keepdims=True)
    assert np.abs(found.draw[:, 3].numpy() / 2 - best[:, 0]).max() <= 1e-6
    # Where offsets tie to float32, the recorded choice is that of its summation order: ours is to be among them.
    same = (found.draw[:, :2].numpy() == golden["shift_rc"]).all(1)
    assert (same | ((v >= best - 1e-6).sum(1) > 1)).all()
    compare(found, golden, same)


def compare(found, golden, rows=slice(None)):
    """To 1e-6; values of the normalised images reach 3, so theirs are relative to 1 or more."""
    close = lambda x, y: np.allclose(x[rows], y[rows], rtol=1e-6, atol=1e-6)  # noqa: E731
    assert close(found.mask.numpy(), golden["M"][:, 0])
    assert close(found.data.permute(0, 3, 1, 2).numpy(), golden["mixed_x"])
    assert close(found.weight.numpy(), np.stack([golden["lam0"], golden["lam1"]], 1))


def test_the_published_mix_at_the_recorded_offset(golden):
    a, b = parents(golden)
    method, alpha = Sage(kernel=1, as_published=True), torch.full((len(a.data),), float(golden["alpha"])).double()
    s_a, s_b = method.maps(a.saliency, alpha), method.maps(b.saliency, 1 - alpha)
    assert np.abs(s_a.numpy() / 2 - golden["s1"][:, 0]).max() <= 1e-7
    assert np.abs(s_b.numpy() / 2 - golden["s2"][:, 0]).max() <= 1e-7
    tau = torch.from_numpy(golden["shift_rc"])
    compare(method.mix_at(a.data, b.data, (s_a, s_b), tau, alpha), golden)


def test_the_default_is_the_published_run_over_all_offsets(shared):
    """At α = 1/2, where the maps vanish nowhere: the same numbers from both readings."""
    golden = np.load(shared / "golden" / "images" / "sage_random_full16.npz")
    a, b = parents(golden)
    found = Sage(kernel=1).mix(a, b, None, torch.zeros(len(a.data), 0, dtype=torch.float64))
    assert np.array_equal(found.draw[:, :2].numpy(), golden["shift_rc"])
    compare(found, golden)


def test_all_offsets_are_never_worse_than_the_recorded_choice(golden):
    a, b = parents(golden)
    found = Sage(kernel=1).mix(a, b, None, torch.zeros(len(a.data), 0, dtype=torch.float64))
    if golden["alpha"] == 0.5:
        assert (found.draw[:, 3].numpy() >= 2 * golden["v_tau"].max(1) - 1e-6).all()
    else:  # its maps have other weights: the same offset under equal ones
        s_a, s_b = (Sage(kernel=1).maps(x.saliency, torch.full((len(a.data),), 0.5).double()) for x in (a, b))
        there = Sage().mix_at(a.data, b.data, (s_a, s_b), torch.from_numpy(golden["shift_rc"]), s_a[:, 0, 0])
        assert (found.draw[:, 3] >= there.draw[:, 3] - 1e-8).all()


def test_hand_worked_example():
    """2 x 2 pixels, s = [[6, 2], [0, 0]] / 8 for both images, without blur.

    At τ = (0, 0) the maps lie on each other and v = 1, at (0, 1) v = 11/8, and at (1, 0) neither meets the other: 2.
    There row 0 of B is in row 1, where A's map vanishes: M = 0. Row 0 is outside the overlap: M = 1. A's share is 1/2.
    With [[6, 2], [0, 8]] / 16 for A both want the pixel (1, 1): 8/16 against 2/8, so M = 2/3, and so is A's share.
    """
    a = Images(torch.full((1, 2, 2, 3), 10.0), torch.tensor([[[6.0, 2.0], [0.0, 0.0]]]))
    b = Images(torch.full((1, 2, 2, 3), 30.0), a.saliency)
    nothing = torch.zeros(1, 0, dtype=torch.float64)
    found = Sage(kernel=1).mix(a, b, None, nothing)
    assert found.draw[0].tolist() == pytest.approx([1, 0, 0.5, 2])
    assert found.mask[0].tolist() == [[1, 1], [0, 0]]
    assert found.data[0, :, :, 0].tolist() == [[10, 10], [30, 30]]
    assert found.weight[0].tolist() == pytest.approx([0.5, 0.5])
    s_a, s_b = torch.tensor([[[6.0, 2.0], [0.0, 8.0]]]).double() / 16, a.saliency.double() / 8
    found = Sage(zeta=0.0).mix_at(a.data, b.data, (s_a, s_b), torch.tensor([[1, 0]]), torch.tensor([0.5]))
    assert found.mask[0].flatten().tolist() == pytest.approx([1, 1, 0, 2 / 3])
    assert found.weight[0, 0].item() == pytest.approx(2 / 3)
    assert found.data[0, 1, :, 0].tolist() == pytest.approx([30, 30 - 20 * 2 / 3])


def test_shapes_ranges_and_shares():
    found = mixed()
    assert found.data.shape == (6, 12, 9, 3) and found.data.dtype == found.mask.dtype == torch.float32
    assert found.draw.shape == (6, len(Sage.traits.draw_names)) and found.draw.dtype == torch.float64
    assert found.weight.dtype == torch.float64 and found.query is None
    assert ((found.mask >= 0) & (found.mask <= 1)).all() and ((found.data >= 0) & (found.data <= 255)).all()
    assert torch.allclose(found.weight.sum(1), torch.ones(6, dtype=torch.float64), atol=1e-15)
    assert torch.allclose(found.weight[:, 0], found.mask.double().mean((1, 2)), atol=1e-7)


def test_b_is_moved_and_a_shows_where_b_is_not():
    found = mixed()
    a, b, _ = pairs()
    for n in range(6):
        ty, tx = (int(t) for t in found.draw[n, :2])
        m = found.mask[n]
        for y in range(12):
            for x in range(9):
                inside = 0 <= y - ty < 12 and 0 <= x - tx < 9
                other = b.data[n, y - ty, x - tx] if inside else a.data[n, y, x]
                assert torch.allclose(found.data[n, y, x], m[y, x] * a.data[n, y, x] + (1 - m[y, x]) * other, atol=1e-4)
                assert inside or m[y, x] == 1


def test_where_both_maps_vanish():
    """Half of each in the overlap and a outside; as published b, black outside, and the label follows."""
    a, b, _ = pairs(batch=1)
    s, tau, half = torch.zeros(1, 12, 9).double(), torch.tensor([[3, 0]]), torch.tensor([0.5]).double()
    found = Sage().mix_at(a.data, b.data, (s, s), tau, half)
    assert (found.mask[0, :3] == 1).all() and (found.mask[0, 3:] == 0.5).all()
    assert torch.equal(found.data[0, :3], a.data[0, :3])
    assert torch.allclose(found.data[0, 3:], (a.data[0, 3:] + b.data[0, :9]) / 2)
    found = Sage(as_published=True).mix_at(a.data, b.data, (s, s), tau, half)
    assert (found.mask == 0).all() and found.weight.tolist() == [[0, 1]]
    assert (found.data[0, :3] == 0).all() and torch.equal(found.data[0, 3:], b.data[0, :9])


@pytest.mark.parametrize("which", ["a", "b"])
@pytest.mark.parametrize("level", [0.0, 0.3])
def test_a_constant_map_does_not_move_b(which, level):
    a, b, u = pairs()
    flat = torch.full_like(a.saliency, level)
    a, b = (Images(a.data, flat), b) if which == "a" else (a, Images(b.data, flat))
    found = Sage().mix(a, b, None, u[:, :0])
    assert (found.draw[:, :2] == 0).all() and found.data.isfinite().all()


def test_draws_are_asked_for_as_the_options_need():
    wanted = {(): 0, ("alpha",): 1, ("offsets",): 1, ("alpha", "offsets"): 2}
    for options, draws in wanted.items():
        assert Sage(**dict.fromkeys(options, 0.5)).traits.draws == draws


def test_alpha_weighs_the_maps():
    """α ~ Beta(1, 1), times --upper-lambda: a's share follows it."""
    found = mixed({"alpha": 1.0, "upper_lambda": 0.6}, batch=64)
    alpha = found.draw[:, 2]
    assert torch.allclose(alpha, 0.6 * pairs(batch=64)[2][:, 0]) and (alpha < 0.6).all()
    assert np.corrcoef(alpha, found.weight[:, 0])[0, 1] > 0.9
    assert (mixed().draw[:, 2] == 0.5).all()
    assert (mixed({"upper_lambda": 0.6}).draw[:, 2] == 0.3).all(), "as published where alpha is 0"


def test_fewer_offsets_keep_less_and_lie_in_the_subset():
    best = mixed().draw[:, 3]
    for share in (0.5, 0.05):
        found = mixed({"offsets": share}).draw
        assert (found[:, 3] <= best + 1e-8).all()
        tried = Sage(offsets=share).drawn_offsets(pairs()[2][:, :1], 12, 9)
        assert (tried.sum((1, 2)) == int(23 * 17 * share)).all()
        ty, tx = found[:, :2].long().unbind(1)
        assert tried[torch.arange(6), ty + 11, tx + 8].all()
    assert (found[:, 3] < best - 1e-3).any()


def test_subsets_are_uniform_and_of_the_size_asked_for():
    u = uniforms(3, "mix", np.arange(4000))[:, 0]
    taken = subsets(u, 20, 6)
    assert (taken.sum(1) == 6).all() and np.array_equal(subsets(u[5:7], 20, 6), taken[5:7])
    assert np.abs(taken.mean(0) - 0.3).max() < 4 * (0.3 * 0.7 / 4000) ** 0.5
    together = (taken.T.astype(float) @ taken / 4000)[np.triu_indices(20, 1)]
    assert np.abs(together - 0.3 * 5 / 19).max() < 5 * (0.079 * 0.921 / 4000) ** 0.5
    assert subsets(u[:3], 5, 0).sum(1).tolist() == [1, 1, 1] and subsets(u[:3], 5, 5).all()


def test_zeta_is_that_of_eq_2():
    a, b, _ = pairs(batch=2)
    s_a, s_b = (Sage().maps(x.saliency, torch.full((2,), 0.5).double()) for x in (a, b))
    tau = torch.zeros(2, 2, dtype=torch.int64)
    for zeta in (0.0, 1e-3):
        found = Sage(zeta=zeta).mix_at(a.data, b.data, (s_a, s_b), tau, s_a[:, 0, 0])
        assert torch.allclose(found.mask, (s_a / (s_a + s_b + zeta)).float())
    # A large one moves the argmax, too: v at the answer is that of Eq. 3, and no worse than at any other offset.
    method = Sage(zeta=0.05)
    best = method.rearrange(s_a, s_b, None)
    value = lambda t: method.mix_at(a.data, b.data, (s_a, s_b), t, s_a[:, 0, 0]).draw[:, 3]  # noqa: E731
    others = torch.tensor([(y, x) for y in range(-11, 12) for x in range(-8, 9)])
    assert all((value(best) >= value(t.expand(2, 2)) - 1e-8).all() for t in others)


def test_the_batch_does_not_matter():
    options = {"alpha": 1.0, "offsets": 0.3}
    a, b, u = pairs()
    whole = mixed(options)
    for n in range(6):
        one = slice(n, n + 1)
        x, y = (Images(p.data[one], p.saliency[one]) for p in (a, b))
        part = Sage(**options).mix(x, y, None, u[one])
        assert torch.equal(part.draw[0, :3], whole.draw[n, :3])
        assert torch.allclose(part.data[0], whole.data[n], atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 2), (3, 8)])
def test_images_smaller_than_the_kernel(size):
    found = mixed(height=size[0], width=size[1])
    assert found.data.isfinite().all() and found.data.shape[1:3] == size


@pytest.mark.parametrize(
    "option",
    [
        {"offsets": 0.0}, {"offsets": 1.5}, {"offsets": float("nan")}, {"alpha": -1.0}, {"alpha": float("nan")},
        {"upper_lambda": 0.0}, {"upper_lambda": 2.0}, {"kernel": 4}, {"kernel": 0}, {"kernel": 10**6 + 1},
        {"sigma": 0.0}, {"zeta": -1.0}, {"zeta": float("inf")},
    ],
)  # fmt: skip
def test_options_out_of_range(option):
    with pytest.raises(UsageError, match="--" + next(iter(option)).replace("_", "-")):
        Sage(**option)
