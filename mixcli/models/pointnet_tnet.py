"""PointNet classification with both transform nets (Qi et al., CVPR 2017), with the keys of the common PyTorch port."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixcli.models import pointnet
from mixcli.models.fold import Affine, fold, leaky_back
from mixcli.models.layout import Shape, layout
from mixcli.models.network import Pull
from mixcli.models.pointnet import critical_vjp
from mixcli.models.points import PointNetwork


class TransformNet(nn.Module):
    """Predicts one size x size matrix per cloud, as an offset from the identity."""

    def __init__(self, channels: int, size: int):
        super().__init__()
        self.size = size
        self.conv1, self.bn1 = nn.Conv1d(channels, 64, 1), nn.BatchNorm1d(64)
        self.conv2, self.bn2 = nn.Conv1d(64, 128, 1), nn.BatchNorm1d(128)
        self.conv3, self.bn3 = nn.Conv1d(128, 1024, 1), nn.BatchNorm1d(1024)
        self.fc1, self.bn4 = nn.Linear(1024, 512), nn.BatchNorm1d(512)
        self.fc2, self.bn5 = nn.Linear(512, 256), nn.BatchNorm1d(256)
        self.fc3 = nn.Linear(256, size * size)

    def forward(self, x: Tensor) -> Tensor:
        """Matrices (B, size, size) for points (B, channels, N)."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        x = F.relu(self.bn3(self.conv3(x))).max(-1)[0]
        x = F.relu(self.bn5(self.fc2(F.relu(self.bn4(self.fc1(x))))))
        return self.fc3(x).view(-1, self.size, self.size) + torch.eye(self.size, dtype=x.dtype, device=x.device)


class Encoder(nn.Module):
    """Points to one global feature, through an input transform and a feature transform."""

    def __init__(self, channels: int):
        super().__init__()
        self.stn = TransformNet(channels, 3)
        self.conv1, self.bn1 = nn.Conv1d(channels, 64, 1), nn.BatchNorm1d(64)
        self.fstn = TransformNet(64, 64)
        self.conv2, self.bn2 = nn.Conv1d(64, 128, 1), nn.BatchNorm1d(128)
        self.conv3, self.bn3 = nn.Conv1d(128, 1024, 1), nn.BatchNorm1d(1024)

    def forward(self, x: Tensor) -> Tensor:
        """Global features (B, 1024) of points (B, channels, N); only the positions are transformed."""
        xyz = self.stn(x).transpose(1, 2) @ x[:, :3]
        x = F.relu(self.bn1(self.conv1(torch.cat([xyz, x[:, 3:]], 1))))
        x = self.fstn(x).transpose(1, 2) @ x
        return self.bn3(self.conv3(F.relu(self.bn2(self.conv2(x))))).max(-1)[0]


class PointNetTNet(PointNetwork["Weights"]):
    """The encoder and a head of three layers."""

    def __init__(self, classes: int = 40, channels: int = 3, dropout: float = 0.4):
        super().__init__()
        self.classes, self.channels = classes, channels
        self.feat = Encoder(channels)
        self.fc1, self.bn1 = nn.Linear(1024, 512), nn.BatchNorm1d(512)
        self.fc2, self.bn2 = nn.Linear(512, 256), nn.BatchNorm1d(256)
        self.fc3 = nn.Linear(256, classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Log-probabilities (B, classes) of clouds (B, N, channels)."""
        x = F.relu(self.bn1(self.fc1(self.feat(x.transpose(1, 2)))))
        x = F.relu(self.bn2(self.dropout(self.fc2(x))))
        return F.log_softmax(self.fc3(x), -1)

    def fold(self) -> Weights:
        """Three networks of pointwise layers, a max and a head, and the layer between the transforms."""
        feat = self.feat
        hidden = [fold(self.fc1, self.bn1), fold(self.fc2, self.bn2)]
        rest = pointnet.Weights(
            [fold(feat.conv2, feat.bn2)], fold(feat.conv3, feat.bn3), hidden, fold(self.fc3), slope=1.0
        )
        return Weights(transform_weights(feat.stn), fold(feat.conv1, feat.bn1), transform_weights(feat.fstn), rest)

    def cloud_vjp(self, weights: Weights, x: Tensor) -> tuple[Tensor, Pull]:
        """Logits (B, classes) of x (B, N, channels), and their transpose: (B, classes) -> (B, N, channels)."""
        return _vjp(weights, x)


class Weights(NamedTuple):
    """BatchNorm folded in."""

    stn: pointnet.Weights
    between: Affine
    fstn: pointnet.Weights
    rest: pointnet.Weights  # no ReLU after its max


def transform_weights(net: TransformNet) -> pointnet.Weights:
    """A transform net without its identity matrix."""
    points = [fold(net.conv1, net.bn1), fold(net.conv2, net.bn2)]
    hidden = [fold(net.fc1, net.bn4), fold(net.fc2, net.bn5)]
    return pointnet.Weights(points, fold(net.conv3, net.bn3), hidden, fold(net.fc3))


def _vjp(weights: Weights, x: Tensor) -> tuple[Tensor, Pull]:
    """``PointNetTNet.cloud_vjp``: each of the three maxima passes its gradient through critical points alone."""
    xyz, normals = x[..., :3], x[..., 3:]
    move, pull_move = transform_vjp(weights.stn, x)  # (B, 3, 3)
    h = F.relu_(F.linear(torch.cat([xyz @ move, normals], 2), *weights.between))  # (B, N, 64)
    turn, pull_turn = transform_vjp(weights.fstn, h)  # (B, 64, 64)
    z, pull_rest = critical_vjp(weights.rest, h @ turn)

    def pull(g: Tensor) -> Tensor:
        g = pull_rest(g)
        g = g @ turn.transpose(1, 2) + pull_turn(h.transpose(1, 2) @ g)
        g_xyz, g_normals = (leaky_back(g, h, 0) @ weights.between.weight).split((3, normals.shape[2]), 2)
        g = torch.cat([g_xyz @ move.transpose(1, 2), g_normals], 2)
        return g + pull_move(xyz.transpose(1, 2) @ g_xyz)

    return z, torch.no_grad()(pull)


def transform_vjp(weights: pointnet.Weights, x: Tensor) -> tuple[Tensor, Pull]:
    """Matrices (B, size, size) for x (B, N, C), and their transpose: (B, size, size) -> (B, N, C)."""
    flat, pull = critical_vjp(weights, x)
    size = round(flat.shape[1] ** 0.5)
    matrix = flat.view(-1, size, size) + torch.eye(size, dtype=x.dtype, device=x.device)
    return matrix, lambda g: pull(g.flatten(1))


def build(shapes: Mapping[str, Shape]) -> PointNetTNet:
    """The network whose checkpoint has these shapes."""
    return PointNetTNet(classes=shapes["fc3.weight"][0], channels=shapes["feat.conv1.weight"][1])


LAYOUTS = (layout("pointnet_tnet", build),)
