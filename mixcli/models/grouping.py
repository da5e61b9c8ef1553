"""Sampling and grouping as PointNet++ does it: farthest points, balls, and maxima over balls of differing size."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mixcli.data.prepared_clouds import farthest
from mixcli.jit import njit
from mixcli.models import kernels


def farthest_points(xyz: Tensor, count: int, start: Tensor) -> Tensor:
    """Farthest-point sampling: indices (B, count) of points of xyz (B, N, 3), each the farthest from those before it.

    The first is ``start`` (B,); of equally far points the lowest index wins. Not differentiated.
    """
    xyz = xyz.detach()
    picked = torch.empty(len(xyz), count, dtype=torch.int64, device=xyz.device)
    if kernels.native(xyz):
        for b in range(len(xyz)):
            picked[b] = torch.from_numpy(farthest(xyz[b].numpy(), count, int(start[b])))
        return picked
    batch, here = torch.arange(len(xyz), device=xyz.device), start.long()
    away = torch.full(xyz.shape[:2], torch.inf, dtype=xyz.dtype, device=xyz.device)
    for i in range(count):
        picked[:, i] = here
        away = torch.minimum(away, (xyz - xyz[batch, here][:, None]).square().sum(-1))
        here = away.argmax(1)
    return picked


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
    _ball_pairs(
        xyz=xyz.T.contiguous().numpy(),
        centres=centres.numpy(),
        limit=limit,
        most=most,
        point=point.numpy(),
        offsets=offsets.numpy(),
    )
    counts = offsets.diff()
    return Pairs(point[: offsets[-1]], torch.arange(len(centres)).repeat_interleave(counts), offsets)


@njit()
def _ball_pairs(
    xyz: np.ndarray, centres: np.ndarray, limit: float, most: int, point: np.ndarray, offsets: np.ndarray
) -> None:  # (3, N), (S, 3) -> (S·most,), (S + 1,)
    x, y, z = xyz[0], xyz[1], xyz[2]
    inside, near = np.empty(len(x), np.bool_), np.empty(len(x), np.int32)
    for s in range(len(centres)):
        cx, cy, cz = centres[s]
        for j in range(len(x)):
            dx, dy, dz = x[j] - cx, y[j] - cy, z[j] - cz
            inside[j] = dx * dx + dy * dy + dz * dz <= limit
        count = 0
        for j in range(len(x)):
            near[count] = j
            count += inside[j]
        count = min(count, most)
        at = offsets[s]
        point[at : at + count] = near[:count]
        offsets[s + 1] = at + count


def segment_max(y: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """Per segment and channel, the largest of y (P, C) over its rows and that row: (S, C), (S, C). CPU only."""
    values = y.new_empty(len(offsets) - 1, y.shape[1])
    arg = torch.empty(values.shape, dtype=torch.int32)
    _segment_max(y.numpy(), offsets.numpy(), values.numpy(), arg.numpy())
    return values, arg


@njit()
def _segment_max(
    y: np.ndarray, offsets: np.ndarray, values: np.ndarray, arg: np.ndarray
) -> None:  # (P, C), (S + 1,) -> (S, C), (S, C)
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
def _add_rows(g: np.ndarray, index: np.ndarray, out: np.ndarray) -> None:  # (P, C), (P,) -> (count, C)
    for i in range(len(g)):
        row, to = g[i], out[index[i]]
        for c in range(len(row)):
            to[c] += row[c]
