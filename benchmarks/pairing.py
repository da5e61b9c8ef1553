"""`algorithms.greedy_pairing` beside the greedy pairing as it is published: medians, interleaved, distances included.

    OMP_NUM_THREADS=1 python benchmarks/pairing.py --repeats 3 [--side 32] [--rounds 1]

The published form is a matrix of distances in float32 whose columns are cleared one at a time. It has one round.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from mixcli.algorithms import greedy_pairing as greedy

SIZES = (64, 256, 1024, 4096)


def blobs(count: int, side: int, seed: int = 0) -> np.ndarray:
    """Maps of one to four Gaussian spots on a floor, each of sum 1 -> (count,side,side) f32."""
    g = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    maps = np.empty((count, side, side), np.float32)
    for m in maps:
        spots = np.full((side, side), 0.05)
        for _ in range(g.integers(1, 5)):
            (cy, cx), width = g.uniform(0, 1, 2), g.uniform(0.05, 0.3)
            spots += np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * width**2))
        m[:] = spots / spots.sum()
    return maps


def published(maps: np.ndarray) -> np.ndarray:
    """(n,H,W) f32 -> (n,) i64."""
    flat = torch.from_numpy(maps.reshape(len(maps), -1))
    w = torch.cdist(flat, flat).numpy()
    np.fill_diagonal(w, -np.inf)
    partner = np.empty(len(w), np.int64)
    here, there = divmod(int(w.argmax()), len(w))
    first, partner[here] = here, there
    w[:, here] = -np.inf
    for _ in range(len(w) - 2):
        here, there = there, int(w[there].argmax())
        partner[here] = there
        w[:, here] = -np.inf
    partner[there] = first
    return partner


def _timed(function: Callable, *arguments) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    partner = function(*arguments)
    return (time.perf_counter() - start) * 1e3, partner


def rows(repeats: int = 1, maps: np.ndarray | None = None, rounds: int = 1) -> list[dict]:
    """One row a size, over the first of the maps (M,H,W) f32; no size above M."""
    maps = blobs(max(SIZES), 32) if maps is None else maps
    return [_row(maps[:n], repeats, rounds) for n in SIZES if n <= len(maps)]


def _row(maps: np.ndarray, repeats: int, rounds: int) -> dict:
    timed = {name: [] for name in ("published", "distances", "mixcli")}
    for _ in range(repeats):
        spent, expected = _timed(published, maps)
        timed["published"].append(spent)
        timed["distances"].append(_timed(greedy.distances, maps)[0])
        spent, partners = _timed(greedy.cycles, maps, rounds)
        timed["mixcli"].append(spent)
    w, every = greedy.distances(maps), np.arange(len(maps))
    apart = w[every, partners].mean(1)
    return {
        "n": len(maps), **{f"{name}_ms": float(np.median(times)) for name, times in timed.items()},
        "same": float((partners[0] == expected).mean()), "apart": apart / w.sum() * len(w) * (len(w) - 1),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(f"{options.side} x {options.side} pixels, rounds: {options.rounds}, torch threads: {torch.get_num_threads()}")
    print("apart: distance within the pairs of the first and of the last round, over the mean of all distances")
    print("    n  published ms  distances ms  mixcli ms  same pairs  apart")
    for r in rows(options.repeats, blobs(max(SIZES), options.side), options.rounds):
        print(
            f"{r['n']:5d} {r['published_ms']:13.1f} {r['distances_ms']:13.1f} {r['mixcli_ms']:10.1f}"
            f" {r['same']:11.1%}  {r['apart'][0]:.3f} {r['apart'][-1]:.3f}"
        )


if __name__ == "__main__":
    main()
