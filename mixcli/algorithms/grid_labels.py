"""Labels on a grid: the exact minimum of what each cell's label costs and of the squares by which neighbours differ.

Of L labels, each cell asks L - 1 times "above k?", and every question is a node of a graph; since a square is convex,
one minimum cut answers them all (Ishikawa, PAMI 2003).
"""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np

from mixcli.algorithms.mincut import LIMIT, Graph, source_side, whole

MOST_LABELS = 4  # up to here an answer "above k + 1, not above k" costs more than it can save


def labels(unary: np.ndarray, down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The labels x of least sum of unary[x] and of weight · ((x - y) / (L - 1))² over neighbours x and y.

    unary (B,L,h,w) f64, of 2 to MOST_LABELS labels; weights down (B,h-1,w) and right (B,h,w-1) f64, not negative ->
    (B,h,w) i64. Costs are rounded to 2^-28 of a grid's largest. Of equal minima the one with the lowest labels.

    >>> labels(np.array([[[[0.0, 1.0]], [[3.0, 0.0]]]]), np.zeros((1, 0, 2)), np.array([[[0.9]]])).tolist()
    [[[0, 1]]]
    """
    batch, count, *size = unary.shape
    step = np.diff(unary, axis=1).reshape(batch, -1)  # what it costs to be above k
    weight = np.concatenate([down.reshape(batch, -1), right.reshape(batch, -1)], 1) / (count - 1) ** 2
    step, weight = np.split(whole(np.concatenate([step, weight], 1)), [step.shape[1]], 1)
    tail, head = _arcs(count - 1, *size)
    sides = [
        source_side(Graph(source, sink, tail=tail, head=head, forward=forward, backward=backward))
        for source, sink, forward, backward in zip(
            np.maximum(-step, 0), np.maximum(step, 0), *_capacities(weight, count - 1, size), strict=True
        )
    ]
    return np.reshape(sides, (batch, count - 1, *size)).sum(1)


@cache
def _arcs(levels: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Tails and heads: between neighbours at one level, from a higher to a lower one, and down within each cell."""
    node = np.arange(levels * height * width).reshape(levels, height, width)
    first = np.concatenate([node[:, :-1].reshape(levels, -1), node[:, :, :-1].reshape(levels, -1)], 1)
    second = np.concatenate([node[:, 1:].reshape(levels, -1), node[:, :, 1:].reshape(levels, -1)], 1)
    tail, head = [*first], [*second]
    for low, high in combinations(range(levels), 2):
        tail += [first[high], second[high]]
        head += [second[low], first[low]]
    return np.concatenate([*tail, node[1:].ravel()]), np.concatenate([*head, node[:-1].ravel()])


def _capacities(weight: np.ndarray, levels: int, size: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Of `_arcs`, forward and backward, for weights (B,e) of neighbours -> (B,m) i64 ×2.

    A difference of d counts d² times: once at each of d levels, twice for each two of them.
    """
    batch, within = len(weight), (levels - 1) * size[0] * size[1]
    level, across = np.tile(weight, levels), np.tile(2 * weight, levels * (levels - 1))
    forward = np.concatenate([level, across, np.full((batch, within), LIMIT)], 1)
    return forward, np.concatenate([level, np.zeros_like(across), np.zeros((batch, within), np.int64)], 1)
