import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import betainc, expit

from mixcli.rng import categorical, key, logit_beta, permutation, philox, uniforms

WORD = st.integers(0, 2**64 - 2)


@given(st.tuples(WORD, WORD, WORD, WORD), st.tuples(WORD, WORD))
def test_philox_is_numpys(counter, key):
    ours = philox(tuple(np.array([c], np.uint64) for c in counter), key)[0]
    theirs = np.random.Philox(counter=np.array(counter, np.uint64), key=np.array(key, np.uint64)).random_raw(4)
    assert (ours == theirs).all()


def test_a_cell_is_documented_and_stays():
    """Cell (block 0, j 2, pair 5 of window 3, round 1) of the stream 'mix' under seed 7, by numpy's own generator."""
    raw = np.random.Philox(counter=[0, 2, 5 + (3 << 32), 1], key=np.array(key(7, "mix"), np.uint64)).random_raw(4)
    expected = ((raw >> np.uint64(12)).astype(float) + 0.5) / 2**52
    assert (uniforms(7, "mix", np.array([5]), window=3, round_=1, j=2, width=4)[0] == expected).all()


def test_numbers_do_not_depend_on_their_neighbours():
    whole = uniforms(0, "mix", np.arange(100), width=7)
    assert (uniforms(0, "mix", np.array([42, 3]), width=7) == whole[[42, 3]]).all()
    assert (uniforms(0, "mix", np.arange(100), width=3) == whole[:, :3]).all()


def test_streams_seeds_rounds_and_copies_differ():
    base = uniforms(0, "mix", np.arange(8))
    others = [
        uniforms(1, "mix", np.arange(8)),
        uniforms(0, "order", np.arange(8)),
        uniforms(0, "mix", np.arange(8), window=1),
        uniforms(0, "mix", np.arange(8), round_=1),
        uniforms(0, "mix", np.arange(8), j=1),
    ]
    assert all((base != other).all() for other in others)


def test_uniforms_are_uniform_and_open():
    u = uniforms(0, "mix", np.arange(200_000))[:, 0]
    assert 0 < u.min() and u.max() < 1
    assert stats.kstest(u, "uniform").pvalue > 1e-3


def test_permutation():
    p = permutation(3, "order", 1000)
    assert sorted(p) == list(range(1000)) and (p != np.arange(1000)).any()


@pytest.mark.parametrize("theta", [0.05, 0.2, 0.5, 1.0, 2.0, 30.0])
def test_logit_beta_inverts_the_cdf(theta):
    u = np.concatenate([np.linspace(0.001, 0.999, 97), [0.5]])
    logit = logit_beta(u, theta)
    lower = np.minimum(u, 1 - u)  # 1 - x is where the digits are in the upper half
    assert np.allclose(betainc(theta, theta, expit(-np.abs(logit))), lower, rtol=1e-9)
    assert np.array_equal(np.sign(logit), np.sign(u - 0.5))


@pytest.mark.parametrize("theta", [0.01, 0.2, 1.0])
def test_logit_beta_is_exactly_symmetric_monotone_and_finite(theta):
    u = np.sort(uniforms(0, "mix", np.arange(4000))[:, 0])
    logit = logit_beta(u, theta)
    assert np.isfinite(logit).all() and (np.diff(logit) >= 0).all()
    assert (logit_beta(1 - u, theta) == -logit).all()
    assert np.isfinite(logit_beta(np.array([2.0**-53, 1 - 2.0**-53]), theta)).all()


def test_the_two_forms_of_logit_beta_meet():
    theta = 0.2  # the switch lies where x = e^-40, at u = I_x(theta, theta)
    u = betainc(theta, theta, np.exp(-40.0)) * np.array([1 - 1e-9, 1 + 1e-9])
    low, high = logit_beta(u, theta)
    assert 0 < high - low < 1e-6


def test_beta_distribution():
    x = expit(logit_beta(uniforms(1, "mix", np.arange(50_000))[:, 0], 0.2))
    assert stats.kstest(x, stats.beta(0.2, 0.2).cdf).pvalue > 1e-3
    assert np.isclose((np.minimum(x, 1 - x) < 0.01).mean(), 0.42, atol=0.01)


def test_categorical_follows_its_weights_and_never_takes_a_zero():
    weight = np.array([0.0, 0.0, 1.0, 0.0, 3.0, 0.0])
    u = uniforms(0, "mix", np.arange(20_000))[:, 0]
    drawn = np.bincount(categorical(u, np.tile(weight, (len(u), 1))), minlength=6) / len(u)
    assert set(np.flatnonzero(drawn)) == {2, 4} and np.isclose(drawn[2], 0.25, atol=0.01)


def test_categorical_at_the_ends():
    weight = np.array([[0.0, 0.1, 0.2, 0.7, 0.0]])
    assert categorical(np.array([2.0**-53]), weight) == [1]
    assert categorical(np.array([1 - 2.0**-53]), weight) == [3]
    assert categorical(np.array([1.0]), weight) == [3]


def test_categorical_is_the_same_in_torch():
    torch = pytest.importorskip("torch")
    u, weight = uniforms(0, "mix", np.arange(500))[:, 0], uniforms(1, "mix", np.arange(500), width=64)
    assert (categorical(torch.from_numpy(u), torch.from_numpy(weight)).numpy() == categorical(u, weight)).all()
