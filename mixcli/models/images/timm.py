"""Networks of the package timm, by their names there; their weights come from the checkpoint, never from elsewhere."""

from __future__ import annotations

import difflib
from functools import partial
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from mixcli.errors import CheckpointError, UsageError
from mixcli.models.layout import Layout, Shapes, fits
from mixcli.models.pickles import wording
from mixcli.models.programs import Program, Sizes
from mixcli.models.spec import FACTORY, TIMM


class Timm(Program):
    """A classifier of normalised images (B, 3, H, W) f32 -> logits (B, classes), of the weights of ``net``."""

    data = "images"
    net: Any  # whose members are timm's

    def __init__(self, net: nn.Module, name: str, sizes: Sizes = ()):
        super().__init__(net.eval(), TIMM + name, sizes=sizes)
        self.classes = self.net.num_classes
        self.behind = getattr(self.net, "output_fmt", "NCHW") == "NHWC"  # some have the channels behind, and say so

    def features(self, x: Tensor) -> Tensor:
        """The map (B, C, h, w) that the head pools."""
        with self._wording(x):
            maps = self.net.forward_features(x)
        if not isinstance(maps, Tensor) or maps.ndim != 4:
            raise CheckpointError(
                "has tokens where others have feature maps", at=self.path, advice="use --saliency gradient"
            )
        return maps.permute(0, 3, 1, 2) if self.behind else maps

    def classify(self, maps: Tensor) -> Tensor:
        """Logits (B, classes) of what ``features`` gives."""
        return self.net.forward_head(maps.permute(0, 2, 3, 1) if self.behind else maps)


def timm_layout(name: str) -> Layout:
    """The network of that name, with as many classes as a checkpoint has. UsageError where timm has none."""
    timm = _installed(name)
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), 1)
        hint = f"did you mean {TIMM}{near[0]}?" if near else "timm.list_models() lists its names"
        raise UsageError(f"timm {timm.__version__} has no such network", at=f"--model {TIMM}{name}", advice=hint)
    config = timm.get_pretrained_cfg(name)
    if not (config and config.classifier):
        raise UsageError(
            "is no classifier", at=f"--model {TIMM}{name}", advice=f"build one with --model {FACTORY} --trust-ckpt"
        )
    build = partial(_build, timm, name, config)
    sizes = (None, *config.input_size) if config.fixed_input_size else ()
    return Layout(TIMM + name, partial(fits, build), build, wrap=lambda net: Timm(net, name, sizes))


def _installed(name: str) -> ModuleType:
    if find_spec("timm") is None:
        raise UsageError(
            "needs the package timm", at=f"--model {TIMM}{name}", advice="pip install '.[timm]' in mixcli's folder"
        )
    with wording(f"--model {TIMM}{name}", "the package timm cannot be imported"):
        import timm
    return timm


def _build(timm: ModuleType, name: str, config: Any, shapes: Shapes) -> nn.Module:
    head = config.classifier if isinstance(config.classifier, str) else config.classifier[0]  # distilled ones have two
    return timm.create_model(name, pretrained=False, num_classes=shapes[f"{head}.weight"][0])
