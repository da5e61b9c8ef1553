"""PointNet classification without transform nets (Qi et al., CVPR 2017), as the DGCNN repositories train it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixcli.models import kernels
from mixcli.models.fold import Affine, Linear, Norm, chain, chain_back, fold, leaky_back
from mixcli.models.layout import Shape, layout
from mixcli.models.network import Pull
from mixcli.models.points import PointNetwork


class PointNet(PointNetwork["Weights"]):
    """Five pointwise layers, a max over the points, a head of two layers."""

    def __init__(self, classes: int = 40, channels: int = 3, emb: int = 1024, hidden: int = 512, dropout: float = 0.5):
        super().__init__()
        self.classes, self.channels = classes, channels
        self.conv1, self.bn1 = nn.Conv1d(channels, 64, 1, bias=False), nn.BatchNorm1d(64)
        self.conv2, self.bn2 = nn.Conv1d(64, 64, 1, bias=False), nn.BatchNorm1d(64)
        self.conv3, self.bn3 = nn.Conv1d(64, 64, 1, bias=False), nn.BatchNorm1d(64)
        self.conv4, self.bn4 = nn.Conv1d(64, 128, 1, bias=False), nn.BatchNorm1d(128)
        self.conv5, self.bn5 = nn.Conv1d(128, emb, 1, bias=False), nn.BatchNorm1d(emb)
        self.linear1 = nn.Linear(emb, hidden, bias=False)
        self.bn6 = nn.BatchNorm1d(hidden)
        self.linear2 = nn.Linear(hidden, classes)
        self.dropout = nn.Dropout(dropout)

    def points(self) -> list[tuple[Linear, Norm]]:
        """The pointwise layers, each with its BatchNorm."""
        first = [(self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)]
        return [*first, (self.conv4, self.bn4), (self.conv5, self.bn5)]

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of clouds (B, N, channels)."""
        x = x.transpose(1, 2)  # (B, C, N)
        for conv, norm in self.points():
            x = F.relu(norm(conv(x)))
        x = x.max(-1)[0]  # (B, emb)
        return self.linear2(self.dropout(F.relu(self.bn6(self.linear1(x)))))

    def fold(self) -> Weights:
        """Every layer as one affine map."""
        *points, widest = (fold(*pair) for pair in self.points())
        return Weights(points, widest, [fold(self.linear1, self.bn6)], fold(self.linear2))

    def cloud_vjp(self, weights: Weights, x: Tensor) -> tuple[Tensor, Pull]:
        """Logits (B, classes) of x (B, N, channels), and their transpose: (B, classes) -> (B, N, channels)."""
        return critical_vjp(weights, x)


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


LAYOUTS = (layout("pointnet", build),)
