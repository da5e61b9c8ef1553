"""PointNet classification with both transform nets (Qi et al., CVPR 2017), with the keys of the common PyTorch port."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layout import Shape, layout


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


class PointNetTNet(nn.Module):
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


def build(shapes: Mapping[str, Shape]) -> PointNetTNet:
    """The network whose checkpoint has these shapes."""
    return PointNetTNet(classes=shapes["fc3.weight"][0], channels=shapes["feat.conv1.weight"][1])


LAYOUT = layout("pointnet_tnet", build)
