"""ResNet (He et al., CVPR 2016): residual blocks with BatchNorm and ReLU after each convolution.

Here are those with four stages; ResNeXt-50 and Wide ResNet-50 of torchvision have the same keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from mixcli.models.images.layers import RELU, Layers
from mixcli.models.images.network import ImageNetwork, Plan, Residual, Step
from mixcli.models.layout import Layout, Shape, layout


@dataclass(frozen=True)
class Names:
    """What published code calls the layers."""

    stages: tuple[str, ...]  # the prefix of a block, with {} for its number
    shortcut: tuple[str, ...]  # convolution and BatchNorm; none where zeros make up the missing channels
    head: str
    stem: tuple[str, str] = ("conv1", "bn1")
    convs: tuple[str, ...] = ("conv1", "conv2", "conv3")
    norms: tuple[str, ...] = ("bn1", "bn2", "bn3")


def resnet(name: str, names: Names, kernel: int = 3, stride: int = 1, pool: bool | None = None) -> Layout:
    """The layout of a family whose first convolution has this kernel; ``pool`` is None where a pool is no option."""

    def build(
        shapes: Mapping[str, Shape], stride: int = stride, window: int = 0, pool: bool = bool(pool)
    ) -> ImageNetwork:
        layers = Layers(shapes)
        conv = layers.conv(names.stem[0], 3, kernel, stride)
        stem = [conv, layers.norm(names.stem[1], conv.out_channels), RELU]
        stem += [nn.MaxPool2d(3, 2, 1)] if pool else []
        blocks, channels = [], conv.out_channels
        for prefix, step in layers.blocks(names.stages, names.convs[0]):
            block, channels = _block(layers, names, prefix, channels, step)
            blocks.append(block)
        return ImageNetwork(Plan(stem, blocks), layers, layers.linear(names.head, channels), window)

    options: dict[str, Any] = {} if pool is None else {"pool": pool}
    return layout(name, build, stride=stride, window=0, **options)


def _block(layers: Layers, names: Names, prefix: str, channels: int, stride: int) -> tuple[Residual, int]:
    """Two 3x3 convolutions, or 1x1, 3x3 (perhaps in groups) and 1x1; the first 3x3 has the stride."""
    three = layers.has(prefix + names.convs[2])
    body: list[Step] = []
    inner = channels
    for i, kernel in enumerate((1, 3, 1) if three else (3, 3)):
        strided = i == three
        conv = layers.conv(prefix + names.convs[i], inner, kernel, stride if strided else 1, grouped=three and strided)
        inner = conv.out_channels
        body += [conv, layers.norm(prefix + names.norms[i], inner), RELU]
    shortcut = _shortcut(layers, names, prefix, inner=channels, outer=inner, stride=stride)
    return Residual(body[:-1], shortcut, centred=True, relu=True, name=prefix[:-1]), inner


def _shortcut(layers: Layers, names: Names, prefix: str, inner: int, outer: int, stride: int) -> list[Step]:
    """A 1x1 convolution wherever the input does not fit the sum: option B of the paper. Option A has no weights."""
    if stride == 1 and inner == outer:
        return []
    if names.shortcut:
        conv, norm = (prefix + name for name in names.shortcut)
        return [layers.conv(conv, inner, 1, stride, outer), layers.norm(norm, outer)]
    if outer < inner:
        raise ValueError(f"{prefix}: zeros cannot make {inner} channels {outer}")
    return [halved] if stride == 2 else []


def halved(x: Tensor) -> Tensor:
    """Every second row and column."""
    return x[:, :, ::2, ::2]


LAYERS = tuple(f"layer{stage}.{{}}." for stage in range(1, 5))
DOWNSAMPLE, SHORTCUT = ("downsample.0", "downsample.1"), ("shortcut.0", "shortcut.1")
TORCHVISION = Names(LAYERS, DOWNSAMPLE, "fc")
WEIAICUNZAI = Names(
    tuple(f"conv{stage}_x.{{}}." for stage in range(2, 6)),
    SHORTCUT,
    "fc",
    stem=("conv1.0", "conv1.1"),
    convs=tuple(f"residual_function.{i}" for i in (0, 3, 6)),
    norms=tuple(f"residual_function.{i}" for i in (1, 4, 7)),
)

# With torchvision's keys a 3x3 stem is an edit for small images. Most such edits take the max-pool out (pool=false);
# the published PyTorch_CIFAR10 checkpoints leave it in (pool=true).
LAYOUTS = (
    resnet("resnet", TORCHVISION, kernel=7, stride=2, pool=True),  # torchvision, timm, CutMix on ImageNet
    resnet("resnet_3x3", TORCHVISION, pool=False),
    resnet("resnet_kuangliu", Names(LAYERS, SHORTCUT, "linear")),  # and SaliencyMix, Cutout
    resnet("resnet_weiaicunzai", WEIAICUNZAI),
)
