"""Swin transformers (Liu et al., ICCV 2021, and version 2, CVPR 2022): how one is put together.

Attention is within square windows, which every other block shifts by half. Maps lie channels first between blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from math import isqrt, log

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixcli.models.images.attention import GELUS, Dense, Mlp, heads_apart, joined
from mixcli.models.images.folding import Part, Step
from mixcli.models.images.network import Block, ImageNetwork, Plan
from mixcli.models.images.parts import Chain
from mixcli.models.images.sized import Sized
from mixcli.models.images.tops import Style, both, network
from mixcli.models.layout import Layout, Shapes

FAR = -100.0  # added to the attention between places of a window that are no neighbours in the image


class Behind(nn.Module):
    """(B, C, h, w) -> (B, h, w, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1)


class Before(nn.Module):
    """(B, h, w, C) -> (B, C, h, w)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 1, 2)


BEHIND, BEFORE = Behind(), Before()


@dataclass(frozen=True)
class Bias:
    """What is added to attention by how far apart two places of a window lie.

    By a table of ((2·window - 1)², heads), or in version 2 by a small network of the distance.
    """

    table: Tensor | None
    window: int
    index: Tensor | None = None  # the row of the table for each pair of places, where a file has it
    network: Sequence[nn.Linear] = ()  # of version 2
    distances: Tensor | None = None  # (1, 2·window - 1, 2·window - 1, 2), where a file has them
    pretrained: int = 0  # the window that distances are in units of, where it is another

    def made(self) -> Tensor:
        """(1, heads, window², window²)."""
        rows = self.table
        if rows is None:
            first, last = self.network
            distances = self._distances(first.weight) if self.distances is None else self.distances
            rows = last(F.relu(first(distances))).flatten(0, -2)
        places = self.window**2
        index = self._index(rows) if self.index is None else self.index.flatten()
        bias = rows[index].view(places, places, -1).permute(2, 0, 1)[None].contiguous()
        return bias if self.table is not None else 16 * torch.sigmoid(bias)

    def _index(self, like: Tensor) -> Tensor:
        """The row of each pair of places: (window⁴,) i64."""
        place = torch.arange(self.window, device=like.device)
        apart = place[:, None] - place + self.window - 1
        return (apart[:, None, :, None] * (2 * self.window - 1) + apart[None, :, None, :]).flatten()

    def _distances(self, like: Tensor) -> Tensor:
        """Of places of a window, on a scale of logarithms: (2·window - 1, 2·window - 1, 2)."""
        apart = torch.arange(1 - self.window, self.window, device=like.device, dtype=torch.float32)
        unit = 8 * apart / max((self.pretrained or self.window) - 1, 1)
        level = torch.sign(unit) * torch.log2(unit.abs() + 1) / 3
        return torch.stack(torch.meshgrid(level, level, indexing="ij"), -1).to(like.dtype)


@dataclass(frozen=True)
class Windows(Part):
    """x plus attention within windows: (B, h, w, C) -> (B, h, w, C). The norm is before, in version 2 behind."""

    norm: nn.LayerNorm
    qkv: Sequence[nn.Linear]
    proj: nn.Linear
    heads: int
    window: int
    shift: int
    bias: Bias
    scale: Tensor | None = None  # (heads, 1, 1) of version 2, its logarithm
    jointly: bool = False  # no shift along one side if the other side is one window
    name: str = ""

    def __call__(self, x: Tensor) -> Tensor:
        return self.folded()(x)

    def folded(self) -> FixedWindows:
        """The same with fixed weights."""
        qkv, width = joined(self.qkv), self.norm.normalized_shape[0]
        scale = None
        if self.scale is not None:
            scale = self.scale.clamp(max=log(100)).exp()
            if len(self.qkv) == 1 and qkv.bias is not None:  # keys have no bias, whatever is saved for it
                keep = torch.ones_like(qkv.bias)
                keep[width : 2 * width] = 0
                qkv = Dense(qkv.weight, qkv.bias * keep)
        fixed = Dense(self.proj.weight, self.proj.bias)
        return FixedWindows(self, qkv, fixed, self.bias.made(), scale)


@dataclass(frozen=True)
class FixedWindows(Part):
    """Attention within windows, with fixed weights."""

    of: Windows
    qkv: Dense
    proj: Dense
    bias: Tensor
    scale: Tensor | None
    masks: dict[tuple[int, ...], Tensor] = field(default_factory=dict)
    name: str = ""

    def __call__(self, x: Tensor) -> Tensor:
        norm = self.of.norm
        return x + (self._attended(norm(x)) if self.scale is None else norm(self._attended(x)))

    def folded(self) -> FixedWindows:
        """Itself."""
        return self

    def _attended(self, x: Tensor) -> Tensor:
        batch, high, wide, channels = x.shape
        window, heads = self.of.window, self.of.heads
        down, right = -high % window, -wide % window
        x = F.pad(x, (0, 0, 0, right, 0, down)) if down or right else x
        rows, columns = x.shape[1] // window, x.shape[2] // window
        shifts = self._shifts(rows, columns)
        x = torch.roll(x, [-shift for shift in shifts], (1, 2)) if any(shifts) else x
        x = x.view(batch, rows, window, columns, window, channels).transpose(2, 3).reshape(-1, window**2, channels)
        q, k, v = heads_apart(self.qkv(x), heads)
        if self.scale is None:
            y = F.scaled_dot_product_attention(q, k, v, self._mask(batch, rows, columns, x))
        else:
            q, k = F.normalize(q, dim=-1) * self.scale, F.normalize(k, dim=-1)
            y = F.scaled_dot_product_attention(q, k, v, self._mask(batch, rows, columns, x), scale=1.0)
        y = self.proj(y.transpose(1, 2).flatten(2))
        y = y.view(batch, rows, columns, window, window, channels).transpose(2, 3)
        y = y.reshape(batch, rows * window, columns * window, channels)
        y = torch.roll(y, shifts, (1, 2)) if any(shifts) else y
        return y[:, :high, :wide] if down or right else y

    def _shifts(self, rows: int, columns: int) -> tuple[int, int]:
        """None along a side that is one window."""
        if self.of.jointly and min(rows, columns) == 1:
            return 0, 0
        return self.of.shift if rows > 1 else 0, self.of.shift if columns > 1 else 0

    def _mask(self, batch: int, rows: int, columns: int, x: Tensor) -> Tensor:
        """What is added to attention, for every window: (1 or B · windows, heads, window², window²)."""
        shifts = self._shifts(rows, columns)
        if not any(shifts):
            return self.bias
        key = rows, columns
        if key not in self.masks:
            apart = torch.from_numpy(_apart(rows, columns, self.of.window, *shifts)).to(self.bias)
            self.masks[key] = self.bias + FAR * apart[:, None]
        mask = self.masks[key]
        return mask.expand(batch, *mask.shape).flatten(0, 1)


@cache
def _apart(rows: int, columns: int, window: int, down: int, right: int) -> np.ndarray:
    """Which places of each shifted window are no neighbours in the image: (windows, window², window²) bool."""
    parts = [_parts(count * window, window, shift) for count, shift in ((rows, down), (columns, right))]
    part = parts[0][:, None] * 3 + parts[1]
    part = part.reshape(rows, window, columns, window).swapaxes(1, 2).reshape(-1, window**2)
    return part[:, None, :] != part[:, :, None]


def _parts(length: int, window: int, shift: int) -> np.ndarray:
    """The parts that a side falls into where it is shifted: (length,) of 0, 1, 2."""
    place = np.arange(length)
    return (place >= length - window).astype(int) + (place >= length - shift) if shift else 0 * place


@dataclass(frozen=True)
class Merge(Part):
    """Four neighbours as one place of four times the channels, then of twice: (B, C, h, w) -> (B, 2C, h/2, w/2)."""

    norm: nn.LayerNorm
    linear: nn.Linear
    after: bool = False  # the norm is behind the linear layer
    name: str = ""

    def __call__(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        high, wide = x.shape[1:3]
        x = F.pad(x, (0, 0, 0, wide % 2, 0, high % 2)) if high % 2 or wide % 2 else x
        x = torch.cat([x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)], -1)
        x = self.norm(self.linear(x)) if self.after else self.linear(self.norm(x))
        return x.permute(0, 3, 1, 2)

    def folded(self) -> Merge:
        """Itself."""
        return self


@dataclass(frozen=True)
class Names:
    """What published code calls the layers, and where codes differ that have the same layers."""

    patches: str
    patch_norm: str
    stages: Sequence[str]  # the prefix of a block, with {} for its number
    merges: Sequence[str]  # the prefix of what brings four places together behind a stage
    norms: tuple[str, str]
    qkv: tuple[str, ...]  # one layer, or three
    proj: str
    table: str  # of what is added to attention
    index: str  # of its rows; not in all files
    mlp: tuple[str, str]
    final: str
    head: Style
    distances: tuple[str, str] = ("", "")  # of version 2: linear layers, and how far apart places lie, if it is saved
    coordinates: str = ""
    scale: str = ""  # of version 2
    jointly: bool = False  # no window is shifted along a side if the other side is one window


@dataclass(frozen=True)
class Sizes:
    """What a file without the index of rows does not tell of version 2; elsewhere they are in the shapes."""

    window: int = 0
    image: int = 0  # the side of the images: windows are no larger than the map; 0: any
    pretrained: tuple[int, ...] = ()  # the windows that distances were in units of, by stage


def swin(name: str, names: Names, act: str = "gelu", eps: float = 1e-5) -> list[Layout]:
    """The layouts of a family."""

    def build(shapes: Shapes, act: str = act, eps: float = eps, activation: str | None = None) -> ImageNetwork:
        return built(Sized(shapes), names, Sizes(), act=act, eps=eps, activation=activation)

    return both(name, build, names.head, act=act, eps=eps)


def built(layers: Sized, names: Names, sizes: Sizes, act: str, eps: float, activation: str | None) -> ImageNetwork:
    """The network of a checkpoint."""
    patch = layers.shapes[f"{names.patches}.weight"][2]
    conv = layers.convolution(names.patches, 3, patch, 0)
    channels, blocks, windows = conv.out_channels, list[Block](), list[int]()
    stem: list[Step] = [conv, BEHIND, layers.layer_norm(names.patch_norm, channels, 1e-5), BEFORE]
    for stage, prefix in enumerate(names.stages):
        if not layers.has(prefix.format(0) + names.norms[0]):
            break
        of_stage = _of_stage(sizes, stage, patch)
        for i in range(layers.numbered(f"{prefix}{names.norms[0]}.weight")):
            attention = _attention(
                layers, names, prefix.format(i), channels, shifted=bool(i % 2), sizes=of_stage, eps=eps
            )
            windows.append(attention.window << stage)
            mlp = _mlp(layers, names, prefix.format(i), channels, act, eps)
            blocks.append(Chain([BEHIND, attention, mlp, BEFORE], prefix.format(i)[:-1]))
        if layers.has(f"{names.merges[stage]}.reduction"):
            blocks.append(_merge(layers, names.merges[stage], channels))
            channels = layers.outer(f"{names.merges[stage]}.reduction")
    tail = [BEHIND, layers.layer_norm(names.final, channels, eps), BEFORE]
    made = network(Plan(stem, blocks, tail), layers, names.head, channels, activation)
    return made.at_least(patch * max(windows) if names.jointly else patch).for_only(sizes.image)


def _of_stage(sizes: Sizes, stage: int, patch: int) -> Sizes:
    """A window, the side of the map, and the window of old."""
    pretrained = sizes.pretrained[stage : stage + 1]
    side = sizes.image // patch >> stage
    return Sizes(min(sizes.window, side) if side else sizes.window, side, pretrained)


def _merge(layers: Sized, at: str, channels: int) -> Merge:
    """With the norm before the linear layer, as in version 1, or behind it."""
    linear = layers.dense(f"{at}.reduction", 4 * channels)
    normed = layers.outer(f"{at}.norm")
    return Merge(layers.layer_norm(f"{at}.norm", normed, 1e-5), linear, normed != 4 * channels, at)


def _attention(layers: Sized, names: Names, at: str, channels: int, shifted: bool, sizes: Sizes, eps: float) -> Windows:
    norm = layers.layer_norm(at + names.norms[0], channels, eps)
    second, index, scale = bool(names.scale), None, None
    if layers.has_key(at + names.index):
        index = layers.buffer(at + names.index, torch.int64)
    if second:
        linears = layers.dense(at + names.distances[0], 2), layers.dense(at + names.distances[1])
        heads, window = linears[1].out_features, sizes.window or isqrt(isqrt(index.numel() if index is not None else 0))
        coordinates = layers.buffer(at + names.coordinates) if names.coordinates else None
        scale = layers.table(at + names.scale, heads, 1, 1)
        bias = Bias(None, window, index, linears, coordinates, next(iter(sizes.pretrained), 0))
    else:
        table = layers.table(at + names.table)
        heads, window = table.shape[1], (isqrt(len(table)) + 1) // 2
        bias = Bias(table, window, index)
    rows = (2 * window - 1) ** 2 if bias.table is None else len(bias.table)
    if (
        not window
        or rows != (2 * window - 1) ** 2
        or channels % heads
        or (index not in (None,) and index.numel() != window**4)
    ):
        raise ValueError(f"{at}: no square window, or heads that do not fit")
    qkv = [layers.dense(at + name, channels) for name in names.qkv]
    shift = window // 2 if shifted and not 0 < sizes.image <= window else 0
    proj = layers.dense(at + names.proj, channels)
    return Windows(norm, qkv, proj, heads, window, shift, bias, scale, names.jointly)


def _mlp(layers: Sized, names: Names, at: str, channels: int, act: str, eps: float) -> Mlp:
    norm = layers.layer_norm(at + names.norms[1], channels, eps)
    first = layers.dense(at + names.mlp[0], channels)
    last = layers.dense(at + names.mlp[1], first.out_features)
    return Mlp(norm, first, last, GELUS[act], after=bool(names.scale))
