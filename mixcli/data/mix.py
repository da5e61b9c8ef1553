"""What comes out of a method, whatever it mixes: tensors of one mix of each pair of a batch."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Mix:
    """One mix of each pair. Each kind of data adds what only it has."""

    data: Tensor  # (B,...) f32
    weight: Tensor  # (B,P) f64, each parent's share of the label; rows sum to 1, column 0 is a's
    _: KW_ONLY
    members: Tensor | None = None  # (B,P) i64, of a group: each mix's parents by position in it, -1 an unused slot
    saliency: Tensor | None = None  # (B,N) or (B,H,W) f32, mixed like the data; added after the mix

    def by_field(self) -> dict[str, Tensor | None]:
        """Its tensors by the names of a dataset's fields; others are of no field."""
        return dict(vars(self))

    def row(self, at: int) -> Self:
        """One mix of the batch, as a batch of one."""
        return replace(self, **{name: x[at : at + 1] for name, x in vars(self).items() if x is not None})
