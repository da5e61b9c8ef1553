"""Swin transformers, version 1 and 2, as transformers saves them: of version 1 that package has two sets of names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mixcli.errors import UsageError
from mixcli.models.images.network import ImageNetwork
from mixcli.models.images.sized import Sized
from mixcli.models.images.tops import Style, both
from mixcli.models.images.windows import Names, Sizes, built, swin
from mixcli.models.layout import Shape

STAGES = 8
BLOCK = "swin.encoder.layers.{}.blocks.{{}}."
HEAD = Style("classifier", ("",))
NEW = Names(
    patches="swin.embeddings.patch_embeddings.projection",
    patch_norm="swin.embeddings.norm",
    stages=[BLOCK.format(stage) for stage in range(STAGES)],
    merges=[f"swin.encoder.layers.{stage}.downsample" for stage in range(STAGES)],
    norms=("layernorm_before", "layernorm_after"),
    qkv=("attention.q_proj", "attention.k_proj", "attention.v_proj"),
    proj="attention.o_proj",
    table="attention.relative_position_bias.relative_position_bias_table",
    index="attention.relative_position_bias.relative_position_index",
    mlp=("mlp.fc1", "mlp.fc2"),
    final="swin.layernorm",
    head=HEAD,
    jointly=True,
)
OLD = replace(
    NEW,
    qkv=tuple(f"attention.self.{part}" for part in ("query", "key", "value")),
    proj="attention.output.dense",
    table="attention.self.relative_position_bias_table",
    index="attention.self.relative_position_index",
    mlp=("intermediate.dense", "output.dense"),
)
V2 = replace(
    OLD,
    patches="swinv2.embeddings.patch_embeddings.projection",
    patch_norm="swinv2.embeddings.norm",
    stages=["swinv2" + stage.removeprefix("swin") for stage in OLD.stages],
    merges=["swinv2" + merge.removeprefix("swin") for merge in OLD.merges],
    distances=("attention.self.continuous_position_bias_mlp.0", "attention.self.continuous_position_bias_mlp.2"),
    scale="attention.self.logit_scale",
    final="swinv2.layernorm",
    jointly=False,
)
IMAGES = {8: 256, 7: 224, 16: 256, 12: 192, 24: 384}  # the side of images by the window, as published
TRIED = (8, 16, 7)


def swin_v2(
    shapes: Mapping[str, Shape],
    window: int = 8,
    image: int = 0,
    pretrained: str = "0",
    act: str = "gelu",
    eps: float = 1e-5,
    activation: str | None = None,
) -> ImageNetwork:
    """``window`` is the side of a window, ``image`` of the images, 0 as published with such windows.

    ``pretrained`` are the windows of each stage that the network was made with first, as 12,12,12,6; 0 the same.
    """
    image = image or IMAGES.get(window, 32 * window)
    try:
        windows = tuple(int(part) for part in pretrained.split("/"))
    except ValueError:
        raise UsageError(f"--model: pretrained={pretrained} must be whole numbers, as in 12/12/12/6") from None
    return built(Sized(shapes), V2, Sizes(window, image, windows), act=act, eps=eps, activation=activation)


def _windows(shapes: Mapping[str, Shape]) -> Mapping[str, tuple[Any, ...]]:
    """Which no key tells."""
    return {"window": TRIED}


LAYOUTS = [
    *swin("hf_swin", NEW),
    *swin("hf_swin_v4", OLD),
    *both("hf_swin_v2", swin_v2, HEAD, choices=_windows, window=8, image=0, pretrained="0", act="gelu", eps=1e-5),
]
