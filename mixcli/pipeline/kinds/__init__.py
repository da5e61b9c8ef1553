"""What differs between point clouds and images: reading, saliency, and what a method is given. One module each.

Both offer the same functions; `kind` picks the module by a method's `traits.data`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np


def kind(name: str) -> Any:
    """The module for "points", "images", or "hidden" states of networks of images."""
    return import_module(f"mixcli.pipeline.kinds.{name}")


@dataclass(frozen=True)
class Heat:
    """Saliency of some samples, and how the model did on them."""

    map: np.ndarray  # (r,N) or (r,H,W) f32
    uniform: np.ndarray  # (r,) bool: nothing was salient, so the map is uniform
    judged: np.ndarray  # (r,) i64 predictions that can be right or wrong: the class, or each point's part
    correct: np.ndarray  # (r,) i64 of those
