"""What point networks do besides matrix products: neighbours, maxima over neighbours, sampling.

Each primitive has two forms with the same result: loops compiled by numba for a cloud on a CPU, and plain torch
operations elsewhere, which stay deterministic under ``torch.use_deterministic_algorithms``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UsageError
from ..jit import have_numba, njit
from .fold import Pull

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
    found = torch.empty(*x.shape[:2], k, dtype=torch.int32)
    products = x.new_empty(min(ROWS, x.shape[1]), x.shape[1])
    for cloud, square, out in zip(x, squares, found, strict=True):
        for rows, part in zip(cloud.split(ROWS), out.split(ROWS), strict=True):
            torch.mm(rows, cloud.T, out=products[: len(rows)])
            _nearest(products[: len(rows)].numpy(), square.numpy(), part.numpy())
    return found


@njit()
def _nearest(products, squares, found):  # (M, N), (N,) -> found (M, k)
    """Per row, the k largest of 2·product - square: the row's own square shifts all of them alike.

    A threshold comes first: the k-th largest of the maxima of interleaved lanes. At least k values reach it and few
    more do; only those are ranked, by counting, which vectorises. Of equal values the lowest index wins.
    """

    def kth_largest(values, k):
        best, met = values[0], False
        for i in range(len(values)):
            reached = np.int32(0)
            for j in range(len(values)):
                reached += np.int32(values[j] >= values[i])
            if reached >= k and (values[i] > best or not met):
                best, met = values[i], True
        return best

    points, k = products.shape[1], found.shape[1]
    lanes = 32
    while 2 * lanes < 3 * k:
        lanes *= 2
    padded = (points + lanes - 1) // lanes * lanes
    near = np.full(padded, -np.inf, squares.dtype)
    top, value = near[:lanes].copy(), near.copy()
    index = np.empty(padded, np.int32)
    for i in range(len(products)):
        row, out = products[i], found[i]
        for j in range(points):
            near[j] = row[j] + row[j] - squares[j]
        top[:] = near[:lanes]
        for start in range(lanes, padded, lanes):
            part = near[start : start + lanes]
            for j in range(lanes):
                top[j] = part[j] if part[j] > top[j] else top[j]
        threshold = kth_largest(top, k)
        count = 0
        for j in range(points):  # keeps what reaches the threshold, without a branch to mispredict
            index[count], value[count] = j, near[j]
            count += near[j] >= threshold
        full = (count + 15) // 16 * 16
        value[count:full] = -np.inf
        threshold = kth_largest(value[:full], k)
        out[:] = np.arange(k)  # for a row of NaN, which reaches nothing
        at = 0
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
def _edge_max(y, idx, values, arg):  # (N, C), (N, k) -> (N, C), (N, C)
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
def _edge_scatter(g, arg, out):  # (M, C), (M, C) -> (points, C)
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
def _point_max(y, best, who):  # (N, C) -> (C,), (C,)
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
def _leaky_sum(y, slope, total):  # (N, C) -> (C,)
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
def _leaky_spread(up, down, y, out):  # (C,), (C,), (N, C) -> (N, C)
    for i in range(len(y)):
        row, to = y[i], out[i]
        for c in range(len(row)):
            to[c] = up[c] if row[c] > 0 else down[c]


# --- sampling and grouping --------------------------------------------------------------------------------------


def farthest_points(xyz: Tensor, count: int, start: Tensor) -> Tensor:
    """Farthest-point sampling: indices (B, count) of points of xyz (B, N, 3), each the farthest from those before it.

    The first is ``start`` (B,); of equally far points the lowest index wins. Not differentiated.
    """
    xyz = xyz.detach()
    picked = torch.empty(len(xyz), count, dtype=torch.int64, device=xyz.device)
    if native(xyz):
        for b in range(len(xyz)):
            _farthest(xyz[b].T.contiguous().numpy(), int(start[b]), picked[b].numpy())
        return picked
    batch, here = torch.arange(len(xyz), device=xyz.device), start.long()
    away = torch.full(xyz.shape[:2], torch.inf, dtype=xyz.dtype, device=xyz.device)
    for i in range(count):
        picked[:, i] = here
        away = torch.minimum(away, (xyz - xyz[batch, here][:, None]).square().sum(-1))
        here = away.argmax(1)
    return picked


@njit()
def _farthest(xyz, here, picked):  # (3, N) -> (count,)
    x, y, z = xyz[0], xyz[1], xyz[2]
    lanes, points = 16, len(x)
    away = np.full(points, np.inf, xyz.dtype)
    most, who = np.empty(lanes, xyz.dtype), np.empty(lanes, np.int32)
    for i in range(len(picked)):
        picked[i] = here
        cx, cy, cz = x[here], y[here], z[here]
        for j in range(points):
            dx, dy, dz = x[j] - cx, y[j] - cy, z[j] - cz
            d = dx * dx + dy * dy + dz * dz
            away[j] = d if d < away[j] else away[j]
        most[:] = -1
        who[:] = 0
        whole = points - points % lanes
        for j in range(0, whole, lanes):  # one running maximum a lane, which vectorises
            part = away[j : j + lanes]
            for m in range(lanes):
                larger = part[m] > most[m]
                most[m] = part[m] if larger else most[m]
                who[m] = j + m if larger else who[m]
        here, d = who[0], most[0]
        for m in range(1, lanes):
            if most[m] > d or (most[m] == d and who[m] < here):
                here, d = who[m], most[m]
        for j in range(whole, points):
            if away[j] > d:
                here, d = j, away[j]


def ball_query(xyz: Tensor, centres: Tensor, radius: float, most: int) -> Tensor:
    """The first ``most`` points of xyz (B, N, 3) within the radius of each centre (B, S, 3): indices (B, S, most).

    A ball with fewer repeats its first point. Not differentiated.
    """
    xyz, centres = xyz.detach(), centres.detach()
    squares = centres.square().sum(-1)[:, :, None] + xyz.square().sum(-1)[:, None]
    outside = squares - 2 * centres @ xyz.transpose(1, 2) > radius**2
    idx = torch.arange(xyz.shape[1], device=xyz.device).expand_as(outside).masked_fill(outside, xyz.shape[1])
    idx = idx.sort(-1)[0][..., :most]
    return torch.where(idx == xyz.shape[1], idx[..., :1], idx)


class Pairs(NamedTuple):
    """The distinct neighbours of each centre, one pair after another."""

    point: Tensor  # (P,) int64
    centre: Tensor  # (P,) int64, ascending
    offsets: Tensor  # (S + 1,) int64: the pairs of centre s are offsets[s] : offsets[s + 1]


def ball_pairs(xyz: Tensor, centres: Tensor, radius: float, most: int) -> Pairs:
    """What ``ball_query`` finds for one cloud (N, 3) and its centres (S, 3), without repetitions. CPU only."""
    offsets = torch.zeros(len(centres) + 1, dtype=torch.int64)
    point = torch.empty(len(centres) * most, dtype=torch.int64)
    limit = xyz.numpy().dtype.type(radius**2)
    _ball_pairs(xyz.T.contiguous().numpy(), centres.numpy(), limit, most, point.numpy(), offsets.numpy())
    counts = offsets.diff()
    return Pairs(point[: offsets[-1]], torch.arange(len(centres)).repeat_interleave(counts), offsets)


@njit()
def _ball_pairs(xyz, centres, limit, most, point, offsets):  # (3, N), (S, 3) -> (S·most,), (S + 1,)
    x, y, z = xyz[0], xyz[1], xyz[2]
    inside, found = np.empty(len(x), np.bool_), np.empty(len(x), np.int32)
    for s in range(len(centres)):
        cx, cy, cz = centres[s]
        for j in range(len(x)):
            dx, dy, dz = x[j] - cx, y[j] - cy, z[j] - cz
            inside[j] = dx * dx + dy * dy + dz * dz <= limit
        count = 0
        for j in range(len(x)):
            found[count] = j
            count += inside[j]
        count = min(count, most)
        at = offsets[s]
        point[at : at + count] = found[:count]
        offsets[s + 1] = at + count


def segment_max(y: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """Per segment and channel, the largest of y (P, C) over its rows and that row: (S, C), (S, C). CPU only."""
    values = y.new_empty(len(offsets) - 1, y.shape[1])
    arg = torch.empty(values.shape, dtype=torch.int32)
    _segment_max(y.numpy(), offsets.numpy(), values.numpy(), arg.numpy())
    return values, arg


@njit()
def _segment_max(y, offsets, values, arg):  # (P, C), (S + 1,) -> (S, C), (S, C)
    for s in range(len(values)):
        best, who = values[s], arg[s]
        best[:] = y[offsets[s]]
        who[:] = offsets[s]
        for j in range(offsets[s] + 1, offsets[s + 1]):
            row = y[j]
            for c in range(len(row)):
                larger = row[c] > best[c]
                best[c] = row[c] if larger else best[c]
                who[c] = j if larger else who[c]


def add_rows(g: Tensor, index: Tensor, count: int) -> Tensor:
    """Rows of g (P, C) summed by their index (P,) -> (count, C). CPU only."""
    out = g.new_zeros(count, g.shape[1])
    _add_rows(g.numpy(), index.numpy(), out.numpy())
    return out


@njit()
def _add_rows(g, index, out):  # (P, C), (P,) -> (count, C)
    for i in range(len(g)):
        row, to = g[i], out[index[i]]
        for c in range(len(row)):
            to[c] += row[c]
