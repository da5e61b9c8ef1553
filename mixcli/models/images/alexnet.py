"""AlexNet (Krizhevsky, 2014) as bearpaw trains it on images of 32 pixels: smaller pools, one linear layer."""

from __future__ import annotations

from torch import nn

from mixcli.models.images.layers import RELU
from mixcli.models.images.network import ImageNetwork, Plan
from mixcli.models.images.origins import BEARPAW
from mixcli.models.images.parts import FRESH, Chain
from mixcli.models.images.reader import Reader
from mixcli.models.layout import Shapes, layout

REST = ((3, 5, True), (6, 3, False), (8, 3, False), (10, 3, True))  # number, kernel, and whether a max-pool follows


def _build(shapes: Shapes) -> ImageNetwork:
    layers = Reader(shapes)
    stem = [layers.convolution("features.0", 3, 11, stride=4), FRESH, nn.MaxPool2d(2)]
    blocks, inner = [], layers.width("features.0")
    for number, kernel, pooled in REST:
        steps = [layers.convolution(f"features.{number}", inner, kernel), RELU, *([nn.MaxPool2d(2)] if pooled else [])]
        blocks.append(Chain(steps, f"features.{number + len(steps) - 1}"))
        inner = layers.width(f"features.{number}")
    return ImageNetwork(Plan(stem, blocks), layers, layers.linear("classifier", inner))


LAYOUTS = (layout("alexnet_bearpaw", _build, [BEARPAW]),)
