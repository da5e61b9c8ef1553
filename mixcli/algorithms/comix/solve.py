"""Co-Mixup's objective over a group of images, and its minimisation (Kim, Choo, Jeong and Song, ICLR 2021).

Each block of each output comes from one input of the group, or half and half from two. The objective wants salient
blocks, neighbours of one input, and no input in too many outputs. Of z_jk, the shares of the inputs in block k of
output j, and Z_j, their sum over the blocks,

    sum_jk c·z_jk + β/2 sum_(k,k') |z_jk - z_jk'|² + γ sum_j T(A sum_(i≠j) Z_i)·Z_j

with c of saliency and prior, T zero up to a threshold, A nearly the identity. The last term is not submodular, so as
in the paper rounds go over the outputs, and each output is labelled anew by exact cuts, for the penalty that the
others leave it with (`comix_cuts`). A copy of what each round leaves then descends on the objective itself
(`comix_descent`), and the best of them is the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mixcli.algorithms.comix.cuts import relabelled
from mixcli.algorithms.comix.descent import descended

LEAN = 5e-4  # by which a cut has halves of two inputs cheaper than their mean, published
TOP = 3  # inputs of an output of which a cut tries halves, published


@dataclass(frozen=True)
class Problem:
    """A group of m inputs of h·w blocks, and as many outputs."""

    cost: np.ndarray  # (m,h,w) f64, c: of a block of each input, the same for all outputs
    compatibility: np.ndarray  # (m,m) f64, A: symmetric
    smoothness: float  # β, over the number of blocks
    diversity: float  # γ, over the number of blocks
    limit: float  # τ, times the number of blocks
    form: str = "hard"  # T: all of it above the threshold, "soft": what is above; or "published", see `penalty`


def objective(problem: Problem, z: np.ndarray) -> float:
    """What is minimised. z (J,h,w,m) f64, the shares of the inputs in each block, of sum 1.

    Two outputs, both of two blocks of one input: saliency 4·-1, no borders, and each sees its 2 blocks in the other:

    >>> problem = Problem(np.array([[[-1, -1]], [[0, 0]]]), np.eye(2), smoothness=1.0, diversity=0.1, limit=1.0)
    >>> round(objective(problem, np.eye(2)[np.zeros((2, 1, 2), int)]), 6)  # -4 + 0.1 (2·2 + 2·2)
    -3.2
    """
    counts = z.sum((1, 2))
    borders = sum(np.square(np.diff(z, axis=axis)).sum() for axis in (1, 2))
    overuse = (penalty(problem, counts.sum(0) - counts) * counts).sum()
    saliency = (np.moveaxis(problem.cost, 0, -1) * z).sum()
    return float(saliency + problem.smoothness / 2 * borders + problem.diversity * overuse)


def penalty(problem: Problem, others: np.ndarray) -> np.ndarray:
    """T(A p) of what the other outputs have of each input, p (...,m) f64 -> (...,m).

    "published": its code puts the threshold between A and p, `(A @ p > τ) * A @ p`, so that an over-used input
    costs where it is compatible, and one that is not over-used nothing anywhere.
    """
    A = problem.compatibility
    seen = (others[..., None, :] * A).sum(-1)
    over = seen > problem.limit
    if problem.form == "published":
        return ((over * others)[..., None, :] * A).sum(-1)
    return np.where(over, seen - (problem.limit if problem.form == "soft" else 0.0), 0.0)


def shares(labels: np.ndarray, m: int) -> np.ndarray:
    """z of labels (...,2) i64: the inputs of a block's two halves -> (...,m) f64."""
    return np.eye(m)[labels].mean(-2)


def counted(labels: np.ndarray, m: int) -> np.ndarray:
    """How many blocks each output has of each input. (J,N,2) i64 -> (J,m) f64, in halves."""
    row = np.arange(len(labels))[:, None, None] * m
    return np.bincount((row + labels).ravel(), minlength=len(labels) * m).reshape(-1, m) / 2


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
        found = descended(labels, problem, extra)
        z = shares(found.reshape(*start.shape, 2), m)
        value = len(alike(counted(found, m) > 0)) * resolve, objective(problem, z)
        if value < least:
            best, least = found, value
        if round_ and (labels == before).all():
            break
    return best.reshape(*start.shape, 2)


def _round(problem, labels, extra, halves):
    """Each output labelled anew, while the others stay as they are. (m,N,2) -> (m,N,2)"""
    (m, n, _), labels = labels.shape, labels.copy()
    cost, counts = problem.cost.reshape(m, n).T, counted(labels, m)
    for j in range(m):
        over = 2 * problem.diversity * penalty(problem, counts.sum(0) - counts[j])  # twice: i with j and j with i
        choices = _choices(counts[j] if halves else np.zeros(m))
        found = relabelled(cost + (over + extra[j]), choices, problem.smoothness, LEAN, problem.cost.shape[2])
        if len(set(found.ravel().tolist())) > n:  # no more inputs than blocks
            found[:, 1] = found[:, 0]
        labels[j], counts[j] = found, counted(found[None], m)
    return labels


def _choices(count):
    """Labels that a block may get: any input, and halves of those that the output has most of. (m,) -> (L,2)"""
    every, most = np.arange(len(count)), np.argsort(-count, kind="stable")[:TOP]
    most = sorted(most[count[most] > 0].tolist())
    return np.concatenate([np.stack([every, every], 1), np.array([*combinations(most, 2)], int).reshape(-1, 2)])


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
