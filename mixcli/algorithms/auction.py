"""ε-scaling auction for the assignment problem, in fixed point: the compiled loops behind `assignment`.

Every row bids for the column where cost + price is least, raising that price by its lead over the second
least and by ε; the row it displaces bids next (Bertsekas 1988, Gauss–Seidel form). Integers because a minimum
over int32 vectorises, is exact, and gives the same answer on every machine.

A bid needs the least and the second least of cost + price over a whole row, yet reads little of it: prices
only rise, so the least of a block of columns, as last seen by this row, bounds it from below ever after, and
a block is read again only when its bound is under the second least found so far. Columns sorted along a
space-filling curve make this bite. Indices are unsigned, so that no check for negative ones hinders
vectorisation.
"""

from __future__ import annotations

import numpy as np

from mixcli.jit import njit

BLOCK = 128  # columns in a block; under 64 LLVM unrolls the loops over a block and no longer vectorises them
UNIT = 2**26  # the largest distance, in units of cost
LIMIT = 2**30  # no price passes this, so cost + price + ε stays under 2^31
SHRINK = 5  # ε of one phase over ε of the next
TOP = np.int32(2**31 - 1)
LANE = np.arange(BLOCK, dtype=np.int32)
_ONE, _NONE = np.int32(1), np.int32(0)


@njit(error_model="numpy")
def fill_costs(a: np.ndarray, b: np.ndarray, scale: np.float32, cost: np.ndarray, low: np.ndarray) -> None:
    """Euclidean distances in units, rounded down, and the least of each block of columns.

    a, b (3,n) f32, scale () f32, cost (n,m) i32 out, low (n,m/BLOCK) i32 out. Columns from n to m cost TOP.
    """
    n = np.uint64(a.shape[1])
    for i in range(n):
        for j in range(n):
            x, y, z = a[0, i] - b[0, j], a[1, i] - b[1, j], a[2, i] - b[2, j]
            cost[i, j] = np.int32(np.sqrt(x * x + y * y + z * z) * scale)
        for j in range(n, np.uint64(cost.shape[1])):
            cost[i, j] = TOP
        for k in range(np.uint64(low.shape[1])):
            least = TOP
            for t in range(np.uint64(BLOCK)):
                least = min(least, cost[i, k * np.uint64(BLOCK) + t])
            low[i, k] = least


@njit(error_model="numpy")
def run(
    cost: np.ndarray,
    low: np.ndarray,
    price: np.ndarray,
    owner: np.ndarray,
    hint: np.ndarray,
    epsilon: np.int32,
    budget: int,
) -> bool:
    """Auction off n columns to n ≥ 2 rows. True once done, False when a price or the bids passed their limit.

    cost (n,m) i32, low (n,m/BLOCK) i32 in and out, price (m,) i32 in (zeros) and out, owner (m,) i32 out: the
    row that holds each column, or -1, hint (n,) u32 in (zeros) and out: the block to look at first, epsilon
    () i32, budget () i64: bids. Once done, cost + price of each row's column is within one unit of the row's
    least, so the sum of the costs is within n units of the optimum. The prices are dual feasible in any case.
    """
    width = np.uint64(BLOCK)
    while True:
        owner[:] = -1
        for row in range(np.uint64(cost.shape[0])):
            i: int | np.uint64 = row
            while True:
                first, second, seen = TOP, TOP, TOP
                best, start = np.uint64(0), np.uint64(hint[i])
                for step in range(np.uint64(low.shape[1] + 1)):
                    k = start if step == np.uint64(0) else step - np.uint64(1)
                    if low[i, k] >= second:
                        continue
                    base = k * width
                    least = TOP
                    for t in range(width):
                        least = min(least, np.int32(cost[i, base + t] + price[base + t]))
                    low[i, k] = least
                    if step == np.uint64(0):  # the first block is not to be met again in this bid
                        seen, low[i, k] = least, TOP
                    if least >= first:
                        second = min(second, least)
                        continue
                    at, equal, runner_up = TOP, _NONE, TOP
                    for t in range(width):
                        value = np.int32(cost[i, base + t] + price[base + t])
                        at = min(at, LANE[t] if value == least else TOP)
                        equal = np.int32(equal + (_ONE if value == least else _NONE))
                        runner_up = min(runner_up, value if value > least else TOP)
                    second = min(first, least if equal > _ONE else runner_up)
                    first, best, hint[i] = least, base + np.uint64(at), k
                low[i, start] = seen
                price[best] += second - first + epsilon
                budget -= 1
                if price[best] > LIMIT or budget < 0:
                    return False
                displaced = owner[best]
                owner[best] = i
                if displaced < 0:
                    break
                i = np.uint64(displaced)
        if epsilon == _ONE:
            return True
        epsilon = max(np.int32(epsilon // SHRINK), _ONE)
