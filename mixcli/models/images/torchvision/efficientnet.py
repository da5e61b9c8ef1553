"""EfficientNet (Tan and Le, ICML 2019) and EfficientNetV2 (ICML 2021) as torchvision saves them."""

from __future__ import annotations

from collections.abc import Mapping

from mixcli.models.images.network import ImageNetwork, Plan, Residual
from mixcli.models.images.parts import Chain
from mixcli.models.images.pieces import SILU
from mixcli.models.images.sized import Sized
from mixcli.models.images.tops import Style, both, network
from mixcli.models.images.torchvision.inverted import gate, inverted
from mixcli.models.layout import Shape

HEAD = Style("classifier", (".1",))
STRIDES = (1, 2, 2, 2, 1, 2, 1)  # of the stages, of which some have six


def eps(shapes: Mapping[str, Shape]) -> float:
    """Of the BatchNorms, which no key tells: B0 to B4 have 1e-5, B5 to B7 and version 2 have 1e-3.

    B5 is the first whose last stage has more than two blocks; version 2 begins with blocks that have no gate.
    """
    fused = "features.1.0.block.1.fc1.weight" not in shapes
    last_stage = sum(f"features.7.{i}.block.0.0.weight" in shapes for i in range(4))
    return 1e-3 if fused or last_stage > 2 else 1e-5


def build(shapes: Mapping[str, Shape], stride: int = 2, activation: str | None = None) -> ImageNetwork:
    layers = Sized(shapes, eps(shapes))
    stem = layers.unit("features.0.0", "features.0.1", 3, SILU, stride)
    channels, blocks = layers.outer("features.0.0"), list[Residual | Chain]()
    stages = layers.numbered("features.{}.0.block.0.0.weight", 1)
    for stage, step in enumerate(STRIDES[:stages], 1):
        for i in range(layers.numbered(f"features.{stage}.{{}}.block.0.0.weight")):
            at = f"features.{stage}.{i}"
            block, channels = _block(layers, at, channels, 1 if i else step)
            blocks.append(block)
    if stages not in (6, 7):
        raise ValueError("an EfficientNet has six or seven stages")
    last = f"features.{stages + 1}"
    blocks.append(Chain(layers.unit(f"{last}.0", f"{last}.1", channels, SILU), last))
    return network(Plan(stem, blocks), layers, HEAD, layers.outer(f"{last}.0"), activation)


def _block(layers: Sized, at: str, inner: int, stride: int) -> tuple[Residual | Chain, int]:
    """With a gate after the depthwise convolution, or fused: one full convolution in place of two, and no gate."""
    places = [i for i in range(4) if layers.has(f"{at}.block.{i}.0")]
    units = [(f"{at}.block.{i}.0", f"{at}.block.{i}.1") for i in places]
    gates = [f"{at}.block.{i}" for i in range(4) if layers.has(f"{at}.block.{i}.fc1")]
    squeeze = gate(layers, gates[0], layers.outer(units[-2][0]), SILU) if gates else None
    return inverted(layers, at, units, inner, SILU, stride, squeeze)


LAYOUTS = both("efficientnet", build, HEAD, stride=2)
