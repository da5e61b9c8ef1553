import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixcli.errors import UsageError
from mixcli.pipeline.plan import Plan


def labels(n, classes=5):
    return np.random.default_rng(n).integers(0, classes, n)


@given(st.integers(2, 300), st.integers(2, 64), st.sampled_from(["random", "same-class"]))
@settings(deadline=None)
def test_windows_cut_the_source_once(n, window, pairing):
    plan = Plan(labels(n), window=window, pairing=pairing)
    assert sorted(np.concatenate([w.samples for w in plan.cuts])) == list(range(n))
    assert all(2 <= len(w) <= window + 1 for w in plan.cuts) or pairing == "same-class"
    assert [w.start for w in plan.cuts] == np.cumsum([0, *map(len, plan.cuts)])[:-1].tolist()


def test_a_last_window_of_one_joins_the_one_before():
    assert [len(w) for w in Plan(labels(9), window=4).cuts] == [4, 5]
    assert [len(w) for w in Plan(labels(10), window=4).cuts] == [4, 4, 2]


def test_one_sample_cannot_be_mixed():
    with pytest.raises(UsageError, match="at least 2"):
        _ = Plan(np.array([0])).cuts


@given(st.integers(2, 200), st.integers(1, 6))
@settings(deadline=None)
def test_random_pairs_are_new_each_round_and_use_each_sample_once(n, rounds):
    plan = Plan(labels(n), window=64, partners=min(rounds, min(64, n) - 1) or 1)
    for window in plan.cuts:
        rounds = min(plan.partners, len(window) - 1)
        partner = np.stack([plan.pairs(window, r).partner for r in range(rounds)])
        assert (partner != np.arange(len(window))).all(), "a self-pair"
        assert (np.sort(partner, 1) == np.arange(len(window))).all(), "each sample is parent b once a round"
        assert all(len(set(column)) == rounds for column in partner.T), "a partner came twice"


def test_the_first_round_is_one_cycle():
    plan = Plan(labels(101), window=101)
    partner, seen = plan.pairs(plan.cuts[0], 0).partner, [0]
    while (following := partner[seen[-1]]) != 0:
        seen.append(following)
    assert len(seen) == 101


def test_random_partners_are_uniform():
    counts = np.zeros((5, 5))
    for seed in range(2000):
        plan = Plan(np.zeros(5, int), seed=seed)
        window = plan.cuts[0]
        counts[window.samples, window.samples[plan.pairs(window, 0).partner]] += 1
    assert (np.diag(counts) == 0).all() and np.abs(counts[~np.eye(5, dtype=bool)] - 500).max() < 100


@pytest.mark.parametrize("pairing", ["different-class", "same-class"])
def test_constrained_pairs(pairing):
    y = np.repeat(np.arange(5), 40)
    plan = Plan(y, window=100, pairing=pairing, partners=5)
    for window in plan.cuts:
        own = y[window.samples]
        partner = np.stack([plan.pairs(window, r).partner for r in range(5)])
        assert ((own[partner] == own) == (pairing == "same-class")).all()
        assert (partner != np.arange(len(window))).all()
        assert all(len(set(column)) == 5 for column in partner.T)


def test_same_class_windows_leave_no_sample_alone():
    for n in range(20, 60):
        y = np.sort(np.random.default_rng(n).integers(0, 6, n))
        y = np.concatenate([y, np.repeat(np.arange(6), 2)])
        plan = Plan(y, window=7, pairing="same-class")
        for window in plan.cuts:
            assert np.unique(y[window.samples], return_counts=True)[1].min() >= 2


def test_a_class_without_a_partner_is_named_or_falls_back():
    y = np.array([0] * 6 + [3])
    plan = Plan(y, pairing="same-class")
    with pytest.raises(UsageError, match=r"class 3 has no legal partner.*--pairing-fallback random"):
        plan.pairs(plan.cuts[0], 0)
    pairs = (lenient := Plan(y, pairing="same-class", fallback=True)).pairs(lenient.cuts[0], 0)
    assert pairs.fallbacks == 1 and (pairs.partner != np.arange(7)).all()
    with pytest.raises(UsageError, match="class 0 has no legal partner"):
        (one := Plan(np.zeros(6, int), pairing="different-class")).pairs(one.cuts[0], 0)


def test_more_partners_than_others():
    plan = Plan(labels(4), partners=4)
    with pytest.raises(UsageError, match="more partners than the 3 others"):
        plan.pairs(plan.cuts[0], 3)


def test_rows_are_filled_once_and_windows_are_contiguous():
    plan = Plan(labels(50), window=16, k=3, partners=2, originals=True)
    rows = []
    for window in plan.windows:
        mine = np.concatenate([plan.mix_rows(window, r, j) for r in range(2) for j in range(3)])
        assert sorted(mine) == list(range(plan.first_row(window), plan.first_row(window) + len(window) * 6))
        rows += [mine, plan.original_rows(window)]
        assert (plan.original_rows(window) - plan.mixes == window.samples).all()
    assert sorted(np.concatenate(rows)) == list(range(plan.rows)) == list(range(50 * 7))


def test_hand_worked_rows():
    """5 samples, windows of 2 and 3 (the last joins), 2 rounds, k = 2: window 1 starts at pair 2·2, row 8."""
    plan = Plan(labels(5), window=2, k=2, partners=2)
    assert [len(w) for w in plan.cuts] == [2, 3]
    assert plan.mix_rows(plan.cuts[1], round_=1, j=0).tolist() == [8 + (3 + i) * 2 for i in range(3)]


def test_shards_share_the_windows():
    whole = Plan(labels(100), window=16)
    parts = [Plan(labels(100), window=16, shard=(i, 3)) for i in range(3)]
    assert sorted(w.index for p in parts for w in p.windows) == [w.index for w in whole.windows]
    for part in parts:
        for window in part.windows:
            twin = whole.cuts[window.index]
            assert (window.samples == twin.samples).all()
            assert (part.pairs(window, 0).partner == whole.pairs(twin, 0).partner).all()
    assert sum(p.rows for p in parts) == whole.rows


def test_more_partners_or_copies_change_no_earlier_pair():
    few, many = Plan(labels(40), k=1, partners=1), Plan(labels(40), k=4, partners=5)
    assert (few.pairs(few.cuts[0], 0).partner == many.pairs(many.cuts[0], 0).partner).all()
