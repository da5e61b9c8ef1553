"""ResNet and RegNet as transformers saves them."""

from __future__ import annotations

from collections.abc import Mapping

from mixcli.models.images.layers import RELU
from mixcli.models.images.network import ImageNetwork, Plan, Residual, Step
from mixcli.models.images.parts import Gate
from mixcli.models.images.resnet import Names, resnet
from mixcli.models.images.sized import Sized
from mixcli.models.images.tops import Style, both, network
from mixcli.models.layout import Shape

SHORTCUT = ("shortcut.convolution", "shortcut.normalization")
HEAD = Style("classifier", (".1",))


def regnet(shapes: Mapping[str, Shape], stride: int = 2, activation: str | None = None) -> ImageNetwork:
    """With gates or without."""
    layers = Sized(shapes)
    stem = _unit(layers, "regnet.embedder.embedder", 3, RELU, stride)
    channels, blocks = layers.outer("regnet.embedder.embedder.convolution"), list[Residual]()
    stages = layers.numbered("regnet.encoder.stages.{}.layers.0.layer.0.convolution.weight")
    for stage in range(stages):
        pattern = f"regnet.encoder.stages.{stage}.layers.{{}}"
        for i in range(layers.numbered(pattern + ".layer.0.convolution.weight")):
            block, channels = _block(layers, pattern.format(i), channels, 1 if i else 2)
            blocks.append(block)
    return network(Plan(stem, blocks), layers, HEAD, channels, activation)


def _unit(layers: Sized, at: str, inner: int, act: Step | None = None, stride: int = 1) -> list[Step]:
    return layers.unit(f"{at}.convolution", f"{at}.normalization", inner, act, stride)


def _block(layers: Sized, at: str, inner: int, stride: int) -> tuple[Residual, int]:
    """1x1, 3x3 in groups with the stride, perhaps a gate, 1x1."""
    gated = layers.has(f"{at}.layer.2.attention.0")
    last = f"{at}.layer.{3 if gated else 2}"
    body = _unit(layers, f"{at}.layer.0", inner, RELU)
    middle = layers.outer(f"{at}.layer.0.convolution")
    body += _unit(layers, f"{at}.layer.1", middle, RELU, stride)
    if gated:
        first = layers.convolution(f"{at}.layer.2.attention.0", middle)
        second = layers.convolution(f"{at}.layer.2.attention.2", first.out_channels)
        body.append(Gate(first, second))
    body += _unit(layers, last, middle)
    outer = layers.outer(f"{last}.convolution")
    shortcut: list[Step] = []
    if stride > 1 or inner != outer:
        shortcut = _unit(layers, f"{at}.shortcut", inner, None, stride)
    return Residual(body, shortcut, relu=True, name=at), outer


NAMES = Names(
    tuple(f"resnet.encoder.stages.{stage}.layers.{{}}." for stage in range(4)),
    SHORTCUT,
    "classifier",
    stem=("resnet.embedder.embedder.convolution", "resnet.embedder.embedder.normalization"),
    convs=tuple(f"layer.{i}.convolution" for i in range(3)),
    norms=tuple(f"layer.{i}.normalization" for i in range(3)),
)
LAYOUTS = [
    resnet("hf_resnet", NAMES, kernel=7, stride=2, pool=True),
    resnet("hf_resnet_own_head", NAMES, kernel=7, stride=2, pool=True),
    *both("hf_regnet", regnet, HEAD, stride=2),
]
