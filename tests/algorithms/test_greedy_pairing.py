import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixcli.algorithms import greedy_pairing as greedy
from mixcli.errors import UsageError


def some_maps(n, side=6, seed=0, peaked=1):
    x = np.random.default_rng(seed).random((n, side, side)) ** peaked
    return (x / x.sum((1, 2), keepdims=True)).astype(np.float32)


def length_of_first_cycle(partner):
    at, steps = partner[0], 1
    while at != 0:
        at, steps = partner[at], steps + 1
    return steps


def assert_legal(rounds):
    """Eq. 1 without its third line: each sample once on either side, never itself, no pair twice."""
    n, seen = rounds.shape[1], set()
    for partner in rounds:
        assert sorted(partner) == list(range(n)) and (partner != np.arange(n)).all()
        pairs = set(enumerate(partner.tolist()))
        assert not pairs & seen
        seen |= pairs


@pytest.mark.parametrize("n", [2, 3, 8, 32])
def test_recorded_pairings(shared, n):
    golden = np.load(shared / "golden" / "images" / f"guided_pairing_n{n}.npz")
    assert np.abs(greedy.distances(golden["sal_norm"]) - golden["dist"]).max() <= 1e-8
    assert np.array_equal(greedy.cycle(golden["sal_norm"]), golden["sorted_indices"])


@pytest.mark.parametrize("name", ["sr_greedy", "ap_greedy"])
def test_recorded_partners_of_whole_mixes(shared, name):
    golden = np.load(shared / "golden" / "images" / f"guided_mix_{name}.npz")
    assert np.array_equal(greedy.cycle(golden["z"]), golden["indices"])


def test_hand_worked_example():
    """Points on a line at 0, 1, 3 and 7 (the first pixel of each map): 0 and 3 are the most distant, from 3 the
    most distant one left is 1, from there 2, and 2 leads back to 0."""
    maps = np.array([0, 1, 3, 7], np.float32).reshape(4, 1, 1)
    assert greedy.distances(maps).tolist() == [[0, 1, 3, 7], [1, 0, 2, 6], [3, 2, 0, 4], [7, 6, 4, 0]]
    assert greedy.cycle(maps).tolist() == [3, 2, 0, 1]


def test_the_same_as_algorithm_1_by_loops():
    for seed in range(20):
        maps = some_maps(17, seed=seed)
        w = greedy.distances(maps).copy()
        np.fill_diagonal(w, -np.inf)
        first, target = np.unravel_index(w.argmax(), w.shape)
        source, expected = first, np.empty(17, int)
        for _ in range(15):
            expected[source] = target
            w[:, source] = -np.inf
            source, target = target, w[target].argmax()
        expected[source], expected[target] = target, first
        assert np.array_equal(greedy.cycle(maps), expected)


def test_of_equal_maps_the_lowest_index_wins():
    assert greedy.cycle(np.full((5, 4, 4), 1 / 16, np.float32)).tolist() == [1, 2, 3, 4, 0]
    assert greedy.cycle(np.zeros((5, 4, 4), np.float32)).tolist() == [1, 2, 3, 4, 0]


@settings(deadline=None, max_examples=60)
@given(n=st.integers(2, 24), seed=st.integers(0, 99), peaked=st.sampled_from([0, 1, 30]), data=st.data())
def test_no_pair_comes_up_twice_in_any_number_of_rounds(n, seed, peaked, data):
    count = data.draw(st.integers(1, n - 1))
    assert_legal(greedy.cycles(some_maps(n, 3, seed, peaked), count))


@settings(deadline=None, max_examples=40)
@given(n=st.integers(30, 80), seed=st.integers(0, 99), peaked=st.sampled_from([0, 1, 30]))
def test_few_rounds_are_one_cycle_each_and_never_the_reverse_of_another(n, seed, peaked):
    rounds = greedy.cycles(some_maps(n, 3, seed, peaked), 4)
    assert_legal(rounds)
    assert all(length_of_first_cycle(partner) == n for partner in rounds)
    pairs = {(i, j) for partner in rounds for i, j in enumerate(partner.tolist())}
    assert not {(j, i) for i, j in pairs} & pairs


def test_rounds_are_those_of_one_at_a_time():
    maps = some_maps(12)
    rounds = greedy.cycles(maps, 3)
    for r in range(3):
        assert np.array_equal(greedy.cycle(maps, rounds[:r]), rounds[r])


def test_pairs_are_more_distant_than_random_ones():
    maps = some_maps(200, peaked=8)
    w, every = greedy.distances(maps), np.arange(200)
    for partner in greedy.cycles(maps, 5):
        assert w[every, partner].mean() > 1.02 * w.sum() / (200 * 199)


def test_more_rounds_than_others():
    maps = some_maps(4)
    with pytest.raises(UsageError, match="--partners 4 asks for more partners than the 3 others"):
        greedy.cycles(maps, 4)
    with pytest.raises(UsageError, match="0 others"):
        greedy.cycle(maps[:1])


def test_a_window_too_large_for_memory_is_refused(monkeypatch):
    monkeypatch.setattr(greedy, "MOST_MAPS", 7)
    with pytest.raises(UsageError, match="lower --window"):
        greedy.cycle(some_maps(8))


def test_distances_depend_on_neither_blocks_nor_threads(monkeypatch):
    maps = some_maps(50, side=20, peaked=5)
    whole = greedy.distances(maps)
    exact = np.linalg.norm(maps[:, None].astype(np.float64) - maps[None], axis=(2, 3))
    assert np.abs(whole - exact).max() <= 1e-7 * exact.max()
    monkeypatch.setattr(greedy, "BLOCK", 7 * 400)
    assert np.array_equal(greedy.distances(maps), whole)
    order = np.random.default_rng(0).permutation(400)
    assert np.array_equal(greedy.distances(maps.reshape(50, -1)[:, order].reshape(maps.shape)), whole)


@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_any_scale_of_maps(factor):
    maps = some_maps(9)
    assert np.array_equal(greedy.cycle(maps * np.float32(factor)), greedy.cycle(maps))


def test_a_tensor_s_array_is_not_changed():
    maps = torch.from_numpy(some_maps(9))
    kept = maps.clone()
    greedy.cycles(maps.numpy(), 2)
    assert torch.equal(maps, kept)
