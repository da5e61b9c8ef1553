"""NASNet (Zoph et al., CVPR 2018) as weiaicunzai trains it on small images: each cell takes the last two maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixcli.models.images.folding import Part, Step, folded
from mixcli.models.images.network import ImageNetwork, Plan, run
from mixcli.models.images.origins import WEIAICUNZAI
from mixcli.models.images.parts import FRESH
from mixcli.models.images.reader import Reader
from mixcli.models.layout import Shapes, layout

Steps = Sequence[Step]
AVERAGE = nn.AvgPool2d(3, 1, 1)
HALF_AVERAGE, HALF_MAX = nn.AvgPool2d(3, 2, 1), nn.MaxPool2d(3, 2, 1)
NORMAL = {"block1_left": 3, "block2_left": 3, "block2_right": 5, "block5_left": 5, "block5_right": 3}  # kernels
REDUCTION = {
    "layer1block1_left": 7,
    "layer1block1_right": 5,
    "layer1block2_right": 7,
    "layer1block3_right": 5,
    "layer2block1_right": 3,
}


@dataclass(frozen=True)
class Fit:
    """Brings the map before the last to the size and the channels of a cell."""

    channels: int
    halves: tuple[Steps, Steps]  # of every second place, and of those beside them
    norm: Steps
    narrow: Steps  # where the size fits but the channels do not

    def __call__(self, x: Tensor, before: Tensor) -> Tensor:
        if x.shape[2] != before.shape[2]:
            before = before.relu()
            beside = F.pad(before, (-1, 1, -1, 1))
            parts = [run(half, part[:, :, ::2, ::2]) for half, part in zip(self.halves, (before, beside), strict=True)]
            return run(self.norm, torch.cat(parts, 1))
        return before if before.shape[1] == self.channels else run(self.narrow, before)

    def folded(self) -> Fit:
        """The BatchNorm of two halves side by side stays."""
        first, second = (folded(half) for half in self.halves)
        return Fit(self.channels, (first, second), self.norm, folded(self.narrow))


@dataclass(frozen=True)
class Cell:
    """What a cell is made of; ``join`` makes its output of these, of the narrowed map, and of the one before."""

    join: Callable[[Mapping[str, Steps], Tensor, Tensor], Tensor]
    fit: Fit | None  # the first cell takes its input as it is
    narrow: Steps
    branches: Mapping[str, Steps]

    def __call__(self, x: Tensor, before: Tensor) -> Tensor:
        before = self.fit(x, before) if self.fit else before
        return self.join(self.branches, run(self.narrow, x), before)

    def folded(self) -> Cell:
        branches = {name: folded(steps) for name, steps in self.branches.items()}
        return Cell(self.join, self.fit and self.fit.folded(), folded(self.narrow), branches)


@dataclass(frozen=True)
class Cells(Part):
    """Cells in turn."""

    cells: Sequence[Cell]
    name: str = ""

    def __call__(self, x: Tensor) -> Tensor:
        before = x
        for cell in self.cells:
            x, before = cell(x, before), x
        return x

    def folded(self) -> Cells:
        return Cells([cell.folded() for cell in self.cells])


def normal(branches: Mapping[str, Steps], x: Tensor, before: Tensor) -> Tensor:
    """A cell that keeps the size of the map."""
    parts = [
        before,
        run(branches["block1_left"], x) + x,
        run(branches["block2_left"], before) + run(branches["block2_right"], x),
        AVERAGE(x) + x,
        2 * AVERAGE(before),
        run(branches["block5_left"], before) + run(branches["block5_right"], before),
    ]
    return torch.cat(parts, 1)


def reduction(branches: Mapping[str, Steps], x: Tensor, before: Tensor) -> Tensor:
    """A cell that halves it."""
    first = run(branches["layer1block1_left"], before) + run(branches["layer1block1_right"], x)
    second = HALF_MAX(x) + run(branches["layer1block2_right"], before)
    third = HALF_AVERAGE(x) + run(branches["layer1block3_right"], before)
    parts = [second, third, HALF_MAX(x) + run(branches["layer2block1_right"], first), AVERAGE(first) + second]
    return torch.cat(parts, 1)


def _build(shapes: Shapes) -> ImageNetwork:
    layers = Reader(shapes)
    stem: list[Step] = [layers.convolution("stem.0", 3), layers.norm("stem.1", layers.width("stem.0"))]
    inner = before = layers.width("stem.0")
    cells: list[Cell] = []
    for at in layers.numbered("cell_layers.{}", ".fit.p1.1"):
        halving = layers.has(f"{at}.dim_reduce.1")
        narrow = f"{at}.dim_reduce" if halving else f"{at}.dem_reduce"
        steps: list[Step] = [FRESH, *layers.unit(f"{narrow}.1", f"{narrow}.2", inner, 1, act=None)]
        width = layers.width(f"{narrow}.1")
        branches = {
            name: _separable(layers, f"{at}.{name}", width, kernel, 2 if halving and name[:6] == "layer1" else 1)
            for name, kernel in (REDUCTION if halving else NORMAL).items()
        }
        fit = _fit(layers, f"{at}.fit", before, width)
        if not cells and before != width:
            raise ValueError("the first cell adds its input to what it gives")
        cells.append(Cell(reduction if halving else normal, fit if cells else None, steps, branches))
        inner, before = width * (4 if halving else 6), inner
    return ImageNetwork(Plan(stem, [Cells(cells)], [FRESH]), layers, layers.linear("fc", inner))


def _separable(layers: Reader, at: str, channels: int, kernel: int, stride: int) -> list[Step]:
    """Twice: a ReLU, a convolution of each channel, a 1x1 convolution of all, and a BatchNorm."""
    steps: list[Step] = []
    for block in ("block1", "block2"):
        name = f"{at}.{block}"
        steps += [FRESH, layers.depthwise(f"{name}.1.depthwise", channels, kernel, 1 if steps else stride)]
        steps += [layers.convolution(f"{name}.1.pointwise", channels, 1), layers.norm(f"{name}.2", channels)]
    return steps


def _fit(layers: Reader, at: str, inner: int, channels: int) -> Fit:
    halves = [layers.convolution(f"{at}.p1.1", inner, 1)], [layers.convolution(f"{at}.p2.3", inner, 1)]
    norm = [layers.norm(f"{at}.bn", channels)]
    narrow = layers.unit(f"{at}.dim_reduce.1", f"{at}.dim_reduce.2", inner, 1, act=None)
    return Fit(channels, halves, norm, [FRESH, *narrow])


LAYOUTS = (layout("nasnet_weiaicunzai", _build, [WEIAICUNZAI]),)
