"""Images as they are prepared before any model sees them: RGB, all of one size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pictures:
    """Images of one size."""

    values: np.ndarray  # (w,H,W,3) u8

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: np.ndarray) -> Pictures:
        return Pictures(self.values[rows])
