"""RegNet (Radosavovic et al., CVPR 2020), X and with gates Y, as torchvision saves it."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F

from mixcli.models.images.layers import RELU
from mixcli.models.images.network import ImageNetwork, Plan, Residual, Step
from mixcli.models.images.sized import Sized
from mixcli.models.images.tops import Style, both, network
from mixcli.models.images.torchvision.inverted import gate
from mixcli.models.layout import Shape

HEAD = Style("fc", ("",))


def build(shapes: Mapping[str, Shape], stride: int = 2, activation: str | None = None) -> ImageNetwork:
    layers = Sized(shapes)
    stem = layers.unit("stem.0", "stem.1", 3, RELU, stride)
    channels, blocks = layers.outer("stem.0"), list[Residual]()
    for stage in (1, 2, 3, 4):
        pattern = f"trunk_output.block{stage}.block{stage}-{{}}"
        for i in range(max(layers.numbered(pattern + ".f.a.0.weight"), 1)):
            block, channels = _block(layers, pattern.format(i), channels, 1 if i else 2)
            blocks.append(block)
    return network(Plan(stem, blocks), layers, HEAD, channels, activation)


def _block(layers: Sized, at: str, inner: int, stride: int) -> tuple[Residual, int]:
    """1x1, 3x3 in groups with the stride, perhaps a gate, 1x1."""
    body: list[Step] = [*layers.unit(f"{at}.f.a.0", f"{at}.f.a.1", inner, RELU)]
    middle = layers.outer(f"{at}.f.a.0")
    body += layers.unit(f"{at}.f.b.0", f"{at}.f.b.1", middle, RELU, stride)
    if layers.has(f"{at}.f.se.fc1"):
        body.append(gate(layers, f"{at}.f.se", middle, F.relu))
    body += layers.unit(f"{at}.f.c.0", f"{at}.f.c.1", middle)
    outer = layers.outer(f"{at}.f.c.0")
    fits = stride == 1 and inner == outer
    shortcut = [] if fits else layers.unit(f"{at}.proj.0", f"{at}.proj.1", inner, None, stride)
    return Residual(body, shortcut, relu=True, name=at), outer


LAYOUTS = both("regnet", build, HEAD, stride=2)
