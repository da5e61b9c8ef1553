"""ResNet (He et al., CVPR 2016): residual blocks with BatchNorm and ReLU after each convolution.

Here are those with four stages; ResNeXt-50 and Wide ResNet-50 of torchvision have the same keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from mixcli.models.images import origins
from mixcli.models.images.layers import RELU, Layers
from mixcli.models.images.network import ImageNetwork, Plan, Residual, Step
from mixcli.models.images.pieces import Blurred
from mixcli.models.images.tops import OWN_HEAD, Style, network
from mixcli.models.layout import Layout, Origin, Shape, layout, nothing_open


@dataclass(frozen=True)
class Names:
    """What published code calls the layers."""

    stages: tuple[str, ...]  # the prefix of a block, with {} for its number
    shortcut: tuple[str, ...]  # convolution and BatchNorm; none where zeros make up the missing channels
    head: str
    stem: tuple[str, str] = ("conv1", "bn1")
    convs: tuple[str, ...] = ("conv1", "conv2", "conv3")
    norms: tuple[str, ...] = ("bn1", "bn2", "bn3")
    grouped: tuple[int, ...] = (1,)  # which of three convolutions are in groups, if any is
    bias: bool = False  # of the convolutions


@dataclass(frozen=True)
class Halving:
    """How a map is halved: by a stride, or by steps that the convolution, which then has none, is followed by."""

    pool: Sequence[Step] = (nn.MaxPool2d(3, 2, 1),)  # of the stem
    steps: Sequence[Step] = ()


STRIDE = Halving()
AVERAGE = Halving((nn.AvgPool2d(2),), (nn.AvgPool2d(2),))
BLUR = Halving((nn.MaxPool2d(3, 1, 1), Blurred()), (Blurred(),))


def resnet(
    name: str,
    names: Names,
    kernel: int = 3,
    stride: int = 1,
    pool: bool | None = None,
    origins: Sequence[Origin] = (),
    halving: Halving = STRIDE,
    only: Callable[[Mapping[str, Shape]], bool] | None = None,
) -> Layout:
    """The layout of a family whose first convolution has this kernel; ``pool`` is None where a pool is no option.

    ``only`` narrows it further. A name that ends with _own_head is for heads that have an activation.
    """
    style, told = Style(names.head, ("",)), not name.endswith(OWN_HEAD)

    def build(
        shapes: Mapping[str, Shape],
        stride: int = stride,
        window: int = 0,
        pool: bool = bool(pool),
        activation: str | None = None,
    ) -> ImageNetwork:
        layers = Layers(shapes, names.bias)
        conv = layers.conv(names.stem[0], 3, kernel, stride)
        stem: list[Step] = [conv, layers.norm(names.stem[1], conv.out_channels), RELU]
        stem += halving.pool if pool else ()
        blocks, channels = [], conv.out_channels
        for prefix, step in layers.blocks(names.stages, names.convs[0]):
            block, channels = _block(layers, names, prefix, channels, step, halving.steps)
            blocks.append(block)
        plan = Plan(stem, blocks)
        if not layers.has(names.head):
            return network(plan, layers, style, channels, activation)
        return ImageNetwork(plan, layers, layers.linear(names.head, channels), window)

    def holds(shapes: Mapping[str, Shape]) -> bool:
        kernels = shapes.get(f"{names.stem[0]}.weight", ())[2:]
        return kernels == (kernel, kernel) and style.fits(shapes, told) and (only is None or only(shapes))

    options: dict[str, Any] = {} if pool is None else {"pool": pool}
    options |= {} if told else {"activation": style.activation}
    choices = nothing_open if told else style.choices
    return layout(name, build, origins, choices=choices, only=holds, stride=stride, window=0, **options)


def _block(
    layers: Layers, names: Names, prefix: str, channels: int, stride: int, halving: Sequence[Step] = ()
) -> tuple[Residual, int]:
    """Two 3x3 convolutions, or 1x1, 3x3 (perhaps in groups) and 1x1; the first 3x3 has the stride."""
    three = layers.has(prefix + names.convs[2])
    body: list[Step] = []
    inner = channels
    for i, kernel in enumerate((1, 3, 1) if three else (3, 3)):
        strided = i == three
        grouped = three and i in names.grouped
        step = stride if strided and not halving else 1
        conv = layers.conv(prefix + names.convs[i], inner, kernel, step, grouped=grouped)
        inner = conv.out_channels
        body += [conv, layers.norm(prefix + names.norms[i], inner), RELU]
        body += halving if strided and stride > 1 else []
    if three and names.shortcut == SHORTCUT and inner == layers.shapes[f"{prefix}{names.convs[0]}.weight"][0]:
        raise ValueError(f"{prefix} is a block of a RegNet, which has other strides")
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


def depths(shapes: Mapping[str, Shape]) -> tuple[int, ...]:
    """How many blocks each of torchvision's stages has."""
    layers = Layers(shapes)
    blocks = [name for name, _ in layers.blocks(LAYERS, "conv1")]
    return tuple(sum(name.startswith(prefix.partition("{")[0]) for name in blocks) for prefix in LAYERS)


def _is_18(shapes: Mapping[str, Shape]) -> bool:
    return depths(shapes) == (2, 2, 2, 2) and "layer1.0.conv3.weight" not in shapes


def _is_50(shapes: Mapping[str, Shape]) -> bool:
    """Neither a ResNeXt nor a wide one."""
    plain = shapes.get("layer1.0.conv2.weight") == (64, 64, 3, 3) and "layer1.0.conv3.weight" in shapes
    return depths(shapes) == (3, 4, 6, 3) and plain


def _is_18_or_50(shapes: Mapping[str, Shape]) -> bool:
    return _is_18(shapes) or _is_50(shapes)


# With torchvision's keys a 3x3 stem is an edit for small images. Most such edits take the max-pool out (pool=false);
# the published PyTorch_CIFAR10 checkpoints leave it in (pool=true).
LAYOUTS = (
    resnet("resnet", TORCHVISION, kernel=7, stride=2, pool=True),  # torchvision, timm, CutMix on ImageNet
    resnet("resnet_3x3", TORCHVISION, pool=False),
    resnet("resnet_huyvnphan", TORCHVISION, pool=True, origins=[origins.HUYVNPHAN]),
    resnet("resnet_own_head", TORCHVISION, kernel=7, stride=2, pool=True),
    resnet("resnet_3x3_own_head", TORCHVISION, pool=False),
    resnet("resnetaa", TORCHVISION, kernel=7, stride=2, pool=True, halving=AVERAGE, only=_is_50),  # timm
    resnet("resnetblur", TORCHVISION, kernel=7, stride=2, pool=True, halving=BLUR, only=_is_18_or_50),  # timm
    resnet("resnet_kuangliu", Names(LAYERS, SHORTCUT, "linear"), origins=[origins.KUANGLIU]),  # and SaliencyMix, Cutout
    resnet("resnet_weiaicunzai", WEIAICUNZAI, origins=[origins.WEIAICUNZAI]),
)
