"""ConvNeXt, version 1 and 2, as transformers saves it."""

from __future__ import annotations

from dataclasses import replace

from mixcli.models.images.convnext_blocks import Names, convnext
from mixcli.models.images.tops import Style


def named(family: str) -> Names:
    """Both versions have the same names but for the first."""
    at = f"{family}.encoder.stages.{{}}"
    return Names(
        stem=f"{family}.embeddings.patch_embeddings",
        stem_norm=f"{family}.embeddings.layernorm",
        stages=[at.format(stage) + ".layers.{}." for stage in range(4)],
        halvings=[(at.format(i) + ".downsampling_layer.0", at.format(i) + ".downsampling_layer.1") for i in (1, 2, 3)],
        scale="layer_scale_parameter",
        conv="dwconv",
        norm="layernorm",
        linears=("pwconv1", "pwconv2"),
        head=Style("classifier", ("",)),
        final=f"{family}.layernorm",
    )


V1, V2 = named("convnext"), replace(named("convnextv2"), responses="grn", scale="")
LAYOUTS = [*convnext("hf_convnext", V1, eps=1e-12), *convnext("hf_convnext_v2", V2, eps=1e-12)]
