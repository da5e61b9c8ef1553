"""What point networks do besides matrix products: neighbours, maxima over neighbours, pools.

Each primitive has two forms with the same result: loops compiled by numba for a cloud on a CPU, and plain torch
operations elsewhere, which stay deterministic under ``torch.use_deterministic_algorithms``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mixcli.errors import UsageError
from mixcli.jit import have_numba, njit
from mixcli.models.network import Pull

ROWS = 256  # of the product matrix at a time: 256 rows of 1024 points fit in the L2 cache


def native(x: Tensor) -> bool:
    """Whether the compiled loops serve this tensor."""
    return x.device.type == "cpu" and have_numba()


def per_cloud(vjp: Callable[..., tuple[Tensor, Pull]], *batch: Tensor) -> tuple[Tensor, Pull]:
    """``vjp`` of each cloud of a batch alone; ``batch`` is x (B, N, C) and what else there is for each cloud.

    On a CPU that is faster than a batch, whose buffers leave the cache, and no cloud's result depends on its batch.
    Each is copied, since the bits of a matrix product may depend on where its factors lie.
    """
    if batch[0].device.type != "cpu":
        return vjp(*batch)
    logits, pulls = zip(*map(vjp, *([row.clone() for row in part.split(1)] for part in batch)), strict=True)
    return torch.cat(logits), lambda g: torch.cat([pull(row) for pull, row in zip(pulls, g.split(1), strict=True)])


# --- the k nearest neighbours -----------------------------------------------------------------------------------


def knn(x: Tensor, k: int) -> Tensor:
    """Indices (B, N, k) of the k points nearest to each point of x (B, N, C), itself among them."""
    if k > x.shape[1]:
        raise UsageError(f"the model takes {k} neighbours of each point, but a cloud has {x.shape[1]} points")
    squares = x.square().sum(-1)  # (B, N)
    if not native(x):
        return (2 * (x @ x.transpose(1, 2)) - squares[:, None, :]).topk(k, -1)[1]
    nearest = torch.empty(*x.shape[:2], k, dtype=torch.int32)
    products = x.new_empty(min(ROWS, x.shape[1]), x.shape[1])
    for cloud, square, out in zip(x, squares, nearest, strict=True):
        for rows, part in zip(cloud.split(ROWS), out.split(ROWS), strict=True):
            torch.mm(rows, cloud.T, out=products[: len(rows)])
            _nearest(products[: len(rows)].numpy(), square.numpy(), part.numpy())
    return nearest


@njit()
def _nearest(products: np.ndarray, squares: np.ndarray, nearest: np.ndarray) -> None:  # (M, N), (N,) -> nearest (M, k)
    """Per row, the k largest of 2·product - square: the row's own square shifts all of them alike.

    A threshold comes first: the k-th largest of the maxima of interleaved lanes. At least k values reach it and few
    more do; only those are ranked, by counting, which vectorises. Of equal values the lowest index wins.
    """

    def kth_largest(values: np.ndarray, k: int) -> float:
        best, met = values[0], False
        for i in range(len(values)):
            reached = np.int32(0)
            for j in range(len(values)):
                reached += np.int32(values[j] >= values[i])
            if reached >= k and (values[i] > best or not met):
                best, met = values[i], True
        return best

    points, k = products.shape[1], nearest.shape[1]
    lanes = 32
    while 2 * lanes < 3 * k:
        lanes *= 2
    padded = (points + lanes - 1) // lanes * lanes
    near = np.full(padded, -np.inf, squares.dtype)
    top, value, index = near[:lanes].copy(), near.copy(), np.empty(padded, np.int32)
    nearest[:] = np.arange(k)  # stays for a row of NaN, which reaches no threshold
    for i in range(len(products)):
        row, out = products[i], nearest[i]
        for j in range(points):
            near[j] = row[j] + row[j] - squares[j]
        top[:] = near[:lanes]
        for start in range(lanes, padded, lanes):
            part = near[start : start + lanes]
            for j in range(lanes):
                top[j] = part[j] if part[j] > top[j] else top[j]
        threshold, count = kth_largest(top, k), 0
        for j in range(points):  # keeps what reaches the threshold, without a branch to mispredict
            index[count], value[count] = j, near[j]
            count += near[j] >= threshold
        value[count : (count + 15) // 16 * 16] = -np.inf
        threshold, at = kth_largest(value[: (count + 15) // 16 * 16], k), 0
        for j in range(count):
            if value[j] > threshold:
                out[at] = index[j]
                at += 1
        for j in range(count):
            if value[j] == threshold and at < k:
                out[at] = index[j]
                at += 1


# --- edge convolution: the max over neighbours and its transpose ------------------------------------------------


def edge_max(y: Tensor, idx: Tensor) -> tuple[Tensor, Tensor]:
    """Per point and channel, the largest y among the point's neighbours and the neighbour that has it.

    y (B, N, C), idx (B, N, k) -> values (B, N, C), indices (B, N, C).
    """
    if not native(y):
        rows = idx.long() + torch.arange(len(y), device=y.device).view(-1, 1, 1) * y.shape[1]
        values, at = y.flatten(0, 1)[rows].max(2)  # over (B, N, k, C)
        return values, idx.long().gather(2, at)
    values, arg = torch.empty_like(y), torch.empty(y.shape, dtype=torch.int32)
    for b in range(len(y)):
        _edge_max(y[b].numpy(), idx[b].numpy(), values[b].numpy(), arg[b].numpy())
    return values, arg


@njit()
def _edge_max(
    y: np.ndarray, idx: np.ndarray, values: np.ndarray, arg: np.ndarray
) -> None:  # (N, C), (N, k) -> (N, C), (N, C)
    channels = y.shape[1]
    for i in range(idx.shape[0]):
        best, who = values[i], arg[i]
        first = idx[i, 0]
        best[:] = y[first]
        who[:] = first
        for t in range(1, idx.shape[1]):
            j = idx[i, t]
            row = y[j]
            for c in range(channels):
                larger = row[c] > best[c]
                best[c] = row[c] if larger else best[c]
                who[c] = j if larger else who[c]


def edge_scatter(g: Tensor, arg: Tensor, points: int) -> Tensor:
    """The transpose of ``edge_max``: g (B, M, C) summed at the points arg (B, M, C) -> (B, points, C)."""
    out = g.new_zeros(len(g), points, g.shape[2])
    if native(g):
        for b in range(len(g)):
            _edge_scatter(g[b].numpy(), arg[b].numpy(), out[b].numpy())
        return out
    batch = torch.arange(len(g), device=g.device).view(-1, 1, 1)
    flat = (batch * points + arg) * g.shape[2] + torch.arange(g.shape[2], device=g.device)
    return out.flatten().index_put_((flat.flatten(),), g.flatten(), accumulate=True).view_as(out)


@njit()
def _edge_scatter(g: np.ndarray, arg: np.ndarray, out: np.ndarray) -> None:  # (M, C), (M, C) -> (points, C)
    for i in range(g.shape[0]):
        for c in range(g.shape[1]):
            out[arg[i, c], c] += g[i, c]


# --- pooling over the points ------------------------------------------------------------------------------------


def point_max(y: Tensor) -> tuple[Tensor, Tensor]:
    """Per channel, the largest of y (B, N, C) over the points and the point that has it: (B, C), (B, C) int64."""
    if not native(y):
        return y.max(1)
    values, arg = y[:, 0].clone(), torch.zeros(len(y), y.shape[2], dtype=torch.int32)
    for b in range(len(y)):
        _point_max(y[b].numpy(), values[b].numpy(), arg[b].numpy())
    return values, arg.long()


@njit()
def _point_max(y: np.ndarray, best: np.ndarray, who: np.ndarray) -> None:  # (N, C) -> (C,), (C,)
    for i in range(len(y)):
        row = y[i]
        for c in range(len(row)):
            larger = row[c] > best[c]
            best[c] = row[c] if larger else best[c]
            who[c] = i if larger else who[c]


def leaky_mean(y: Tensor, slope: float) -> Tensor:
    """Per channel, the mean over the points of the leaky ReLU of y (B, N, C): (B, C)."""
    if not native(y):
        return F.leaky_relu(y, slope).mean(1)
    total = y.new_zeros(len(y), y.shape[2])
    for b in range(len(y)):
        _leaky_sum(y[b].numpy(), total.numpy().dtype.type(slope), total[b].numpy())
    return total / y.shape[1]


@njit()
def _leaky_sum(y: np.ndarray, slope: float, total: np.ndarray) -> None:  # (N, C) -> (C,)
    for i in range(len(y)):
        row = y[i]
        for c in range(len(row)):
            total[c] += row[c] if row[c] > 0 else row[c] * slope


def leaky_spread(g: Tensor, y: Tensor, slope: float) -> Tensor:
    """The transpose of the leaky ReLU at y (B, N, C), of one cotangent g (B, C) for all points: (B, N, C)."""
    if not native(y):
        return torch.where(y > 0, g[:, None], slope * g[:, None])
    out = torch.empty_like(y)
    for b in range(len(y)):
        _leaky_spread(g[b].numpy(), (slope * g[b]).numpy(), y[b].numpy(), out[b].numpy())
    return out


@njit()
def _leaky_spread(
    up: np.ndarray, down: np.ndarray, y: np.ndarray, out: np.ndarray
) -> None:  # (C,), (C,), (N, C) -> (N, C)
    for i in range(len(y)):
        row, to = y[i], out[i]
        for c in range(len(row)):
            to[c] = up[c] if row[c] > 0 else down[c]
