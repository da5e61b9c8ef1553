"""SqueezeNet (Iandola et al., 2016) as torchvision saves it: its logits are means of maps."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from mixcli.models.images.layers import RELU
from mixcli.models.images.network import ImageNetwork, Plan, Step, placed
from mixcli.models.images.parts import Branches, Chain
from mixcli.models.images.sized import Sized
from mixcli.models.layout import Shape, layout

POOL = nn.MaxPool2d(3, 2, ceil_mode=True)
HEAD = "classifier.1"


class SqueezeNet(ImageNetwork):
    """A network whose last map has a channel for each class."""

    def _outputs(self) -> int:
        return len(placed(self, HEAD).get_parameter("weight"))

    def classify(self, maps: Tensor) -> Tensor:
        """Logits (B, classes) of what ``features`` gives."""
        return maps.mean((2, 3))

    def evidence(self, maps: Tensor, label: Tensor) -> Tensor:
        """The maps of the classes label (B,), which are their own activation maps: (B, classes, h, w) -> (B, h, w)."""
        return maps[range(len(maps)), label]


def build(shapes: Mapping[str, Shape], stride: int = 2) -> SqueezeNet:
    layers = Sized(shapes)
    conv = layers.convolution("features.0", 3, stride, 0)
    channels, blocks = conv.out_channels, list[Chain]()
    stem: list[Step] = [conv, RELU, POOL]
    fires = sorted({int(key.split(".")[1]) for key in shapes if key.endswith("squeeze.weight")})
    if not fires or fires[0] != 3:
        raise ValueError("features.3 is no fire module")
    for place in fires:
        name = f"features.{place}"
        fire, channels = _fire(layers, name, channels)
        room = [] if place + 1 in fires or place == fires[-1] else [POOL]
        blocks.append(Chain([*fire, *room], name))
    head = layers.convolution(HEAD, channels)
    return SqueezeNet(Plan(stem, blocks, [head, RELU]), layers, HEAD).at_least(17)


def _fire(layers: Sized, name: str, inner: int) -> tuple[list[Step], int]:
    """A 1x1 convolution, then one of 1x1 and one of 3x3 side by side."""
    squeeze = layers.convolution(f"{name}.squeeze", inner)
    expanding = [layers.convolution(f"{name}.expand{size}", squeeze.out_channels) for size in ("1x1", "3x3")]
    steps: list[Step] = [squeeze, RELU, Branches([[conv, RELU] for conv in expanding])]
    return steps, sum(conv.out_channels for conv in expanding)


LAYOUTS = (layout("squeezenet", build, stride=2),)
