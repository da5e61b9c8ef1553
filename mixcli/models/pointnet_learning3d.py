"""PointNet classification as the learning3d library saves it: a feature model without transform nets, and a head."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixcli.models import kernels
from mixcli.models.fold import Folded, Pull, fold
from mixcli.models.layout import Shape, layout
from mixcli.models.pointnet import Weights, critical_vjp


class Features(nn.Module):
    """Five pointwise layers, each with a bias and a BatchNorm."""

    def __init__(self, channels: int, emb: int):
        super().__init__()
        sizes = [channels, 64, 64, 64, 128, emb]
        for i in range(1, 6):
            setattr(self, f"conv{i}", nn.Conv1d(sizes[i - 1], sizes[i], 1))
            setattr(self, f"bn{i}", nn.BatchNorm1d(sizes[i]))

    def forward(self, x: Tensor) -> Tensor:
        """Point features (B, emb, N) of points (B, channels, N)."""
        for i in range(1, 6):
            x = F.relu(getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x)))
        return x


class PointNetLearning3d(Folded):
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
        model = self.feature_model
        points = [fold(getattr(model, f"conv{i}"), getattr(model, f"bn{i}")) for i in range(1, 6)]
        hidden = [fold(self.linear1, self.bn1), fold(self.linear2, self.bn2)]
        return Weights(points[:4], points[4], hidden, fold(self.linear3))

    @torch.no_grad()
    def vjp(self, x: Tensor) -> tuple[Tensor, Pull]:
        """Logits (B, classes) of x (B, N, channels), and their transpose: (B, classes) -> (B, N, channels)."""
        weights = self.weights()
        return kernels.per_cloud(lambda x: critical_vjp(weights, x), x)


def build(shapes: Mapping[str, Shape]) -> PointNetLearning3d:
    """The network whose checkpoint has these shapes."""
    return PointNetLearning3d(
        classes=shapes["linear3.weight"][0],
        channels=shapes["feature_model.conv1.weight"][1],
        emb=shapes["feature_model.conv5.weight"][0],
    )


LAYOUT = layout("pointnet_learning3d", build)
