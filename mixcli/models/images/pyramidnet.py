"""PyramidNet (Han et al., CVPR 2017) as CutMix trains it: every block is a little wider than the one before."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from mixcli.models.images.layers import RELU, Layers
from mixcli.models.images.network import ImageNetwork, Plan, Residual, Step
from mixcli.models.images.resnet import LAYERS
from mixcli.models.layout import Layout, Shape, layout


def pyramidnet(name: str, stages: int, kernel: int, stride: int) -> Layout:
    """The layout for so many stages and a first convolution of this kernel, which on ImageNet has a ReLU and a pool."""

    def build(shapes: Mapping[str, Shape], stride: int = stride, window: int = 0) -> ImageNetwork:
        layers = Layers(shapes)
        conv = layers.conv("conv1", 3, kernel, stride)
        stem = [conv, layers.norm("bn1", conv.out_channels)]
        stem += [RELU, nn.MaxPool2d(3, 2, 1)] if kernel == 7 else []
        blocks, channels = [], conv.out_channels
        for prefix, step in layers.blocks(LAYERS[:stages], "conv1"):
            block, channels = _block(layers, prefix, channels, step)
            blocks.append(block)
        tail = [layers.norm("bn_final", channels), RELU]
        return ImageNetwork(Plan(stem, blocks, tail), layers, layers.linear("fc", channels), window)

    return layout(name, build, stride=stride, window=0)


def _block(layers: Layers, prefix: str, channels: int, stride: int) -> tuple[Residual, int]:
    """BatchNorm around two 3x3 convolutions or 1x1, 3x3 and 1x1, with a ReLU before each but the first."""
    three = layers.has(f"{prefix}conv3")
    body: list[Step] = [layers.norm(f"{prefix}bn1", channels)]
    inner = channels
    for i, kernel in enumerate((1, 3, 1) if three else (3, 3)):
        conv = layers.conv(f"{prefix}conv{i + 1}", inner, kernel, stride if i == three else 1)
        inner = conv.out_channels
        body += [conv, layers.norm(f"{prefix}bn{i + 2}", inner), RELU]
    if inner < channels:
        raise ValueError(f"{prefix}: zeros cannot make {channels} channels {inner}")
    shortcut = [nn.AvgPool2d(2, ceil_mode=True)] if stride == 2 else []
    return Residual(body[:-1], shortcut, name=prefix[:-1]), inner


LAYOUTS = (
    pyramidnet("pyramidnet", stages=3, kernel=3, stride=1),
    pyramidnet("pyramidnet_imagenet", stages=4, kernel=7, stride=2),
)
