"""MobileNetV2 (Sandler et al., CVPR 2018), MobileNetV3 (Howard et al., ICCV 2019) and MnasNet (Tan et al., CVPR 2019)
as torchvision saves them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch.nn.functional as F

from mixcli.models.images.layers import RELU
from mixcli.models.images.network import ImageNetwork, Plan, Residual, Step
from mixcli.models.images.parts import RELU6, Chain
from mixcli.models.images.pieces import HARDSIGMOID, HARDSWISH
from mixcli.models.images.sized import Sized
from mixcli.models.images.tops import Style, both, network
from mixcli.models.images.torchvision.inverted import Unit, gate, inverted
from mixcli.models.layout import Layout, Shape

V2_HEAD, V3_HEAD = Style("classifier", (".1",)), Style("classifier", (".0", ".3"), "hardswish")
DEPTHS, STRIDES = (1, 2, 3, 4, 3, 3, 1), (1, 2, 2, 2, 1, 2, 1)  # of the stages of MobileNetV2
V3 = {  # by the number of blocks: the stride of each, and the first with hardswish
    15: ((1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1), 6),
    11: ((2, 2, 1, 2, 1, 1, 1, 1, 2, 1, 1), 3),
}


def mobilenet_v2(name: str, stride: int = 2, strides: Sequence[int] = STRIDES, least: int = 1) -> list[Layout]:
    """The layout; ``stride`` is that of the first convolution, ``strides`` are those of the stages."""

    def build(shapes: Mapping[str, Shape], stride: int = stride, activation: str | None = None) -> ImageNetwork:
        layers = Sized(shapes)
        stem = layers.unit("features.0.0", "features.0.1", 3, RELU6, stride)
        channels, blocks = layers.outer("features.0.0"), list[Residual | Chain]()
        for step in (s if not i else 1 for s, depth in zip(strides, DEPTHS, strict=True) for i in range(depth)):
            at = f"features.{len(blocks) + 1}"
            block, channels = inverted(layers, at, _v2_units(layers, at), channels, RELU6, step)
            blocks.append(block)
        last = f"features.{len(blocks) + 1}"
        blocks.append(Chain(layers.unit(f"{last}.0", f"{last}.1", channels, RELU6), last))
        channels = layers.outer(f"{last}.0")
        return network(Plan(stem, blocks), layers, V2_HEAD, channels, activation)

    return both(name, build, V2_HEAD, stride=stride)


def _v2_units(layers: Sized, at: str) -> list[Unit]:
    """Three, or two where the block does not widen."""
    count = layers.numbered(f"{at}.conv.{{}}.0.weight")
    wide = [(f"{at}.conv.{i}.0", f"{at}.conv.{i}.1") for i in range(count)]
    return [*wide, (f"{at}.conv.{count}", f"{at}.conv.{count + 1}")]


def mobilenet_v3(shapes: Mapping[str, Shape], stride: int = 2, activation: str | None = None) -> ImageNetwork:
    """The large one has 15 blocks, the small one 11."""
    layers = Sized(shapes, eps=1e-3)
    count = layers.numbered("features.{}.block.0.0.weight", 1)
    strides, hard = V3[count]
    stem = layers.unit("features.0.0", "features.0.1", 3, HARDSWISH, stride)
    channels, blocks = layers.outer("features.0.0"), list[Residual | Chain]()
    for i, step in enumerate(strides):
        at = f"features.{i + 1}"
        block, channels = _v3_block(layers, at, channels, step, HARDSWISH if i >= hard else RELU)
        blocks.append(block)
    last = f"features.{count + 1}"
    blocks.append(Chain(layers.unit(f"{last}.0", f"{last}.1", channels, HARDSWISH), last))
    return network(Plan(stem, blocks), layers, V3_HEAD, layers.outer(f"{last}.0"), activation)


def _v3_block(layers: Sized, at: str, inner: int, stride: int, act: Step) -> tuple[Residual | Chain, int]:
    places = [i for i in range(4) if layers.has(f"{at}.block.{i}.0")]
    units = [(f"{at}.block.{i}.0", f"{at}.block.{i}.1") for i in places]
    gates = [f"{at}.block.{i}" for i in range(4) if layers.has(f"{at}.block.{i}.fc1")]
    squeeze = gate(layers, gates[0], layers.outer(units[-2][0]), F.relu, HARDSIGMOID) if gates else None
    return inverted(layers, at, units, inner, act, stride, squeeze)


MNAS_HEAD = Style("classifier", (".1",))
MNAS_STRIDES = (2, 2, 2, 1, 2, 1)  # of its stages, which have as many blocks as the checkpoint has


def mnasnet(shapes: Mapping[str, Shape], stride: int = 2, activation: str | None = None) -> ImageNetwork:
    """Its layers are numbered one by one: the stem has 8, of which 0, 3 and 6 are convolutions."""
    layers = Sized(shapes)
    stem = layers.unit("layers.0", "layers.1", 3, RELU, stride)
    channels = layers.outer("layers.0")
    blocks: list[Residual | Chain] = []
    for place, act in ((3, [RELU]), (6, [])):
        at = f"layers.{place}"
        blocks.append(Chain([*layers.unit(at, f"layers.{place + 1}", channels), *act], at))
        channels = layers.outer(at)
    for stage, step in enumerate(MNAS_STRIDES, 8):
        for i in range(layers.numbered(f"layers.{stage}.{{}}.layers.0.weight")):
            at = f"layers.{stage}.{i}"
            units = [(f"{at}.layers.{place}", f"{at}.layers.{place + 1}") for place in (0, 3, 6)]
            block, channels = inverted(layers, at, units, channels, RELU, 1 if i else step)
            blocks.append(block)
    blocks.append(Chain(layers.unit("layers.14", "layers.15", channels, RELU), "layers.14"))
    return network(Plan(stem, blocks), layers, MNAS_HEAD, layers.outer("layers.14"), activation)


LAYOUTS = [
    *mobilenet_v2("mobilenet_v2"),
    *both("mobilenet_v3", mobilenet_v3, V3_HEAD, stride=2),
    *both("mnasnet", mnasnet, MNAS_HEAD, stride=2),
]
