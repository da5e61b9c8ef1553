"""VGG (Simonyan and Zisserman, ICLR 2015) and AlexNet (Krizhevsky, 2014) as torchvision saves them.

Their layers are numbered, and a number without keys is that of an activation or a pool.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from torch import nn

from mixcli.models.images.layers import RELU
from mixcli.models.images.network import ImageNetwork, Plan, Step
from mixcli.models.images.parts import Chain
from mixcli.models.images.sized import Sized
from mixcli.models.images.tops import Style, both, network
from mixcli.models.layout import Layout, Shape


def numbered(name: str, style: Style, pool: nn.MaxPool2d, stride: int, padding: int | None, least: int) -> list[Layout]:
    """The layout of a plain chain of convolutions; ``stride`` and ``padding`` are those of the first."""
    kernel = 11 if padding else 3

    def build(shapes: Mapping[str, Shape], stride: int = stride, activation: str | None = None) -> ImageNetwork:
        layers, channels = Sized(shapes), 3
        places = numbers(shapes, "features")
        blocks = list[Chain]()
        for place, room in zip(places, _room(shapes, places), strict=True):
            at = f"features.{place}"
            conv = layers.convolution(at, channels, *(() if blocks else (stride, padding)))
            channels = conv.out_channels
            if not blocks and conv.kernel_size != (kernel, kernel):
                raise ValueError(f"{at} has no kernel of {kernel}")
            steps: list[Step] = [conv]
            if layers.has(f"features.{place + 1}") and place + 1 not in places:
                steps.append(layers.batch_norm(f"features.{place + 1}", channels))
            steps.append(RELU)
            if room - len(steps) not in (0, 1):
                raise ValueError(f"{at}: is followed by more than a pool")
            blocks.append(Chain([*steps, pool] if room > len(steps) else steps, at))
        first, *rest = blocks
        return network(Plan(first.steps, rest), layers, style, channels, activation).at_least(least)

    return both(name, build, style, stride=stride)


def numbers(shapes: Mapping[str, Shape], prefix: str) -> list[int]:
    """The numbers of a sequence's convolutions."""
    mine = {key.split(".")[1] for key, shape in shapes.items() if key.startswith(prefix + ".") and len(shape) == 4}
    return sorted(int(number) for number in mine if number.isdecimal())


def _room(shapes: Mapping[str, Shape], places: list[int]) -> list[int]:
    """How many layers there are from each convolution to the next; behind the last there is a pool."""
    norm = f"features.{places[-1] + 1}.weight" in shapes
    return [after - place for place, after in pairwise(places)] + [3 + norm]


VGG, ALEXNET = Style("classifier", (".0", ".3", ".6"), side=7), Style("classifier", (".1", ".4", ".6"), side=6)
LAYOUTS = [
    *numbered("vgg", VGG, nn.MaxPool2d(2, 2), stride=1, padding=None, least=32),
    *numbered("alexnet", ALEXNET, nn.MaxPool2d(3, 2), stride=4, padding=2, least=63),
]
