"""Vision transformers (Dosovitskiy et al., ICLR 2021): how one is put together, whatever its layers are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from mixcli.models.images.attention import GELUS, Attention, Gated, Mlp, Near
from mixcli.models.images.network import Plan, Step
from mixcli.models.images.parts import Chain
from mixcli.models.images.sized import Sized
from mixcli.models.images.tokens import First, FirstAndMean, Mean, TokenNetwork, Tokens, TwoHeads, image_side
from mixcli.models.images.tops import Style, both, head
from mixcli.models.layout import Layout, Shape

HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16, 1408: 16, 1536: 24, 1664: 16}  # of the published widths


@dataclass(frozen=True)
class Names:
    """What published code calls the layers, and where codes differ that have the same layers."""

    block: str  # the prefix of a block, with {} for its number
    patches: str  # the convolution
    extra: tuple[str, ...]  # tokens that stand for the whole image, the first of which is read
    norms: tuple[str, str]
    qkv: tuple[str, ...]  # one layer, or three; torch's own attention has a weight without a layer of its own
    proj: str
    mlp: tuple[str, str]
    final: str  # the last LayerNorm
    head: Style
    positions: str = ""
    scales: tuple[str, str] = ("", "")  # layer scales, where there are any
    near: str = ""  # a table of what is added by how far apart two places lie
    late: str = ""  # tokens that come in behind the first and have no position
    unused: tuple[str, ...] = ()  # what is saved, and only training uses
    gated: tuple[str, ...] = ()  # in the place of ``mlp`` where a gate is: both sides in one or two layers, the last
    second: str = ""  # the linear layer of the second token, whose logits and the first's are averaged
    read: str = "first"  # or "mean" of the places, or "both" side by side
    stretched: bool = False  # positions are stretched to the size of the image


@dataclass(frozen=True)
class Numbers:
    """What no key tells."""

    heads: int = 0  # 0: as many as such a width has where it is published
    act: str = "gelu"
    eps: float = 1e-6


def vit(name: str, names: Names, numbers: Numbers = Numbers()) -> list[Layout]:
    """The layouts of a family."""

    def build(
        shapes: Mapping[str, Shape],
        heads: int = numbers.heads,
        act: str = numbers.act,
        eps: float = numbers.eps,
        activation: str | None = None,
    ) -> TokenNetwork:
        layers = Sized(shapes)
        width, _, patch, _ = shapes[f"{names.patches}.weight"]
        heads = heads or heads_of(width)[0]
        if width % heads:
            raise ValueError(f"{width} channels make no {heads} heads")
        conv = layers.convolution(names.patches, 3, patch, 0)
        tokens = _tokens(layers, names, width)
        blocks = list[Chain]()
        while layers.has(names.block.format(len(blocks)) + names.norms[0]):
            at = names.block.format(len(blocks))
            blocks.append(_block(layers, names, at, width, replace(numbers, heads=heads, act=act, eps=eps)))
        skipped = len(tokens.extra) + (0 if tokens.late is None else tokens.late.shape[1])
        norm = layers.layer_norm(names.final, width, eps)
        top, last = _top(layers, names, norm, skipped, activation)
        for key in names.unused:
            if layers.has_key(key):
                layers.table(key)
        made = TokenNetwork(Plan([conv, tokens], blocks), layers, top, last)
        return made.at_least(patch).for_only(_size(names, tokens, patch, blocks))

    def choices(shapes: Mapping[str, Shape]) -> Mapping[str, tuple[Any, ...]]:
        heads = heads_of(shapes[f"{names.patches}.weight"][0])
        return {"heads": heads} if len(heads) > 1 else {}

    return both(name, build, names.head, choices=choices, heads=numbers.heads, act=numbers.act, eps=numbers.eps)


def heads_of(width: int) -> tuple[int, ...]:
    """How many heads attention of this width may have: as published, or what may be with the likeliest first."""
    if width in HEADS:
        return (HEADS[width],)
    likely = (width // 64, width // 32, 8, 12, 16, 6, 4, 3, 2, 1)
    return tuple(dict.fromkeys(heads for heads in likely if heads and width % heads == 0))


def _tokens(layers: Sized, names: Names, width: int) -> Tokens:
    extra = [layers.table(key, 1, 1, width) for key in names.extra]
    positions = None
    if names.positions and layers.has_key(names.positions):
        positions = layers.table(names.positions, 1, layers.shapes[names.positions][1], width)
    late = layers.table(names.late, 1, layers.shapes[names.late][1], width) if names.late else None
    return Tokens(extra, positions, names.stretched, late)


def _size(names: Names, tokens: Tokens, patch: int, blocks: list[Chain]) -> int:
    """The side of the images that the network takes, by its positions; 0: any."""
    if tokens.positions is not None:
        side = image_side(tokens.positions.shape[1], len(tokens.extra), patch)
        return 0 if names.stretched else side
    near = [part.near for block in blocks for part in block.steps if isinstance(part, Attention) and part.near]
    if not near:
        raise KeyError(names.positions)
    return near[0].side * patch


def _block(layers: Sized, names: Names, at: str, width: int, numbers: Numbers) -> Chain:
    """Attention and a small network."""
    norms = [layers.layer_norm(at + norm, width, numbers.eps) for norm in names.norms]
    qkv = [_linear(layers, at + name, width) for name in names.qkv]
    factors = [layers.table(at + key, width) if key and layers.has_key(at + key) else None for key in names.scales]
    near = None
    if names.near and layers.has_key(at + names.near):
        near = Near(layers.table(at + names.near, layers.shapes[at + names.near][0], numbers.heads))
    attention = Attention(norms[0], qkv, layers.dense(at + names.proj, width), numbers.heads, factors[0], near)
    return Chain([attention, _mlp(layers, names, at, norms[1], factors[1], numbers.act)], at.removesuffix("."))


def _mlp(
    layers: Sized, names: Names, at: str, norm: nn.LayerNorm, factors: nn.Parameter | None, act: str
) -> Mlp | Gated:
    width = norm.normalized_shape[0]
    gated = [at + name for name in names.gated]
    if gated and layers.has(gated[0]):
        *sides, last = gated
        made = [layers.dense(side, width) for side in sides]
        return Gated(norm, made, layers.dense(last), factors)
    first = layers.dense(at + names.mlp[0], width)
    return Mlp(norm, first, layers.dense(at + names.mlp[1], first.out_features), GELUS[act], factors)


def _linear(layers: Sized, name: str, inner: int) -> nn.Linear:
    return layers.loose(name, inner) if layers.has_key(f"{name}_weight") else layers.dense(name, inner)


def _top(
    layers: Sized, names: Names, norm: nn.LayerNorm, skipped: int, activation: str | None
) -> tuple[list[Step], str]:
    """What makes logits of the last tokens, and the name of the last linear layer."""
    read: dict[str, list[Step]] = {
        "first": [First(), norm],
        "mean": [Mean(skipped), norm],
        "both": [norm, FirstAndMean(skipped)],
    }
    steps = head(layers, names.head, activation)
    if names.second and len(steps) == 1:
        second = layers.dense(names.second, norm.normalized_shape[0])
        return [norm, TwoHeads(steps[0][1], second)], steps[0][0]
    return [*read[names.read], *(step for _, step in steps)], steps[-1][0]
