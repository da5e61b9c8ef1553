"""GuidedMixup's greedy pairing (Kang and Kim, AAAI 2023), Algorithm 1: one cycle through maps that overlap little.

As printed, the algorithm clears the column of the target, so that the start comes up again and Eq. 1 does not hold;
as in the published solver, the column of the source is cleared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from mixcli.errors import UsageError

KERNEL, SIGMA = 7, 3.0  # of the blur of the maps that are paired, pixels: section 5.1
MOST_MAPS = 16384  # their distances fill 1 GiB
BLOCK = 1 << 22  # float64 numbers in a block of maps: 32 MiB
BLOCKED = -np.inf
Partners = TypeVar("Partners")


def cycle(maps: np.ndarray, taken: np.ndarray | None = None) -> np.ndarray:
    """The partner of each map: one cycle, from the most distant pair on always to the most distant map left.

    maps (n,H,W) f32, each of sum 1; taken (r,n) i64, the partners of earlier rounds -> (n,) i64. No pair comes up
    again; nor does it the other way round, which would be the same mix, as long as such a cycle is found: for a
    quarter or so of the n - 1 rounds that there can be. After that the partners are the permutation of the largest
    sum of distances without the earlier pairs. Of equals the lowest index wins.

    >>> maps = np.array([[[4, 0, 0]], [[3, 1, 0]], [[0, 4, 0]], [[0, 0, 4]]], np.float32) / 4
    >>> cycle(maps).tolist()  # 0 and 2 are the first of the most distant; then 2 to 3, 3 to 1, and back
    [2, 0, 3, 1]
    """
    return _cycle(distances(maps), np.empty((0, len(maps)), np.int64) if taken is None else np.asarray(taken))


def cycles(maps: np.ndarray, rounds: int) -> np.ndarray:
    """The partners of `rounds` rounds over one matrix of distances: `cycle` of each. (n,H,W) f32 -> (rounds,n) i64."""
    w, partners = distances(maps), np.empty((rounds, len(maps)), np.int64)
    for r in range(rounds):
        partners[r] = _cycle(w, partners[:r])
    return partners


def distances(maps: np.ndarray) -> np.ndarray:
    """w of section 4.1, the l2 distance of each map to each. (n,H,W) f32 -> (n,n) f32.

    From products of whole numbers that float64 holds exactly, to 25 bits of the largest norm: no last bit, and so
    no partner, depends on threads, blocks or processor.
    """
    n = len(maps)
    if n > MOST_MAPS:
        what = f"--pairing greedy pairs at most {MOST_MAPS:,} samples among each other, not {n:,}"
        raise UsageError(what, advice="lower --window")
    flat = maps.reshape(n, -1)
    scale = _scale(flat)
    step = max(1, min(1024, BLOCK // max(1, flat.shape[1])))
    w = np.empty((n, n), np.float32)
    for i in range(0, n, step):
        here = _whole(flat[i : i + step], scale)
        for j in range(0, i + 1, step):
            there = here if i == j else _whole(flat[j : j + step], scale)
            w[i : i + step, j : j + step] = part = _distance(here, there) / scale
            w[j : j + step, i : i + step] = part.T
    return w


def _scale(flat: np.ndarray) -> float:
    """The power of two by which the largest sum of squares stays below 2^51, and any distance's square below 2^53."""
    most = max((float(np.square(row, dtype=np.float64).sum()) for row in flat), default=0.0)
    return 2.0 ** ((51 - np.frexp(most)[1]) // 2)


def _whole(flat: np.ndarray, scale: float) -> np.ndarray:
    return np.rint(flat.astype(np.float64) * scale)


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:  # (m,P), (n,P) whole f64 -> (m,n) f64
    square = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * (a @ b.T)
    return np.sqrt(square)


def _cycle(w: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """(n,n), (r,n) -> (n,). `w` is given back as it came."""
    n = len(w)
    if len(taken) >= n - 1:
        raise UsageError(f"--partners {len(taken) + 1} asks for more partners than the {n - 1} others in a window")
    every = np.arange(n)
    source, target = np.tile(every, len(taken)), taken.ravel()
    either_way = np.concatenate([every, source, target]), np.concatenate([every, target, source])
    partner = _without(w, either_way, _one_cycle)
    if partner is not None:
        return partner
    one_way = np.concatenate([every, source]), np.concatenate([every, target])
    return _without(w, one_way, _permutation)


def _without(w: np.ndarray, edges: tuple[np.ndarray, np.ndarray], pair: Callable[[np.ndarray], Partners]) -> Partners:
    """`pair(w)` while these edges are blocked."""
    kept = w[edges]
    w[edges] = BLOCKED
    partner = pair(w)
    w[edges] = kept
    return partner


def _one_cycle(w: np.ndarray) -> np.ndarray | None:
    """Algorithm 1, then repairs; None where a blocked edge remains. (n,n) -> (n,)"""
    order = _path(w)
    while (blocked := w[order, np.roll(order, -1)] == BLOCKED).any():
        swapped = _swapped(w, order, int(blocked.argmax()) + 1)
        if swapped is None:
            return None
        order = swapped
    partner = np.empty_like(order)
    partner[order] = np.roll(order, -1)
    return partner


def _path(w: np.ndarray) -> np.ndarray:
    """From the row of the largest distance, always on to the most distant one left; (n,n) -> (n,) in this order."""
    n = len(w)
    order, left = np.empty(n, np.int64), np.zeros(n, np.float32)
    here = int(w.max(1).argmax())
    for t in range(n):
        order[t], left[here] = here, BLOCKED
        away = w[here] + left
        there = int(away.argmax())
        here = there if away[there] > BLOCKED else int(left.argmax())
    return order


def _swapped(w: np.ndarray, order: np.ndarray, at: int) -> np.ndarray | None:
    """The cycle with the member at `at` swapped for the one that gains most, by edges that are not blocked; or None."""
    member, others = order[at % len(order)], np.roll(order, -at - 1)[:-1]
    if len(others) < 4:
        return None
    before, other, after = others[:-2], others[1:-1], others[2:]  # the two neighbours stay
    new = w[others[-1], other] + w[other, others[0]] + w[before, member] + w[member, after]
    opened = w[before, other] + w[other, after]
    best = int((new - np.where(opened == BLOCKED, 0, opened)).argmax())
    if new[best] == BLOCKED:
        return None
    return np.concatenate([before[: best + 1], [member], after[best:], other[best : best + 1]])


def _permutation(w: np.ndarray) -> np.ndarray:
    """The permutation of the largest sum of distances; there is one while each row has a partner left."""
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(w, maximize=True)[1].astype(np.int64)
