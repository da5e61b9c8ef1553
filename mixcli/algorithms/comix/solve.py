"""The minimisation of Co-Mixup's objective (`comix.problem`).

Its last term is not submodular, so as in the paper rounds go over the outputs, and each output is labelled anew by
exact cuts, for the penalty that the others leave it with (`comix.cuts`). A copy of what each round leaves then descends
on the objective itself (`comix.descent`), and the best of them is the result.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from mixcli.algorithms.comix.cuts import relabelled
from mixcli.algorithms.comix.descent import descended
from mixcli.algorithms.comix.problem import Problem, counted, objective, penalty, shares

LEAN = 5e-4  # by which a cut has halves of two inputs cheaper than their mean, published
TOP = 3  # inputs of an output of which a cut tries halves, published


def solve(problem: Problem, start: np.ndarray, rounds: int, resolve: bool = True) -> np.ndarray:
    """The inputs of both halves of each block, the lower first. start (m,h,w) i64 labels -> (m,h,w,2) i64.

    Among the rounds the one with fewest outputs alike, then of the least objective. `resolve` keeps outputs from
    having the same inputs: from the second round on, those that have cost more (`apart`).
    """
    m = len(start)
    labels = np.stack([start.reshape(m, -1)] * 2, -1)
    best, least = labels, (np.inf, np.inf)
    for round_ in range(rounds):
        before, extra = labels, np.zeros((m, m))
        if resolve and round_:
            extra = problem.diversity * apart(counted(labels, m) > 0)
        labels = _round(problem, labels, extra, halves=round_ > 0)
        lowest = descended(labels, problem, extra)
        z = shares(lowest.reshape(*start.shape, 2), m)
        value = len(alike(counted(lowest, m) > 0)) * resolve, objective(problem, z)
        if value < least:
            best, least = lowest, value
        if round_ and (labels == before).all():
            break
    return best.reshape(*start.shape, 2)


def _round(problem: Problem, labels: np.ndarray, extra: np.ndarray, halves: bool) -> np.ndarray:
    """Each output labelled anew, while the others stay as they are. (m,N,2) -> (m,N,2)"""
    (m, n, _), labels = labels.shape, labels.copy()
    cost, counts = problem.cost.reshape(m, n).T, counted(labels, m)
    for j in range(m):
        over = 2 * problem.diversity * penalty(problem, counts.sum(0) - counts[j])  # twice: i with j and j with i
        choices = _choices(counts[j] if halves else np.zeros(m))
        anew = relabelled(cost + (over + extra[j]), choices, problem.smoothness, LEAN, problem.cost.shape[2])
        if len(set(anew.ravel().tolist())) > n:  # no more inputs than blocks
            anew[:, 1] = anew[:, 0]
        labels[j], counts[j] = anew, counted(anew[None], m)
    return labels


def _choices(count: np.ndarray) -> np.ndarray:
    """Labels that a block may get: any input, and halves of those that the output has most of. (m,) -> (L,2)"""
    every, most = np.arange(len(count)), np.argsort(-count, kind="stable")[:TOP]
    halves = [*combinations(sorted(most[count[most] > 0].tolist()), 2)]
    return np.concatenate([np.stack([every, every], 1), np.array(halves, int).reshape(-1, 2)])


def alike(has: np.ndarray) -> np.ndarray:
    """Pairs of outputs that have the same inputs, more than one. (J,m) bool -> (P,2) i64."""
    differ = (has[:, None] != has).any(-1) | (has.sum(1) < 2)
    return np.argwhere(np.triu(~differ, 1))


def apart(has: np.ndarray) -> np.ndarray:
    """1 where an input shall leave an output: of two alike, one loses the first of them, the other the second.

    (J,m) bool -> (J,m) f64

    >>> apart(np.array([[True, True, False], [True, False, True], [True, True, False]])).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    cost = np.zeros(has.shape)
    for one, other in alike(has):
        first, second = np.flatnonzero(has[one])[:2]
        cost[one, first] = cost[other, second] = 1.0
    return cost
