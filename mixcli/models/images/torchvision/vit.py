"""Vision transformers as torchvision saves them."""

from __future__ import annotations

from mixcli.models.images.tops import Style
from mixcli.models.images.transformer import Names, vit

TORCHVISION = Names(
    block="encoder.layers.encoder_layer_{}.",
    patches="conv_proj",
    positions="encoder.pos_embedding",
    extra=("class_token",),
    norms=("ln_1", "ln_2"),
    qkv=("self_attention.in_proj",),
    proj="self_attention.out_proj",
    mlp=("mlp.0", "mlp.3"),
    final="encoder.ln",
    head=Style("heads", (".pre_logits", ".head"), "tanh"),
)
LAYOUTS = vit("vit", TORCHVISION)
