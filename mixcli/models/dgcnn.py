"""DGCNN classification (Wang et al., ACM TOG 2019), with the keys that the common repositories save."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixcli.models import kernels
from mixcli.models.edges import SLOPE, block, edge_vjp, fold_edges
from mixcli.models.fold import Affine, chain, chain_back, fold, leaky_back
from mixcli.models.layout import Shape, layout
from mixcli.models.network import Pull
from mixcli.models.points import PointNetwork


class DGCNN(PointNetwork["Weights"]):
    """Four edge convolutions over the k nearest neighbours in feature space, then two pools and a head.

    ``k`` is 20 for clouds of 1024 points and 40 for 2048 in the published training runs.
    """

    def __init__(
        self,
        classes: int = 40,
        k: int = 20,
        channels: int = 3,
        widths: Sequence[int] = (64, 64, 128, 256),
        emb: int = 1024,
        hidden: Sequence[int] = (512, 256),
        dropout: float = 0.5,
    ):
        super().__init__()
        self.classes, self.k, self.channels = classes, k, channels
        self.bn1, self.conv1 = block(nn.Conv2d(2 * channels, widths[0], 1, bias=False))
        self.bn2, self.conv2 = block(nn.Conv2d(2 * widths[0], widths[1], 1, bias=False))
        self.bn3, self.conv3 = block(nn.Conv2d(2 * widths[1], widths[2], 1, bias=False))
        self.bn4, self.conv4 = block(nn.Conv2d(2 * widths[2], widths[3], 1, bias=False))
        self.bn5, self.conv5 = block(nn.Conv1d(sum(widths), emb, 1, bias=False))
        self.linear1 = nn.Linear(2 * emb, hidden[0], bias=False)
        self.bn6 = nn.BatchNorm1d(hidden[0])
        self.linear2 = nn.Linear(hidden[0], hidden[1])
        self.bn7 = nn.BatchNorm1d(hidden[1])
        self.linear3 = nn.Linear(hidden[1], classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of clouds (B, N, channels)."""
        x = x.transpose(1, 2)  # (B, C, N)
        levels = []
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = conv(edge_features(x, self.k)).max(-1)[0]
            levels.append(x)
        x = self.conv5(torch.cat(levels, 1))  # (B, emb, N)
        x = torch.cat([x.max(-1)[0], x.mean(-1)], 1)
        x = self.dropout(F.leaky_relu(self.bn6(self.linear1(x)), SLOPE))
        x = self.dropout(F.leaky_relu(self.bn7(self.linear2(x)), SLOPE))
        return self.linear3(x)

    def fold(self) -> Weights:
        """Every layer as an affine map."""
        edges = [fold_edges(conv) for conv in (self.conv1, self.conv2, self.conv3, self.conv4)]
        hidden = [fold(self.linear1, self.bn6), fold(self.linear2, self.bn7)]
        return Weights(edges, self.conv5.folded(), hidden, fold(self.linear3))

    def cloud_vjp(self, weights: Weights, x: Tensor) -> tuple[Tensor, Pull]:
        """Logits (B, classes) of x (B, N, channels), and their transpose: (B, classes) -> (B, N, channels)."""
        return _vjp(weights, self.k, x)


class Weights(NamedTuple):
    """BatchNorm folded in."""

    edges: list[Affine]  # (2C, in)
    points: Affine
    hidden: list[Affine]
    last: Affine


def _vjp(weights: Weights, k: int, x: Tensor) -> tuple[Tensor, Pull]:
    """``DGCNN.cloud_vjp``."""
    levels, pulls = [], []
    for layer in weights.edges:
        x, pull_level = edge_vjp(layer, x, k)
        levels.append(x)
        pulls.append(pull_level)
    y = F.linear(torch.cat(levels, 2), *weights.points)  # (B, N, emb)
    top, first = kernels.point_max(y)
    pooled = torch.cat([F.leaky_relu(top, SLOPE), kernels.leaky_mean(y, SLOPE)], 1)
    z, hidden = chain(weights.hidden, pooled, SLOPE)

    def pull(g: Tensor) -> Tensor:
        g = chain_back(weights.hidden, hidden, g @ weights.last.weight, SLOPE)
        g_top, g_mean = g.chunk(2, 1)
        spread = kernels.leaky_spread(g_mean / y.shape[1], y, SLOPE)
        spread.scatter_add_(1, first[:, None], leaky_back(g_top, top, SLOPE)[:, None])
        parts = (spread @ weights.points.weight).split([level.shape[2] for level in levels], 2)
        g = torch.zeros_like(parts[-1])
        for part, pull_level in zip(reversed(parts), reversed(pulls), strict=True):
            g = pull_level(g + part)
        return g

    return F.linear(z, *weights.last), torch.no_grad()(pull)


def neighbours(x: Tensor, k: int) -> Tensor:
    """Indices (B, N, k) of the k points nearest to each point of x (B, C, N), itself among them."""
    squares = x.square().sum(1, keepdim=True)  # (B, 1, N)
    closeness = 2 * (x.transpose(1, 2) @ x) - squares - squares.transpose(1, 2)
    return closeness.topk(k, dim=-1)[1]


def edge_features(x: Tensor, k: int) -> Tensor:
    """Edges [x_j - x_i, x_i] (B, 2C, N, k) of the neighbour graph of x (B, C, N)."""
    batch, channels, points = x.shape
    rows = neighbours(x, k) + torch.arange(batch, device=x.device).view(-1, 1, 1) * points
    flat = x.transpose(1, 2).reshape(batch * points, channels)
    near = flat[rows.flatten()].view(batch, points, k, channels)
    here = flat.view(batch, points, 1, channels).expand_as(near)
    return torch.cat([near - here, here], 3).permute(0, 3, 1, 2).contiguous()


def build(shapes: Mapping[str, Shape], k: int = 20) -> DGCNN:
    """The network whose checkpoint has these shapes; ``k`` is the number of neighbours."""
    widths = [shapes[f"conv{i}.0.weight"][0] for i in range(1, 5)]
    return DGCNN(
        classes=shapes["linear3.weight"][0],
        k=k,
        channels=shapes["conv1.0.weight"][1] // 2,
        widths=widths,
        emb=shapes["conv5.0.weight"][0],
        hidden=(shapes["linear1.weight"][0], shapes["linear2.weight"][0]),
    )


LAYOUTS = (layout("dgcnn", build, k=20),)
