"""The mean and standard deviation that a network's images were normalised with: no checkpoint tells them."""

from __future__ import annotations

import re
from typing import NamedTuple

from mixcli.errors import UsageError

Triple = tuple[float, float, float]


class Normalization(NamedTuple):
    """Of the red, green and blue of pixels from 0 to 1: the network sees (pixel - mean) / std."""

    mean: Triple
    std: Triple


def _of_bytes(*values: float) -> Triple:
    red, green, blue = (value / 255 for value in values)
    return red, green, blue


PRESETS = {
    "cifar10": Normalization(_of_bytes(125.3, 123.0, 113.9), _of_bytes(63.0, 62.1, 66.7)),
    "cifar100": Normalization(_of_bytes(129.3, 124.1, 112.4), _of_bytes(68.2, 65.4, 70.4)),
    "imagenet": Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),  # to -1..1
    "none": Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
NUMBER = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)
FORM = "0.49,0.48,0.45/0.2,0.2,0.2"


def parse(text: str) -> Normalization:
    """The name of a preset, or three means, a slash and three standard deviations, of pixels from 0 to 1.

    >>> parse("half")
    Normalization(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    >>> parse("0.48,0.45,0.4/0.27,0.26,0.28").std
    (0.27, 0.26, 0.28)
    """
    if text in PRESETS:
        return PRESETS[text]
    if "/" not in text:
        import difflib

        near = difflib.get_close_matches(text, PRESETS, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(PRESETS)}, and values as in {FORM}"
        raise UsageError("no such preset", at=f"--normalize {text}", advice=hint)
    mean, _, std = text.partition("/")
    values = Normalization(_triple(text, mean), _triple(text, std))
    if not all(deviation > 0 for deviation in values.std):
        raise UsageError("a standard deviation must be above 0", at=f"--normalize {text}")
    return values


def _triple(text: str, part: str) -> Triple:
    """Three numbers from 0 to 1."""
    items = part.split(",")
    if len(items) != 3:
        raise UsageError(f"{part!r} is not three numbers, as in {FORM}", at=f"--normalize {text}")
    red, green, blue = (_number(text, item) for item in items)
    return red, green, blue


def _number(text: str, item: str) -> float:
    if not NUMBER.fullmatch(item.strip()):
        raise UsageError(f"{item.strip()!r} is not a number from 0 to 1", at=f"--normalize {text}")
    value = float(item)
    if value > 1:
        what, advice = f"{item.strip()} is above 1", "divide values of pixels to 255 by 255"
        raise UsageError(what, at=f"--normalize {text}", advice=advice)
    return value
