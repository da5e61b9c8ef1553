"""The optimal bijection between two clouds, φ* = argmin Σᵢ ‖aᵢ − b_φ(i)‖ (SageMix Eq. 3, PointMixup).

The distance is Euclidean, not squared. With numba an auction in fixed point solves it (`auction`), to within
max(1e-6 of the optimum, n·2⁻²³ diameters) of the optimum by construction; without numba, scipy does, exactly,
helped by Sinkhorn potentials. Either way the answer is a bijection and depends on the two clouds alone.

>>> a = np.array([[0, 0, 0], [1, 0, 0], [5, 0, 0]], np.float32)
>>> b = np.array([[5, 1, 0], [0, 1, 0], [1, 0, 0]], np.float32)
>>> assign(a, b)  # by hand: 0-1 and 2-0 at distance 1, 1-2 at distance 0
array([1, 2, 0])
>>> certify(a, b, assign(a, b))
Certificate(cost=2.0, bound=2.0)
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from mixcli.algorithms import auction
from mixcli.jit import have_numba

BIDS = 2000  # bids per point before the auction hands over to scipy; surfaces take 30 to 50


class _Scratch(threading.local):
    """Memory of one thread, kept from pair to pair, since fresh pages cost time to map."""

    def __init__(self) -> None:
        self.kept: dict[int, np.ndarray] = {}


_scratch = _Scratch()


def assign(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The partner in b of each point of a: (n,3) f32, (n,3) f32 -> (n,) i64, a permutation of range(n).

    The loops run without the GIL, so threads over pairs scale; each keeps 4n² bytes of scratch memory.
    """
    a, b = _checked(a), _checked(b)
    if a.shape != b.shape:
        raise ValueError(f"the clouds have different shapes, {a.shape} and {b.shape}")
    coincident = _coincident(a, b)
    if coincident is not None:
        return coincident
    return (_by_auction if solver() == "auction-int32" else _by_sinkhorn)(a, b)


def assign_batch(a: np.ndarray, b: np.ndarray, threads: int = 1) -> np.ndarray:
    """`assign` of each pair, the same for any number of threads: (B,n,3) f32, (B,n,3) f32 -> (B,n) i64."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.ndim != 3:
        raise ValueError(f"expected two batches (B,n,3) of one shape, got {a.shape} and {b.shape}")
    phi = np.empty(a.shape[:2], np.int64)
    with ThreadPoolExecutor(threads) as pool:
        for i, row in enumerate(pool.map(assign, a, b)):
            phi[i] = row
    return phi


def solver() -> str:
    """What `assign` uses here, for the manifest. MIXCLI_NO_NUMBA=1 does without numba."""
    switched_off = os.environ.get("MIXCLI_NO_NUMBA", "0") not in ("", "0")
    return "sinkhorn+scipy" if switched_off or not have_numba() else "auction-int32"


def warm() -> None:
    """Compile the loops, or load them from numba's cache, ahead of the first pair; any thread may call it."""
    corners = np.eye(3, dtype=np.float32)
    assign(corners, corners[:, ::-1] + np.float32(1))


def _checked(cloud: np.ndarray) -> np.ndarray:
    """(n,3) of any real type -> (n,3) f32, with -0 turned into 0."""
    with np.errstate(over="ignore"):
        cloud = np.asarray(cloud, np.float32) + np.float32(0)
    if cloud.ndim != 2 or cloud.shape[1] != 3 or not len(cloud):
        raise ValueError(f"expected a cloud of n ≥ 1 points, (n,3), got the shape {cloud.shape}")
    if not np.isfinite(cloud).all():
        raise ValueError("a cloud to be assigned has a coordinate that is not finite")
    return cloud


def _coincident(a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """φ at cost zero where b is a in some order (the identity if in the same), else None. -> (n,) i64

    Not left to the auction, which is right only to a unit: a self-pair must give back the cloud itself.
    """
    if (a.min(0) != b.min(0)).any() or (a.max(0) != b.max(0)).any():
        return None
    if (a == b).all():
        return np.arange(len(a))
    rank_a, rank_b = np.lexsort(a.T), np.lexsort(b.T)  # stable: duplicates pair up in their order
    if (a[rank_a] != b[rank_b]).any():
        return None
    phi = np.empty(len(a), np.int64)
    phi[rank_a] = rank_b
    return phi


def _by_auction(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n,3), (n,3) f32 -> (n,) i64, for clouds that differ, so n ≥ 2 or the one answer."""
    if len(a) == 1:
        return np.zeros(1, np.int64)
    phi, price = _auction(a, b)
    return phi if phi is not None else _finish(_distances(a, b), price)


def _auction(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    """(n,3), (n,3) f32 -> (n,) i64 (None: given up) and the prices of b's points (n,) f64, as distances.

    The gap to the optimum: float32 distances are right to 4.5·2⁻²⁴ of themselves, which counts twice;
    rounding down to a unit and the last ε cost a unit each per point; a unit is 2⁻²⁶ of a box diagonal that
    is at most √3 diameters. Together 0.54·1e-6 of the optimum and 0.44·n·2⁻²³ diameters, less than the larger
    of the bounds.
    """
    n, exponent, diagonal = len(a), *_box(a, b)
    order = _curve_order(b)
    a_, b_ = (np.ascontiguousarray(np.ldexp(x, -exponent).T) for x in (a, b[order]))  # exact: powers of 2
    blocks = -(-n // auction.BLOCK)
    columns = blocks * auction.BLOCK
    cost, low = _matrix(0, n, columns), _matrix(1, n, blocks)
    price, owner, hint = np.zeros(columns, np.int32), np.empty(columns, np.int32), np.zeros(n, np.uint32)
    auction.fill_costs(a_, b_, np.float32(auction.UNIT / diagonal), cost, low)
    done = auction.run(
        cost=cost,
        low=low,
        price=price,
        owner=owner,
        hint=hint,
        epsilon=np.int32(auction.UNIT // 20),
        budget=BIDS * n,
    )
    value = np.empty(n)
    value[order] = np.ldexp(price[:n] * (diagonal / auction.UNIT), exponent)
    if not done:
        return None, value
    phi = np.empty(n, np.int64)
    phi[owner[:n]] = order
    return phi, value


def _box(a: np.ndarray, b: np.ndarray) -> tuple[int, float]:
    """e such that 2⁻ᵉ scales the longest side of the box around both to 1/2..1, and its diagonal then."""
    side = np.maximum(a.max(0), b.max(0)).astype(np.float64) - np.minimum(a.min(0), b.min(0))
    exponent = int(np.frexp(side.max())[1])
    return exponent, float(np.linalg.norm(np.ldexp(side, -exponent)))


def _curve_order(cloud: np.ndarray) -> np.ndarray:
    """Order along a Z-curve, 1024 cells a side, so that a block of columns is a patch: (n,3) -> (n,) i64."""
    cloud = cloud.astype(np.float64)
    corner = cloud.min(0)
    side = (cloud - corner).max()
    cell = ((cloud - corner) * (1023 / side if side else 0.0)).astype(np.int64)
    for shift, mask in ((16, 0x030000FF), (8, 0x0300F00F), (4, 0x030C30C3), (2, 0x09249249)):
        cell = (cell | cell << shift) & mask  # spreads ten bits to every third place
    return np.argsort(cell @ np.array([1, 2, 4]), kind="stable")


def _matrix(slot: int, rows: int, columns: int) -> np.ndarray:
    """A (rows,columns) i32 of this thread, of whatever values."""
    kept = _scratch.kept
    if slot not in kept or kept[slot].size < rows * columns:
        kept[slot] = np.empty(rows * columns, np.int32)
    return kept[slot][: rows * columns].reshape(rows, columns)


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n,3), (n,3) -> (n,n) f64."""
    from scipy.spatial.distance import cdist

    return cdist(a.astype(np.float64), b.astype(np.float64))


def _finish(cost: np.ndarray, price: np.ndarray) -> np.ndarray:
    """(n,n), (n,) -> (n,) i64, exact: scipy on reduced costs. No price moves it, good ones save time."""
    from scipy.optimize import linear_sum_assignment

    reduced = cost + price
    reduced -= reduced.min(1, keepdims=True)
    return linear_sum_assignment(reduced)[1].astype(np.int64)


def _by_sinkhorn(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n,3), (n,3) f32 -> (n,) i64: entropic transport, ever colder, gives good prices; then `_finish`.

    Each stage starts from the costs that the last one reduced, so its exponents stay small. einsum and not
    BLAS, whose threads would make the last bits, and so the choice among ties, depend on the machine.
    """
    exponent = _box(a, b)[0]
    cost = _distances(*(np.ldexp(x.astype(np.float64), -exponent) for x in (a, b)))
    reduced, price = (cost / cost.max()).astype(np.float32), np.zeros(len(a), np.float32)
    for temperature in np.array([0.02, 0.005, 0.00125], np.float32):
        reduced -= reduced.min(1, keepdims=True)
        least = reduced.min(0)
        reduced -= least
        kernel = np.exp(np.maximum(reduced / -temperature, np.float32(-60)))  # -60: denormals are slow
        v = np.ones_like(price)
        for _ in range(10):
            u = 1 / np.einsum("ij,j->i", kernel, v)
            v = 1 / np.einsum("ij,i->j", kernel, u)
        step = -temperature * np.log(v)
        reduced += step
        price += step - least
    return _finish(cost, price.astype(np.float64) * cost.max())


@dataclass(frozen=True)
class Certificate:
    """The cost of a bijection, and a lower bound on that of any, from a dual feasible solution in float64."""

    cost: float
    bound: float

    @property
    def gap(self) -> float:
        """At most this much is lost."""
        return self.cost - self.bound


def certify(
    a: np.ndarray, b: np.ndarray, phi: np.ndarray, price: np.ndarray | None = None, tolerance: float = 1e-9
) -> Certificate:
    """(n,3), (n,3), (n,) i64 -> the proof, made from φ alone; it stops at a gap of `tolerance` of the cost.

    For any prices p, Σᵢ minⱼ(cᵢⱼ + pⱼ) − Σp is a lower bound. φ is optimal when some p makes φ(i) the least
    of every row i: p is found as shortest paths (Bellman–Ford), each round lowering the price of φ(i) to what
    row i accepts. `price` (n,) f64 is where to start: any will do, good ones save rounds.
    """
    a, b, phi = _checked(a), _checked(b), np.asarray(phi)
    if not np.array_equal(np.sort(phi), np.arange(len(a))):
        raise ValueError("phi is not a bijection")
    cost = _distances(a, b[phi])  # column j is the partner of row j
    own = cost.diagonal().copy()
    p = np.zeros(len(a)) if price is None else np.asarray(price, np.float64)[phi]
    total, bound = float(own.sum()), -np.inf
    for _ in range(len(a) + 1):
        least = (cost + p).min(1)
        bound = max(bound, float((least - p).sum()))
        if total - bound <= tolerance * total:
            break
        p = np.minimum(p, least - own)
    return Certificate(total, bound)
