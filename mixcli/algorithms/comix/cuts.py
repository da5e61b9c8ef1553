"""Labelling the blocks of one output at the least cost: swap moves, each an exact binary cut of the grid.

A swap move (Boykov, Veksler and Zabih, 2001) gives every block that has one of two labels the one or the other, at
the least cost that is possible while all other blocks stay. It is the minimum cut of a network as large as these
blocks. Moves follow each other until no pair of labels has one that pays. Compiled, and without the GIL.
"""

from __future__ import annotations

import numpy as np

from mixcli.jit import njit

BITS = 40  # of the largest cost as a whole number: sums over a grid of 2^20 blocks stay exact


def relabelled(price: np.ndarray, choices: np.ndarray, smoothness: float, lean: float, width: int) -> np.ndarray:
    """The inputs of each block's two halves: from the cheapest choice of each block, swap moves until none pays.

    price (N,m) f64 of each input at each block of a grid, row by row; choices (L,2) i64: the two inputs of each label,
    twice the same for a whole block. A label costs the mean of its inputs, halves of two `lean` less; neighbours cost
    smoothness/2·|z - z'|² for the shares z of the inputs in them. Rounded to 2^-40 of the largest. -> (N,2) i64

    >>> price = np.array([[0, 2], [1, 0], [0, 2.0]])  # in a row; the middle block gives in, 1 is less than two borders
    >>> relabelled(price, np.array([[0, 0], [1, 1]]), 1.0, 0.0, 3)[:, 0].tolist()
    [0, 0, 0]
    """
    most = max(np.abs(price).max() + lean, smoothness)
    unit = np.ldexp(1.0, BITS - int(np.frexp(most)[1]))
    swap = _swap.available()
    return choices[swap(price * unit, choices, smoothness * unit / 4, lean * unit, width)]


@njit(error_model="numpy")
def _swap(price: np.ndarray, choices: np.ndarray, edge: float, lean: float, width: int) -> np.ndarray:
    """price (N,m) f64, choices (L,2) i64, edge: what a quarter of |z - z'|²/2 costs -> label (N,) i64.

    A cut is found by shortest augmenting paths. `excess` of a block is what its second label costs more than its
    first, borders on blocks outside included; `left` is what still goes through to its neighbour above, below, left
    and right. Blocks in reach of a positive excess that is left keep the first label.
    """
    n, labels = len(price), len(choices)
    height = n // width
    cost, apart, label = np.empty((n, labels), np.int64), np.empty((labels, labels), np.int64), np.zeros(n, np.int64)
    for a in range(labels):
        f, s = choices[a, 0], choices[a, 1]
        for v in range(n):
            cost[v, a] = np.rint((price[v, f] + price[v, s]) / 2 - (lean if f != s else 0.0))
            if cost[v, a] < cost[v, label[v]]:
                label[v] = a
        for b in range(labels):
            g, h = choices[b, 0], choices[b, 1]
            alike = int(f == g) + int(f == h) + int(s == g) + int(s == h)
            apart[a, b] = np.rint(edge * ((2 if f == s else 1) + (2 if g == h else 1) - alike))
    step = np.array([-width, width, -1, 1])
    count, inside = np.zeros(labels, np.int64), np.zeros(n, np.bool_)
    node, queue, came = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    excess, left = np.empty(n, np.int64), np.empty((n, 4), np.int64)
    for v in range(n):
        count[label[v]] += 1
    moved = True
    while moved:
        moved = False
        for a in range(labels):
            for b in range(a + 1, labels):
                if count[a] == 0 and count[b] == 0:
                    continue
                size = 0
                for v in range(n):
                    inside[v] = label[v] == a or label[v] == b
                    if inside[v]:
                        node[size] = v
                        size += 1
                border, now, least = apart[a, b], 0, 0
                for i in range(size):
                    v = node[i]
                    y, x = v // width, v % width
                    first, second = cost[v, a], cost[v, b]
                    for d in range(4):
                        left[v, d] = 0
                        if (y, height - 1 - y, x, width - 1 - x)[d] == 0:
                            continue
                        w = v + step[d]
                        if inside[w]:
                            left[v, d] = border
                            now += border if w > v and label[w] != label[v] else 0
                        else:
                            first += apart[a, label[w]]
                            second += apart[b, label[w]]
                    excess[v] = second - first
                    now += first if label[v] == a else second
                    least += min(first, second)
                while least < now:  # least + flow so far: no move costs less
                    for i in range(size):
                        came[node[i]] = -1
                    seen, at, end = 0, 0, -1
                    for i in range(size):
                        if excess[node[i]] > 0:
                            queue[seen], came[node[i]] = node[i], 4
                            seen += 1
                    while at < seen and end < 0:
                        v = queue[at]
                        at += 1
                        for d in range(4):
                            if left[v, d] > 0 and came[v + step[d]] < 0:
                                w = v + step[d]
                                came[w], queue[seen] = d, w
                                seen += 1
                                if excess[w] < 0:
                                    end = w
                                    break
                    if end < 0:
                        break
                    v, flow = end, -excess[end]
                    while came[v] < 4:
                        d = came[v]
                        v -= step[d]
                        flow = min(flow, left[v, d])
                    flow = min(flow, excess[v])
                    excess[v] -= flow
                    excess[end] += flow
                    least += flow
                    v = end
                    while came[v] < 4:
                        d = came[v]
                        left[v, d ^ 1] += flow
                        v -= step[d]
                        left[v, d] -= flow
                if least >= now:
                    continue
                moved = True
                for i in range(size):
                    v = node[i]
                    count[label[v]] -= 1
                    label[v] = a if came[v] >= 0 else b
                    count[label[v]] += 1
    return label
