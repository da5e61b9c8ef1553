"""Co-Mixup's objective over a group of images (Kim, Choo, Jeong and Song, ICLR 2021).

Each block of each output comes from one input of the group, or half and half from two. The objective wants salient
blocks, neighbours of one input, and no input in too many outputs. Of z_jk, the shares of the inputs in block k of
output j, and Z_j, their sum over the blocks,

    sum_jk c·z_jk + β/2 sum_(k,k') |z_jk - z_jk'|² + γ sum_j T(A sum_(i≠j) Z_i)·Z_j

with c of saliency and prior, T zero up to a threshold, A nearly the identity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
