"""Changing single blocks of a group's outputs as long as that lowers Co-Mixup's objective itself. Compiled.

The cuts of `comix.cuts` take the penalty for over-use as a price of each input, as it is before they move. What a
move does to the other outputs is not in it: an input may pass the threshold for them. Here every change is judged by
all of the objective.
"""

from __future__ import annotations

import numpy as np

from mixcli.algorithms.comix.problem import Problem
from mixcli.jit import njit

LEAST = 1e-10  # that a change must gain: far above rounding, far below any cost
SWEEPS = 100  # over all blocks, at most, should rounding ever let changes go in circles
FORMS = {"hard": 0, "soft": 1, "published": 2}


def descended(labels: np.ndarray, problem: Problem, extra: np.ndarray) -> np.ndarray:
    """Labels (m,N,2) i64, changed block by block while one gains. extra (m,m) f64: of each input in each output."""
    labels, p = labels.copy(), problem
    cost = np.ascontiguousarray(p.cost.reshape(len(p.cost), -1).T)
    _descend.available()(
        labels=labels,
        cost=cost,
        extra=extra,
        A=p.compatibility,
        diversity=p.diversity,
        limit=p.limit,
        form=FORMS[p.form],
        edge=p.smoothness / 4,
        width=p.cost.shape[2],
    )
    return labels


@njit(error_model="numpy")
def _descend(
    labels: np.ndarray,
    cost: np.ndarray,
    extra: np.ndarray,
    A: np.ndarray,
    diversity: float,
    limit: float,
    form: int,
    edge: float,
    width: int,
) -> None:
    """labels (J,N,2) i64 in and out; cost (N,m), extra (J,m), A (m,m) symmetric; edge: a quarter of β.

    Of each block in turn the best change: to any input, or to halves of two that the output has. No output gets
    more inputs than blocks. `counts` are the blocks that each output has of each input, `total` their sum over the
    outputs, `seen` A times the sum over the others, `own` A times the output's; `relief` is what is paid for each
    input, the most that taking it out of a block can save where A is the identity. A is nearly that: changes that
    would not gain with it are not looked at any further, the others are made if they gain with A.
    """
    outputs, n, m = len(labels), len(cost), len(A)
    counts, total = np.zeros((outputs, m)), np.zeros(m)
    for j in range(outputs):
        for v in range(n):
            for half in range(2):
                counts[j, labels[j, v, half]] += 0.5
                total[labels[j, v, half]] += 0.5
    seen, own = np.zeros((outputs, m)), np.zeros((outputs, m))
    for j in range(outputs):
        for i in range(m):
            for k in range(m):
                own[j, i] += A[i, k] * counts[j, k]
                seen[j, i] += A[i, k] * (total[k] - counts[j, k])
    change, shift, relief, column = np.zeros(m), np.zeros(m), np.zeros(m), np.zeros(4, np.int64)
    used, near, option = np.empty(m, np.int64), np.empty((4, 2), np.int64), np.empty((m + m * m // 2, 2), np.int64)
    stale, still = True, 0
    for _ in range(SWEEPS):
        if still >= outputs * n:  # blocks since the last change
            break
        for j in range(outputs):
            for v in range(n):
                if stale:
                    stale = False
                    relief[:] = 0
                    for k in range(outputs):
                        for i in range(m):
                            if seen[k, i] > limit and form == 2:
                                relief += own[k, i] * (total[i] - counts[k, i])
                            elif seen[k, i] > limit:
                                relief[i] += counts[k, i] * (seen[k, i] - limit * form)
                inputs, options = 0, 0
                for i in range(m):
                    if counts[j, i] > 0:
                        used[inputs] = i
                        inputs += 1
                for i in range(m):
                    if counts[j, i] > 0 or inputs < n:
                        option[options, 0], option[options, 1] = i, i
                        options += 1
                for i in range(inputs):
                    for k in range(i):
                        option[options, 0], option[options, 1] = used[k], used[i]
                        options += 1
                beside = 0
                for d in range(4):
                    y, x = v // width + (d == 1) - (d == 0), v % width + (d == 3) - (d == 2)
                    if 0 <= y < n // width and 0 <= x < width:
                        near[beside, 0], near[beside, 1] = labels[j, y * width + x, 0], labels[j, y * width + x, 1]
                        beside += 1
                f, s = labels[j, v, 0], labels[j, v, 1]
                now, best, to, other = 0.0, -LEAST, -1, -1
                for o in range(-1, options):  # first the label that it has
                    c, e = (f, s) if o < 0 else (option[o, 0], option[o, 1])
                    local = 0.5 * (cost[v, c] + cost[v, e] + extra[j, c] + extra[j, e]) - now
                    for t in range(beside):
                        g, h = near[t, 0], near[t, 1]
                        alike = int(c == g) + int(c == h) + int(e == g) + int(e == h)
                        local += edge * ((2 if c == e else 1) + (2 if g == h else 1) - alike)
                    if o < 0:
                        now = local
                        continue
                    if local - diversity * (relief[f] + relief[s]) >= best or (c == f and e == s):
                        continue
                    columns = 0
                    for i, by in ((f, -0.5), (s, -0.5), (c, 0.5), (e, 0.5)):
                        listed = False
                        for t in range(columns):
                            listed = listed or column[t] == i
                        if not listed:
                            column[columns], change[i] = i, 0.0
                            columns += 1
                        change[i] += by
                    for i in range(m):
                        shift[i] = 0.5 * (A[i, c] + A[i, e] - A[i, f] - A[i, s])
                    gain = 0.0
                    for few in (True, False):  # these columns first: of the others A lets little through
                        paid = 0.0
                        for k in range(outputs):
                            mine = 1.0 if k == j else 0.0
                            for t in range(columns if few else m):
                                i = column[t] if few else t
                                sees = seen[k, i] + (1 - mine) * shift[i]
                                if form == 2:
                                    had, has = own[k, i], own[k, i] + mine * shift[i]
                                    others = total[i] - counts[k, i]
                                    before, after = others, others + (1 - mine) * change[i]
                                else:
                                    had, has = counts[k, i], counts[k, i] + mine * change[i]
                                    before, after = seen[k, i] - limit * form, sees - limit * form
                                paid += has * after if sees > limit else 0.0
                                paid -= had * before if seen[k, i] > limit else 0.0
                        gain = local + diversity * paid
                        if gain >= best:
                            break
                    for t in range(columns):
                        change[column[t]] = 0.0
                    if gain < best:
                        best, to, other = gain, c, e
                still += 1
                if to < 0:
                    continue
                stale, still = True, 0
                for i, by in ((f, -0.5), (s, -0.5), (to, 0.5), (other, 0.5)):
                    counts[j, i] += by
                    total[i] += by
                    for k in range(m):
                        own[j, k] += by * A[k, i]
                        for o in range(outputs):
                            if o != j:
                                seen[o, k] += by * A[k, i]
                labels[j, v, 0], labels[j, v, 1] = to, other
