"""ViT, DeiT (Touvron et al., ICML 2021), BEiT (Bao et al., ICLR 2022) and DINOv2 (Oquab et al., 2023) as transformers
saves them: version 4 of that package has other names than version 5, which writes either."""

from __future__ import annotations

from dataclasses import replace

from mixcli.models.images.tops import Style
from mixcli.models.images.transformer import Names, Numbers, vit


def new(family: str = "vit") -> Names:
    """Of version 5."""
    return Names(
        block=f"{family}.layers.{{}}.",
        patches=f"{family}.embeddings.patch_embeddings.projection",
        positions=f"{family}.embeddings.position_embeddings",
        extra=(f"{family}.embeddings.cls_token",),
        norms=("layernorm_before", "layernorm_after"),
        qkv=("attention.q_proj", "attention.k_proj", "attention.v_proj"),
        proj="attention.o_proj",
        mlp=("mlp.fc1", "mlp.fc2"),
        final=f"{family}.layernorm",
        head=Style("classifier", ("",)),
        unused=(f"{family}.embeddings.mask_token",),
    )


def old(family: str = "vit") -> Names:
    """Of version 4."""
    return replace(
        new(family),
        block=f"{family}.encoder.layer.{{}}.",
        qkv=tuple(f"attention.attention.{part}" for part in ("query", "key", "value")),
        proj="attention.output.dense",
        mlp=("intermediate.dense", "output.dense"),
    )


def distilled(names: Names) -> Names:
    """DeiT, with a second token."""
    return replace(names, extra=("deit.embeddings.cls_token", "deit.embeddings.distillation_token"))


def taught(names: Names) -> Names:
    """DeiT with a head for the second token too."""
    return replace(distilled(names), head=Style("cls_classifier", ("",)), second="distillation_classifier")


def beit(names: Names, near: str) -> Names:
    """With layer scales and, in place of positions, a table of distances in each layer; the mean of places is read."""
    return replace(
        names,
        final="beit.pooler.layernorm",
        scales=("lambda_1", "lambda_2"),
        near=f"{near}relative_position_bias.relative_position_bias_table",
        read="mean",
    )


def dinov2(names: Names, family: str, gated: tuple[str, ...]) -> Names:
    """With layer scales, and a head that reads the first token and the mean of the places."""
    return replace(
        names,
        block=f"{family}.encoder.layer.{{}}.",
        norms=("norm1", "norm2"),
        mlp=("mlp.fc1", "mlp.fc2"),
        scales=("layer_scale1.lambda1", "layer_scale2.lambda1"),
        late=f"{family}.embeddings.register_tokens" if family.endswith("registers") else "",
        gated=gated,
        read="both",
        stretched=True,
    )


NUMBERS = Numbers(eps=1e-12)
LAYOUTS = [
    *vit("hf_vit", new(), NUMBERS),
    *vit("hf_vit_v4", old(), NUMBERS),
    *vit("hf_deit", distilled(new("deit")), NUMBERS),
    *vit("hf_deit_v4", distilled(old("deit")), NUMBERS),
    *vit("hf_deit_distilled", taught(new("deit")), NUMBERS),
    *vit("hf_deit_distilled_v4", taught(old("deit")), NUMBERS),
    *vit("hf_beit", beit(new("beit"), ""), NUMBERS),
    *vit("hf_beit_v4", beit(old("beit"), "attention.attention."), NUMBERS),
]
for _family in ("dinov2", "dinov2_with_registers"):
    _new = dinov2(new(_family), _family, ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"))
    _old = dinov2(old(_family), _family, ("mlp.weights_in", "mlp.weights_out"))
    LAYOUTS += [*vit(f"hf_{_family}", _new), *vit(f"hf_{_family}_v4", _old)]
