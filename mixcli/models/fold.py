"""The fast path's weights: BatchNorm folded into the affine map before it, which is exact in eval mode."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, Self, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixcli.models.network import Network
from mixcli.models.network import Pull as Pull
from mixcli.models.network import autograd_vjp as autograd_vjp

Linear = nn.Linear | nn.Conv1d | nn.Conv2d  # convolutions of kernel 1
Norm = nn.BatchNorm1d | nn.BatchNorm2d
W = TypeVar("W")  # a network's folded weights
_lock = threading.Lock()


class Affine(NamedTuple):
    """x -> x @ weight.T + bias."""

    weight: Tensor  # (out, in)
    bias: Tensor  # (out,)


class Folded(Network, Generic[W]):
    """A network that computes its folded weights once, when first asked or in ``freeze``, for all threads."""

    _weights: W | None = None

    def fold(self) -> W:
        """The folded weights, in whatever form the network's fast path uses them."""
        raise NotImplementedError

    def weights(self) -> W:
        """The folded weights; computed when the network has changed mode, device, type or state since."""
        if self.training:
            raise RuntimeError("the fast path stands on fixed BatchNorm statistics: call freeze() or eval() first")
        folded = self._weights
        if folded is None:
            with _lock, torch.no_grad():
                folded = self._weights
                if folded is None:
                    self._weights = folded = self.fold()
        return folded

    def freeze(self) -> Self:
        """Eval mode, no parameter gradients, weights folded now: the network is ready for many threads."""
        super().freeze().weights()
        return self

    def train(self, mode: bool = True) -> Self:
        """Training or eval mode, as ever; folded weights do not outlive the change."""
        self._weights = None
        return super().train(mode)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """As ever; folded weights do not outlive the load."""
        self._weights = None
        return super().load_state_dict(*args, **kwargs)

    def _apply(self, *args: Any, **kwargs: Any) -> Any:  # to(), cuda(), double() all come through here
        self._weights = None
        return super()._apply(*args, **kwargs)


def fold(layer: Linear, norm: Norm | None = None) -> Affine:
    """The affine map of a linear layer or 1x1 convolution followed by a BatchNorm in eval mode.

    Computed in float64 and stored in the layer's own type. The scale, whatever its sign, goes into the weight,
    so a max taken over the result needs no case for negative scales.
    """
    weight = layer.weight.detach().flatten(1).double()  # (out, in)
    bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach().double()
    if norm is not None:
        mean, variance = statistics(norm)
        scale = norm.weight.detach() * (variance.double() + norm.eps).rsqrt()
        weight = weight * scale[:, None]
        bias = (bias - mean) * scale + norm.bias.detach()
    return Affine(weight.to(layer.weight.dtype).contiguous(), bias.to(layer.weight.dtype))


def statistics(norm: Norm) -> tuple[Tensor, Tensor]:
    """The running mean and variance, which eval mode normalises by. ValueError of a BatchNorm that keeps none."""
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a BatchNorm without running statistics cannot be folded")
    return norm.running_mean, norm.running_var


def chain(layers: Sequence[Affine], x: Tensor, slope: float = 0.0) -> tuple[Tensor, list[Tensor]]:
    """Affine maps with a leaky ReLU after each: the last output, and every output for ``chain_back``.

    x (..., in) -> (..., out); slope 0 is the ReLU.
    """
    outputs = []
    for weight, bias in layers:
        x = F.leaky_relu_(F.linear(x, weight, bias), slope)
        outputs.append(x)
    return x, outputs


def chain_back(layers: Sequence[Affine], outputs: Sequence[Tensor], g: Tensor, slope: float = 0.0) -> Tensor:
    """The transpose of ``chain`` at its recorded outputs: g (..., out) -> (..., in)."""
    for (weight, _), y in zip(reversed(layers), reversed(outputs), strict=True):
        g = leaky_back(g, y, slope) @ weight
    return g


def leaky_back(g: Tensor, y: Tensor, slope: float) -> Tensor:
    """g times the derivative of the leaky ReLU, whose output y has the sign of its input."""
    return torch.ops.aten.leaky_relu_backward(g, y, slope, True)
