"""SqueezeNet (Iandola et al., 2016) with shortcuts: 1x1 convolutions narrow, then 1x1 and 3x3 ones widen."""

from __future__ import annotations

from torch import nn

from mixcli.models.images.folding import Step
from mixcli.models.images.network import ImageNetwork, Plan
from mixcli.models.images.origins import WEIAICUNZAI
from mixcli.models.images.parts import Branches, Chain
from mixcli.models.images.reader import Reader
from mixcli.models.layout import Shapes, layout

POOLED = (4, 8)  # after these a max-pool halves the map, as after the first convolution
ADDED = (3, 5, 7)  # to these their input is added


def _build(shapes: Shapes) -> ImageNetwork:
    layers = Reader(shapes)
    stem: list[Step] = [*layers.unit("stem.0", "stem.1", 3), nn.MaxPool2d(2)]
    blocks, inner = [], layers.width("stem.0")
    for number in range(2, 10):
        at = f"fire{number}"
        steps = _fire(layers, at, inner)
        pool: list[Step] = [nn.MaxPool2d(2)] if number - 1 in POOLED else []
        if number in ADDED:
            blocks.append(Chain([*pool, Branches([[], steps], summed=True)]))
        else:
            blocks.append(Chain([*pool, *steps], at))
        inner = layers.width(f"{at}.expand_1x1.0") + layers.width(f"{at}.expand_3x3.0")
    layers.convolution("conv10", inner, 1)  # of means it gives what the mean of its map is
    return ImageNetwork(Plan(stem, blocks), layers, "conv10")


def _fire(layers: Reader, at: str, inner: int) -> list[Step]:
    narrow = layers.unit(f"{at}.squeeze.0", f"{at}.squeeze.1", inner, 1)
    inner = layers.width(f"{at}.squeeze.0")
    wide = [layers.unit(f"{at}.expand_{k}x{k}.0", f"{at}.expand_{k}x{k}.1", inner, k) for k in (1, 3)]
    return [*narrow, Branches(wide)]


LAYOUTS = (layout("squeezenet_weiaicunzai", _build, [WEIAICUNZAI]),)
