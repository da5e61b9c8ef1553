"""RegNet (Radosavovic et al., CVPR 2020) as kuangliu trains it on images of 32 pixels: only two stages halve the map.

Its keys are those of a ResNet of three convolutions a block; here these are equally wide. RegNetY has gates.
"""

from __future__ import annotations

from mixcli.models.images.folding import Step
from mixcli.models.images.layers import RELU
from mixcli.models.images.network import ImageNetwork, Plan
from mixcli.models.images.origins import KUANGLIU
from mixcli.models.images.parts import Branches, Gate
from mixcli.models.images.reader import Reader
from mixcli.models.images.resnet import LAYERS
from mixcli.models.layout import Shapes, layout

HALVING = (LAYERS[2], LAYERS[3])


def _build(shapes: Shapes) -> ImageNetwork:
    layers = Reader(shapes)
    stem = layers.unit("conv1", "bn1", 3)
    blocks, inner = [], layers.width("conv1")
    for stage in LAYERS:
        for i, prefix in enumerate(layers.numbered(stage, "conv1")):
            stride = 2 if stage in HALVING and not i else 1
            outer = layers.width(f"{prefix}conv3")
            body = _body(layers, prefix, inner, stride)
            shortcut: list[Step] = []
            if stride > 1 or inner != outer:
                shortcut = layers.unit(f"{prefix}shortcut.0", f"{prefix}shortcut.1", inner, 1, stride, act=None)
            blocks.append(Branches([shortcut, body], [RELU], summed=True, name=prefix[:-1]))
            inner = outer
    return ImageNetwork(Plan(stem, blocks), layers, layers.linear("linear", inner))


def _body(layers: Reader, prefix: str, inner: int, stride: int) -> list[Step]:
    width = layers.width(f"{prefix}conv1")
    if layers.width(f"{prefix}conv3") != width:
        raise ValueError(f"{prefix} widens, as a block of a ResNet does")
    steps = layers.unit(f"{prefix}conv1", f"{prefix}bn1", inner, 1)
    middle = layers.convolution(f"{prefix}conv2", width, 3, stride, groups=0)
    steps += [middle, layers.norm(f"{prefix}bn2", width), RELU]
    if layers.has(f"{prefix}se.se1"):
        squeeze = layers.convolution(f"{prefix}se.se1", width, 1)
        steps.append(Gate(squeeze, layers.convolution(f"{prefix}se.se2", squeeze.out_channels, 1)))
    return steps + layers.unit(f"{prefix}conv3", f"{prefix}bn3", width, 1, act=None)


LAYOUTS = (layout("regnet_kuangliu", _build, [KUANGLIU]),)
