"""Xception (Chollet, CVPR 2017) as weiaicunzai trains it on images of 32 pixels.

There the ReLU that a block begins with works in place, so that its shortcut takes the rectified input too; but for the
last block, where it does not.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from mixcli.models.images.folding import Step
from mixcli.models.images.layers import RELU
from mixcli.models.images.network import Block, ImageNetwork, Plan
from mixcli.models.images.origins import WEIAICUNZAI
from mixcli.models.images.parts import FRESH, Branches, Chain
from mixcli.models.images.reader import Reader
from mixcli.models.layout import Shapes, layout

MIDDLE = "middel_flow.middel_block.{}"


def _build(shapes: Shapes) -> ImageNetwork:
    layers = Reader(shapes)
    stem = layers.unit("entry_flow.conv1.0", "entry_flow.conv1.1", 3)
    inner = layers.width("entry_flow.conv1.0")
    blocks: list[Block] = [Chain(layers.unit("entry_flow.conv2.0", "entry_flow.conv2.1", inner), "entry_flow.conv2")]
    inner = layers.width("entry_flow.conv2.0")
    for at, first, stride in (("conv3", 0, 2), ("conv4", 1, 2), ("conv5", 1, 1)):
        body, outer = _separable(layers, f"entry_flow.{at}_residual", (first, first + 3), inner)
        body.append(nn.MaxPool2d(3, stride, 1))
        chains = [_shortcut(layers, f"entry_flow.{at}_shortcut", inner, stride), body]
        rectified = [FRESH] if first else []
        blocks.append(Chain([*rectified, Branches(chains, summed=True)], "entry_flow" if at == "conv5" else ""))
        inner = outer
    for prefix in layers.numbered(MIDDLE, ".conv1.1.depthwise"):
        blocks.append(Chain([FRESH, Branches([[], _middle(layers, prefix, inner)], summed=True)], prefix))
    body, outer = _separable(layers, "exit_flow.residual", (1, 4), inner)
    shortcut = _shortcut(layers, "exit_flow.shortcut", inner, 2)
    blocks.append(Branches([shortcut, [FRESH, *body, nn.MaxPool2d(3, 2, 1)]], summed=True))
    tail, outer = _separable(layers, "exit_flow.conv", (0, 3), outer)
    return ImageNetwork(Plan(stem, blocks, [*tail, RELU]), layers, layers.linear("fc", outer))


def _separable(layers: Reader, at: str, numbers: Sequence[int], inner: int) -> tuple[list[Step], int]:
    """Of each channel a 3x3 convolution, then a 1x1 one and its BatchNorm, with a ReLU between two of these."""
    steps: list[Step] = []
    for number in numbers:
        name = f"{at}.{number}"
        steps += [RELU] if steps else []
        steps += [layers.depthwise(f"{name}.depthwise", inner), layers.convolution(f"{name}.pointwise", inner, 1)]
        inner = layers.width(f"{name}.pointwise")
        steps.append(layers.norm(f"{at}.{number + 1}", inner))
    return steps, inner


def _middle(layers: Reader, prefix: str, inner: int) -> list[Step]:
    parts = [_separable(layers, f"{prefix}.conv{i}", (1,), inner)[0] for i in (1, 2, 3)]
    return [*parts[0], RELU, *parts[1], RELU, *parts[2]]


def _shortcut(layers: Reader, at: str, inner: int, stride: int) -> list[Step]:
    return layers.unit(f"{at}.0", f"{at}.1", inner, 1, stride, act=None)


LAYOUTS = (layout("xception_weiaicunzai", _build, [WEIAICUNZAI]),)
