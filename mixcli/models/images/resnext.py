"""ResNeXt-29 (Xie et al., CVPR 2017) for images of 32 pixels: its blocks' 3x3 convolutions are in groups."""

from __future__ import annotations

from dataclasses import replace

from mixcli.models.images import origins
from mixcli.models.images.resnet import DOWNSAMPLE, LAYERS, SHORTCUT, Names, resnet

SAGE = Names(
    tuple(f"stage_{stage}.{{}}." for stage in range(1, 4)),
    DOWNSAMPLE,
    "classifier",
    stem=("conv_1_3x3", "bn_1"),
    convs=("conv_reduce", "conv_conv", "conv_expand"),
    norms=("bn_reduce", "bn", "bn_expand"),
)
BEARPAW = replace(
    SAGE,
    stages=tuple(f"stage_{stage}.stage_{stage}_bottleneck_{{}}." for stage in range(1, 4)),
    shortcut=("shortcut.shortcut_conv", "shortcut.shortcut_bn"),
)

WEIAICUNZAI = Names(  # of four stages
    tuple(f"conv{stage}.{{}}." for stage in range(2, 6)),
    SHORTCUT,
    "fc",
    stem=("conv1.0", "conv1.1"),
    convs=tuple(f"split_transforms.{i}" for i in (0, 3, 6)),
    norms=tuple(f"split_transforms.{i}" for i in (1, 4, 7)),
    grouped=(0, 1),
)

LAYOUTS = (
    resnet("resnext", SAGE),  # and AugMix
    resnet("resnext_bearpaw", BEARPAW, origins=[origins.BEARPAW]),
    resnet("resnext_kuangliu", Names(LAYERS[:3], SHORTCUT, "linear"), kernel=1, origins=[origins.KUANGLIU]),
    resnet("resnext_weiaicunzai", WEIAICUNZAI, origins=[origins.WEIAICUNZAI]),
)
