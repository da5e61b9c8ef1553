"""The layers of networks whose shapes tell nearly all: channels, groups, biases."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from mixcli.models.images.folding import Step
from mixcli.models.images.layers import RELU, Layers


class Reader(Layers):
    """As ``Layers``, with a bias wherever the checkpoint has one.

    The size of the kernel is the caller's to know, since what the padding is goes with it; shapes that differ are found
    when they are compared with those of the finished network.
    """

    def convolution(
        self,
        name: str,
        inner: int,
        kernel: int | tuple[int, int] = 3,
        stride: int = 1,
        padding: int | tuple[int, int] | None = None,
        groups: int = 1,
    ) -> nn.Conv2d:
        """A convolution of ``inner`` channels to as many as the checkpoint has.

        Without ``padding`` it keeps the size of the map, or divides it by ``stride``. ``groups`` 0 stands for as many
        as the checkpoint has.
        """
        outer, of_group = self._sizes(name)
        groups = groups or inner // of_group
        high, wide = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        padding = (high // 2, wide // 2) if padding is None else padding
        if not groups or inner % groups or outer % groups:
            raise ValueError(f"{name} has no such groups")
        bias = f"{name}.bias" in self.shapes
        self[name] = conv = nn.Conv2d(inner, outer, (high, wide), stride, padding, groups=groups, bias=bias)
        return conv

    def same(self, name: str, inner: int, stride: int = 1) -> nn.Conv2d:
        """A convolution of the kernel that the checkpoint has, for where all that run beside it keep the map's size."""
        high, wide = self.shapes[f"{name}.weight"][2:]
        return self.convolution(name, inner, (high, wide), stride)

    def depthwise(self, name: str, channels: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
        """A convolution of each channel by itself, to one or several."""
        return self.convolution(name, channels, kernel, stride, groups=channels)

    def norm(self, name: str, channels: int, eps: float = 1e-5) -> nn.BatchNorm2d:
        if f"{name}.running_mean" not in self.shapes:
            raise KeyError(name)
        self[name] = norm = nn.BatchNorm2d(channels, eps)
        return norm

    def unit(
        self,
        conv: str,
        norm: str,
        inner: int,
        kernel: int | tuple[int, int] = 3,
        stride: int = 1,
        act: Step | None = RELU,
    ) -> list[Step]:
        """A convolution, its BatchNorm and an activation."""
        steps: list[Step] = [self.convolution(conv, inner, kernel, stride), self.norm(norm, self.width(conv))]
        return [*steps, act] if act else steps

    def dense(self, name: str, inner: int) -> nn.Linear:
        """A linear layer of ``inner`` inputs."""
        outer, _ = self._sizes(name, 2)
        self[name] = linear = nn.Linear(inner, outer, bias=f"{name}.bias" in self.shapes)
        return linear

    def width(self, name: str) -> int:
        """The number of channels that a convolution or a linear layer gives."""
        return self.shapes[f"{name}.weight"][0]

    def numbered(self, pattern: str, last: str) -> Iterator[str]:
        """``pattern`` with 0, 1, ... in its {}, for as long as the checkpoint has a weight ``last`` there.

        It is given at least once; one without {} stands for one alone.
        """
        yield (prefix := pattern.format(0))
        number = 1
        while pattern.format(number) != prefix and self.has(pattern.format(number) + last):
            yield pattern.format(number)
            number += 1

    def _sizes(self, name: str, axes: int = 4) -> tuple[int, int]:
        shape = self.shapes[f"{name}.weight"]
        if len(shape) != axes or 0 in shape:
            raise ValueError(f"{name} has no such weights")
        return shape[0], shape[1]
