"""DenseNet (Huang et al., CVPR 2017) as torchvision saves it: each layer's maps lie beside all that came before."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from mixcli.models.images.layers import RELU
from mixcli.models.images.network import ImageNetwork, Plan, Step
from mixcli.models.images.parts import Branches, Chain
from mixcli.models.images.sized import Sized
from mixcli.models.images.tops import Style, both, network
from mixcli.models.layout import Layout, Shape

HEAD = Style("classifier", ("",))


def densenet(name: str, stride: int, only: int) -> list[Layout]:
    """The layout of those whose first convolution has the kernel ``only``."""

    def build(
        shapes: Mapping[str, Shape], stride: int = stride, pool: bool = True, activation: str | None = None
    ) -> ImageNetwork:
        layers = Sized(shapes)
        conv = layers.convolution("features.conv0", 3, stride)
        if conv.kernel_size != (only, only):
            raise ValueError(f"features.conv0 has no kernel of {only}")
        channels, blocks = conv.out_channels, list[Chain | Branches]()
        stem: list[Step] = [conv, layers.batch_norm("features.norm0", channels), RELU]
        stem += [nn.MaxPool2d(3, 2, 1)] if pool else []
        stage = 1
        while layers.has(f"features.denseblock{stage}.denselayer1.conv1"):
            for i in range(layers.numbered(f"features.denseblock{stage}.denselayer{{}}.conv1.weight", 1)):
                block, grown = _layer(layers, f"features.denseblock{stage}.denselayer{i + 1}", channels)
                blocks.append(block)
                channels += grown
            at = f"features.transition{stage}"
            if layers.has(f"{at}.conv"):
                steps: list[Step] = [layers.batch_norm(f"{at}.norm", channels), RELU]
                steps.append(layers.convolution(f"{at}.conv", channels))
                blocks.append(Chain([*steps, nn.AvgPool2d(2)], at))
                channels = layers.outer(f"{at}.conv")
            stage += 1
        tail = [layers.batch_norm("features.norm5", channels), RELU]
        return network(Plan(stem, blocks, tail), layers, HEAD, channels, activation).at_least(only if only < 7 else 29)

    return both(name, build, HEAD, stride=stride, pool=True)


def _layer(layers: Sized, at: str, channels: int) -> tuple[Branches, int]:
    """BatchNorm, ReLU and a convolution, twice: of 1x1, and of 3x3."""
    steps: list[Step] = [layers.batch_norm(f"{at}.norm1", channels), RELU]
    first = layers.convolution(f"{at}.conv1", channels)
    steps += [first, layers.batch_norm(f"{at}.norm2", first.out_channels), RELU]
    last = layers.convolution(f"{at}.conv2", first.out_channels)
    return Branches([[], [*steps, last]], name=at), last.out_channels


LAYOUTS = densenet("densenet", stride=2, only=7)
