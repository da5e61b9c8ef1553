"""ResNet with squeeze and excitation (Hu et al., CVPR 2018): what a block adds is gated by its own means."""

from __future__ import annotations

from mixcli.models.images.folding import Step
from mixcli.models.images.layers import RELU
from mixcli.models.images.network import Block, ImageNetwork, Plan
from mixcli.models.images.origins import KUANGLIU, WEIAICUNZAI
from mixcli.models.images.parts import Branches, Chain, Gate
from mixcli.models.images.reader import Reader
from mixcli.models.images.resnet import LAYERS
from mixcli.models.layout import Shapes, layout

STAGES = tuple(f"stage{stage}.{{}}." for stage in range(1, 5))


def _kuangliu(shapes: Shapes) -> ImageNetwork:
    """Blocks of two convolutions with BatchNorm before them, as a PreAct-ResNet has; no ReLU follows the last."""
    layers = Reader(shapes)
    stem = layers.unit("conv1", "bn1", 3)
    blocks: list[Block] = []
    inner = layers.width("conv1")
    for prefix, stride in layers.blocks(LAYERS, "conv1"):
        outer = layers.width(f"{prefix}conv1")
        start = [layers.norm(f"{prefix}bn1", inner), RELU]
        body: list[Step] = [layers.convolution(f"{prefix}conv1", inner, 3, stride), layers.norm(f"{prefix}bn2", outer)]
        body += [RELU, layers.convolution(f"{prefix}conv2", outer, 3), _convolved_gate(layers, prefix, outer)]
        if stride == 1 and inner == outer:
            blocks.append(Branches([[], [*start, *body]], summed=True, name=prefix[:-1]))
        else:
            shortcut: list[Step] = [layers.convolution(f"{prefix}shortcut.0", inner, 1, stride)]
            blocks.append(Chain([*start, Branches([shortcut, body], summed=True)], prefix[:-1]))
        inner = outer
    return ImageNetwork(Plan(stem, blocks), layers, layers.linear("linear", inner))


def _convolved_gate(layers: Reader, prefix: str, channels: int) -> Gate:
    squeeze = layers.convolution(f"{prefix}fc1", channels, 1)
    return Gate(squeeze, layers.convolution(f"{prefix}fc2", squeeze.out_channels, 1))


def _weiaicunzai(shapes: Shapes) -> ImageNetwork:
    """Blocks of two or three convolutions; here a ReLU follows the last, before the gate."""
    layers = Reader(shapes)
    stem = layers.unit("pre.0", "pre.1", 3)
    blocks, inner = [], layers.width("pre.0")
    for prefix, stride in layers.blocks(STAGES, "residual.0"):
        body, outer = _residual(layers, prefix, inner, stride)
        shortcut: list[Step] = []
        if stride > 1 or inner != outer:
            shortcut = layers.unit(f"{prefix}shortcut.0", f"{prefix}shortcut.1", inner, 1, stride, act=None)
        blocks.append(Branches([shortcut, body], [RELU], summed=True, name=prefix[:-1]))
        inner = outer
    return ImageNetwork(Plan(stem, blocks), layers, layers.linear("linear", inner))


def _residual(layers: Reader, prefix: str, inner: int, stride: int) -> tuple[list[Step], int]:
    three = layers.has(f"{prefix}residual.6")
    steps: list[Step] = []
    for i, kernel in enumerate((1, 3, 1) if three else (3, 3)):
        conv, norm = (f"{prefix}residual.{3 * i + part}" for part in range(2))
        steps += layers.unit(conv, norm, inner, kernel, stride if i == three else 1)
        inner = layers.width(conv)
    squeeze = layers.dense(f"{prefix}excitation.0", inner)
    excite = layers.dense(f"{prefix}excitation.2", squeeze.out_features)
    return [*steps, Gate(squeeze, excite)], inner


LAYOUTS = (
    layout("senet_kuangliu", _kuangliu, [KUANGLIU]),
    layout("senet_weiaicunzai", _weiaicunzai, [WEIAICUNZAI]),
)
