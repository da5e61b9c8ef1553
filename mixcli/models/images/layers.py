"""The layers of a network, of the sizes that a checkpoint's shapes tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isqrt

from torch import nn

from mixcli.models.layout import Shape

RELU = nn.ReLU(inplace=True)


class Layers(dict[str, nn.Module]):
    """Makes layers, and keeps them by the name that they are saved under.

    Raises ``KeyError``, ``IndexError`` or ``ValueError`` for shapes that no such layer has.
    """

    def __init__(self, shapes: Mapping[str, Shape], bias: bool = False):
        super().__init__()
        self.shapes, self.bias = shapes, bias  # of the convolutions
        self.tables: dict[str, nn.Parameter] = {}  # what is no layer's, by its whole key

    def conv(
        self, name: str, inner: int, kernel: int, stride: int = 1, outer: int = 0, grouped: bool = False
    ) -> nn.Conv2d:
        """A convolution of ``inner`` channels that keeps the size of the map, or divides it by ``stride``.

        It gives ``outer`` channels; 0 stands for as many as the checkpoint has.
        """
        has, of_group = self.shapes[f"{name}.weight"][:2]
        if not has or not of_group:
            raise ValueError(f"{name} has no weights")
        groups = inner // of_group if grouped else 1
        conv = nn.Conv2d(inner, outer or has, kernel, stride, kernel // 2, groups=groups, bias=self.bias)
        self[name] = conv
        return conv

    def norm(self, name: str, channels: int) -> nn.BatchNorm2d:
        norm = nn.BatchNorm2d(channels)
        self[name] = norm
        return norm

    def linear(self, name: str, channels: int) -> str:
        """A linear layer on the means of a square of windows; gives its name."""
        outer, inner = self.shapes[f"{name}.weight"][:2]
        if not outer:
            raise ValueError(f"{name} has no weights")
        windows = max(isqrt(inner // channels), 1) ** 2
        self[name] = nn.Linear(windows * channels, outer)
        return name

    def has(self, name: str) -> bool:
        return f"{name}.weight" in self.shapes

    def blocks(self, stages: Sequence[str], first: str) -> list[tuple[str, int]]:
        """The prefix of each block and its stride, by the layer ``first``: each stage but the first halves the map."""
        all_blocks: list[tuple[str, int]] = []
        for stage, prefix in enumerate(stages):
            count = 1  # at least: a network without one of its stages is another network
            while self.has(prefix.format(count) + first):
                count += 1
            all_blocks += [(prefix.format(i), 2 if stage and not i else 1) for i in range(count)]
        return all_blocks
