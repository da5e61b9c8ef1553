"""ResNet with three stages for images of 32 pixels, as in section 4.2 of He et al. (CVPR 2016)."""

from __future__ import annotations

from mixcli.models.images.origins import AKAMASTER, BEARPAW, CHENYAOFO, MELIKETOY
from mixcli.models.images.resnet import DOWNSAMPLE, LAYERS, SHORTCUT, Names, resnet

LAYOUTS = (
    resnet("resnet_cifar", Names(LAYERS[:3], (), "linear"), origins=[AKAMASTER]),  # option A of the paper
    resnet("resnet_cifar_b", Names(LAYERS[:3], SHORTCUT, "linear"), origins=[AKAMASTER]),  # option B
    resnet("resnet_chenyaofo", Names(LAYERS[:3], DOWNSAMPLE, "fc"), origins=[CHENYAOFO, BEARPAW]),  # and CutMix
    resnet("resnet_meliketoy", Names(LAYERS[:3], SHORTCUT, "linear", bias=True), origins=[MELIKETOY]),
)
