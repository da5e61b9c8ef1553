"""The search against a plain loop over all offsets, and its own bounds against what they bound."""

import importlib.util

import numpy as np
import pytest
import torch
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from mixcli.algorithms import best_offset as search
from mixcli.algorithms.best_offset import best_offsets, prepare, shifted
from mixcli.saliency.blur import distribution


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """These maps are small: a second thread would only be waited for."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def loop(a, b, zeta=0.0):
    """v(τ) by Eq. 2 and 3 as they stand, M = 1 outside the overlap: (H,W), (H,W) -> (2H-1,2W-1)."""
    h, w = a.shape
    v = np.empty((2 * h - 1, 2 * w - 1))
    for y in range(1 - h, h):
        for x in range(1 - w, w):
            to = (slice(max(0, y), h + min(0, y)), slice(max(0, x), w + min(0, x)))
            moved, mask = np.zeros((h, w)), np.ones((h, w))
            moved[to] = b[max(0, -y) : h - max(0, y), max(0, -x) : w - max(0, x)]
            below = a + moved + zeta
            mask[to] = np.divide(a, below, out=np.full((h, w), 0.5), where=a + moved > 0)[to]
            v[y + h - 1, x + w - 1] = (mask * a + (1 - mask) * moved).sum()
    return v


def expected(v, scale):
    """The declared rule: of offsets within the tolerance of the best the smallest |τ|, then row-major."""
    h, w = (n // 2 for n in v.shape)
    tied = np.argwhere(v >= v[np.isfinite(v)].max() - search.TIE * scale) - (h, w)
    return min((y * y + x * x, y, x) for y, x in tied.tolist())[1:]


def check(maps, i, j, zeta=0.0, allowed=None, **keep):
    i, j = torch.as_tensor(i), torch.as_tensor(j)
    tau, value = best_offsets(prepare(maps, **keep), i, j, zeta, allowed)
    assert tau.dtype == torch.int64 and value.dtype == torch.float64
    for n, (p, q) in enumerate(zip(i.tolist(), j.tolist(), strict=True)):
        a, b = maps[p].double().numpy(), maps[q].double().numpy()
        v = loop(a, b, zeta)
        if allowed is not None:
            v[~allowed[n].numpy()] = -np.inf
        scale = a.sum() + b.sum()
        assert tuple(tau[n].tolist()) == expected(v, scale), f"pair {n}"
        own = v[tau[n, 0] + a.shape[0] - 1, tau[n, 1] + a.shape[1] - 1]
        assert value[n].item() == pytest.approx(own, abs=1e-12 * scale)


KINDS = {
    "random": lambda r, s: r.random(s),
    "heavy tail": lambda r, s: np.exp(4 * r.standard_normal(s)),
    "sparse": lambda r, s: r.random(s) * (r.random(s) < 0.2),
    "constant": lambda r, s: np.ones(s) * r.random((s[0], 1, 1)),
    "nearly constant": lambda r, s: 1 + 1e-6 * r.random(s),
    "symmetric": lambda r, s: (lambda m: m + m[:, ::-1, ::-1])(r.random(s)),
    "tied": lambda r, s: r.integers(0, 3, s),
    "one pixel": lambda r, s: (np.arange(s[1] * s[2]) == r.integers(0, s[1] * s[2], (s[0], 1))).reshape(s) * 1.0,
    "zero": lambda r, s: np.zeros(s),
    "other scale": lambda r, s: r.random(s) * 10.0 ** r.integers(-12, 1, (s[0], 1, 1)),
}


@settings(max_examples=100, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=2, max_size=4),
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    seed=st.integers(0, 2**32 - 1),
    zeta=st.sampled_from([0.0, 0.0, 1e-12, 1e-4, 0.3]),
    few=st.sampled_from([2, 16, 256]),
    some=st.booleans(),
    keep=st.sampled_from([0, search.KEEP]),
)
def test_every_answer_is_the_loops(kinds, size, seed, zeta, few, some, keep):
    rng = np.random.default_rng(seed)
    maps = np.concatenate([KINDS[kind](rng, (2, *size)) for kind in kinds]).astype(np.float32)
    i, j = rng.integers(0, len(maps), (2, 5))
    allowed = None
    if some:
        allowed = torch.from_numpy(rng.random((5, 2 * size[0] - 1, 2 * size[1] - 1)) < 0.2)
        allowed[:, rng.integers(0, 2 * size[0] - 1), rng.integers(0, 2 * size[1] - 1)] = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "FEW", few)
        check(torch.from_numpy(maps), i, j, zeta, allowed, keep=keep)


@pytest.mark.parametrize("size", [(32, 32), (17, 40), (1, 33), (28, 5)])
@pytest.mark.parametrize("kind", ["random", "heavy tail", "sparse", "constant", "symmetric", "one pixel"])
def test_larger_maps(kind, size):
    maps = KINDS[kind](np.random.default_rng(3), (2, *size)).astype(np.float32)
    check(torch.from_numpy(maps), [0, 1], [1, 0])


def test_real_saliency(shared):
    """Sixteen CIFAR-10 images through a ResNet-20, each over the next."""
    recorded = np.load(shared / "golden" / "images" / "sage_saliency_resnet20.npz")["s_tilde_eval_ce"][:, 0]
    n = np.arange(len(recorded))
    check(distribution(torch.from_numpy(recorded)), n, (n + 1) % len(n))


def test_hand_worked_example():
    """a = b = [[3, 1], [0, 0]], ζ = 0, by b (b - a) / (a + b) where b has something, on top of Σa = 4.

    τ = (0, 0): equal maps: 0 + 0. τ = (1, 0): 3 and 1 fall on zeros: 3 + 1. τ = (0, 1): 3 falls on 1, and 1 leaves:
    3 · 2 / 4 = 1.5. τ = (0, -1): 1 falls on 3: 1 · -2 / 4 = -0.5. τ = (1, 1): 3 falls on a zero: 3.
    """
    a = torch.tensor([[3.0, 1.0], [0.0, 0.0]])
    prepared, pair = prepare(torch.stack([a, a])), (torch.tensor([0]), torch.tensor([1]))
    tau, value = best_offsets(prepared, *pair)
    assert tau.tolist() == [[1, 0]] and value.tolist() == pytest.approx([8.0])
    for offset, v in {(0, 0): 4.0, (0, 1): 5.5, (0, -1): 3.5, (1, 1): 7.0}.items():
        only = torch.zeros(1, 3, 3, dtype=torch.bool)
        only[0, offset[0] + 1, offset[1] + 1] = True
        tau, value = best_offsets(prepared, *pair, allowed=only)
        assert tau.tolist() == [list(offset)] and value.tolist() == pytest.approx([v])


def test_ties_go_to_the_smallest_offset_then_row_major():
    """A pixel on itself: four offsets part the two by one pixel, (-1, 0) is the first of them."""
    spike = torch.zeros(2, 5, 5)
    spike[:, 2, 2] = 1
    assert best_offsets(prepare(spike), torch.tensor([0]), torch.tensor([1]))[0].tolist() == [[-1, 0]]


@pytest.mark.parametrize("size", [(1, 1), (6, 3), (40, 40)])
def test_constant_maps_stay_where_they_are(size):
    tau, value = best_offsets(prepare(torch.full((2, *size), 0.1)), torch.tensor([0]), torch.tensor([1]))
    assert tau.tolist() == [[0, 0]] and value.item() == pytest.approx(0.1 * size[0] * size[1])


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_bounds_hold(kind):
    """Both sums against the loop; the coarse one is right to 4e-4, the fine one far below the tolerance of ties."""
    maps = prepare(torch.from_numpy(KINDS[kind](np.random.default_rng(5), (4, 12, 9)))).maps
    p, i, j = prepare(maps), torch.tensor([0, 1, 2]), torch.tensor([1, 2, 3])
    v, error = search._approximate(p, i, j)
    for n in range(3):
        a, b = p.maps[i[n]][None], p.maps[j[n]][None]
        true = loop(a[0].numpy(), b[0].numpy())
        assert np.abs(v[n].numpy() - true).max() <= error[n].item() <= 4e-4
        for zeta in (0.0, 1e-9, 0.01, 3.0):
            fine, bound = search._approximate_finely(a, b, zeta)
            true = loop(a[0].numpy(), b[0].numpy(), zeta)
            assert np.abs(fine[0].numpy() - true).max() <= bound.item() + 1e-14
            if zeta < 1 and kind != "zero":
                assert bound.item() <= search.TIE * (a.sum() + b.sum()).item() / 10


def test_the_rule_for_one_over_x():
    """Each term count's promise, on x from the largest rate's reach to the largest pixel."""
    maps = torch.from_numpy(np.geomspace(1e-4, 1, 400)).reshape(1, 20, 20)
    for precision in (search.FAST, search.FINE):
        terms = search._terms(maps / maps.sum(), precision)
        x = torch.logspace(-2, 1, 500, dtype=torch.float64) / terms.rates[len(terms.rates) // 2]
        found = sum(w * torch.exp(-r * x) for r, w in zip(terms.rates, terms.weights, strict=True))
        assert len(terms.rates) % 2 == 0
        assert (found * x - 1).abs().max() <= 1.01 * precision.relative + precision.cut


def test_answers_depend_on_the_pair_alone(monkeypatch):
    rng = np.random.default_rng(7)
    maps = torch.from_numpy(np.concatenate([KINDS[kind](rng, (2, 7, 8)) for kind in KINDS]).astype(np.float32))
    i, j = (torch.from_numpy(rng.permutation(len(maps))) for _ in range(2))
    tau, value = best_offsets(prepare(maps), i, j)
    monkeypatch.setitem(search.SCRATCH, "cpu", 1)  # one pair, one offset at a time
    for keep in (0, search.KEEP):
        again = best_offsets(prepare(maps, keep=keep), i, j)
        assert torch.equal(again[0], tau) and torch.equal(again[1], value)
    for n in range(len(i)):
        alone = best_offsets(prepare(torch.stack([maps[i[n]], maps[j[n]]])), torch.tensor([0]), torch.tensor([1]))
        assert torch.equal(alone[0][0], tau[n]) and alone[1].item() == value[n].item()


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_scale_of_the_maps_is_free(scale):
    maps = torch.from_numpy(np.random.default_rng(1).random((6, 8, 8)))
    i, j = torch.arange(6), torch.arange(6).roll(1)
    tau, value = best_offsets(prepare(maps), i, j, zeta=1e-3)
    scaled, there = best_offsets(prepare(maps * scale), i, j, zeta=1e-3 * scale)
    assert torch.equal(tau, scaled) and torch.allclose(value, there / scale, rtol=1e-9)


def test_no_tensor_is_made_on_the_default_device():
    """What stands on a GPU stays there: here everything else would be on the device without memory."""
    maps = torch.from_numpy(np.stack([np.eye(6), np.ones((6, 6)), np.arange(36.0).reshape(6, 6)]))
    i, j = torch.tensor([0, 1, 1]), torch.tensor([1, 1, 2])
    with torch.device("meta"):
        tau, value = best_offsets(prepare(maps), i, j)
        again = best_offsets(prepare(maps, keep=0), i, j, zeta=0.1)
    assert tau.device == value.device == again[0].device == maps.device


def test_shifted():
    x = torch.arange(6.0).reshape(1, 2, 3)
    moved, inside = shifted(x, torch.tensor([[0, 1]]))
    assert moved.tolist() == [[[0, 0, 1], [3, 3, 4]]]
    assert inside.tolist() == [[[False, True, True]] * 2]
    colour = x[..., None].expand(-1, -1, -1, 3)
    assert torch.equal(shifted(colour, torch.tensor([[-1, 0]]))[0][..., 2], shifted(x, torch.tensor([[-1, 0]]))[0])


@pytest.mark.parametrize(
    ("maps", "said"),
    [
        (torch.ones(2, 2), "got the shape"),
        (torch.ones(2, 0, 3), "got the shape"),
        (-torch.ones(1, 2, 2), "negative"),
        (torch.full((1, 2, 2), torch.nan), "NaN"),
        (torch.full((1, 2, 2), torch.inf), "infinite"),
    ],
)
def test_what_is_no_map(maps, said):
    with pytest.raises(ValueError, match=said):
        prepare(maps)


def test_benchmark_runs():
    spec = importlib.util.spec_from_file_location("benchmark_search", ROOT / "benchmarks" / "search.py")
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    row = benchmark.row(32, 3)
    assert row["wrong"] == 0 and row["loop"] >= 20 * row["pair"] and row["loop"] >= 20 * row["kept"]
