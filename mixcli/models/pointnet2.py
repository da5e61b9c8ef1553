"""PointNet++ classification (Qi et al., NeurIPS 2017), one or several scales, with the keys of the common PyTorch port.

That port starts farthest-point sampling at a random point, so its logits and gradients change from call to call even
in eval mode. Here ``fps_start`` says where: one index for all clouds, or one (B,) tensor for each sampled level.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixcli.models import grouping, kernels
from mixcli.models.fold import Affine, chain, chain_back, fold, leaky_back
from mixcli.models.layout import Shape, layout
from mixcli.models.network import Pull, autograd_vjp
from mixcli.models.points import PointNetwork

Ball = tuple[float, int]  # radius, most neighbours
Layers = list[tuple[nn.Conv2d, nn.BatchNorm2d]]  # one after another, a ReLU after each
LEVELS = (512, 128)  # centres sampled from the cloud, and from those
SSG = ([(0.2, 32)], [(0.4, 64)])
MSG = ([(0.1, 16), (0.2, 32), (0.4, 128)], [(0.2, 32), (0.4, 64), (0.8, 128)])


class Abstraction(nn.Module):
    """Centres, their neighbours within some radii, a shared network on each neighbour, a max; or all points at once."""

    positions_first = True  # in the order of the input channels

    def __init__(self, branches: Sequence[Layers], centres: int, balls: Sequence[Ball]):
        """``branches`` are the layers of each ball; whoever derives from this saves them under its own names."""
        super().__init__()
        self.branches, self.centres, self.balls = branches, centres, balls

    def forward(self, xyz: Tensor, features: Tensor | None, start: Tensor) -> tuple[Tensor, Tensor]:
        """Points (B, N, 3) with features (B, N, D) -> centres (B, S, 3) with features (B, S, D')."""
        if not self.centres:
            return xyz[:, :0], self._pool(0, self._joined(xyz, features)[:, None])
        centres = rows(xyz, grouping.farthest_points(xyz, self.centres, start))
        parts = []
        for i, (radius, most) in enumerate(self.balls):
            idx = grouping.ball_query(xyz, centres, radius, most)  # (B, S, K)
            near = rows(xyz, idx) - centres[:, :, None]
            parts.append(self._pool(i, self._joined(near, None if features is None else rows(features, idx))))
        return centres, torch.cat(parts, 2)

    def _joined(self, positions: Tensor, features: Tensor | None) -> Tensor:
        """Both side by side, (..., 3) and (..., D) -> (..., 3 + D)."""
        if features is None:
            return positions
        return torch.cat([positions, features] if self.positions_first else [features, positions], -1)

    def _pool(self, branch: int, x: Tensor) -> Tensor:
        """Neighbours (B, S, K, D) -> the max over them of their features (B, S, D')."""
        x = x.permute(0, 3, 2, 1)
        for conv, norm in self.branches[branch]:
            x = F.relu(norm(conv(x)))
        return x.max(2)[0].transpose(1, 2)


class SetAbstraction(Abstraction):
    """Set abstraction within one radius, or over all points."""

    def __init__(self, sizes: Sequence[int], centres: int = 0, balls: Sequence[Ball] = ()):
        layers = mlp(sizes)
        super().__init__([layers], centres, balls)
        self.mlp_convs, self.mlp_bns = listed(layers)


class MultiScale(Abstraction):
    """Set abstraction over several radii around the same centres."""

    positions_first = False

    def __init__(self, sizes: Sequence[Sequence[int]], centres: int, balls: Sequence[Ball]):
        branches = [mlp(part) for part in sizes]
        super().__init__(branches, centres, balls)
        convs, norms = zip(*map(listed, branches), strict=True)
        self.conv_blocks, self.bn_blocks = nn.ModuleList(convs), nn.ModuleList(norms)


class PointNet2(PointNetwork["Weights"]):
    """Two sampled levels, one over all that is left, and a head of three layers."""

    def __init__(self, levels: Sequence[Abstraction], classes: int, channels: int, dropout: float = 0.4):
        super().__init__()
        self.classes, self.channels = classes, channels
        self.fps_start: int | Sequence[Tensor] = 0
        self.sa1, self.sa2, self.sa3 = levels
        self.fc1, self.bn1 = nn.Linear(1024, 512), nn.BatchNorm1d(512)
        self.fc2, self.bn2 = nn.Linear(512, 256), nn.BatchNorm1d(256)
        self.fc3 = nn.Linear(256, classes)
        self.dropout = nn.Dropout(dropout)

    def starts(self, x: Tensor) -> Tensor:
        """Where sampling starts in each cloud of x: (B, 2)."""
        first = self.fps_start
        starts = [torch.as_tensor(first if isinstance(first, int) else first[i], device=x.device) for i in range(2)]
        return torch.stack([start.expand(len(x)) for start in starts], 1)

    def forward(self, x: Tensor) -> Tensor:
        """Log-probabilities (B, classes) of clouds (B, N, channels)."""
        starts = self.starts(x)
        xyz, features = self.sa1(x[..., :3], x[..., 3:] if self.channels > 3 else None, starts[:, 0])
        xyz, features = self.sa2(xyz, features, starts[:, 1])
        _, features = self.sa3(xyz, features, starts[:, 1])
        x = self.dropout(F.relu(self.bn1(self.fc1(features[:, 0]))))
        x = self.dropout(F.relu(self.bn2(self.fc2(x))))
        return F.log_softmax(self.fc3(x), -1)

    def fold(self) -> Weights:
        """Every layer as one affine map; the first of a level split into its parts for positions and features."""
        levels = [
            [branch_weights(layers, level.positions_first) for layers in level.branches]
            for level in (self.sa1, self.sa2, self.sa3)
        ]
        return Weights(levels, [fold(self.fc1, self.bn1), fold(self.fc2, self.bn2)], fold(self.fc3))

    def vjp(self, x: Tensor, category: Tensor | None = None) -> tuple[Tensor, Pull]:
        """Logits (B, classes) of x (B, N, channels), and their transpose: (B, classes) -> (B, N, channels).

        Off a CPU, where balls of differing sizes do not pay, autograd takes the transpose of ``forward``, whose
        log-probabilities are logits too.
        """
        if not kernels.native(x):
            return autograd_vjp(self, x)
        with torch.no_grad():
            return kernels.per_cloud(self._vjp, x, self.starts(x))

    def _vjp(self, x: Tensor, starts: Tensor) -> tuple[Tensor, Pull]:
        """``vjp`` of one cloud (1, N, channels): only distinct neighbours, the port repeats one to fill a ball."""
        weights = self.weights()
        xyz, features = x[0, :, :3].contiguous(), x[0, :, 3:].contiguous()  # (N, 0) without normals
        xyz, features, pull1 = level_vjp(self.sa1, weights.levels[0], xyz, features, starts[0, 0])
        xyz, features, pull2 = level_vjp(self.sa2, weights.levels[1], xyz, features, starts[0, 1])
        pooled, pull3 = whole_vjp(weights.levels[2][0], xyz, features)
        z, hidden = chain(weights.hidden, pooled)

        def pull(g: Tensor) -> Tensor:
            g = chain_back(weights.hidden, hidden, g @ weights.last.weight)
            return torch.cat(pull1(*pull2(*pull3(g))), 1)[None]

        return F.linear(z, *weights.last), torch.no_grad()(pull)


class Branch(NamedTuple):
    """The layers of one ball; the first acts as positions · x + features · f + bias."""

    positions: Tensor  # (C, 3)
    features: Tensor  # (C, D)
    bias: Tensor  # (C,)
    middle: list[Affine]
    last: Affine


class Weights(NamedTuple):
    """BatchNorm folded in."""

    levels: list[list[Branch]]
    hidden: list[Affine]
    last: Affine


def branch_weights(layers: Layers, positions_first: bool) -> Branch:
    """The folded layers of one ball."""
    first, *middle, last = (fold(conv, norm) for conv, norm in layers)
    width = first.weight.shape[1]
    sizes = (3, width - 3) if positions_first else (width - 3, 3)
    positions, features = first.weight.split(sizes, 1)[:: 1 if positions_first else -1]
    return Branch(positions.contiguous(), features.contiguous(), first.bias, middle, last)


def level_vjp(
    level: Abstraction, branches: list[Branch], xyz: Tensor, features: Tensor, start: Tensor
) -> tuple[Tensor, Tensor, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]]:
    """One sampled level on one cloud: xyz (N, 3), features (N, D) -> centres (S, 3), features (S, D'), transpose."""
    picked = grouping.farthest_points(xyz[None], level.centres, start[None])[0]  # (S,)
    centres = xyz[picked]
    outs, pulls = [], []
    for weights, (radius, most) in zip(branches, level.balls, strict=True):
        out, pull = ball_vjp(weights, xyz, features, centres, grouping.ball_pairs(xyz, centres, radius, most))
        outs.append(out)
        pulls.append(pull)

    def pull_all(g_centres: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of centres (S, 3) and features (S, D') -> of xyz (N, 3) and features (N, D)."""
        parts = [pull(part) for pull, part in zip(pulls, g.split([out.shape[1] for out in outs], 1), strict=True)]
        g_xyz, g_near, g_features = (summed(part) for part in zip(*parts, strict=True))
        return g_xyz + grouping.add_rows(g_centres + g_near, picked, len(xyz)), g_features

    return centres, torch.cat(outs, 1), pull_all


def summed(parts: Sequence[Tensor]) -> Tensor:
    """One after another, from 0 on: the last bits depend on the order."""
    return sum(parts, parts[0].new_zeros(()))


def ball_vjp(
    weights: Branch, xyz: Tensor, features: Tensor, centres: Tensor, pairs: grouping.Pairs
) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]]:
    """One ball size on one cloud -> features (S, D') and their transpose to (xyz, centres, features).

    The first layer, W [x_j - c_i, f_j] + b, is the difference of a product per point and a product per centre.
    """
    per_point = F.linear(xyz, weights.positions, weights.bias)  # (N, C)
    if features.shape[1]:
        per_point += features @ weights.features.T
    first = per_point[pairs.point].sub_((centres @ weights.positions.T)[pairs.centre]).relu_()  # (P, C)
    h, outputs = chain(weights.middle, first)
    top, arg = grouping.segment_max(F.linear(h, *weights.last), pairs.offsets)  # (S, D')

    def pull(g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        g = kernels.edge_scatter(leaky_back(g, top, 0)[None], arg[None], len(pairs.point))[0]  # (P, D')
        g = leaky_back(chain_back(weights.middle, outputs, g @ weights.last.weight), first, 0)
        at_point = grouping.add_rows(g, pairs.point, len(xyz))
        at_centre = grouping.add_rows(g, pairs.centre, len(centres))
        return at_point @ weights.positions, -(at_centre @ weights.positions), at_point @ weights.features

    return F.relu(top), pull


def whole_vjp(
    weights: Branch, xyz: Tensor, features: Tensor
) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, Tensor]]]:
    """The level over all points (N, 3), (N, D) -> their pooled features (1, D') and the transpose."""
    layers = [Affine(torch.cat([weights.positions, weights.features], 1), weights.bias), *weights.middle]
    h, outputs = chain(layers, torch.cat([xyz, features], 1))
    top, arg = kernels.point_max(F.linear(h, *weights.last)[None])  # (1, D')

    def pull(g: Tensor) -> tuple[Tensor, Tensor]:
        g = kernels.edge_scatter(leaky_back(g, top, 0)[None], arg[None], len(xyz))[0]  # (N, D')
        g = chain_back(layers, outputs, g @ weights.last.weight)
        return g[:, :3], g[:, 3:]

    return F.relu(top), pull


def mlp(sizes: Sequence[int]) -> Layers:
    """1x1 convolutions from each size to the next, and their norms."""
    return [(nn.Conv2d(a, b, 1), nn.BatchNorm2d(b)) for a, b in zip(sizes, sizes[1:], strict=False)]


def listed(layers: Layers) -> tuple[nn.ModuleList, nn.ModuleList]:
    """The convolutions and the norms, as checkpoints hold them."""
    return nn.ModuleList(conv for conv, _ in layers), nn.ModuleList(norm for _, norm in layers)


def rows(x: Tensor, idx: Tensor) -> Tensor:
    """x (B, N, C) at idx (B, ...) -> (B, ..., C)."""
    batch = torch.arange(len(x), device=x.device).view(-1, *[1] * (idx.dim() - 1))
    return x[batch, idx]


def build_ssg(shapes: Mapping[str, Shape], fps_start: int = 0) -> PointNet2:
    """The single-scale network whose checkpoint has these shapes."""
    channels = shapes["sa1.mlp_convs.0.weight"][1]
    levels = [
        SetAbstraction([channels, 64, 64, 128], LEVELS[0], SSG[0]),
        SetAbstraction([128 + 3, 128, 128, 256], LEVELS[1], SSG[1]),
        SetAbstraction([256 + 3, 256, 512, 1024]),
    ]
    return started(PointNet2(levels, shapes["fc3.weight"][0], channels), fps_start)


def build_msg(shapes: Mapping[str, Shape], fps_start: int = 0) -> PointNet2:
    """The multi-scale network whose checkpoint has these shapes."""
    channels = shapes["sa1.conv_blocks.0.0.weight"][1]
    inner = [[channels, 32, 32, 64], [channels, 64, 64, 128], [channels, 64, 96, 128]]
    outer = [[320 + 3, 64, 64, 128], [320 + 3, 128, 128, 256], [320 + 3, 128, 128, 256]]
    levels = [
        MultiScale(inner, LEVELS[0], MSG[0]),
        MultiScale(outer, LEVELS[1], MSG[1]),
        SetAbstraction([640 + 3, 256, 512, 1024]),
    ]
    return started(PointNet2(levels, shapes["fc3.weight"][0], channels), fps_start)


def started(net: PointNet2, fps_start: int) -> PointNet2:
    """The network with its sampling started at this point."""
    net.fps_start = fps_start
    return net


LAYOUTS = (layout("pointnet2_ssg", build_ssg, fps_start=0), layout("pointnet2_msg", build_msg, fps_start=0))
