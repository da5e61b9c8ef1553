"""ConvNeXt as torchvision saves it: stages have odd numbers, what halves the map between them even ones."""

from __future__ import annotations

from mixcli.models.images.convnext_blocks import EPS, Names, convnext
from mixcli.models.images.tops import Style

NAMES = Names(
    stem="features.0.0",
    stem_norm="features.0.1",
    stages=[f"features.{stage}.{{}}." for stage in (1, 3, 5, 7)],
    halvings=[(f"features.{stage}.0", f"features.{stage}.1") for stage in (2, 4, 6)],
    scale="layer_scale",
    conv="block.0",
    norm="block.2",
    linears=("block.3", "block.5"),
    head=Style("classifier", (".0", ".2"), eps=EPS),
)
LAYOUTS = convnext("convnext", NAMES)
