"""ShuffleNet V2 (Ma et al., ECCV 2018) as torchvision saves it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from mixcli.models.images.layers import RELU
from mixcli.models.images.network import ImageNetwork, Plan, Step
from mixcli.models.images.parts import Branches, Chain, Halves, Shuffle
from mixcli.models.images.sized import Sized
from mixcli.models.images.tops import Style, both, network
from mixcli.models.layout import Layout, Shape

HEAD = Style("fc", ("",))


def shufflenet_v2(name: str, stride: int = 2, pool: bool = True) -> list[Layout]:
    """The layout; ``stride`` is that of the first convolution, behind which there may be a pool."""

    def build(
        shapes: Mapping[str, Shape], stride: int = stride, pool: bool = pool, activation: str | None = None
    ) -> ImageNetwork:
        layers = Sized(shapes)
        stem = layers.unit("conv1.0", "conv1.1", 3, RELU, stride)
        stem += [nn.MaxPool2d(3, 2, 1)] if pool else []
        channels, blocks = layers.outer("conv1.0"), list[Branches | Chain]()
        for stage in (2, 3, 4):
            for i in range(max(layers.numbered(f"stage{stage}.{{}}.branch2.0.weight"), 1)):
                block = _block(layers, f"stage{stage}.{i}", channels, i == 0)
                channels = 2 * layers.outer(f"stage{stage}.{i}.branch2.5")
                blocks.append(block)
        blocks.append(Chain(layers.unit("conv5.0", "conv5.1", channels, RELU), "conv5"))
        return network(Plan(stem, blocks), layers, HEAD, layers.outer("conv5.0"), activation)

    return both(name, build, HEAD, stride=stride, pool=pool)


def _block(layers: Sized, at: str, inner: int, first: bool) -> Branches | Chain:
    """The first of a stage halves the map and gives all of the input to both sides."""
    stride, right_inner = (2, inner) if first else (1, inner // 2)
    left: list[Step] = []
    if first:
        left = layers.unit(f"{at}.branch1.0", f"{at}.branch1.1", inner, None, stride)
        left += layers.unit(f"{at}.branch1.2", f"{at}.branch1.3", inner, RELU)
    right = layers.unit(f"{at}.branch2.0", f"{at}.branch2.1", right_inner, RELU)
    middle = layers.outer(f"{at}.branch2.0")
    right += layers.unit(f"{at}.branch2.3", f"{at}.branch2.4", middle, None, stride)
    right += layers.unit(f"{at}.branch2.5", f"{at}.branch2.6", middle, RELU)
    return Branches([left, right], [Shuffle(2)], name=at) if first else Chain([Halves(right), Shuffle(2)], at)


LAYOUTS = shufflenet_v2("shufflenet_v2")
