import numpy as np
import pytest
from scipy.spatial.distance import cdist

from mixcli.algorithms.mirror import ANGLES, COS, SIN, _best_plane, _best_plane_scipy, mirror_angle, turned


def cloud(n=200, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32) * np.float32([1, 0.5, 0.3])


def by_definition(points, up):
    """Chamfer distance, both directions, to the reflection in each plane -> (60,)."""
    axis = "xyz".index(up)
    ahead, aside = np.eye(3)[(axis + 2) % 3], np.eye(3)[(axis + 1) % 3]
    found = []
    for i in range(60):
        normal = np.sin(i / 60 * np.pi) * ahead - np.cos(i / 60 * np.pi) * aside
        square = cdist(points, points - 2 * np.outer(points @ normal, normal), "sqeuclidean")
        found.append(square.min(0).sum() + square.min(1).sum())
    return np.array(found)


@pytest.mark.parametrize("up", ["x", "y", "z"])
@pytest.mark.parametrize("seed", range(5))
def test_the_plane_is_the_best_of_60(up, seed):
    points = cloud(seed=seed)
    assert round(mirror_angle(points, up) / np.pi * 60) == by_definition(points.astype(float), up).argmin()


@pytest.mark.parametrize("points", [1, 2, 127, 128, 129, 300])
def test_compiled_and_plain_loops_agree(points):
    x, y, z = (np.ascontiguousarray(axis) for axis in cloud(points, seed=points).T)
    assert _best_plane(x, y, z, COS, SIN) == _best_plane_scipy(x, y, z, COS, SIN)


def test_a_cloud_that_every_plane_mirrors():
    """On the axis all 60 are as good: the lowest angle."""
    pole = np.zeros((50, 3), np.float32)
    pole[:, 1] = np.linspace(-1, 1, 50)
    assert mirror_angle(pole) == 0.0


@pytest.mark.parametrize("up", ["x", "y", "z"])
def test_the_angle_turns_with_the_cloud(up):
    """A mirrored cloud turned by six of the sixty steps: its plane is found there, and turning back undoes it."""
    one = cloud(100)
    level = {"y": 2, "z": 0, "x": 1}[up]
    other = one.copy()
    other[:, level] *= -1
    both = np.concatenate([one, other])
    away = turned(both, float(ANGLES[6]), 0.0, up)
    first, second = mirror_angle(both, up), mirror_angle(away, up)
    assert round(first / np.pi * 60) % 60 == 0 and round(second / np.pi * 60) == 6
    assert np.abs(turned(away, first, second, up) - both).max() < 1e-6
    assert np.array_equal(away[:, "xyz".index(up)], both[:, "xyz".index(up)])


def test_turning_keeps_distances_and_its_input():
    points = cloud()
    before = points.copy()
    after = turned(points, 0.3, 2.0)
    assert after.dtype == np.float32 and np.array_equal(points, before)
    assert np.abs(cdist(after, after) - cdist(points, points)).max() < 1e-5
