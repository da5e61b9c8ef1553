"""MobileNetV1 (Howard et al., 2017), MobileNetV2 (Sandler et al., CVPR 2018), EfficientNet, as transformers saves them.

Their weights come from TensorFlow, which pads more at the right and below where a stride does not fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from mixcli.errors import UsageError
from mixcli.models.images.network import ImageNetwork, Plan, Residual, Step
from mixcli.models.images.parts import RELU6, Chain, Gate
from mixcli.models.images.pieces import SILU
from mixcli.models.images.sized import Sized
from mixcli.models.images.tops import Style, both, network
from mixcli.models.layout import Shapes

HEAD = Style("classifier", ("",))
EPS = 1e-3  # of the BatchNorms
V1_STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)  # of the pairs of layers
V2_STRIDES = (2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1)  # of the blocks behind the stem's
REPEATS, STRIDES = (1, 2, 2, 3, 3, 4, 1), (1, 2, 2, 2, 1, 2, 1)  # of EfficientNet's stages
DEPTHS = {sum(ceil(depth * n) for n in REPEATS): depth for depth in (1.0, 1.1, 1.4, 1.8, 2.2, 2.6, 3.1)}  # by blocks
CENTRED = {  # by the number of blocks and the channels of the last convolution: B1 to B7
    (23, 1280): "16",
    (23, 1408): "5/8/16",
    (26, 1536): "5/18",
    (32, 1792): "6",
    (39, 2048): "13/27",
    (45, 2304): "31",
    (55, 2560): "18",
}


@dataclass(frozen=True)
class Padding:
    """As many zeros as TensorFlow's SAME adds, the odd one at the right and below."""

    kernel: int
    stride: int

    def __call__(self, x: Tensor) -> Tensor:
        high, wide = (max(self.kernel - (side % self.stride or self.stride), 0) for side in x.shape[2:])
        return F.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2))


def padded(
    layers: Sized, conv: str, norm: str, inner: int, act: Step | None, stride: int = 1, pad: Step | None = None
) -> list[Step]:
    """A convolution, its BatchNorm and an activation; with ``pad`` in the place of its own padding."""
    if pad is None:
        return layers.unit(conv, norm, inner, act, stride)
    return [pad, *layers.unit(conv, norm, inner, act, stride, 0)]


def _unit(
    layers: Sized, at: str, inner: int, act: Step | None = RELU6, stride: int = 1, tf_padding: bool = True
) -> list[Step]:
    kernel = layers.shapes[f"{at}.convolution.weight"][2]
    pad = Padding(kernel, stride) if tf_padding and stride > 1 else None
    return padded(layers, f"{at}.convolution", f"{at}.normalization", inner, act, stride, pad)


def paddings(shapes: Shapes) -> Mapping[str, tuple[Any, ...]]:
    """Which no key tells."""
    return {"tf_padding": (True, False)}


def mobilenet_v1(
    shapes: Shapes,
    stride: int = 2,
    tf_padding: bool = True,
    eps: float = EPS,
    activation: str | None = None,
) -> ImageNetwork:
    """Convolutions of each channel by itself, and of 1x1, in turn."""
    layers = Sized(shapes, eps)
    stem = _unit(layers, "mobilenet_v1.conv_stem", 3, RELU6, stride, tf_padding)
    channels, blocks = layers.outer("mobilenet_v1.conv_stem.convolution"), list[Chain]()
    for i, step in enumerate(V1_STRIDES):
        for at, s in ((f"mobilenet_v1.layer.{2 * i}", step), (f"mobilenet_v1.layer.{2 * i + 1}", 1)):
            blocks.append(Chain(_unit(layers, at, channels, RELU6, s, tf_padding), at))
            channels = layers.outer(f"{at}.convolution")
    return network(Plan(stem, blocks), layers, HEAD, channels, activation)


def mobilenet_v2(
    shapes: Shapes,
    stride: int = 2,
    tf_padding: bool = True,
    eps: float = EPS,
    activation: str | None = None,
) -> ImageNetwork:
    """The first block is part of the stem."""
    layers, at = Sized(shapes, eps), "mobilenet_v2.conv_stem"
    stem = _unit(layers, f"{at}.first_conv", 3, RELU6, stride, tf_padding)
    channels = layers.outer(f"{at}.first_conv.convolution")
    block, channels = _block(layers, at, channels, 1, tf_padding)
    blocks = [Chain(block, at)] if block else []
    made: list[Chain | Residual] = [*blocks]
    for i, step in enumerate(V2_STRIDES):
        at, inner = f"mobilenet_v2.layer.{i}", channels
        steps, channels = _block(layers, at, inner, step, tf_padding)
        made.append(Residual(steps, name=at) if step == 1 and inner == channels else Chain(steps, at))
    made.append(Chain(_unit(layers, "mobilenet_v2.conv_1x1", channels), "mobilenet_v2.conv_1x1"))
    channels = layers.outer("mobilenet_v2.conv_1x1.convolution")
    return network(Plan(stem, made), layers, HEAD, channels, activation)


def _block(layers: Sized, at: str, inner: int, stride: int, tf_padding: bool) -> tuple[list[Step], int]:
    """1x1 if there is one, 3x3 of each channel by itself, and 1x1 without an activation."""
    steps: list[Step] = []
    if layers.has(f"{at}.expand_1x1.convolution"):
        steps += _unit(layers, f"{at}.expand_1x1", inner)
        inner = layers.outer(f"{at}.expand_1x1.convolution")
    steps += _unit(layers, f"{at}.conv_3x3", inner, RELU6, stride, tf_padding)
    steps += _unit(layers, f"{at}.reduce_1x1", inner, None)
    return steps, layers.outer(f"{at}.reduce_1x1.convolution")


def efficientnet(
    shapes: Shapes, centred: str = "published", eps: float = EPS, activation: str | None = None
) -> ImageNetwork:
    """``centred`` are the numbers of blocks whose padding is the same on all sides, as 5/18."""
    layers, at = Sized(shapes, eps), "efficientnet.embeddings"
    pad: Step = nn.ZeroPad2d((0, 1, 0, 1))
    stem = padded(layers, f"{at}.convolution", f"{at}.batchnorm", 3, SILU, 2, pad)
    channels, blocks = layers.outer(f"{at}.convolution"), list[Chain | Residual]()
    count = layers.numbered("efficientnet.encoder.blocks.{}.depthwise_conv.depthwise_conv.weight")
    depth, outer = DEPTHS[count], layers.outer("efficientnet.encoder.top_conv")
    even = _numbers(CENTRED.get((count, outer), "") if centred == "published" else centred)
    for repeats, step in zip(REPEATS, STRIDES, strict=True):
        for i in range(ceil(depth * repeats)):
            name = f"efficientnet.encoder.blocks.{len(blocks)}"
            steps = _gated(layers, name, channels, 1 if i else step, len(blocks) in even)
            channels = layers.outer(f"{name}.projection.project_conv")
            blocks.append(Residual(steps, name=name) if i else Chain(steps, name))
    top = "efficientnet.encoder.top_{}"
    blocks.append(Chain(layers.unit(top.format("conv"), top.format("bn"), channels, SILU), top.format("conv")))
    return network(Plan(stem, blocks), layers, HEAD, outer, activation)


def _numbers(text: str) -> set[int]:
    """
    >>> sorted(_numbers("5/18"))
    [5, 18]
    """
    parts = [part for part in text.split("/") if part]
    if not all(part.isdecimal() for part in parts):
        raise UsageError(f"--model: centred={text} must be whole numbers, as in 5/18")
    return {int(part) for part in parts}


def _gated(layers: Sized, at: str, inner: int, stride: int, centred: bool) -> list[Step]:
    """1x1 if there is one, one of each channel by itself, a gate, and 1x1 without an activation."""
    steps: list[Step] = []
    if layers.has(f"{at}.expansion.expand_conv"):
        steps += layers.unit(f"{at}.expansion.expand_conv", f"{at}.expansion.expand_bn", inner, SILU)
        inner = layers.outer(f"{at}.expansion.expand_conv")
    conv = f"{at}.depthwise_conv.depthwise_conv"
    half = layers.shapes[f"{conv}.weight"][2] // 2
    pad = nn.ZeroPad2d((half - (not centred), half, half - (not centred), half)) if stride > 1 else None
    steps += padded(layers, conv, f"{at}.depthwise_conv.depthwise_norm", inner, SILU, stride, pad)
    reduce = layers.convolution(f"{at}.squeeze_excite.reduce", inner)
    expand = layers.convolution(f"{at}.squeeze_excite.expand", reduce.out_channels)
    steps.append(Gate(reduce, expand, SILU))
    return steps + layers.unit(f"{at}.projection.project_conv", f"{at}.projection.project_bn", inner)


LAYOUTS = [
    *both("hf_mobilenet_v1", mobilenet_v1, HEAD, choices=paddings, stride=2, tf_padding=True, eps=EPS),
    *both("hf_mobilenet_v2", mobilenet_v2, HEAD, choices=paddings, stride=2, tf_padding=True, eps=EPS),
    *both("hf_efficientnet", efficientnet, HEAD, centred="published", eps=EPS),
]
