"""Wide ResNet (Zagoruyko and Komodakis, BMVC 2016): a PreAct-ResNet of three wide stages."""

from __future__ import annotations

from dataclasses import replace

from mixcli.models.images import origins
from mixcli.models.images.preact import Names, preact
from mixcli.models.images.resnet import LAYERS

PUZZLEMIX = Names(
    LAYERS[:3],
    "shortcut.0",
    "linear",
    convs=("conv1", "conv2"),
    norms=("bn1", "bn2"),
    final="bn1",
    bias=True,
    raw=True,
    strided=(1, 1),
)
XTERNALZ = Names(
    tuple(f"block{stage}.layer.{{}}." for stage in range(1, 4)),
    "convShortcut",
    "fc",
    convs=("conv1", "conv2"),
    norms=("bn1", "bn2"),
    final="bn1",
)
WEIAICUNZAI = Names(
    tuple(f"conv{stage}.{{}}." for stage in range(2, 5)),
    "shortcut.0",
    "linear",
    stem=("init_conv",),
    convs=("residual.2", "residual.6"),
    norms=("residual.0", "residual.3"),
    final="bn",
    bias=True,
    raw=True,
)

LAYOUTS = (
    preact("wrn", PUZZLEMIX, [origins.MELIKETOY]),  # and SAGE, Co-Mixup
    preact("wrn_xternalz", XTERNALZ, [origins.BEARPAW]),  # and Cutout, SaliencyMix
    preact("wrn_augmix", replace(XTERNALZ, shortcut="conv_shortcut")),
    preact("wrn_weiaicunzai", WEIAICUNZAI, [origins.WEIAICUNZAI]),
)
