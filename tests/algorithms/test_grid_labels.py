"""The least costly labels of a grid, against all of them."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixcli.algorithms.grid_labels import labels


def energy(unary, down, right, x):
    """Of labels x (B,h,w): (B,) f64."""
    top = unary.shape[1] - 1
    own = np.take_along_axis(unary, x[:, None], 1).sum((1, 2, 3))
    return own + sum((w * (np.diff(x, axis=d) / top) ** 2).sum((1, 2)) for d, w in ((1, down), (2, right)))


def grids(seed, batch, count, height, width, scale=1.0):
    """Unary costs of which not all are convex, and weights of which some are zero."""
    rng = np.random.default_rng(seed)
    weight = lambda h, w: scale * rng.random((batch, h, w)) * rng.integers(0, 3, (batch, h, w))  # noqa: E731
    return scale * rng.normal(size=(batch, count, height, width)), weight(height - 1, width), weight(height, width - 1)


def test_hand_worked_example():
    """Three cells in a row. The outer ones want labels 0 and 2, each other label costs them 1; the middle one has no
    wish. With weights of 0.8 a difference of 2 costs 0.8 and one of 1 costs 0.2: the middle one at label 1 costs 0.4,
    at 0 or 2 it would cost 0.8, and an outer one that gives in would cost 1.
    """
    unary = np.array([[0, 0, 1], [1, 0, 1], [1, 0, 0]], np.float64)[None, :, None]
    weights = np.zeros((1, 0, 3)), np.full((1, 1, 2), 0.8)
    assert labels(unary, *weights).tolist() == [[[0, 1, 2]]]
    assert energy(unary, *weights, labels(unary, *weights)) == pytest.approx(0.4)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(2, 3, 3), (3, 2, 3), (3, 1, 6), (4, 2, 2), (4, 4, 1)]))
def test_the_least_of_all_labellings(seed, shape):
    problem = grids(seed, 3, *shape)
    count, *size = shape
    found = labels(*problem)
    assert found.shape == (3, *size) and found.dtype == np.int64
    every = np.array(list(product(range(count), repeat=size[0] * size[1]))).reshape(-1, *size)
    for i, energy_found in enumerate(energy(*problem, found)):
        costs = energy(*(np.repeat(x[i : i + 1], len(every), 0) for x in problem), every)
        assert energy_found <= costs.min() + 1e-6


def test_of_equal_labellings_the_lowest():
    """One or two of either label cost the same, and so does every label of the second grid."""
    unary = np.zeros((2, 3, 2, 2))
    unary[0, :, 0, 0] = 5, 0, 0
    assert labels(unary, np.zeros((2, 1, 2)), np.zeros((2, 2, 1))).tolist() == [[[1, 0], [0, 0]], [[0, 0], [0, 0]]]


@pytest.mark.parametrize("count", [2, 3, 4])
def test_with_and_without_numba(count, monkeypatch):
    problem = grids(count, 4, count, 6, 5)
    found = labels(*problem)
    monkeypatch.setenv("MIXCLI_NO_NUMBA", "1")
    assert np.array_equal(labels(*problem), found)


@pytest.mark.parametrize("scale", [2.0**-200, 2.0**200, 0.0])
def test_any_scale(scale):
    problem = grids(0, 4, 3, 5, 5)
    expected = labels(*problem) if scale else np.zeros((4, 5, 5))
    assert np.array_equal(labels(*(scale * x for x in problem)), expected)


def test_each_grid_by_itself():
    """One with costs a million times as large changes nothing for the others."""
    problem = grids(1, 6, 3, 4, 4)
    alone = labels(*(x[2:4] for x in problem))
    for x in problem:
        x[0] *= 1e6
    assert np.array_equal(labels(*problem)[2:4], alone)


def test_large_weights_make_one_label():
    unary, down, right = grids(2, 5, 4, 5, 5)
    found = labels(unary, down * 0 + 1e5, right * 0 + 1e5)
    assert (found == unary.sum((2, 3)).argmin(1)[:, None, None]).all()
