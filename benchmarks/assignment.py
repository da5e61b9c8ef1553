"""`mixcli.algorithms.assignment` beside scipy: medians, interleaved, one thread, distance matrix included, certified.

    python benchmarks/assignment.py --repeats 3 [--in modelnet40.h5]

Without numba (or with MIXCLI_NO_NUMBA=1) it is the Sinkhorn + scipy path that is timed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import product

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from mixcli.algorithms import assignment

SIZES = (512, 1024, 2048)


def _ball(g: np.random.Generator, n: int) -> np.ndarray:
    points = g.normal(size=(n, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def _box(g: np.random.Generator, n: int) -> np.ndarray:
    points, axis = g.uniform(-1, 1, (n, 3)), g.integers(0, 3, n)
    points[np.arange(n), axis] = np.sign(points[np.arange(n), axis])
    return points


def _tube(g: np.random.Generator, n: int) -> np.ndarray:
    angle = g.uniform(0, 2 * np.pi, n)
    return np.stack([np.cos(angle), np.sin(angle), g.uniform(-1, 1, n)], 1)


def surfaces(count: int, n: int = 2048, seed: int = 0) -> np.ndarray:
    """Objects of three to six stretched balls, boxes and tubes, in the unit sphere -> (count,n,3) f32."""
    g = np.random.default_rng(seed)
    clouds = np.empty((count, n, 3), np.float32)
    for cloud in clouds:
        shape, parts = g.integers(0, 3, 6), g.integers(0, g.integers(3, 7), n)
        for part in range(6):
            rows = np.flatnonzero(parts == part)
            points = (_ball, _box, _tube)[shape[part]](g, len(rows))
            cloud[rows] = points * np.exp(g.uniform(-3, 0, 3)) + g.uniform(-0.7, 0.7, 3)
        cloud -= cloud.mean(0)
        cloud /= np.linalg.norm(cloud, axis=1).max()
    return clouds


def by_scipy(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n,3), (n,3) f32 -> (n,) i64."""
    return linear_sum_assignment(cdist(a.astype(np.float64), b.astype(np.float64)))[1]


def _timed(function: Callable, a: np.ndarray, b: np.ndarray) -> tuple[float, np.ndarray]:
    """Milliseconds, and φ (n,)."""
    start = time.perf_counter()
    phi = function(a, b)
    return (time.perf_counter() - start) * 1e3, phi


def rows(repeats: int = 1, clouds: np.ndarray | None = None) -> list[dict]:
    """One row a size, over the pairs (0, 1), (2, 3), ... of (M,N,3) f32 clouds; no size above N."""
    clouds = surfaces(16) if clouds is None else clouds
    assignment.warm()
    return [_row(clouds[:, :n], repeats) for n in SIZES if n <= clouds.shape[1]]


def _row(clouds: np.ndarray, repeats: int) -> dict:
    pairs = list(zip(clouds[0::2], clouds[1::2], strict=False))
    scipy_ms, ours_ms, gaps, same = [], [], [], 0
    for repeat, (a, b) in product(range(repeats), pairs):
        spent, expected = _timed(by_scipy, a, b)
        scipy_ms.append(spent)
        spent, phi = _timed(assignment.assign, a, b)
        ours_ms.append(spent)
        if repeat == 0:
            proof = assignment.certify(a, b, phi)
            gaps.append(proof.gap / proof.cost)
            same += bool((phi == expected).all())
    slow, fast = float(np.median(scipy_ms)), float(np.median(ours_ms))
    return {
        "n": clouds.shape[1], "pairs": len(pairs), "scipy_ms": slow, "mixcli_ms": fast, "ratio": slow / fast,
        "slowest_ms": max(ours_ms), "worst_gap": max(gaps), "same_as_scipy": same,
    }  # fmt: skip


def _read(path: str, limit: int) -> np.ndarray:
    import h5py

    with h5py.File(path) as file:
        data = file["data"]
        g = np.random.default_rng(0)
        keep = g.permutation(len(data))[:limit]
        clouds = data[np.sort(keep)][np.argsort(np.argsort(keep)), :, :3].astype(np.float32)
    return clouds[:, g.permutation(clouds.shape[1])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--in", dest="source", help=".h5 with 'data' (M,N,3); generated surfaces by default")
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    count = 2 * options.pairs
    table = rows(options.repeats, _read(options.source, count) if options.source else surfaces(count))
    print(f"solver {assignment.solver()}, {options.pairs} pairs, one thread, distance matrix included")
    print("    n   scipy ms  mixcli ms   ratio  slowest ms  worst gap  same φ")
    for r in table:
        print(
            f"{r['n']:5d} {r['scipy_ms']:10.1f} {r['mixcli_ms']:10.2f} {r['ratio']:7.1f}"
            f" {r['slowest_ms']:11.2f} {r['worst_gap']:10.1e} {r['same_as_scipy']:4d}/{r['pairs']}"
        )


if __name__ == "__main__":
    main()
