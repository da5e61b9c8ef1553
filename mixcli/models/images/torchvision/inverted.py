"""Inverted residual blocks (Sandler et al., CVPR 2018): few channels between blocks, many within."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mixcli.models.images.network import Residual, Step
from mixcli.models.images.parts import Chain, Gate
from mixcli.models.images.sized import Sized

Unit = tuple[str, str]  # names of a convolution and its BatchNorm


def inverted(
    layers: Sized, name: str, units: Sequence[Unit], inner: int, act: Step, stride: int = 1, gate: Gate | None = None
) -> tuple[Residual | Chain, int]:
    """A block and the channels that it gives.

    An activation follows each convolution but the last, the first larger than 1x1 has the stride, a gate stands before
    the last. The input is added where it fits.
    """
    body: list[Step] = []
    channels, left = inner, stride
    for i, (conv, norm) in enumerate(units):
        last = i == len(units) - 1
        if last and gate:
            body.append(gate)
        large = layers.shapes[f"{conv}.weight"][2] > 1
        body += layers.unit(conv, norm, channels, None if last and len(units) > 1 else act, left if large else 1)
        channels, left = layers.outer(conv), 1 if large else left
    if left > 1:
        raise ValueError(f"{name} has no convolution to take its stride")
    if stride == 1 and channels == inner:
        return Residual(body, name=name), channels
    return Chain(body, name), channels


def gate(layers: Sized, name: str, inner: int, act: Step, share: Step = torch.sigmoid) -> Gate:
    """Squeeze and excitation by two 1x1 convolutions with biases, fc1 and fc2."""
    first = layers.convolution(f"{name}.fc1", inner)
    return Gate(first, layers.convolution(f"{name}.fc2", first.out_channels), act, share)
