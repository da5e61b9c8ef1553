"""ResNet with stochastic depth (Huang et al., ECCV 2016): training leaves blocks out, so each counts for its chance.

The chance falls evenly from 1 for the first block to 1/2 for the last. As in the authors' code no ReLU follows the sum.
"""

from __future__ import annotations

from mixcli.models.images.folding import Scale, Step
from mixcli.models.images.network import ImageNetwork, Plan
from mixcli.models.images.origins import WEIAICUNZAI
from mixcli.models.images.parts import Branches
from mixcli.models.images.reader import Reader
from mixcli.models.layout import Shapes, layout

STAGES = tuple(f"conv{stage}_x.{{}}." for stage in range(2, 6))


def _build(shapes: Shapes) -> ImageNetwork:
    layers = Reader(shapes)
    stem = layers.unit("conv1.0", "conv1.1", 3)
    blocks, inner = [], layers.width("conv1.0")
    places = layers.blocks(STAGES, "residual.0")
    for i, (prefix, stride) in enumerate(places):
        body, outer = _residual(layers, prefix, inner, stride)
        shortcut: list[Step] = []
        if stride > 1 or inner != outer:
            shortcut = layers.unit(f"{prefix}shortcut.0", f"{prefix}shortcut.1", inner, 1, stride, act=None)
        chance = 1 - i / max(len(places) - 1, 1) / 2
        blocks.append(Branches([shortcut, [*body, Scale(chance)]], summed=True, name=prefix[:-1]))
        inner = outer
    return ImageNetwork(Plan(stem, blocks), layers, layers.linear("fc", inner))


def _residual(layers: Reader, prefix: str, inner: int, stride: int) -> tuple[list[Step], int]:
    """Two 3x3 convolutions, or 1x1, 3x3 and 1x1; the first 3x3 has the stride."""
    three = layers.has(f"{prefix}residual.6")
    steps: list[Step] = []
    for i, kernel in enumerate((1, 3, 1) if three else (3, 3)):
        conv, norm = (f"{prefix}residual.{3 * i + part}" for part in range(2))
        steps += layers.unit(conv, norm, inner, kernel, stride if i == three else 1)
        inner = layers.width(conv)
    return steps[:-1], inner


LAYOUTS = (layout("stochastic_depth_weiaicunzai", _build, [WEIAICUNZAI]),)
