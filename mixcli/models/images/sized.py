"""Layers all of whose sizes a checkpoint's shapes tell, kernels, groups and biases among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from mixcli.models.images.layers import Layers
from mixcli.models.layout import Shape

Step = Callable[[Tensor], Tensor]
Module = TypeVar("Module", bound=nn.Module)


def empty(kind: type[Module], *sizes: Any, **rest: Any) -> Module:
    """A layer whose weights a checkpoint will fill, so that none are drawn."""
    return skip_init(kind, *sizes, device=torch.get_default_device(), **rest)


class Sized(Layers):
    """Makes layers of the sizes that the checkpoint has, and keeps them by the name that they are saved under.

    Raises ``KeyError``, ``IndexError`` or ``ValueError`` for shapes that no such layer has. The weights of convolutions
    and linear layers are not drawn: a checkpoint fills them.
    """

    def __init__(self, shapes: Mapping[str, Shape], eps: float = 1e-5):
        super().__init__(shapes)
        self.eps = eps  # of the BatchNorms

    def convolution(
        self, name: str, inner: int, stride: int = 1, padding: int | tuple[int, int] | None = None
    ) -> nn.Conv2d:
        """Of ``inner`` channels; it keeps the size of the map, or divides it by ``stride``, unless padding is given."""
        outer, of_group, *kernel = self.shapes[f"{name}.weight"]
        if not outer or not of_group or inner % of_group or len(kernel) != 2 or not all(kernel):
            raise ValueError(f"{name} is no convolution of {inner} channels")
        pad = (kernel[0] // 2, kernel[1] // 2) if padding is None else padding
        groups = inner // of_group
        if outer % groups:
            raise ValueError(f"{name} has {outer} outputs in {groups} groups")
        bias = f"{name}.bias" in self.shapes
        size = kernel[0], kernel[1]
        return self.kept(name, empty(nn.Conv2d, inner, outer, size, stride, pad, groups=groups, bias=bias))

    def unit(
        self,
        conv: str,
        norm: str,
        inner: int,
        act: Step | None = None,
        stride: int = 1,
        padding: int | tuple[int, int] | None = None,
    ) -> list[Step]:
        """A convolution, its BatchNorm, and the activation where there is one."""
        layer = self.convolution(conv, inner, stride, padding)
        steps: list[Step] = [layer, self.batch_norm(norm, layer.out_channels)]
        return [*steps, act] if act else steps

    def batch_norm(self, name: str, channels: int) -> nn.BatchNorm2d:
        return self.kept(name, nn.BatchNorm2d(channels, self.eps))

    def layer_norm(self, name: str, channels: int, eps: float) -> nn.LayerNorm:
        return self.kept(name, nn.LayerNorm(channels, eps))

    def dense(self, name: str, inner: int | None = None) -> nn.Linear:
        """A linear layer of ``inner`` inputs, or of as many as the checkpoint has."""
        outer, has = self.shapes[f"{name}.weight"]
        if not outer or not has:
            raise ValueError(f"{name} has no weights")
        return self.kept(name, empty(nn.Linear, inner or has, outer, bias=f"{name}.bias" in self.shapes))

    def table(self, name: str, *shape: int) -> nn.Parameter:
        """A parameter that is no layer's, of this shape or of the checkpoint's."""
        return self._kept_table(name, nn.Parameter(torch.zeros(shape or self.shapes[name])))

    def buffer(self, name: str, kind: torch.dtype = torch.float32) -> nn.Parameter:
        """Fixed numbers that are saved too, of the checkpoint's shape; as a parameter, which moves in its place."""
        return self._kept_table(name, nn.Parameter(torch.zeros(self.shapes[name], dtype=kind), requires_grad=False))

    def _kept_table(self, name: str, table: nn.Parameter) -> nn.Parameter:
        self.tables[name] = table
        return table

    def loose(self, name: str, inner: int) -> nn.Linear:
        """A linear layer whose weights are saved as name_weight and name_bias: torch's attention has one."""
        outer = self.shapes[f"{name}_weight"][0]
        layer = empty(nn.Linear, inner, outer)
        self.tables.update({f"{name}_{part}": table for part, table in layer.named_parameters()})
        return layer

    def outer(self, name: str) -> int:
        """How many channels a layer gives."""
        return self.shapes[f"{name}.weight"][0]

    def has_key(self, key: str) -> bool:
        return key in self.shapes

    def numbered(self, pattern: str, start: int = 0) -> int:
        """How many of ``pattern.format(start)``, ``pattern.format(start + 1)``, ... the checkpoint has in a row."""
        count = start
        while pattern.format(count) in self.shapes:
            count += 1
        return count - start

    def kept(self, name: str, layer: Module) -> Module:
        self[name] = layer
        return layer
