"""EfficientNet-B0 (Tan and Le, ICML 2019) as kuangliu trains it on images of 32 pixels: its first layer keeps the size.

What it adds to MobileNetV2 are gates, larger kernels, and x times the sigmoid of x in place of ReLUs.
"""

from __future__ import annotations

from mixcli.models.images.folding import Step
from mixcli.models.images.network import Block, ImageNetwork, Plan
from mixcli.models.images.origins import KUANGLIU
from mixcli.models.images.parts import SWISH, Branches, Chain, Gate
from mixcli.models.images.reader import Reader
from mixcli.models.layout import Shapes, layout

KERNELS, STRIDES = (3, 3, 5, 3, 5, 5, 3), (1, 2, 2, 2, 1, 2, 1)  # of its seven stages, each wider than the one before


def _build(shapes: Shapes) -> ImageNetwork:
    layers = Reader(shapes)
    stem, inner = layers.unit("conv1", "bn1", 3, act=SWISH), layers.width("conv1")
    blocks: list[Block] = []
    stage = -1
    for prefix in layers.numbered("layers.{}.", "conv1"):
        outer = layers.width(f"{prefix}conv3")
        first = inner != outer
        stage += first
        steps = _steps(layers, prefix, inner, KERNELS[stage], STRIDES[stage] if first else 1)
        name = prefix[:-1]
        blocks.append(Chain(steps, name) if first else Branches([[], steps], summed=True, name=name))
        inner = outer
    if stage != len(KERNELS) - 1:
        raise ValueError("this is not the number of stages of an EfficientNet")
    return ImageNetwork(Plan(stem, blocks), layers, layers.linear("linear", inner))


def _steps(layers: Reader, prefix: str, inner: int, kernel: int, stride: int) -> list[Step]:
    """The first convolution does not run where it does not widen; its weights are saved all the same."""
    widen = layers.unit(f"{prefix}conv1", f"{prefix}bn1", inner, 1, act=SWISH)
    wide = layers.width(f"{prefix}conv1")
    deep = layers.depthwise(f"{prefix}conv2", wide, kernel, stride)
    squeeze = layers.convolution(f"{prefix}se.se1", wide, 1)
    gate = Gate(squeeze, layers.convolution(f"{prefix}se.se2", squeeze.out_channels, 1), SWISH)
    narrow = layers.unit(f"{prefix}conv3", f"{prefix}bn3", wide, 1, act=None)
    return [*(widen if wide != inner else []), deep, layers.norm(f"{prefix}bn2", wide), SWISH, gate, *narrow]


LAYOUTS = (layout("efficientnet_kuangliu", _build, [KUANGLIU]),)
