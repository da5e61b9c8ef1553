"""Folders of the package transformers: a config.json beside the weights tells the network, its classes and its input.

Mixcli builds the common ones itself; the package is needed for others alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixcli.errors import CheckpointError

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
SHARDS = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
MOST_BYTES = 50_000_000  # of a text file: one of 21,843 classes has 1.5 million
CLASSIFIER = "ForImageClassification"
UNNAMED = "LABEL_"  # what transformers calls a class that nobody named


@dataclass(frozen=True)
class Config:
    """What a config.json says, each value of the kind that is asked for."""

    path: str
    values: Mapping[str, Any]

    def number(self, name: str, default: float) -> float:
        """A number, also a whole one."""
        value = self.values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong(name, "a number")
        return value

    def whole(self, name: str, default: int) -> int:
        """A whole number; of two, as the sides of an image, the first where they are equal."""
        value = self.values.get(name, default)
        if isinstance(value, list) and len(set(map(str, value))) == 1:
            value = value[0]
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
            raise self.wrong(name, "a whole number")
        return value

    def text(self, name: str, default: str) -> str:
        """A word."""
        value = self.values.get(name, default)
        if not isinstance(value, str):
            raise self.wrong(name, "a word")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self.values.get(name, default)
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def wholes(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """Whole numbers."""
        value = self.values.get(name, default)
        if not isinstance(value, (list, tuple)) or not all(type(each) is int for each in value):
            raise self.wrong(name, "whole numbers")
        return tuple(value)

    def wrong(self, name: str, kind: str) -> CheckpointError:
        return CheckpointError(f"{name} is {str(self.values.get(name))[:40]!r}, where {kind} stands", at=self.path)

    def only(self, **values: Any) -> Unknown | None:
        """What mixcli does not build itself: any other value than these."""
        for name, value in values.items():
            if self.values.get(name, value) != value:
                return Unknown(f"{name}={self.values[name]}")
        return None


@dataclass(frozen=True)
class Unknown:
    """Something that only the package transformers builds."""

    what: str


Options = dict[str, Any]
Read = Callable[[Config], Options | Unknown]


def _tokens(config: Config) -> Options | Unknown:
    heads = config.whole("num_attention_heads", 12)
    return {"heads": heads, "act": config.text("hidden_act", "gelu"), "eps": config.number("layer_norm_eps", 1e-12)}


def _beit(config: Config) -> Options | Unknown:
    return config.only(use_mean_pooling=True, use_shared_relative_position_bias=False) or _tokens(config)


def _convnext(config: Config) -> Options | Unknown:
    return {"act": config.text("hidden_act", "gelu"), "eps": config.number("layer_norm_eps", 1e-12)}


def _swin(config: Config) -> Options | Unknown:
    return {"act": config.text("hidden_act", "gelu"), "eps": config.number("layer_norm_eps", 1e-5)}


def _swin_v2(config: Config) -> Options | Unknown:
    windows = "/".join(map(str, config.wholes("pretrained_window_sizes", (0,))))
    sides = {"window": config.whole("window_size", 7), "image": config.whole("image_size", 224)}
    acting = {"act": config.text("hidden_act", "gelu"), "eps": config.number("layer_norm_eps", 1e-5)}
    return {**sides, "pretrained": windows, **acting}


def _resnet(config: Config) -> Options | Unknown:
    return config.only(hidden_act="relu", downsample_in_first_stage=False, downsample_in_bottleneck=False) or {}


def _regnet(config: Config) -> Options | Unknown:
    return config.only(hidden_act="relu") or {}


def _mobilenet(config: Config) -> Options | Unknown:
    told = {"tf_padding": config.flag("tf_padding", True), "eps": config.number("layer_norm_eps", 1e-3)}
    return config.only(hidden_act="relu6", output_stride=32) or told


def _efficientnet(config: Config) -> Options | Unknown:
    centred = config.wholes("depthwise_padding", ())
    told = {"centred": "/".join(map(str, centred)), "eps": config.number("batch_norm_eps", 1e-3)}
    usual = {"strides": [1, 2, 2, 2, 1, 2, 1], "num_block_repeats": [1, 2, 2, 3, 3, 4, 1]}
    return config.only(hidden_act="swish", **usual) or told


FAMILIES: dict[str, tuple[tuple[str, ...], Read]] = {  # by model_type: mixcli's networks, and how they are set
    "vit": (("hf_vit", "hf_vit_v4"), _tokens),
    "deit": (("hf_deit", "hf_deit_v4", "hf_deit_distilled", "hf_deit_distilled_v4"), _tokens),
    "beit": (("hf_beit", "hf_beit_v4"), _beit),
    "dinov2": (("hf_dinov2", "hf_dinov2_v4"), _tokens),
    "dinov2_with_registers": (("hf_dinov2_with_registers", "hf_dinov2_with_registers_v4"), _tokens),
    "convnext": (("hf_convnext",), _convnext),
    "convnextv2": (("hf_convnext_v2",), _convnext),
    "swin": (("hf_swin", "hf_swin_v4"), _swin),
    "swinv2": (("hf_swin_v2",), _swin_v2),
    "resnet": (("hf_resnet",), _resnet),
    "regnet": (("hf_regnet",), _regnet),
    "mobilenet_v1": (("hf_mobilenet_v1",), _mobilenet),
    "mobilenet_v2": (("hf_mobilenet_v2",), _mobilenet),
    "efficientnet": (("hf_efficientnet",), _efficientnet),
}


@dataclass(frozen=True)
class Folder:
    """What the files beside the weights tell."""

    weights: Path
    config: Config
    kind: str  # the model_type, or the name of timm's network as timm:NAME
    layouts: tuple[str, ...]  # names of the networks of mixcli's own that it may be; none: one of the package's
    options: Options
    unknown: str  # what of it mixcli does not build itself
    names: tuple[str, ...]  # of the classes; none where they are only numbered
    normalize: str  # as in --normalize; empty where it is not told

    @property
    def of_timm(self) -> bool:
        """Whether timm wrote it: the weights tell the network as in a file of their own."""
        return self.kind.startswith("timm:")


def beside(path: str | Path) -> Folder | None:
    """The folder that a path names, or that a file of weights lies in; None where it has no config.json of a network.

    Raises CheckpointError where it has one that tells no image classifier.
    """
    place = Path(path)
    root = place if place.is_dir() else place.parent
    if not (root / CONFIG).is_file() or not (place.is_dir() or place.name in WEIGHTS):
        return None
    config = Config(str(root / CONFIG), _json(root / CONFIG))
    if "model_type" not in config.values and "architecture" not in config.values:
        return None
    weights = _weights(root) if place.is_dir() else place
    if "model_type" not in config.values:
        return _of_timm(weights, config)
    _require_classifier(config)
    kind = config.text("model_type", "")
    layouts, read = FAMILIES.get(kind, ((), lambda config: Unknown(f"model_type={kind}")))
    options = read(config)
    unknown = options.what if isinstance(options, Unknown) else ""
    known = () if isinstance(options, Unknown) else layouts
    told = {} if isinstance(options, Unknown) else options
    return Folder(weights, config, kind, known, told, unknown, _names(config), _normalize(root / PREPROCESSOR))


def _of_timm(weights: Path, config: Config) -> Folder:
    """As timm writes it."""
    inner = config.values.get("pretrained_cfg")
    settings = inner if isinstance(inner, dict) else {}
    normalize = _means(settings.get("mean"), settings.get("std"))
    name = config.text("architecture", "")
    return Folder(weights, config, f"timm:{name}", (), {}, f"architecture={name}", (), normalize)


def _weights(root: Path) -> Path:
    for name in WEIGHTS:
        if (root / name).is_file():
            return root / name
    if any((root / name).is_file() for name in SHARDS):
        raise CheckpointError(
            "its weights are in several files", at=root, advice="save them as one, with a larger max_shard_size"
        )
    raise CheckpointError(f"has a {CONFIG} and no weights beside it", at=root, advice=f"add {' or '.join(WEIGHTS)}")


def _json(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise CheckpointError("is too large", at=path)
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as e:
        raise CheckpointError(f"cannot be read ({type(e).__name__})", at=path) from e
    if not isinstance(content, dict):
        raise CheckpointError("is not an object", at=path)
    return content


def _require_classifier(config: Config) -> None:
    """Where a file names its class."""
    classes = config.values.get("architectures")
    names = [name for name in classes if isinstance(name, str)] if isinstance(classes, list) else []
    if names and not any(CLASSIFIER in name for name in names):
        raise CheckpointError(f"is of {names[0][:60]}, which is no classifier of images", at=config.path)


def _names(config: Config) -> tuple[str, ...]:
    """Of the classes, in the order of the logits."""
    told = config.values.get("id2label")
    if not isinstance(told, dict) or not all(str(key).isdecimal() for key in told):
        return ()
    order = sorted(told, key=int)
    if [int(key) for key in order] != list(range(len(order))):
        return ()
    names = tuple(str(told[key]) for key in order)
    return () if all(name.startswith(UNNAMED) for name in names) else names


def _normalize(path: Path) -> str:
    """As in --normalize, of a preprocessor_config.json; empty where there is none, or it tells nothing of it."""
    if not path.is_file():
        return ""
    config = Config(str(path), _json(path))
    if config.values.get("do_flip_channel_order"):
        raise CheckpointError("the network takes blue before green before red, which mixcli does not give", at=path)
    if not config.flag("do_normalize", True):
        return "0,0,0/1,1,1"
    std = config.values.get("image_std")
    if config.values.get("include_top") and isinstance(std, list):  # EfficientNet divides by it twice
        std = [value**2 for value in std if isinstance(value, (int, float))]
    return _means(config.values.get("image_mean"), std)


def _means(mean: Any, std: Any) -> str:
    """
    >>> _means([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])
    '0.5,0.5,0.5/0.5,0.5,0.5'
    """
    parts = [
        [value for value in values if isinstance(value, (int, float))] if isinstance(values, (list, tuple)) else []
        for values in (mean, std)
    ]
    if any(len(values) != 3 for values in parts):
        return ""
    return "/".join(",".join(f"{value:g}" for value in values) for values in parts)
