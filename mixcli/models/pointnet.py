"""PointNet classification without transform nets (Qi et al., CVPR 2017), as the DGCNN repositories train it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixcli.models import kernels
from mixcli.models.fold import Affine, Folded, Pull, chain, chain_back, fold, leaky_back
from mixcli.models.layout import Shape, layout


class PointNet(Folded):
    """Five pointwise layers, a max over the points, a head of two layers."""

    def __init__(self, classes: int = 40, channels: int = 3, emb: int = 1024, hidden: int = 512, dropout: float = 0.5):
        super().__init__()
        self.classes, self.channels = classes, channels
        sizes = [channels, 64, 64, 64, 128, emb]
        for i in range(1, 6):
            setattr(self, f"conv{i}", nn.Conv1d(sizes[i - 1], sizes[i], 1, bias=False))
            setattr(self, f"bn{i}", nn.BatchNorm1d(sizes[i]))
        self.linear1 = nn.Linear(emb, hidden, bias=False)
        self.bn6 = nn.BatchNorm1d(hidden)
        self.linear2 = nn.Linear(hidden, classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of clouds (B, N, channels)."""
        x = x.transpose(1, 2)  # (B, C, N)
        for i in range(1, 6):
            x = F.relu(getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x)))
        x = x.max(-1)[0]  # (B, emb)
        return self.linear2(self.dropout(F.relu(self.bn6(self.linear1(x)))))

    def fold(self) -> Weights:
        """Every layer as one affine map."""
        points = [fold(getattr(self, f"conv{i}"), getattr(self, f"bn{i}")) for i in range(1, 6)]
        return Weights(points[:4], points[4], [fold(self.linear1, self.bn6)], fold(self.linear2))

    @torch.no_grad()
    def vjp(self, x: Tensor) -> tuple[Tensor, Pull]:
        """Logits (B, classes) of x (B, N, channels), and their transpose: (B, classes) -> (B, N, channels)."""
        weights = self.weights()
        return kernels.per_cloud(lambda x: critical_vjp(weights, x), x)


class Weights(NamedTuple):
    """A network of pointwise layers, a max over the points and a head, with BatchNorm folded in."""

    points: list[Affine]
    widest: Affine  # the last pointwise layer
    hidden: list[Affine]
    last: Affine
    slope: float = 0.0  # below zero, of what follows the max: 0 for a ReLU, 1 for nothing


def critical_vjp(weights: Weights, x: Tensor) -> tuple[Tensor, Pull]:
    """Logits of x (B, N, C) and their transpose, which visits only the critical points: those that hold a maximum.

    Every other point has a gradient of exactly zero (the critical set of Qi et al., CVPR 2017, Theorem 2).
    """
    h, outputs = chain(weights.points, x)
    top, first = kernels.point_max(h @ weights.widest.weight.T)  # (B, E): the bias and the ReLU keep the order
    top += weights.widest.bias
    z, hidden = chain(weights.hidden, F.leaky_relu(top, weights.slope))

    def pull(g: Tensor) -> Tensor:
        g = chain_back(weights.hidden, hidden, g @ weights.last.weight)
        g = leaky_back(g, top, weights.slope)
        rows = first + torch.arange(len(x), device=x.device)[:, None] * x.shape[1]  # (B, E) into (B·N,)
        critical, where = rows.unique(return_inverse=True)
        spread = g.new_zeros(len(critical), g.shape[1])
        spread[where, torch.arange(g.shape[1], device=x.device)] = g  # a critical point is one cloud's: no collision
        at = [y.flatten(0, 1)[critical] for y in outputs]
        out = g.new_zeros(len(x) * x.shape[1], x.shape[2])
        out[critical] = chain_back(weights.points, at, spread @ weights.widest.weight)
        return out.view_as(x)

    return F.linear(z, *weights.last), torch.no_grad()(pull)


def build(shapes: Mapping[str, Shape]) -> PointNet:
    """The network whose checkpoint has these shapes."""
    return PointNet(
        classes=shapes["linear2.weight"][0],
        channels=shapes["conv1.weight"][1],
        emb=shapes["conv5.weight"][0],
        hidden=shapes["linear1.weight"][0],
    )


LAYOUT = layout("pointnet", build)
