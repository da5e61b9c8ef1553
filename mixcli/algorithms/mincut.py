"""The minimum cut between a source and a sink, which solves labellings of a grid with a convex cost exactly.

Dinic's maximum flow (1970) in whole numbers, compiled; scipy's where numba is absent. Both give the same cut: of all
minimum cuts the one with the fewest nodes on the source's side, which does not depend on the flow that found it.

Two nodes between which a flow of 3 is possible; cutting the arc between them costs less than cutting either end:

>>> ends, middle = np.array([[5, 0], [0, 4]]), np.array([3])
>>> source_side(Graph(*ends, tail=np.array([0]), head=np.array([1]), forward=middle, backward=0 * middle)).tolist()
[True, False]
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mixcli.jit import have_numba, njit

LIMIT = 2**30 - 1  # of a capacity: what is left of an arc is up to the sum of both its directions, in scipy 31 bits
BITS = 28  # of the largest cost that `whole` rounds: four costs may be added before they reach the limit


class Graph(NamedTuple):
    """Nodes between a source and a sink, and arcs between nodes; capacities are whole numbers, 0 to LIMIT."""

    source: np.ndarray  # (n,) capacity from the source to each node
    sink: np.ndarray  # (n,) and from each node to the sink
    tail: np.ndarray  # (m,) node
    head: np.ndarray  # (m,) node
    forward: np.ndarray  # (m,) capacity from tail to head, which parallel arcs share LIMIT for
    backward: np.ndarray  # (m,) and back


def source_side(graph: Graph) -> np.ndarray:
    """Nodes on the source's side of the smallest minimum cut: those that a maximum flow still leaves in its reach.

    -> (n,) bool. Without the GIL. Raises ValueError.
    """
    graph = Graph(*(np.ascontiguousarray(x, np.int64) for x in graph))
    _check(graph)
    return _by_dinic(**graph._asdict()) if have_numba() else _by_scipy(graph)


def whole(costs: np.ndarray) -> np.ndarray:
    """Costs as whole numbers, each row by its own factor, a power of two: the largest in size gets BITS bits.

    (B,...) f64 -> (B,...) i64. Half a unit of rounding is then 2^-28 of a row's largest cost, or less.

    >>> whole(np.array([[0.75, -0.5], [0.0, 0.0]])).tolist() == [[3 * 2**26, -(2**27)], [0, 0]]
    True
    """
    most = np.abs(costs).max(axis=tuple(range(1, costs.ndim)), keepdims=True, initial=0)
    return np.rint(np.ldexp(costs, BITS - np.frexp(most)[1])).astype(np.int64)


def _check(graph: Graph) -> None:
    source, sink, tail, head, forward, backward = graph
    if not len(source) == len(sink) or not len(tail) == len(head) == len(forward) == len(backward):
        raise ValueError("source and sink must have one length, and so must tail, head, forward and backward")
    for capacity in (source, sink, forward, backward):
        if capacity.size and not 0 <= capacity.min() <= capacity.max() <= LIMIT:
            raise ValueError(f"capacities must be from 0 to {LIMIT}; scale them")
    for node in (tail, head):
        if node.size and not 0 <= node.min() <= node.max() < len(source):
            raise ValueError(f"nodes must be from 0 to {len(source) - 1}")


@njit(error_model="numpy")
def _by_dinic(
    source: np.ndarray,
    sink: np.ndarray,
    tail: np.ndarray,
    head: np.ndarray,
    forward: np.ndarray,
    backward: np.ndarray,
) -> np.ndarray:
    """Flow from nodes with more from the source than to the sink, to those with less, by levels from the former.

    Every level may end a path, not only the first that can: what still wants flow is further away in the next round,
    so there are no more rounds than nodes.
    """
    n, m = len(source), len(tail)
    excess = source - sink
    start = np.zeros(n + 1, np.int64)
    for e in range(m):
        start[tail[e] + 1] += 1
        start[head[e] + 1] += 1
    for v in range(n):
        start[v + 1] += start[v]
    place = start[:-1].copy()
    left, other, mate = np.empty(2 * m, np.int64), np.empty(2 * m, np.int64), np.empty(2 * m, np.int64)
    for e in range(m):  # arcs lie by the node they leave: what is left of each, where it leads, the same one backward
        i = place[tail[e]]
        place[tail[e]] += 1
        j = place[head[e]]
        place[head[e]] += 1
        left[i], other[i], mate[i] = forward[e], head[e], j
        left[j], other[j], mate[j] = backward[e], tail[e], i
    level, queue, path = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    while True:
        level[:] = -1
        seen, wanting = 0, 0
        for v in range(n):
            if excess[v] > 0:
                level[v], queue[seen] = 0, v
                seen += 1
        at = 0
        while at < seen:
            v = queue[at]
            at += 1
            wanting += excess[v] < 0
            for i in range(start[v], start[v + 1]):
                if left[i] > 0 and level[other[i]] < 0:
                    level[other[i]], queue[seen] = level[v] + 1, other[i]
                    seen += 1
        if wanting == 0:
            return level >= 0
        place[:] = start[:-1]
        for at in range(seen):
            depth, path[0] = 0, queue[at]
            while excess[path[0]] < 0:  # search back to level 0; a node's place is where it goes on
                v = path[depth]
                if level[v] > 0:
                    i = place[v]
                    while i < start[v + 1] and (left[mate[i]] == 0 or level[other[i]] != level[v] - 1):
                        i += 1
                    place[v] = i
                    if i < start[v + 1]:
                        depth += 1
                        path[depth] = other[i]
                        continue
                elif excess[v] > 0:
                    flow = min(excess[v], -excess[path[0]])
                    for k in range(depth):
                        flow = min(flow, left[mate[place[path[k]]]])
                    excess[v] -= flow
                    excess[path[0]] += flow
                    for k in range(depth - 1, -1, -1):
                        i = place[path[k]]
                        left[i] += flow
                        left[mate[i]] -= flow
                        if left[mate[i]] == 0:
                            depth = k
                    continue
                if depth == 0:
                    break
                depth -= 1
                place[path[depth]] += 1


def _by_scipy(graph: Graph) -> np.ndarray:
    """The same by scipy, over nodes 1 to n between the source, 0, and the sink, n + 1."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    source, sink, tail, head, forward, backward = graph
    n = len(source)
    node, through = np.arange(1, n + 1), np.minimum(source, sink)  # what flows through one node alone does not matter
    start = np.concatenate([np.zeros(n, np.int64), node, tail + 1, head + 1])
    end = np.concatenate([node, np.full(n, n + 1), head + 1, tail + 1])
    capacity = np.concatenate([source - through, sink - through, forward, backward])
    arcs = csr_array((capacity, (start, end)), (n + 2, n + 2))
    arcs.sum_duplicates()
    if arcs.nnz and arcs.data.max() > LIMIT:
        raise ValueError(f"capacities of parallel arcs must add up to {LIMIT} at most; scale them")
    arcs = arcs.astype(np.int32)
    left = arcs - maximum_flow(arcs, 0, n + 1, method="dinic").flow
    left.eliminate_zeros()
    reached = np.zeros(n + 2, bool)
    reached[breadth_first_order(left, 0, return_predecessors=False)] = True
    return reached[1:-1]
