"""Dual path networks (Chen et al., NeurIPS 2017): blocks add to some channels and lay others beside what there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from mixcli.models.images.folding import Part, Step, folded
from mixcli.models.images.layers import RELU
from mixcli.models.images.network import ImageNetwork, Plan, run
from mixcli.models.images.origins import KUANGLIU
from mixcli.models.images.reader import Reader
from mixcli.models.images.resnet import LAYERS
from mixcli.models.layout import Shapes, layout


@dataclass(frozen=True)
class DualPath(Part):
    """The first ``added`` channels of body and shortcut are summed; the others follow, the shortcut's first."""

    body: Sequence[Step]
    shortcut: Sequence[Step]
    added: int
    name: str = ""

    def __call__(self, x: Tensor) -> Tensor:
        side, out = run(self.shortcut, x), run(self.body, x)
        both = side[:, : self.added] + out[:, : self.added]
        return F.relu_(torch.cat([both, side[:, self.added :], out[:, self.added :]], 1))

    def folded(self) -> DualPath:
        return replace(self, body=folded(self.body), shortcut=folded(self.shortcut))


def _build(shapes: Shapes) -> ImageNetwork:
    layers = Reader(shapes)
    stem = layers.unit("conv1", "bn1", 3)
    blocks, inner, added = [], layers.width("conv1"), 0
    places = layers.blocks(LAYERS, "conv1")
    for i, (prefix, stride) in enumerate(places):
        outer = layers.width(f"{prefix}conv3")
        body = _body(layers, prefix, inner, stride)
        shortcut: list[Step] = []
        if layers.has(f"{prefix}shortcut.0"):  # the first block of a stage, as of which both sides are as wide
            shortcut = layers.unit(f"{prefix}shortcut.0", f"{prefix}shortcut.1", inner, 1, stride, act=None)
            inner, added = outer, 2 * outer - _placed(layers, places[i + 1 :])
        if not 0 < added < outer:
            raise ValueError(f"{prefix} is no block of two paths")
        blocks.append(DualPath(body, shortcut, added, prefix[:-1]))
        inner += outer - added
    return ImageNetwork(Plan(stem, blocks), layers, layers.linear("linear", inner))


def _placed(layers: Reader, following: Sequence[tuple[str, int]]) -> int:
    """How many channels the next block takes, or the linear layer."""
    name = f"{following[0][0]}conv1" if following else "linear"
    return layers.shapes[f"{name}.weight"][1]


def _body(layers: Reader, prefix: str, inner: int, stride: int) -> list[Step]:
    narrow = layers.width(f"{prefix}conv1")
    steps = layers.unit(f"{prefix}conv1", f"{prefix}bn1", inner, 1)
    middle = layers.convolution(f"{prefix}conv2", narrow, 3, stride, groups=0)
    steps += [middle, layers.norm(f"{prefix}bn2", narrow), RELU]
    return steps + layers.unit(f"{prefix}conv3", f"{prefix}bn3", narrow, 1, act=None)


LAYOUTS = (layout("dpn_kuangliu", _build, [KUANGLIU]),)
