"""Edge convolutions (DGCNN, Wang et al., ACM TOG 2019) without a tensor of edges, and their transposes.

The first layer on an edge [x_j - x_i, x_i] is W₁ x_j + (W₂ - W₁) x_i + b: products per point, not per edge. A second
layer runs on the edges of a block of points at a time, and its transpose only on edges that hold a maximum.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixcli.jit import njit
from mixcli.models import kernels
from mixcli.models.fold import Affine, Norm, fold, leaky_back
from mixcli.models.network import Pull

SLOPE = 0.2  # of every leaky ReLU in the published networks
BLOCK = 32  # points whose edges are in memory at a time: 32 points of 40 neighbours and 128 channels fit in the cache


class Block(nn.Sequential):
    """A 1x1 convolution, its BatchNorm and a leaky ReLU."""

    def __init__(self, conv: nn.Conv1d | nn.Conv2d, norm: Norm):
        super().__init__(conv, norm, nn.LeakyReLU(SLOPE))
        self.pair = conv, norm  # in a tuple, so that neither is saved under another name

    def folded(self) -> Affine:
        """The convolution with its BatchNorm."""
        return fold(*self.pair)


def block(conv: nn.Conv1d | nn.Conv2d) -> tuple[Norm, Block]:
    """A block and its BatchNorm, which published checkpoints save under a second name, before the block."""
    norm = (nn.BatchNorm2d if isinstance(conv, nn.Conv2d) else nn.BatchNorm1d)(conv.out_channels)
    return norm, Block(conv, norm)


def fold_edges(block: Block) -> Affine:
    """A convolution of edges with its BatchNorm, as one map (2C, in) to the parts of x_j and of x_i, side by side."""
    weight, bias = block.folded()
    near, here = weight.chunk(2, 1)
    return Affine(torch.cat([near, here - near]), torch.cat([torch.zeros_like(bias), bias]))


def edge_vjp(layer: Affine, x: Tensor, k: int) -> tuple[Tensor, Pull]:
    """One layer, then the max over a point's k edges: x (B, N, in) -> (B, N, C), and the transpose.

    The max acts on W₁ x_j alone, as the leaky ReLU is increasing.
    """
    near, here = F.linear(x, *layer).chunk(2, 2)
    most, arg = kernels.edge_max(near.contiguous(), kernels.knn(x, k))
    y = F.leaky_relu_(most.add_(here), SLOPE)

    def pull(g: Tensor) -> Tensor:
        g = leaky_back(g, y, SLOPE)
        return torch.cat([kernels.edge_scatter(g, arg, g.shape[1]), g], 2) @ layer.weight

    return y, pull


def edges_vjp(first: Affine, second: Affine, x: Tensor, k: int) -> tuple[Tensor, Pull]:
    """Two layers, then the max over a point's k edges: x (B, N, in) -> (B, N, D), and the transpose."""
    near, here = (part.contiguous() for part in F.linear(x, *first).chunk(2, 2))
    edges = Edges(near, here, kernels.knn(x, k), second.weight)
    most, at = hidden_max(edges)
    y = F.leaky_relu_(most.add_(second.bias), SLOPE)

    def pull(g: Tensor) -> Tensor:
        return torch.cat(hidden_scatter(leaky_back(g, y, SLOPE), at, edges), 2) @ first.weight

    return y, pull


# --- the second layer and the max -------------------------------------------------------------------------------


class Edges(NamedTuple):
    """What the second layer stands on: of an edge from i to j the first gives leaky(near_j + here_i)."""

    near: Tensor  # (B, N, C)
    here: Tensor  # (B, N, C)
    idx: Tensor  # (B, N, k) neighbours
    weight: Tensor  # (D, C) of the second layer


def hidden_max(edges: Edges) -> tuple[Tensor, Tensor]:
    """Per point i and output, the largest of weight · leaky(near_j + here_i) over its neighbours j.

    -> values (B, N, D), and (B, N, D) which of the k has it.
    """
    near, here, idx, weight = edges
    if not kernels.native(near):
        return (_hidden(near, here, idx) @ weight.T).max(2)
    points, k = idx.shape[1:]
    values = near.new_empty(*near.shape[:2], len(weight))
    at = torch.empty(values.shape, dtype=torch.int32)
    hidden, out = near.new_empty(BLOCK * k, near.shape[2]), near.new_empty(BLOCK * k, len(weight))
    slope = near.numpy().dtype.type(SLOPE)
    for b in range(len(near)):
        for start in range(0, points, BLOCK):
            rows = slice(start, min(start + BLOCK, points))
            count = (rows.stop - start) * k
            _gather(near[b].numpy(), here[b, rows].numpy(), idx[b, rows].numpy(), slope, hidden.numpy())
            torch.mm(hidden[:count], weight.T, out=out[:count])
            _max_of_k(out.numpy(), k, values[b, rows].numpy(), at[b, rows].numpy())
    return values, at


def _hidden(near: Tensor, here: Tensor, idx: Tensor) -> Tensor:
    """The first layer's outputs on all edges: (B, N, k, C)."""
    return F.leaky_relu_(near.flatten(0, 1)[_rows(idx)] + here[:, :, None], SLOPE)


def _rows(idx: Tensor) -> Tensor:
    """Points of each cloud as points of the whole batch: (B, N, k)."""
    return idx.long() + torch.arange(len(idx), device=idx.device).view(-1, 1, 1) * idx.shape[1]


@njit()
def _gather(
    near: np.ndarray, here: np.ndarray, idx: np.ndarray, slope: float, hidden: np.ndarray
) -> None:  # (N, C), (M, C), (M, k) -> (M·k, C)
    k = idx.shape[1]
    for i in range(len(idx)):
        own = here[i]
        for t in range(k):
            row, out = near[idx[i, t]], hidden[i * k + t]
            for c in range(len(out)):
                y = row[c] + own[c]
                out[c] = y if y > 0 else y * slope


@njit()
def _max_of_k(y: np.ndarray, k: int, values: np.ndarray, at: np.ndarray) -> None:  # (M·k, D) -> (M, D), (M, D)
    for i in range(len(values)):
        best, where = values[i], at[i]
        best[:] = y[i * k]
        where[:] = 0
        for t in range(1, k):
            row = y[i * k + t]
            for d in range(len(best)):
                larger = row[d] > best[d]
                best[d] = row[d] if larger else best[d]
                where[d] = t if larger else where[d]


def hidden_scatter(g: Tensor, at: Tensor, edges: Edges) -> tuple[Tensor, Tensor]:
    """The transpose of ``hidden_max`` at (near, here): g (B, N, D) -> (B, N, C) for near, (B, N, C) for here."""
    if not kernels.native(g):
        return _dense_scatter(g, at, edges)
    to_near, to_here = torch.zeros_like(edges.near), torch.zeros_like(edges.here)
    slope = edges.near.numpy().dtype.type(SLOPE)
    for b in range(len(g)):
        _hidden_scatter(
            g=g[b].contiguous().numpy(),
            at=at[b].numpy(),
            near=edges.near[b].numpy(),
            here=edges.here[b].numpy(),
            idx=edges.idx[b].numpy(),
            weight=edges.weight.numpy(),
            slope=slope,
            to_near=to_near[b].numpy(),
            to_here=to_here[b].numpy(),
        )
    return to_near, to_here


def _dense_scatter(g: Tensor, at: Tensor, edges: Edges) -> tuple[Tensor, Tensor]:
    """``hidden_scatter`` over all edges, in torch operations."""
    near, here, idx, weight = edges
    y = _hidden(near, here, idx)
    g = g.new_zeros(*idx.shape, g.shape[2]).scatter_(2, at.long()[:, :, None], g[:, :, None]) @ weight
    g = leaky_back(g, y, SLOPE)  # (B, N, k, C)
    to_near = torch.zeros_like(near).flatten(0, 1).index_put_((_rows(idx),), g, accumulate=True)
    return to_near.view_as(near), g.sum(2)


@njit()
def _hidden_scatter(  # to (N, C), (N, C)
    g: np.ndarray,
    at: np.ndarray,
    near: np.ndarray,
    here: np.ndarray,
    idx: np.ndarray,
    weight: np.ndarray,
    slope: float,
    to_near: np.ndarray,
    to_here: np.ndarray,
) -> None:
    k, channels = idx.shape[1], near.shape[1]
    edges, held = np.empty((k, channels), near.dtype), np.empty(k, np.bool_)
    for i in range(len(g)):
        held[:] = False
        for d in range(g.shape[1]):
            pulled, t = g[i, d], at[i, d]
            if pulled == 0:  # most points, below a max over the points
                continue
            row, to = weight[d], edges[t]
            if not held[t]:
                held[t] = True
                to[:] = 0
            for c in range(channels):
                to[c] += pulled * row[c]
        for t in range(k):
            if held[t]:
                row, own, to, j = near[idx[i, t]], here[i], edges[t], idx[i, t]
                for c in range(channels):
                    moved = to[c] if row[c] + own[c] > 0 else to[c] * slope
                    to_near[j, c] += moved
                    to_here[i, c] += moved
