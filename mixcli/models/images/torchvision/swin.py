"""Swin transformers, version 1 and 2, as torchvision saves them: stages have odd numbers, what is between even ones."""

from __future__ import annotations

from dataclasses import replace

from mixcli.models.images.tops import Style
from mixcli.models.images.windows import Names, swin

STAGES = 8
V1 = Names(
    patches="features.0.0",
    patch_norm="features.0.2",
    stages=[f"features.{2 * stage + 1}.{{}}." for stage in range(STAGES)],
    merges=[f"features.{2 * stage + 2}" for stage in range(STAGES)],
    norms=("norm1", "norm2"),
    qkv=("attn.qkv",),
    proj="attn.proj",
    table="attn.relative_position_bias_table",
    index="attn.relative_position_index",
    mlp=("mlp.0", "mlp.3"),
    final="norm",
    head=Style("head", ("",)),
)
V2 = replace(
    V1,
    distances=("attn.cpb_mlp.0", "attn.cpb_mlp.2"),
    coordinates="attn.relative_coords_table",
    scale="attn.logit_scale",
)
LAYOUTS = [*swin("swin", V1), *swin("swin_v2", V2)]
