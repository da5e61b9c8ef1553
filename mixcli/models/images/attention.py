"""What transformers are put together from: attention and a small network, each added to what it was given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isqrt
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixcli.models.images.folding import Part, Step
from mixcli.models.images.pieces import GELU, SILU

GELUS: dict[str, Step] = {
    "gelu": GELU,
    "gelu_new": nn.GELU("tanh"),
    "gelu_pytorch_tanh": nn.GELU("tanh"),
    "relu": nn.ReLU(),
    "silu": SILU,
}


class QuickGELU(nn.Module):
    """x times the sigmoid of 1.702 x."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


GELUS["quick_gelu"] = QuickGELU()


class Dense(NamedTuple):
    """x -> x @ weight.T + bias, with fixed weights."""

    weight: Tensor  # (out, in)
    bias: Tensor | None  # (out,)

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


def joined(linears: Sequence[nn.Linear]) -> Dense:
    """Linear layers of one input as one, what they give side by side."""
    if len(linears) == 1:
        return Dense(linears[0].weight, linears[0].bias)
    weight = torch.cat(tuple(linear.weight for linear in linears))
    if all(linear.bias is None for linear in linears):
        return Dense(weight, None)
    biases = tuple(torch.zeros_like(one.weight[:, 0]) if one.bias is None else one.bias for one in linears)
    return Dense(weight, torch.cat(biases))


def scaled(linear: nn.Linear, factors: Tensor | None) -> Dense:
    """A linear layer and then a factor for each of its outputs: the layer scale of Touvron et al. (ICCV 2021)."""
    if factors is None:
        return Dense(linear.weight, linear.bias)
    factors = factors.flatten()
    return Dense(linear.weight * factors[:, None], None if linear.bias is None else linear.bias * factors)


def heads_apart(x: Tensor, heads: int) -> tuple[Tensor, ...]:
    """Queries, keys and values: (..., N, 3C) -> three of (..., heads, N, C / heads)."""
    *batch, count, channels = x.shape
    apart = x.view(*batch, count, 3, heads, channels // 3 // heads)
    return apart.transpose(-4, -2).unbind(-3)


@dataclass(frozen=True)
class Near:
    """What is added to attention by how far apart two places lie (Bao et al., ICLR 2022).

    ``table`` ((2·side - 1)² + 3, heads): a row for each offset, then those from the first token to places, from places
    to it, and from it to itself.
    """

    table: Tensor

    @property
    def side(self) -> int:
        """Of the square of places."""
        return (isqrt(len(self.table) - 3) + 1) // 2

    def made(self) -> Tensor:
        """(1, heads, N, N) for the first token and all places."""
        side, offsets = self.side, len(self.table) - 3
        if offsets != (2 * side - 1) ** 2:
            raise ValueError(f"{offsets} offsets are not those of a square")
        place = torch.arange(side)
        apart = place[:, None] - place + side - 1  # (side, side)
        rows = apart[:, None, :, None] * (2 * side - 1) + apart[None, :, None, :]  # (row, column, other row, column)
        index = torch.empty(side**2 + 1, side**2 + 1, dtype=torch.int64)
        index[1:, 1:] = rows.reshape(side**2, side**2)
        index[0], index[:, 0], index[0, 0] = offsets, offsets + 1, offsets + 2
        return self.table[index.to(self.table.device)].permute(2, 0, 1)[None].contiguous()


@dataclass(frozen=True)
class Attention(Part):
    """x plus what each token takes from all (Vaswani et al., NIPS 2017), (B, N, C) -> (B, N, C); the norm is before."""

    norm: nn.LayerNorm
    qkv: Sequence[nn.Linear]  # one for all, or three
    proj: nn.Linear
    heads: int
    factors: Tensor | None = None  # layer scale
    near: Near | None = None
    name: str = ""

    def __call__(self, x: Tensor) -> Tensor:
        return self.folded()(x)

    def folded(self) -> Attending:
        """The same with fixed weights."""
        bias = None if self.near is None else self.near.made()
        return Attending(self.norm, joined(self.qkv), scaled(self.proj, self.factors), self.heads, bias, self.name)


@dataclass(frozen=True)
class Attending(Part):
    """Attention with fixed weights."""

    norm: nn.LayerNorm
    qkv: Dense
    proj: Dense
    heads: int
    bias: Tensor | None = None  # (1, heads, N, N), added before the softmax
    name: str = ""

    def __call__(self, x: Tensor) -> Tensor:
        q, k, v = heads_apart(self.qkv(self.norm(x)), self.heads)
        y = F.scaled_dot_product_attention(q, k, v, self.bias)
        return x + self.proj(y.transpose(1, 2).flatten(2))

    def folded(self) -> Attending:
        """Itself."""
        return self


@dataclass(frozen=True)
class Mlp(Part):
    """x plus what two linear layers make of each token (..., C); the norm is before, or with ``after`` behind them."""

    norm: nn.LayerNorm
    first: nn.Linear | Dense
    last: nn.Linear | Dense
    act: Step = GELU
    factors: Tensor | None = None  # layer scale
    after: bool = False
    name: str = ""

    def __call__(self, x: Tensor) -> Tensor:
        last = scaled(self.last, self.factors) if isinstance(self.last, nn.Linear) else self.last
        if self.after:
            return x + self.norm(last(self.act(self.first(x))))
        return x + last(self.act(self.first(self.norm(x))))

    def folded(self) -> Mlp:
        """The same with fixed weights."""
        last = scaled(self.last, self.factors) if isinstance(self.last, nn.Linear) else self.last
        return replace(self, last=last, factors=None)


@dataclass(frozen=True)
class Gated(Part):
    """x plus what a gated linear unit makes of each token (Shazeer, 2020): SwiGLU, its two sides in one layer."""

    norm: nn.LayerNorm
    first: Sequence[nn.Linear]  # one for both sides, or two
    last: nn.Linear
    factors: Tensor | None = None
    name: str = ""

    def __call__(self, x: Tensor) -> Tensor:
        left, right = joined(self.first)(self.norm(x)).chunk(2, -1)
        return x + scaled(self.last, self.factors)(F.silu(left) * right)

    def folded(self) -> Gated:
        """Itself."""
        return self
