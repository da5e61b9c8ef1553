"""What every source of clouds offers beside what all sources do, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mixcli.sources.contract import Part


@dataclass(frozen=True)
class Wanted:
    """What is wanted of every cloud."""

    points: int
    first: bool = False  # the first `points` are enough, and one more where a cloud has more; else all are wanted
    normals: bool = False
    seg: bool = False

    @property
    def limit(self) -> int | None:
        """The points that are enough; None: all."""
        return self.points if self.first else None


class CloudPart(Part, Protocol):
    """Labelled clouds."""

    @property
    def points(self) -> int | None:
        """Of every cloud, where the format says so; None: known only when a cloud is read."""

    @property
    def has_normals(self) -> bool: ...

    @property
    def has_seg(self) -> bool:
        """Whether points have part labels."""

    @property
    def drops_background(self) -> bool:
        """Whether it knows background points and leaves them out, as it was asked to."""

    def read(self, rows: slice | np.ndarray, wanted: Wanted) -> np.ndarray | list[np.ndarray | str]:
        """Clouds of `rows` (a slice, or sorted indices): an array (r,P,C) or a list of (P_i,C); f32, f64 of doubles.

        Channels: x y z, then the normal, then the part label, as asked for. A mesh gives exactly `wanted.points`. In a
        list a cloud that cannot be read is a string, the reason. A file of many clouds that cannot be read raises
        MixError.
        """
