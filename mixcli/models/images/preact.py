"""PreAct-ResNet (He et al., ECCV 2016): residual blocks with BatchNorm and ReLU before each convolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mixcli.models.images import origins
from mixcli.models.images.layers import RELU, Layers
from mixcli.models.images.network import ImageNetwork, Plan, Residual, Step
from mixcli.models.images.resnet import LAYERS
from mixcli.models.layout import Layout, Origin, Shape, layout


@dataclass(frozen=True)
class Names:
    """What published code calls the layers, and where codes differ that have the same layers."""

    stages: tuple[str, ...]  # the prefix of a block, with {} for its number
    shortcut: str
    head: str
    stem: tuple[str, ...] = ("conv1",)  # a convolution, and its BatchNorm where it has one
    convs: tuple[str, ...] = ("conv1", "conv2", "conv3")
    norms: tuple[str, ...] = ("bn1", "bn2", "bn3")
    final: str = ""  # the BatchNorm before the pool
    bias: bool = False  # of the convolutions
    raw: bool = False  # the shortcut's convolution takes the block's input itself, not its first activation
    strided: tuple[int, int] = (0, 1)  # which convolution has the stride: of two, of three


def preact(name: str, names: Names, origins: Sequence[Origin] = (), **options: Any) -> Layout:
    """The layout of a family."""

    def build(shapes: Mapping[str, Shape], stride: int = 1, window: int = 0, raw: bool = names.raw) -> ImageNetwork:
        layers = Layers(shapes, names.bias)
        conv = layers.conv(names.stem[0], 3, 3, stride)
        stem: list[Step] = [conv]
        if names.stem[1:]:
            stem += [layers.norm(names.stem[1], conv.out_channels), RELU]
        blocks, channels = [], conv.out_channels
        for prefix, step in layers.blocks(names.stages, names.convs[0]):
            block, channels = _block(layers, replace(names, raw=raw), prefix, channels, step)
            blocks.append(block)
        plan = Plan(stem, blocks, _tail(layers, names, channels))
        return ImageNetwork(plan, layers, layers.linear(names.head, channels), window)

    return layout(name, build, origins, stride=1, window=0, **options)


def _block(layers: Layers, names: Names, prefix: str, channels: int, stride: int) -> tuple[Residual, int]:
    """Two 3x3 convolutions, or 1x1, 3x3 and 1x1."""
    three = len(names.convs) == 3 and layers.has(prefix + names.convs[2])
    body: list[Step] = []
    inner = channels
    for i, kernel in enumerate((1, 3, 1) if three else (3, 3)):
        norm = layers.norm(prefix + names.norms[i], inner)
        conv = layers.conv(prefix + names.convs[i], inner, kernel, stride if i == names.strided[three] else 1)
        inner = conv.out_channels
        body += [norm, RELU, conv]
    fits = stride == 1 and channels == inner
    shortcut = [] if fits else [layers.conv(prefix + names.shortcut, channels, 1, stride, inner)]
    return Residual(body, shortcut, tap=0 if names.raw else 2, name=prefix[:-1]), inner


def _tail(layers: Layers, names: Names, channels: int) -> list[Step]:
    if not names.final:
        return []
    return [layers.norm(names.final, channels), RELU]


KUANGLIU = Names(LAYERS, "shortcut.0", "linear")
WEIAICUNZAI = Names(
    tuple(f"stage{stage}.{{}}." for stage in range(1, 5)),
    "shortcut",
    "linear",
    stem=("pre.0", "pre.1"),
    convs=tuple(f"residual.{i}" for i in (2, 5, 8)),
    norms=tuple(f"residual.{i}" for i in (0, 3, 6)),
    bias=True,
    raw=True,
    strided=(0, 0),
)

# raw=true is for fast_adversarial and its many copies: the same keys as robust_overfitting's, another shortcut.
LAYOUTS = (
    # and PuzzleMix, SAGE, Co-Mixup, GuidedMixup, Manifold Mixup
    preact("preact_resnet", KUANGLIU, [origins.KUANGLIU], raw=False),
    preact("preact_resnet_final_bn", replace(KUANGLIU, final="bn"), raw=False),  # robust_overfitting
    preact("preact_resnet_stem_bn", replace(KUANGLIU, stem=("conv1", "bn1")), raw=False),  # mixup-cifar10
    preact("preact_resnet_weiaicunzai", WEIAICUNZAI, [origins.WEIAICUNZAI]),
    preact("preact_resnet_bearpaw", Names(LAYERS[:3], "downsample.0", "fc", final="bn", raw=True), [origins.BEARPAW]),
)
