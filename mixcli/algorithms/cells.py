"""Images cut into a grid of equal cells."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def summed(maps: Tensor, grid: Sequence[int]) -> Tensor:
    """What each cell holds, in double precision: (B,H,W), rows and columns of cells -> (B,h,w) f64.

    >>> summed(torch.arange(8.0).view(1, 2, 4), (1, 2)).tolist()
    [[[10.0, 18.0]]]
    """
    return maps.unflatten(1, (grid[0], -1)).sum(2, dtype=torch.float64).unflatten(2, (grid[1], -1)).sum(3)


def spread(cells: Tensor, size: Sequence[int]) -> Tensor:
    """Each pixel gets the value of the cell that it begins in: (B,h,w) -> (B,H,W)."""
    y, x = (torch.arange(n, device=cells.device) * m // n for n, m in zip(size, cells.shape[1:], strict=True))
    return cells[:, y[:, None], x]


def nearest_divisor(number: int, wanted: int) -> int:
    """The larger of two that are as near.

    >>> nearest_divisor(16, 4), nearest_divisor(14, 4), nearest_divisor(2, 4), nearest_divisor(7, 4)
    (4, 2, 2, 7)
    """
    return min((d for d in range(number, 0, -1) if number % d == 0), key=lambda d: abs(d - wanted))
