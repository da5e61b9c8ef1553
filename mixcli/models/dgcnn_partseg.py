"""DGCNN part segmentation (Wang et al., ACM TOG 2019), with the keys that the AnTao97 repository saves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixcli.models import kernels
from mixcli.models.dgcnn import edge_features
from mixcli.models.edges import SLOPE, block, edge_vjp, edges_vjp, fold_edges
from mixcli.models.fold import Affine, Folded, chain, chain_back, fold, leaky_back
from mixcli.models.layout import Shape, layout
from mixcli.models.network import Pull


class TransformNet(nn.Module):
    """Predicts one 3x3 matrix per cloud from its edges."""

    def __init__(self, widths: Sequence[int] = (64, 128, 1024, 512, 256)):
        super().__init__()
        self.bn1, self.conv1 = block(nn.Conv2d(6, widths[0], 1, bias=False))
        self.bn2, self.conv2 = block(nn.Conv2d(widths[0], widths[1], 1, bias=False))
        self.bn3 = nn.BatchNorm1d(widths[3])  # of linear1; conv3's own has no second name, since this one took it
        self.conv3 = block(nn.Conv1d(widths[1], widths[2], 1, bias=False))[1]
        self.linear1 = nn.Linear(widths[2], widths[3], bias=False)
        self.linear2 = nn.Linear(widths[3], widths[4], bias=False)
        self.bn4 = nn.BatchNorm1d(widths[4])
        self.transform = nn.Linear(widths[4], 9)
        with torch.no_grad():
            self.transform.weight.zero_()
            self.transform.bias.copy_(torch.eye(3).flatten())

    def forward(self, edges: Tensor) -> Tensor:
        """Matrices (B, 3, 3) for edges (B, 6, N, k)."""
        x = self.conv2(self.conv1(edges)).max(-1)[0]
        x = self.conv3(x).max(-1)[0]
        x = F.leaky_relu(self.bn3(self.linear1(x)), SLOPE)
        x = F.leaky_relu(self.bn4(self.linear2(x)), SLOPE)
        return self.transform(x).view(-1, 3, 3)


class DGCNNPartSeg(Folded["Weights"]):
    """Three edge convolutions of the transformed cloud, its global feature, its category, and a head for each point.

    ``k`` is 40 for clouds of 2048 points in the published training runs. ``first`` is the part that output 0 stands
    for: 0 for a network of all parts, another where it was trained on one category (``--class_choice``).
    """

    task = "segment"
    classes: int
    parts: int

    def __init__(
        self,
        parts: int = 50,
        k: int = 40,
        first: int = 0,
        classes: int = 16,
        widths: Sequence[int] = (64, 64, 64, 64, 64),
        emb: int = 1024,
        category: int = 64,
        head: Sequence[int] = (256, 256, 128),
        transform: Sequence[int] = (64, 128, 1024, 512, 256),
        dropout: float = 0.5,
    ):
        super().__init__()
        self.parts, self.k, self.first, self.classes, self.channels = parts, k, first, classes, 3
        self.transform_net = TransformNet(transform)
        self.bn1, self.conv1 = block(nn.Conv2d(6, widths[0], 1, bias=False))
        self.bn2, self.conv2 = block(nn.Conv2d(widths[0], widths[1], 1, bias=False))
        self.bn3, self.conv3 = block(nn.Conv2d(2 * widths[1], widths[2], 1, bias=False))
        self.bn4, self.conv4 = block(nn.Conv2d(widths[2], widths[3], 1, bias=False))
        self.bn5, self.conv5 = block(nn.Conv2d(2 * widths[3], widths[4], 1, bias=False))
        self.levels = widths[1] + widths[3] + widths[4]  # features of a point
        self.bn6, self.conv6 = block(nn.Conv1d(self.levels, emb, 1, bias=False))
        self.bn7, self.conv7 = block(nn.Conv1d(classes, category, 1, bias=False))
        self.bn8, self.conv8 = block(nn.Conv1d(emb + category + self.levels, head[0], 1, bias=False))
        self.bn9, self.conv9 = block(nn.Conv1d(head[0], head[1], 1, bias=False))
        self.bn10, self.conv10 = block(nn.Conv1d(head[1], head[2], 1, bias=False))
        self.conv11 = nn.Conv1d(head[2], parts, 1, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, category: Tensor) -> Tensor:
        """Logits (B, N, parts) of clouds (B, N, 3); ``category`` (B,) i64, or one-hot (B, classes)."""
        move = self.transform_net(edge_features(x.transpose(1, 2), self.k))
        x = (x @ move).transpose(1, 2)  # (B, 3, N)
        levels = []
        for convs in ((self.conv1, self.conv2), (self.conv3, self.conv4), (self.conv5,)):
            x = edge_features(x, self.k)
            for conv in convs:
                x = conv(x)
            x = x.max(-1)[0]
            levels.append(x)
        x = self.conv6(torch.cat(levels, 1)).max(-1, keepdim=True)[0]  # (B, emb, 1)
        cloud = torch.cat([x, self.conv7(self._one_hot(category, x)[:, :, None])], 1)
        x = torch.cat([cloud.expand(-1, -1, levels[0].shape[2]), *levels], 1)
        x = self.dropout(self.conv9(self.dropout(self.conv8(x))))
        return self.conv11(self.conv10(x)).transpose(1, 2)

    def _one_hot(self, category: Tensor, like: Tensor) -> Tensor:
        """(B,) or (B, classes) -> (B, classes) in the type and on the device of ``like``."""
        return (F.one_hot(category.long(), self.classes) if category.ndim == 1 else category).to(like)

    def fold(self) -> Weights:
        """The whole network as affine maps."""
        net = self.transform_net
        turn = Transform(
            (fold_edges(net.conv1), net.conv2.folded()),
            net.conv3.folded(),
            [fold(net.linear1, net.bn3), fold(net.linear2, net.bn4)],
            fold(net.transform),
        )
        weight, bias = self.conv8.folded()
        cloud, point = weight[:, : -self.levels].contiguous(), weight[:, -self.levels :].contiguous()
        return Weights(
            transform=turn,
            edges=[(fold_edges(self.conv1), self.conv2.folded()), (fold_edges(self.conv3), self.conv4.folded())],
            last_edges=fold_edges(self.conv5),
            points=self.conv6.folded(),
            category=self.conv7.folded(),
            cloud=Affine(cloud, bias),
            point=point,
            head=[self.conv9.folded(), self.conv10.folded()],
            last=self.conv11.weight.detach().flatten(1).contiguous(),
        )

    @torch.no_grad()
    def vjp(self, x: Tensor, category: Tensor | None = None) -> tuple[Tensor, Pull]:
        """Logits (B, N, parts) of x (B, N, 3), and their transpose in x: (B, N, parts) -> (B, N, 3)."""
        if category is None:
            raise ValueError("a part-segmentation network takes the category of each cloud beside it")
        weights = self.weights()
        return kernels.per_cloud(lambda x, c: _vjp(weights, self.k, x, c), x, self._one_hot(category, x))


class Transform(NamedTuple):
    """The transform net, BatchNorm folded in."""

    edges: tuple[Affine, Affine]
    points: Affine
    hidden: list[Affine]
    last: Affine


class Weights(NamedTuple):
    """BatchNorm folded in; the layer after the global feature is split into its part for the cloud and for a point."""

    transform: Transform
    edges: list[tuple[Affine, Affine]]
    last_edges: Affine
    points: Affine  # (emb, levels)
    category: Affine
    cloud: Affine  # (head, emb + category)
    point: Tensor  # (head, levels)
    head: list[Affine]
    last: Tensor  # (parts, head)


def _vjp(weights: Weights, k: int, x: Tensor, category: Tensor) -> tuple[Tensor, Pull]:
    """``DGCNNPartSeg.vjp``, of a one-hot category."""
    move, pull_move = _transform_vjp(weights.transform, x, k)
    levels, pulls = [], []
    y = x @ move
    for first, second in weights.edges:
        y, pull_level = edges_vjp(first, second, y, k)
        levels.append(y)
        pulls.append(pull_level)
    y, pull_level = edge_vjp(weights.last_edges, y, k)
    levels, pulls = [*levels, y], [*pulls, pull_level]
    features = torch.cat(levels, 2)
    top, pull_top = pool_vjp(weights.points, features)  # (B, emb)
    kind = F.leaky_relu_(F.linear(category, *weights.category), SLOPE)
    cloud = F.linear(torch.cat([top, kind], 1), *weights.cloud)[:, None]
    joined = F.leaky_relu_((features @ weights.point.T).add_(cloud), SLOPE)
    z, head = chain(weights.head, joined, SLOPE)

    def pull(g: Tensor) -> Tensor:
        g = leaky_back(chain_back(weights.head, head, g @ weights.last, SLOPE), joined, SLOPE)
        whole = (g.sum(1) @ weights.cloud.weight)[:, : top.shape[1]]
        parts = (g @ weights.point).add_(pull_top(whole)).split([level.shape[2] for level in levels], 2)
        g = torch.zeros_like(parts[-1])
        for part, pull_level in zip(reversed(parts), reversed(pulls), strict=True):
            g = pull_level(g + part)
        return g @ move.transpose(1, 2) + pull_move(x.transpose(1, 2) @ g)

    return F.linear(z, weights.last), torch.no_grad()(pull)


def _transform_vjp(weights: Transform, x: Tensor, k: int) -> tuple[Tensor, Pull]:
    """Matrices (B, 3, 3) for x (B, N, 3), and their transpose: (B, 3, 3) -> (B, N, 3)."""
    y, pull_edges = edges_vjp(*weights.edges, x, k)
    top, pull_top = pool_vjp(weights.points, y)
    z, hidden = chain(weights.hidden, top, SLOPE)

    def pull(g: Tensor) -> Tensor:
        g = chain_back(weights.hidden, hidden, g.flatten(1) @ weights.last.weight, SLOPE)
        return pull_edges(pull_top(g))

    return F.linear(z, *weights.last).view(-1, 3, 3), pull


def pool_vjp(layer: Affine, x: Tensor) -> tuple[Tensor, Pull]:
    """A layer on every point and the max over the points: x (B, N, C) -> (B, E), and the transpose.

    Only a point that holds a maximum gets a gradient.
    """
    top, first = kernels.point_max(x @ layer.weight.T)  # the bias and the leaky ReLU keep the order
    y = F.leaky_relu_(top.add_(layer.bias), SLOPE)
    rows = (first + torch.arange(len(x), device=x.device)[:, None] * x.shape[1]).flatten()

    def pull(g: Tensor) -> Tensor:
        g = leaky_back(g, y, SLOPE)[:, :, None] * layer.weight  # (B, E, C)
        return torch.zeros_like(x).flatten(0, 1).index_add_(0, rows, g.flatten(0, 1)).view_as(x)

    return y, pull


def build(shapes: Mapping[str, Shape], k: int = 40, first: int = 0) -> DGCNNPartSeg:
    """The network whose checkpoint has these shapes; what ``k`` and ``first`` are, no shape tells."""
    width = lambda key: shapes[f"{key}.weight"][0]  # noqa: E731
    net = "transform_net"
    return DGCNNPartSeg(
        parts=width("conv11"),
        k=k,
        first=first,
        classes=shapes["conv7.0.weight"][1],
        widths=[width(f"conv{i}.0") for i in range(1, 6)],
        emb=width("conv6.0"),
        category=width("conv7.0"),
        head=[width(f"conv{i}.0") for i in range(8, 11)],
        transform=[*(width(f"{net}.conv{i}.0") for i in (1, 2, 3)), width(f"{net}.linear1"), width(f"{net}.linear2")],
    )


LAYOUTS = (layout("dgcnn_partseg", build, k=40, first=0),)
