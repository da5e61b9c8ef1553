"""What rows of clouds and of images have in common in a gallery's JSON."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mixcli.views.picture_drawing import levels

if TYPE_CHECKING:
    from mixcli.checks.selection import Shown


class Distinct:
    """Every distinct array once, packed, known by its content."""

    def __init__(self, pack: Callable[[np.ndarray], dict[str, Any]]) -> None:
        self.kept: list[dict[str, Any]] = []
        self._pack = pack
        self._known: dict[tuple[tuple[int, ...], bytes], int] = {}  # by shape and hash

    def add(self, array: np.ndarray) -> int:
        key = (array.shape, hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=16).digest())
        if key not in self._known:
            self._known[key] = len(self.kept)
            self.kept.append(self._pack(array))
        return self._known[key]


def head(one: Shown) -> dict[str, Any]:
    """What a row says of itself."""
    return {
        "row": one.row,
        "method": one.method,
        "parent": list(one.parent),
        "label": list(one.label),
        "names": list(one.names),
        "weight": [float(w) if math.isfinite(w) else None for w in one.weight],
    }


def pack_lam(lam: np.ndarray) -> str:
    """Shares as base64 of uint8; of what is no number one half."""
    return text_of(np.rint(np.nan_to_num(lam.astype(np.float64), nan=0.5).clip(0, 1) * 255).astype(np.uint8))


def pack_saliency(saliency: np.ndarray | None) -> tuple[str | None, float]:
    """Base64 of uint8 and the largest value. The root is kept: a few points hold most of a map."""
    if saliency is None:
        return None, 0.0
    peak = float(np.nan_to_num(saliency.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0).max(initial=0.0))
    return text_of(np.rint(levels(saliency) * 255).astype(np.uint8)), max(0.0, peak)


def text_of(array: np.ndarray | bytes) -> str:
    raw = array if isinstance(array, bytes) else array.tobytes()
    return base64.b64encode(raw).decode("ascii")
