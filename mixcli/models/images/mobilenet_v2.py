"""MobileNetV2 (Sandler et al., CVPR 2018): blocks that widen, filter each channel by itself, and narrow again.

No key tells the strides, but in kuangliu's. Those for images of 32 pixels are here: the first convolution and two or
three stages do not halve the map.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from mixcli.models.images.folding import Step
from mixcli.models.images.layers import RELU
from mixcli.models.images.network import Block, ImageNetwork, Plan
from mixcli.models.images.origins import CHENYAOFO, HUYVNPHAN, KUANGLIU, WEIAICUNZAI
from mixcli.models.images.parts import RELU6, Branches, Chain
from mixcli.models.images.reader import Reader
from mixcli.models.layout import Shapes, layout

DEPTHS = (1, 2, 3, 4, 3, 3, 1)  # of the seven stages, in all published networks
STRIDES = (1, 1, 2, 2, 1, 2, 1)  # for images of 32 pixels
STARTS = (0, *accumulate(DEPTHS[:-1]))


def inverted(layers: Reader, names: Sequence[tuple[str, str]], inner: int, stride: int, act: Step) -> list[Step]:
    """Convolutions with their BatchNorms: 1x1 if there are three, 3x3 of each channel by itself, and 1x1."""
    steps: list[Step] = []
    for conv, norm in names[:-2]:
        steps += layers.unit(conv, norm, inner, 1, act=act)
        inner = layers.width(conv)
    deep, last = names[-2:]
    steps += [layers.depthwise(deep[0], inner, 3, stride), layers.norm(deep[1], inner), act]
    return steps + layers.unit(*last, inner, 1, act=None)


def block(name: str, steps: Sequence[Step], shortcut: Sequence[Step] | None) -> Block:
    """What the steps give, plus a shortcut where there is one, which without steps is the input itself."""
    return Chain(steps, name) if shortcut is None else Branches([shortcut, steps], summed=True, name=name)


def _torchvision(shapes: Shapes) -> ImageNetwork:
    """Torchvision's keys."""
    layers = Reader(shapes)
    first = layers.unit("features.0.0", "features.0.1", 3, act=RELU6)
    blocks: list[Block] = []
    inner = layers.width("features.0.0")
    for i in range(sum(DEPTHS)):
        stride = STRIDES[STARTS.index(i)] if i in STARTS else 1
        at = f"features.{i + 1}"
        pairs = _pairs(f"{at}.conv", 3 if layers.has(f"{at}.conv.3") else 2)
        steps = inverted(layers, pairs, inner, stride, RELU6)
        outer = layers.width(pairs[-1][0])
        blocks.append(block(at, steps, [] if stride == 1 and inner == outer else None))
        inner = outer
    last = f"features.{sum(DEPTHS) + 1}"
    blocks.append(Chain(layers.unit(f"{last}.0", f"{last}.1", inner, 1, act=RELU6), last))
    return ImageNetwork(Plan(first, blocks), layers, layers.linear("classifier.1", layers.width(f"{last}.0")))


def _pairs(prefix: str, count: int) -> list[tuple[str, str]]:
    """Each convolution lies in a sequence with its BatchNorm, but for the last."""
    inside = [(f"{prefix}.{i}.0", f"{prefix}.{i}.1") for i in range(count - 1)]
    return [*inside, (f"{prefix}.{count - 1}", f"{prefix}.{count}")]


def _kuangliu(shapes: Shapes) -> ImageNetwork:
    """Here a block has a shortcut wherever it does not halve the map, with a convolution where channels differ."""
    layers = Reader(shapes)
    stem = layers.unit("conv1", "bn1", 3)
    blocks: list[Block] = []
    inner = layers.width("conv1")
    for prefix in layers.numbered("layers.{}.", "conv1"):
        pairs = [(f"{prefix}conv{i}", f"{prefix}bn{i}") for i in (1, 2, 3)]
        outer = layers.width(pairs[-1][0])
        shortcut: list[Step] | None = []
        if layers.has(f"{prefix}shortcut.0"):
            shortcut = layers.unit(f"{prefix}shortcut.0", f"{prefix}shortcut.1", inner, 1, act=None)
        elif inner != outer:
            shortcut = None
        steps = inverted(layers, pairs, inner, 2 if shortcut is None else 1, RELU)
        blocks.append(block(prefix[:-1], steps, shortcut))
        inner = outer
    tail = layers.unit("conv2", "bn2", inner, 1)
    return ImageNetwork(Plan(stem, blocks, tail), layers, layers.linear("linear", layers.width("conv2")))


def _weiaicunzai(shapes: Shapes) -> ImageNetwork:
    """Here the first convolution is 1x1, in a frame of zeros, and the last layer is a convolution too."""
    layers = Reader(shapes)
    stem = [layers.convolution("pre.0", 3, 1, padding=1), layers.norm("pre.1", layers.width("pre.0")), RELU6]
    blocks: list[Block] = []
    inner = layers.width("pre.0")
    for stage, depth, stride in zip(range(1, 8), (1, 2, 3, 4, 3, 3, 1), (1, 2, 2, 2, 1, 1, 1), strict=True):
        for i in range(depth):
            at = f"stage{stage}.{i}" if depth > 1 else f"stage{stage}"
            pairs = [(f"{at}.residual.{3 * j}", f"{at}.residual.{3 * j + 1}") for j in range(3)]
            steps = inverted(layers, pairs, inner, 1 if i else stride, RELU6)
            outer = layers.width(pairs[-1][0])
            blocks.append(block(at, steps, [] if (i or stride == 1) and inner == outer else None))
            inner = outer
    tail = layers.unit("conv1.0", "conv1.1", inner, 1, act=RELU6)
    layers.convolution("conv2", layers.width("conv1.0"), 1)
    return ImageNetwork(Plan(stem, blocks, tail), layers, "conv2")


LAYOUTS = (
    layout("mobilenet_v2_cifar", _torchvision, [CHENYAOFO, HUYVNPHAN]),
    layout("mobilenet_v2_kuangliu", _kuangliu, [KUANGLIU]),
    layout("mobilenet_v2_weiaicunzai", _weiaicunzai, [WEIAICUNZAI]),
)
