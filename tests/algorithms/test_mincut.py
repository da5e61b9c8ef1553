"""The smallest minimum cut: against all cuts of small graphs, and numba against scipy on larger ones."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixcli.algorithms.mincut import BITS, LIMIT, Graph, source_side, whole
from mixcli.jit import have_numba


def graph(seed, nodes, arcs, most):
    """Capacities of which some are zero and many are equal, parallel arcs and loops among the arcs."""
    rng = np.random.default_rng(seed)
    ends = rng.integers(0, most + 1, (2, nodes)) * rng.integers(0, 2, (2, nodes))
    between = rng.integers(0, most + 1, (2, arcs)) * (rng.random((2, arcs)) < 0.7)
    return (*ends, *rng.integers(0, nodes, (2, arcs)), *between)


def grid(height, width, most, seed=0):
    rng = np.random.default_rng(seed)
    at = np.arange(height * width).reshape(height, width)
    tail = np.concatenate([at[:-1].ravel(), at[:, :-1].ravel()])
    head = np.concatenate([at[1:].ravel(), at[:, 1:].ravel()])
    return (*rng.integers(0, most + 1, (2, at.size)), tail, head, *rng.integers(0, most // 4 + 1, (2, len(tail))))


def cost(side, source, sink, tail, head, forward, backward):
    """What a cut costs; side (n,) bool."""
    cut = source[~side].sum() + sink[side].sum()
    return cut + forward[side[tail] & ~side[head]].sum() + backward[side[head] & ~side[tail]].sum()


def by_scipy(arcs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIXCLI_NO_NUMBA", "1")
        return source_side(Graph(*arcs))


def test_hand_worked_example():
    """A square whose corners 0 and 1 hang on the source by 9 and 1, 2 and 3 on the sink by 1 and 9; 0-1 and 2-3 carry
    4 each way, 0-2 and 1-3 carry 2. Cutting these two costs 4; the ends alone would cost 10, corner 0 alone 1 + 4 + 2.
    """
    arcs = [[9, 1, 0, 0], [0, 0, 1, 9], [0, 2, 0, 1], [1, 3, 2, 3], [4, 4, 2, 2], [4, 4, 2, 2]]
    arcs = [np.array(x) for x in arcs]
    assert source_side(Graph(*arcs)).tolist() == [True, True, False, False]
    assert cost(source_side(Graph(*arcs)), *arcs) == 4


def test_of_equal_cuts_the_one_with_the_fewest_nodes():
    """A chain 5 - 3 - 3 - 5: both arcs of 3 are minimum cuts, the first leaves less to the source."""
    chain = [np.array(x) for x in ([5, 0, 0], [0, 0, 5], [0, 1], [1, 2], [3, 3], [0, 0])]
    assert source_side(Graph(*chain)).tolist() == [True, False, False]
    assert by_scipy(chain).tolist() == [True, False, False]


def test_only_one_way():
    """What leads back to the source's side costs nothing."""
    arcs = [np.array(x) for x in ([7, 0], [0, 7], [0], [1], [2], [1000])]
    assert source_side(Graph(*arcs)).tolist() == [True, False]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.integers(0, 14), st.sampled_from([1, 3, 1000, LIMIT // 20]))
def test_the_least_of_all_cuts(seed, nodes, arcs, most):
    problem = graph(seed, nodes, arcs, most)
    sides = np.array(list(product([False, True], repeat=nodes)))
    costs = np.array([cost(side, *problem) for side in sides])
    least = sides[costs == costs.min()]
    assert source_side(Graph(*problem)).tolist() == least.all(0).tolist(), "in all minimum cuts: the smallest of them"
    assert by_scipy(problem).tolist() == least.all(0).tolist()


@pytest.mark.skipif(not have_numba(), reason="numba is absent")
@pytest.mark.parametrize("seed", range(12))
def test_both_solvers_agree(seed):
    for problem in (graph(seed, 60, 300, 10 ** (seed % 7)), grid(7, 9, 4 ** (1 + seed % 9), seed)):
        assert source_side(Graph(*problem)).tolist() == by_scipy(problem).tolist()


@pytest.mark.skipif(not have_numba(), reason="numba is absent")
def test_a_large_grid():
    """No recursion, whatever the length of a path."""
    problem = grid(60, 60, 1000)
    assert source_side(Graph(*problem)).tolist() == by_scipy(problem).tolist()
    snake = [np.zeros(5000, int) for _ in range(2)] + [np.arange(4999), np.arange(1, 5000), *np.ones((2, 4999), int)]
    snake[0][0], snake[1][-1] = 3, 3
    snake[4][2000] = 0
    assert source_side(Graph(*snake)).sum() == 2001


@pytest.mark.parametrize("numba", ["0", "1"])
def test_the_largest_capacities(numba, monkeypatch):
    monkeypatch.setenv("MIXCLI_NO_NUMBA", numba)
    top = [np.full(k, LIMIT) for k in (2, 2, 1, 1)]
    arcs = [np.array([LIMIT, 0]), np.array([0, LIMIT]), np.array([0]), np.array([1]), top[2] - 1, top[3]]
    assert source_side(Graph(*arcs)).tolist() == [True, False]
    assert source_side(Graph(top[0], top[1], arcs[2], arcs[3], top[2], top[3])).tolist() == [False, False]


@pytest.mark.parametrize("numba", ["0", "1"])
def test_no_nodes_and_no_arcs(numba, monkeypatch):
    monkeypatch.setenv("MIXCLI_NO_NUMBA", numba)
    none = np.zeros(0, int)
    assert source_side(Graph(none, none, none, none, none, none)).shape == (0,)
    ends = np.array([2, 1, 1]), np.array([1, 1, 2])
    assert source_side(Graph(*ends, *[none] * 4)).tolist() == [True, False, False]


def test_the_problem_is_left_as_it_is():
    problem = graph(1, 20, 60, 50)
    before = [x.copy() for x in problem]
    source_side(Graph(*problem))
    assert all((x == y).all() for x, y in zip(problem, before, strict=True))


def test_what_is_refused():
    one, two = np.array([1]), np.array([1, 1])
    for wrong in ((-one, one), (one * (LIMIT + 1), one)):
        with pytest.raises(ValueError, match=f"capacities must be from 0 to {LIMIT}; scale them"):
            source_side(Graph(*wrong, *[np.zeros(0, int)] * 4))
    with pytest.raises(ValueError, match="nodes must be from 0 to 1"):
        source_side(Graph(two, two, one, one * 2, one, one))
    with pytest.raises(ValueError, match="one length"):
        source_side(Graph(two, two, one, two, one, one))


def test_parallel_arcs_beyond_the_limit_of_scipy():
    half = np.full(3, LIMIT // 2)
    with pytest.raises(ValueError, match="parallel arcs"):
        by_scipy([half[:2], half[:2], np.zeros(3, int), np.ones(3, int), half, half])


def test_costs_as_whole_numbers():
    costs = np.random.default_rng(0).normal(size=(5, 4, 3)) * 10.0 ** np.arange(-40, 60, 20)[:, None, None]
    scaled = whole(costs)
    most = np.abs(costs).max((1, 2), keepdims=True)
    assert scaled.dtype == np.int64 and (np.abs(scaled).max((1, 2)) >= 2 ** (BITS - 1)).all()
    assert (np.abs(scaled) <= 2**BITS).all()
    factor = np.abs(scaled).max((1, 2), keepdims=True) / most
    assert (np.abs(scaled / factor - costs) <= 2.0**-BITS * most * 1.001).all()


def test_a_row_is_scaled_by_itself():
    costs = np.random.default_rng(0).normal(size=(4, 6))
    assert np.array_equal(whole(costs)[2:3], whole(costs[2:3]))
    assert whole(np.zeros((2, 3))).tolist() == [[0] * 3] * 2 and whole(np.zeros((0, 3))).shape == (0, 3)
    assert np.array_equal(whole(costs * 2.0**-60), whole(costs))
