"""Cells moved to where they are seen, against the paper's rounds over whole matrices."""

import numpy as np
import pytest
import torch

from mixcli.algorithms.cell_transport import moved, sources
from mixcli.algorithms.cells import summed
from mixcli.saliency.blur import distribution

RECORDED = ["b2", "b4", "b4_2label", "b8", "b8_tm1", "b16", "b16_lam95"]


def rounds(saliency, seen, price):
    """The masked transport until nothing moves, over the whole matrix of costs. (h,w) ×2 -> (h,w) sources of places."""
    height, width = seen.shape
    n, large = seen.size, 1e3
    y, x = np.divmod(np.arange(n), width)
    way = ((y[:, None] - y) ** 2 + (x[:, None] - x) ** 2) / (max(height, width) - 1) ** 2
    cost = price * way - saliency.reshape(-1, 1) * seen.reshape(1, -1)
    while True:
        plan = np.zeros((n, n), bool)
        plan[np.arange(n), cost.argmin(1)] = True
        best = np.where(plan, cost, 1e9).argmin(0)
        wins = np.zeros((n, n), bool)
        wins[best, np.arange(n)] = True
        wins &= plan
        if wins.any(0).all():
            return wins.argmax(0).reshape(height, width)
        cost = cost + large * (plan & ~wins)


def maps(seed, batch, height, width, peaked=4):
    rng = np.random.default_rng(seed)
    saliency = rng.random((batch, height, width)) ** peaked
    return saliency / saliency.sum((1, 2), keepdims=True), rng.random((batch, height, width)) < 0.5


@pytest.mark.parametrize("name", RECORDED)
def test_the_recorded_plans(shared, name):
    """At all places that are seen; elsewhere the release leaves most places empty, and nothing is lost by that."""
    golden = np.load(shared / "golden" / "images" / f"puzzle_{name}.npz")
    mask, grid = golden["mask_t"][:, 0], golden["mask_t"].shape[2:]
    cells = distribution(summed(torch.from_numpy(golden["grad"]), grid)).numpy()
    for plan, heat, seen in (("plan1", cells, mask > 0), ("plan2", cells[golden["indices"]], mask < 1)):
        found = sources(heat, seen, (32 // grid[0],) * 2, float(golden["t_eps"]))
        recorded = golden[plan].argmax(1).reshape(mask.shape)  # of each place, the source
        assert (golden[plan].sum(1).reshape(mask.shape)[seen] == 1).all()
        assert np.array_equal(found[seen], recorded[seen])


def test_hand_worked_example():
    """Four cells in a row, the first and the last seen; a step costs 0.9/9 = 0.1, two cost 0.4, three 0.9.

    The second (0.5) goes left, where 0.1 - 0.5 beats the first's -0.15, which could go only where it is not seen. The
    third (0.2) goes right: 0.1 - 0.2 = -0.1 beats the last's -0.05, but not the -0.3 of the last below.
    """
    seen = np.array([[[True, False, False, True]]] * 2)
    saliency = np.array([[[0.15, 0.5, 0.2, 0.05]], [[0.0, 0.5, 0.2, 0.3]]])
    assert sources(saliency, seen, (4, 4), 0.9).tolist() == [[[1, 1, 2, 2]], [[1, 1, 2, 3]]]


@pytest.mark.parametrize("price", [0.02, 0.8])
@pytest.mark.parametrize(("height", "width"), [(4, 4), (7, 7), (3, 8), (1, 6)])
@pytest.mark.parametrize("peaked", [1, 4, 12])
def test_the_fixed_point_of_the_rounds(height, width, price, peaked):
    saliency, seen = maps(height + peaked, 6, height, width, peaked)
    found = sources(saliency, seen, (2, 2), price)
    for i in range(6):
        expected = rounds(saliency[i], seen[i], price)
        assert np.array_equal(found[i][seen[i]], expected[seen[i]])
    assert (found[~seen] == np.tile(np.arange(seen[0].size), (6, 1)).reshape(seen.shape)[~seen]).all()


def test_no_cell_is_seen_twice():
    saliency, seen = maps(0, 20, 8, 8)
    found = sources(saliency, seen, (4, 4), 0.05)
    assert (found != np.arange(64).reshape(8, 8)).any()
    for places, shown in zip(found, seen, strict=True):
        assert len(set(places[shown])) == shown.sum()


def test_more_saliency_is_seen():
    saliency, seen = maps(1, 20, 8, 8)
    shown = np.take_along_axis(saliency.reshape(20, -1), sources(saliency, seen, (4, 4), 0.05).reshape(20, -1), 1)
    assert ((shown * seen.reshape(20, -1)).sum(1) > (saliency * seen).sum((1, 2)) + 0.02).all()


def test_who_stays():
    """All of an image that is seen everywhere, or is even, or of which moving costs more than there is saliency."""
    saliency, seen = maps(2, 5, 6, 6)
    home = np.tile(np.arange(36).reshape(6, 6), (5, 1, 1))
    assert np.array_equal(sources(saliency, seen | True, (4, 4), 1e-3), home)
    assert np.array_equal(sources(saliency * 0 + 1 / 36, seen, (4, 4), 1e-3), home)
    assert np.array_equal(sources(saliency, seen, (4, 4), 1e9), home)
    assert np.array_equal(sources(saliency * 0, seen, (4, 4), 1e-3), home)


def test_long_cells():
    """Two cells of 10 pixels and 2: one step down is the whole side, one to the right a fifth of it."""
    saliency, seen = np.array([[[0.0, 0.5], [0.5, 0.0]]]), np.array([[[True, False], [False, False]]])
    assert sources(saliency, seen, (10, 2), 0.8).tolist() == [[[1, 1], [2, 3]]]
    assert sources(saliency, seen, (2, 10), 0.8).tolist() == [[[2, 1], [2, 3]]]


def test_one_cell():
    assert sources(np.ones((2, 1, 1)), np.array([[[True]], [[False]]]), (4, 4), 0.8).tolist() == [[[0]], [[0]]]


def test_without_numba(monkeypatch):
    saliency, seen = maps(3, 4, 6, 5)
    found = sources(saliency, seen, (4, 4), 0.05)
    monkeypatch.setenv("MIXCLI_NO_NUMBA", "1")
    assert np.array_equal(sources(saliency, seen, (4, 4), 0.05), found)


@pytest.mark.parametrize(("size", "grid"), [((8, 12), (2, 3)), ((6, 6), (6, 6)), ((5, 7), (1, 1)), ((4, 6), (4, 2))])
def test_moved_pixels(size, grid):
    rng = np.random.default_rng(0)
    pixels, source = rng.random((3, *size, 2)).astype(np.float32), rng.integers(0, grid[0] * grid[1], (3, *grid))
    found = moved(torch.from_numpy(pixels), torch.from_numpy(source)).numpy()
    high, wide = size[0] // grid[0], size[1] // grid[1]
    cell = lambda image, y, x: image[y * high : (y + 1) * high, x * wide : (x + 1) * wide]  # noqa: E731
    for image, out, places in zip(pixels, found, source, strict=True):
        for y, x in np.ndindex(*grid):
            assert np.array_equal(cell(out, y, x), cell(image, *divmod(places[y, x], grid[1])))
