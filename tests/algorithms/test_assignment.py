"""assignment: bijections, optimal to the gap that is promised, on clouds kind and unkind."""

from __future__ import annotations

import doctest
import importlib.util
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from mixcli.algorithms import assignment, auction
from mixcli.algorithms.assignment import assign, assign_batch, certify

GOLDEN = ("sagemix_1024_dgcnn", "sagemix_small_dgcnn", "pointmixup_1024", "auction_emul_1024")


def total(a, b, phi) -> float:
    return float(np.linalg.norm(a.astype(np.float64) - b[phi].astype(np.float64), axis=1).sum())


def optimum(a, b) -> tuple[float, np.ndarray]:
    phi = linear_sum_assignment(cdist(a.astype(np.float64), b.astype(np.float64)))[1]
    return total(a, b, phi), phi


def allowed(a, b, best: float) -> float:
    """max(1e-6·optimum, n·2⁻²³·diameter), with the longest side of the box, no larger, for the diameter."""
    both = np.concatenate([a, b]).astype(np.float64)
    return max(1e-6 * best, len(a) * 2.0**-23 * np.ptp(both, axis=0).max())


def is_bijection(phi, n: int) -> bool:
    return phi.dtype == np.int64 and np.array_equal(np.sort(phi), np.arange(n))


def sphere(g: np.random.Generator, n: int) -> np.ndarray:
    x = g.normal(size=(n, 3))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def degenerate(n: int = 300) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Pairs (n,3), (n,3) with ties, duplicates, lines, outliers and extreme scales."""
    g = np.random.default_rng(7)
    x, y, index = sphere(g, n), sphere(g, n), np.arange(n)
    lattice = np.stack(np.unravel_index(index, (10, 10, 10)), 1) / 10
    few, moved = g.normal(size=(16, 3))[index % 16], x.copy()
    moved[0] += 0.01
    half = np.where(index < n // 2, -1.0, 1.0)[:, None]
    pairs = {
        "one line": (np.outer(g.random(n), [1, 2, 3]), np.outer(g.random(n), [1, 2, 3])),
        "shifted line": (np.outer(index, [1, 0, 0]), np.outer(index + n / 2, [1, 0, 0])),
        "crossed lines": (np.outer(g.random(n), [1, 0, 0]), np.outer(g.random(n), [0, 1, 0])),
        "point and sphere": (np.full((n, 3), 0.1), y),
        "sphere and point": (x, np.full((n, 3), 0.1)),
        "16 points and sphere": (few, y),
        "16 points twice": (few, g.normal(size=(16, 3))[index % 16]),
        "one point moved": (x, moved[::-1]),
        "translated": (x, x[::-1] + 0.3),
        "lattice with ties": (lattice, lattice[:, ::-1] + 0.05),
        "cauchy": (g.standard_cauchy((n, 3)), g.standard_cauchy((n, 3))),
        "offset 1e4": (x + 1e4, 0.5 * y + 1e4),
        "scale 1e20": (1e20 * x, 2e20 * y),
        "scale 1e-20": (1e-20 * x, 2e-20 * y),
        "near the largest": (1e38 * x, 3e38 * y),
        "denormal": (1e-43 * x, 2e-43 * y),
        "all equal in each": (np.ones((n, 3)), np.zeros((n, 3))),
        "far outliers": (np.vstack([x[1:], [[1e6, 0, 0]]]), np.vstack([y[1:], [[0, 1e6, 0]]])),
        "one cluster and two": (1e-3 * x, 1e-3 * y + half),
        "far apart": (x, y + np.array([100, 0, 0])),
        "geometric": (np.outer(2.0 ** (index / 5), [1, 0, 0]), np.outer(2.0 ** (index / 5), [0, 1, 0])),
    }
    return {name: (a.astype(np.float32), b.astype(np.float32)) for name, (a, b) in pairs.items()}


@pytest.fixture(params=["auction-int32", "sinkhorn+scipy"])
def either(request, monkeypatch) -> str:
    """Both solvers, in turn."""
    if request.param == "auction-int32" and not assignment.have_numba():
        pytest.skip("numba is not installed")
    monkeypatch.setattr(assignment, "solver", lambda: request.param)
    return request.param


def test_worked_example():
    assert doctest.testmod(assignment).failed == 0


def test_distances_are_not_squared(either):
    """Squared distances would cost 1 + 1.25 against 4.25 + 0, and not cross."""
    a = np.array([[0, 0, 0], [1, 0, 0]], np.float32)
    b = np.array([[1, 0, 0], [2, 0.5, 0]], np.float32)
    assert assign(a, b).tolist() == [1, 0]  # √4.25 + 0 = 2.06 against 1 + √1.25 = 2.12


@pytest.mark.parametrize("n", [1, 2, 3, 5, 16, 127, 128, 129, 257, 512])
def test_scipy_is_the_oracle(either, n):
    g = np.random.default_rng(n)
    a, b = sphere(g, n), g.normal(size=(n, 3)).astype(np.float32)
    best, expected = optimum(a, b)
    phi = assign(a, b)
    assert is_bijection(phi, n)
    assert np.array_equal(phi, expected)  # unique here
    assert total(a, b, phi) == pytest.approx(best, rel=1e-15)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 40), seed=st.integers(0, 2**32 - 1), grid=st.sampled_from([0, 2, 5, 50]))
def test_any_size_and_any_ties(n, seed, grid):
    g = np.random.default_rng(seed)
    a, b = g.normal(size=(2, n, 3)).astype(np.float32)
    if grid:
        a, b = np.round(a * grid / 3), np.round(b * grid / 3)
    phi, (best, _) = assign(a, b), optimum(a, b)
    assert is_bijection(phi, n)
    assert total(a, b, phi) <= best + allowed(a, b, best)


@pytest.mark.parametrize("name", degenerate())
def test_degenerate_clouds(either, name):
    a, b = degenerate()[name]
    phi, (best, _) = assign(a, b), optimum(a, b)
    proof = certify(a, b, phi)
    assert is_bijection(phi, len(a))
    assert total(a, b, phi) <= best + allowed(a, b, best)
    assert proof.bound <= best * (1 + 1e-12) and proof.gap <= allowed(a, b, best)


@pytest.mark.parametrize("name", degenerate())
def test_degenerate_clouds_do_not_stop_the_auction(name):
    if not assignment.have_numba():
        pytest.skip("numba is not installed")
    assert assignment._auction(*degenerate()[name])[0] is not None


def test_a_large_odd_cloud():
    if assignment.solver() != "auction-int32":
        pytest.skip("numba is not installed")
    g = np.random.default_rng(0)
    a, b = sphere(g, 5001), (0.8 * sphere(g, 5001) * [1, 0.2, 0.6]).astype(np.float32)
    phi, price = assignment._auction(a, b)
    proof = certify(a, b, phi, price, tolerance=1e-6)
    assert is_bijection(phi, 5001)
    assert proof.gap <= allowed(a, b, proof.bound)


def test_self_pair_is_the_identity(either):
    x = sphere(np.random.default_rng(0), 400)
    assert np.array_equal(assign(x, x.copy()), np.arange(400))
    assert np.array_equal(assign(x * 0, x * 0), np.arange(400))
    assert assign(x[:1], x[1:2]).tolist() == [0]


@given(n=st.integers(1, 60), seed=st.integers(0, 2**32 - 1), distinct=st.sampled_from([1, 3, 1000]))
@settings(max_examples=40, deadline=None)
def test_a_copy_in_any_order_costs_nothing(n, seed, distinct):
    g = np.random.default_rng(seed)
    a = g.normal(size=(distinct, 3)).astype(np.float32)[g.integers(0, distinct, n)]
    a[g.random((n, 3)) < 0.2] = 0
    b = a[g.permutation(n)] * np.float32(1)
    b[b == 0] *= np.float32(-1)  # -0 is 0
    phi = assign(a, b)
    assert is_bijection(phi, n) and np.array_equal(a, b[phi])


def test_golden_assignments(shared):
    for name in GOLDEN:
        with np.load(shared / "golden" / "points" / f"{name}.npz") as z:
            if "xyz_a" in z:
                a, b, expected = z["xyz_a"], z["xyz_b"], z["ass_lsa"]
            else:
                a, b, expected = z["xyz"], z["xyz"][z["idxs" if "idxs" in z else "idx_minor"]], z["ass"]
        phi = assign_batch(a, b, threads=2)
        for x, y, ours, theirs in zip(a, b, phi, expected, strict=True):
            best = total(x, y, theirs)
            assert is_bijection(ours, len(x))
            assert total(x, y, ours) <= best * (1 + 1e-8)
        assert np.mean(phi == expected) >= 0.999, name


def test_real_clouds(shared):
    h5py = pytest.importorskip("h5py")
    with h5py.File(shared / "data" / "pc_kaykit_cc0" / "ply_data_train0.h5") as file:
        a, b = file["data"][:4, ::4], file["data"][60:64, 1::4]
    for x, y in zip(a, b, strict=True):
        phi, (best, _) = assign(x, y), optimum(x, y)
        proof = certify(x, y, phi)
        assert is_bijection(phi, len(x))
        assert best - 1e-9 <= total(x, y, phi) <= best * (1 + 1e-8)
        assert proof.gap <= allowed(x, y, best)


def test_renumbering_the_points_keeps_the_cost():
    g = np.random.default_rng(3)
    a, b = sphere(g, 500), sphere(g, 500) * np.float32([1, 0.3, 0.1])
    rows, columns = g.permutation(500), g.permutation(500)
    plain, moved = assign(a, b), assign(a[rows], b[columns])
    assert np.array_equal(columns[moved], plain[rows])  # the optimum is unique


def test_the_same_for_any_number_of_threads(either):
    g = np.random.default_rng(4)
    a, b = g.normal(size=(2, 12, 100, 3)).astype(np.float32)
    a[3:6], b[3:6] = np.round(a[3:6]), np.round(b[3:6])
    one = assign_batch(a, b, 1)
    assert np.array_equal(one, np.stack([assign(x, y) for x, y in zip(a, b, strict=True)]))
    assert np.array_equal(one, assign_batch(a, b, 4))


def test_scratch_memory_leaves_no_trace():
    g = np.random.default_rng(5)
    small, large = g.normal(size=(2, 50, 3)), g.normal(size=(2, 300, 3))
    before = assign(*small)
    assign(*large)
    assert np.array_equal(assign(*small), before)


def test_scipy_takes_over_where_a_limit_is_met(monkeypatch):
    if assignment.solver() != "auction-int32":
        pytest.skip("numba is not installed")
    g = np.random.default_rng(6)
    a, b = sphere(g, 200), g.normal(size=(200, 3)).astype(np.float32)
    for bids in (0, 1, 5, 20):
        monkeypatch.setattr(assignment, "BIDS", bids)
        phi = assign(a, b)
        assert is_bijection(phi, 200) and np.array_equal(phi, optimum(a, b)[1])


def test_a_price_stops_at_its_limit():
    """Two rows want one column, the other is dearer by UNIT: from prices at the limit it gives up."""
    if not assignment.have_numba():
        pytest.skip("numba is not installed")
    cost = np.full((2, auction.BLOCK), auction.TOP)
    cost[:, :2] = [[0, auction.UNIT], [0, auction.UNIT]]
    price, owner = np.zeros(auction.BLOCK, np.int32), np.empty(auction.BLOCK, np.int32)
    hint, epsilon = np.zeros(2, np.uint32), np.int32(auction.UNIT // 20)
    assert auction.run(cost, cost[:, :1].copy(), price, owner, hint, epsilon, 100)
    price[:2] = auction.LIMIT - 1, auction.LIMIT
    assert not auction.run(cost, cost[:, :1].copy(), price, owner, hint, epsilon, 100)
    assert price[:2].min() >= 0  # did not wrap around


def test_what_cannot_be_assigned():
    x = np.ones((4, 3), np.float32)
    for bad in (np.nan, np.inf, -np.inf, 1e300):
        y = x.astype(np.float64)
        y[2, 1] = bad
        with pytest.raises(ValueError, match="not finite"):
            assign(x, y)
    for a, b in ((x, x[:3]), (x[:0], x[:0]), (x[:, :2], x[:, :2]), (x[0], x[0])):
        with pytest.raises(ValueError, match="shape"):
            assign(a, b)
    with pytest.raises(ValueError, match="shape"):
        assign_batch(x, x)
    with pytest.raises(ValueError, match="bijection"):
        certify(x, x, np.array([0, 0, 1, 2]))


def test_a_certificate_does_not_flatter():
    g = np.random.default_rng(8)
    a, b = sphere(g, 100), sphere(g, 100)
    best, phi = optimum(a, b)
    assert certify(a, b, phi).gap <= 2e-9 * best
    worse = phi.copy()
    worse[[0, 1]] = worse[[1, 0]]
    proof = certify(a, b, worse)
    assert proof.cost > best and proof.bound <= best * (1 + 1e-12)
    assert proof.gap >= proof.cost - best - 1e-9


def test_solver_is_named(monkeypatch):
    monkeypatch.setenv("MIXCLI_NO_NUMBA", "1")
    assert assignment.solver() == "sinkhorn+scipy"
    monkeypatch.setenv("MIXCLI_NO_NUMBA", "0")
    monkeypatch.setattr(assignment, "have_numba", lambda: False)
    assert assignment.solver() == "sinkhorn+scipy"
    monkeypatch.setattr(assignment, "have_numba", lambda: True)
    assert assignment.solver() == "auction-int32"


def test_warm_in_a_background_thread():
    thread = threading.Thread(target=assignment.warm)
    thread.start()
    thread.join()
    assert assign(np.eye(3), np.eye(3)[::-1]).tolist() == [2, 1, 0]


def test_import_is_light():
    code = "import sys, mixcli.algorithms.assignment; sys.exit(bool({'numba', 'scipy', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_benchmark_runs():
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "assignment.py"
    spec = importlib.util.spec_from_file_location("benchmark_assignment", path)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    (row,) = benchmark.rows(1, benchmark.surfaces(4, 512))
    assert row["n"] == 512 and row["worst_gap"] <= 1e-6
