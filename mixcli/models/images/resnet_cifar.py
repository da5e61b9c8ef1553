"""ResNet with three stages for images of 32 pixels, as in section 4.2 of He et al. (CVPR 2016)."""

from __future__ import annotations

from mixcli.models.images.resnet import DOWNSAMPLE, LAYERS, SHORTCUT, Names, resnet

LAYOUTS = (
    resnet("resnet_cifar", Names(LAYERS[:3], (), "linear")),  # akamaster, option A of the paper
    resnet("resnet_cifar_b", Names(LAYERS[:3], SHORTCUT, "linear")),  # akamaster, option B
    resnet("resnet_chenyaofo", Names(LAYERS[:3], DOWNSAMPLE, "fc")),  # and CutMix on CIFAR
)
