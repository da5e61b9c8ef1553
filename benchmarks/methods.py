"""Mixes a second of each method beside its plain form, one pair at a time in numpy: medians, interleaved, one thread.

    python benchmarks/methods.py --repeats 20

Batches of 64 pairs of 1024 points, as a run mixes them; the assignment is given to both. The plain form is also given
its Beta draw and its random numbers, which the batched one makes. Both are compared before anything is timed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from assignment import surfaces

from mixcli.algorithms import assignment
from mixcli.data.points import Mixed, Samples
from mixcli.methods.mixup import Mixup
from mixcli.methods.pointcutmix import PointCutMix, point_uniforms
from mixcli.methods.pointmixup import PointMixup
from mixcli.methods.rsmix import RSMix
from mixcli.methods.sagemix import SageMix
from mixcli.pipeline.engine import CHUNK
from mixcli.rng import uniforms

POINTS = 1024
CLOSE = 1e-6  # of coordinates: the plain forms round elsewhere


@dataclass(frozen=True)
class Pair:
    """What a plain form gets."""

    a: np.ndarray  # (N,3) f32
    b: np.ndarray  # (N,3) f32
    phi: np.ndarray  # (N,) i64
    saliency_a: np.ndarray  # (N,) f32
    saliency_b: np.ndarray  # (N,) f32
    drawn: float  # π, λ or the radius
    u: np.ndarray  # (D,) f64, the uniforms of the mix
    keys: np.ndarray  # (2,N) f64, uniforms of points


def plain_sagemix(p: Pair) -> tuple[np.ndarray, float]:
    """Eq. 4 to 9 at σ = 0.3."""
    query_a = pick(p.saliency_a, p.u[1])
    query_b = pick(np.linalg.norm(p.b - p.a[query_a], axis=1) * p.saliency_b, p.u[2])
    matched = p.b[p.phi]
    square_a = ((p.a - p.a[query_a]) ** 2).sum(1)
    square_b = ((matched - p.b[query_b]) ** 2).sum(1)
    weight_a = p.drawn * np.exp(-square_a / (2 * 0.3**2))
    weight_b = (1 - p.drawn) * np.exp(-square_b / (2 * 0.3**2))
    lam = weight_a / (weight_a + weight_b)
    return lam[:, None] * p.a + (1 - lam[:, None]) * matched, lam.mean()


def pick(weight: np.ndarray, u: float) -> int:
    """(N,) -> an index, with probability in proportion."""
    cdf = np.cumsum(weight, dtype=np.float64)
    return int(np.searchsorted(cdf, u * cdf[-1], side="right"))


def plain_pointmixup(p: Pair) -> tuple[np.ndarray, float]:
    return p.drawn * p.a + (1 - p.drawn) * p.b[p.phi], p.drawn


def plain_mixup(p: Pair) -> tuple[np.ndarray, float]:
    return p.drawn * p.a + (1 - p.drawn) * p.b, p.drawn


def plain_rsmix(p: Pair) -> tuple[np.ndarray, float]:
    """Points within a radius, half of the cloud's at most, replaced by as many from around a point of b."""
    n = len(p.a)
    q_a, q_b = p.a[int(p.u[1] * n)].astype(float), p.b[int(p.u[2] * n)].astype(float)
    erased, part = (
        sampled(np.flatnonzero(((cloud - q) ** 2).sum(1) <= p.drawn**2), keys, n // 2)
        for cloud, q, keys in ((p.a, q_a, p.keys[0]), (p.b, q_b, p.keys[1]))
    )
    if len(part) > len(erased):
        part = sampled(part, p.keys[1], len(erased))
    elif len(part) < len(erased):
        outside = np.setdiff1d(np.arange(n), part)[: len(erased) - len(part)]
        part = np.concatenate([part, part[(p.keys[1][outside] * len(part)).astype(int)]])
    mixed = p.a.copy()
    mixed[erased] = p.b[part] + (q_a - q_b)
    return mixed, 1 - len(erased) / n


def sampled(rows: np.ndarray, keys: np.ndarray, most: int) -> np.ndarray:
    """A random subset of `most`, in order, where there are more."""
    return rows if len(rows) <= most else np.sort(rows[np.argsort(keys[rows])[:most]])


def plain_pointcutmix_k(p: Pair) -> tuple[np.ndarray, float]:
    center = p.a[int(p.u[1] * len(p.a))].astype(float)
    return replaced(p, ((p.a - center) ** 2).sum(1))


def plain_pointcutmix_r(p: Pair) -> tuple[np.ndarray, float]:
    return replaced(p, p.keys[0])


def replaced(p: Pair, order: np.ndarray) -> tuple[np.ndarray, float]:
    """The first points by `order` (N,) become their partners."""
    count = max(1, int(len(p.a) * (1 - p.drawn)))
    rows = np.argsort(order, kind="stable")[:count]
    mixed = p.a.copy()
    mixed[rows] = p.b[p.phi[rows]]
    return mixed, 1 - count / len(p.a)


FORMS: dict[str, tuple[Any, Callable[[Pair], tuple[np.ndarray, float]]]] = {
    "sagemix": (SageMix(), plain_sagemix),
    "pointmixup": (PointMixup(), plain_pointmixup),
    "rsmix": (RSMix(), plain_rsmix),
    "pointcutmix k": (PointCutMix(variant="k"), plain_pointcutmix_k),
    "pointcutmix r": (PointCutMix(variant="r"), plain_pointcutmix_r),
    "mixup": (Mixup(), plain_mixup),
}


@dataclass(frozen=True)
class Batch:
    """What a method gets, but for its draws."""

    a: Samples
    b: Samples
    phi: torch.Tensor


def batch(points: int = POINTS, size: int = CHUNK) -> Batch:
    """Neighbours among generated surfaces, with random saliency and their true assignment."""
    clouds = surfaces(size + 1, points)
    saliency = torch.from_numpy(np.random.default_rng(0).dirichlet(np.ones(points), size + 1).astype(np.float32))
    a, b = clouds[:-1], clouds[1:]
    phi = assignment.assign_batch(a, b)
    a_, b_ = (torch.from_numpy(np.ascontiguousarray(x)) for x in (a, b))
    return Batch(Samples(a_, saliency[:-1]), Samples(b_, saliency[1:]), torch.from_numpy(phi))


def mix(method: Any, batch: Batch, u: np.ndarray) -> Mixed:
    phi = batch.phi if method.traits.assignment else None
    return method.mix(batch.a, batch.b, phi, torch.from_numpy(u))


def pairs(method: Any, batch: Batch, u: np.ndarray) -> list[Pair]:
    """One a row: the same clouds and draws as plain arrays."""
    drawn, columns = mix(method, batch, u).draw[:, 0].numpy(), {RSMix: (3, 4), PointCutMix: (1, 1)}
    at = columns.get(type(method), (0, 0))
    keys = np.stack([point_uniforms(torch.from_numpy(u[:, i]), batch.phi.shape[1]).numpy() for i in at], 1)
    arrays = (batch.a.data, batch.b.data, batch.phi, batch.a.saliency, batch.b.saliency)
    return [Pair(*(x[i].numpy() for x in arrays), drawn[i], u[i], keys[i]) for i in range(len(u))]


def check(name: str, mixed: Mixed, plain: Callable, pairs: list[Pair]) -> None:
    """The plain form gives the same clouds and shares, or there is nothing to compare."""
    for i, pair in enumerate(pairs):
        data, share = plain(pair)
        off = np.abs(mixed.data[i].numpy() - data).max()
        if off > CLOSE or abs(float(mixed.weight[i, 0]) - share) > CLOSE:
            raise SystemExit(f"{name}: pair {i} comes out otherwise, by {off:.1e}")


def timed(function: Callable[[], Any]) -> float:
    """Seconds."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def row(name: str, batch: Batch, repeats: int) -> dict[str, Any]:
    """Medians over repeats, each with draws of its own, of the two forms in turn."""
    method, plain = FORMS[name]
    ours, theirs, size = [], [], len(batch.phi)
    for j in range(repeats + 1):  # the first is not counted
        u = uniforms(0, "mix", np.arange(size), j=j, width=method.traits.draws)
        alone = pairs(method, batch, u)
        if j == 0:
            check(name, mix(method, batch, u), plain, alone)
        ours.append(timed(lambda u=u: mix(method, batch, u)))
        theirs.append(timed(lambda alone=alone: [plain(pair) for pair in alone]))
    return {"method": name, "ours": size / np.median(ours[1:]), "plain": size / np.median(theirs[1:])}


def assignment_seconds(batch: Batch, repeats: int) -> float:
    """Median of one pair's."""
    a, b = batch.a.data.numpy(), batch.b.data.numpy()
    assignment.warm()
    return float(np.median([timed(lambda i=i: assignment.assign(a[i], b[i])) for i in range(min(repeats, len(a)))]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    clouds = batch()
    one = assignment_seconds(clouds, 2 * options.repeats)
    print(f"{POINTS} points, batches of {CHUNK}, one thread; one assignment takes {one * 1e3:.1f} ms")
    print("method          mixcli mixes/s   plain mixes/s   ratio   of one assignment")
    for r in (row(name, clouds, options.repeats) for name in FORMS):
        ratio, share = r["ours"] / r["plain"], 1 / r["ours"] / one
        print(f"{r['method']:14s} {r['ours']:15,.0f} {r['plain']:15,.0f} {ratio:7.1f} {share:19.4f}")


if __name__ == "__main__":
    main()
