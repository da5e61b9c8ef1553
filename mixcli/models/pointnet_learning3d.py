"""PointNet classification as the learning3d library saves it: a feature model without transform nets, and a head."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from mixcli.models.fold import Linear, Norm, fold
from mixcli.models.layout import Shape, layout
from mixcli.models.network import Pull
from mixcli.models.pointnet import Weights, critical_vjp
from mixcli.models.points import PointNetwork


class Features(nn.Module):
    """Five pointwise layers, each with a bias and a BatchNorm."""

    def __init__(self, channels: int, emb: int):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv1d(channels, 64, 1), nn.BatchNorm1d(64)
        self.conv2, self.bn2 = nn.Conv1d(64, 64, 1), nn.BatchNorm1d(64)
        self.conv3, self.bn3 = nn.Conv1d(64, 64, 1), nn.BatchNorm1d(64)
        self.conv4, self.bn4 = nn.Conv1d(64, 128, 1), nn.BatchNorm1d(128)
        self.conv5, self.bn5 = nn.Conv1d(128, emb, 1), nn.BatchNorm1d(emb)

    def points(self) -> list[tuple[Linear, Norm]]:
        """The layers, each with its BatchNorm."""
        first = [(self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)]
        return [*first, (self.conv4, self.bn4), (self.conv5, self.bn5)]

    def forward(self, x: Tensor) -> Tensor:
        """Point features (B, emb, N) of points (B, channels, N)."""
        for conv, norm in self.points():
            x = F.relu(norm(conv(x)))
        return x


class PointNetLearning3d(PointNetwork[Weights]):
    """The feature model, a max over the points, a head of three layers."""

    def __init__(self, classes: int = 40, channels: int = 3, emb: int = 1024, dropout: float = 0.7):
        super().__init__()
        self.classes, self.channels = classes, channels
        self.feature_model = Features(channels, emb)
        self.linear1, self.bn1 = nn.Linear(emb, 512), nn.BatchNorm1d(512)
        self.linear2, self.bn2 = nn.Linear(512, 256), nn.BatchNorm1d(256)
        self.linear3 = nn.Linear(256, classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of clouds (B, N, channels)."""
        x = self.feature_model(x.transpose(1, 2)).max(-1)[0]  # (B, emb)
        x = self.dropout(F.relu(self.bn1(self.linear1(x))))
        return self.linear3(self.dropout(F.relu(self.bn2(self.linear2(x)))))

    def fold(self) -> Weights:
        """Every layer as one affine map."""
        *points, widest = (fold(*pair) for pair in self.feature_model.points())
        hidden = [fold(self.linear1, self.bn1), fold(self.linear2, self.bn2)]
        return Weights(points, widest, hidden, fold(self.linear3))

    def cloud_vjp(self, weights: Weights, x: Tensor) -> tuple[Tensor, Pull]:
        """Logits (B, classes) of x (B, N, channels), and their transpose: (B, classes) -> (B, N, channels)."""
        return critical_vjp(weights, x)


def build(shapes: Mapping[str, Shape]) -> PointNetLearning3d:
    """The network whose checkpoint has these shapes."""
    return PointNetLearning3d(
        classes=shapes["linear3.weight"][0],
        channels=shapes["feature_model.conv1.weight"][1],
        emb=shapes["feature_model.conv5.weight"][0],
    )


LAYOUTS = (layout("pointnet_learning3d", build),)
