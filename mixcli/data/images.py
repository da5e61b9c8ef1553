"""What goes into a method of images and what comes out of it: tensors of one batch of pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mixcli.data.mix import Mix

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Images:
    """One parent of each pair."""

    data: Tensor  # (B,H,W,3) f32, 0..255
    saliency: Tensor | None = None  # (B,H,W) f32, not negative, raw: neither blurred nor normalised


@dataclass(frozen=True)
class MixedImages(Mix):
    """One mix of each pair: `data` (B,H,W,3) f32, 0..255, unrounded, since whoever writes it rounds once."""

    mask: Tensor | None  # (B,H,W) f32, parent a's share of each pixel
    draw: Tensor  # (B,D) f64, what this mix drew, in the order of the method's `draw_names`
    query: Tensor | None = None  # (B,2) i64, pixels y·W + x in a and in b
    shift: Tensor | None = None  # (B,2) i64, rows and columns that b was moved by
    weight_raw: Tensor | None = None  # (B,P) f64, the shares as published, of any sum, where a method has such
