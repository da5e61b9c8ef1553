"""How rows are drawn, whatever draws them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """What stands the same for all rows of a view."""

    up: str = "y"  # the axis of clouds that points up: x, y or z
    color: str = "lam"  # what colours mean: lam, parent or saliency


USUAL = Look()
