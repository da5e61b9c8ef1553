"""LeNet-5 (LeCun et al., 1998) as it is taught with torch: ReLUs and max-pools, of colour images."""

from __future__ import annotations

from itertools import pairwise
from math import isqrt

from torch import nn

from mixcli.models.images.heads import Headed
from mixcli.models.images.layers import RELU
from mixcli.models.images.network import Plan
from mixcli.models.images.origins import KUANGLIU, MELIKETOY
from mixcli.models.images.parts import FRESH, Chain
from mixcli.models.images.reader import Reader
from mixcli.models.layout import Shapes, layout

HEADS = ("fc1", "fc2", "fc3")


def _build(shapes: Shapes) -> Headed:
    layers = Reader(shapes)
    first = layers.convolution("conv1", 3, 5, padding=0)
    second = layers.convolution("conv2", layers.width("conv1"), 5, padding=0)
    plan = Plan([first, FRESH, nn.MaxPool2d(2)], [Chain([second, RELU, nn.MaxPool2d(2)])])
    places = shapes["fc1.weight"][1] // layers.width("conv2")
    side = isqrt(places)
    layers.dense("fc1", side * side * layers.width("conv2"))
    for before, head in pairwise(HEADS):
        layers.dense(head, layers.width(before))
    return Headed(plan, layers, HEADS, image=2 * (2 * side + 4) + 4)


LAYOUTS = (layout("lenet", _build, [KUANGLIU, MELIKETOY]),)
