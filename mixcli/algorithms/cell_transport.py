"""Moving the cells of an image so that its salient ones are seen through a mask: PuzzleMix, section 4.2.

The masked transport of the paper: each cell goes where moving costs least, less its saliency where it will be seen;
of those that meet the cheapest wins and the others go elsewhere, until none has to move. Only what is seen is
followed. A cell that can be seen where it is goes elsewhere only if it is driven out, so that every place that is seen
is filled, and no cell takes one unless its saliency is worth the way. The released code stops after as many rounds as
its grid has rows, and leaves holes where nothing is seen.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from mixcli.jit import njit


def sources(saliency: np.ndarray, seen: np.ndarray, cell: tuple[int, int], price: float) -> np.ndarray:
    """Which cell is at each place of the grid: (B,h,w) f64 of sum 1, (B,h,w) bool -> (B,h,w) i64, y·w + x.

    cell: its height and width in pixels. price: of the way from one end of the image's longer side to the other; ways
    cost by their square. Places that are not seen keep their own cell.

    The outer cells of three are seen; the middle one is worth more than the left one and the way there:

    >>> sources(np.array([[[0.1, 0.9, 0.0]]]), np.array([[[True, False, True]]]), (4, 4), 0.8)
    array([[[1, 1, 2]]])
    """
    batch, *size = seen.shape
    down, right, way = _ways(*size, *cell)
    held = _settle.available()(
        saliency=saliency.reshape(batch, -1),
        seen=seen.reshape(batch, -1),
        width=size[1],
        down=down,
        right=right,
        way=price * way,
    )
    return held.reshape(seen.shape)


@lru_cache(maxsize=16)  # grids, of a few megabytes each
def _ways(height: int, width: int, high: int, wide: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps down and right, and their squared length, nearest first: in order of the places they lead to if equal."""
    y, x = np.mgrid[1 - height : height, 1 - width : width].reshape(2, -1)
    longest = max((height - 1) * high, (width - 1) * wide, 1)
    way = ((y * high) ** 2 + (x * wide) ** 2) / longest**2
    order = np.lexsort([x, y, way])
    return y[order], x[order], way[order]


@njit(error_model="numpy")
def _settle(
    saliency: np.ndarray, seen: np.ndarray, width: int, down: np.ndarray, right: np.ndarray, way: np.ndarray
) -> np.ndarray:
    """Deferred acceptance: saliency (B,n) f64, seen (B,n) bool, steps (m,) i64 ×2 with their prices (m,) f64."""
    batch, n = saliency.shape
    height = n // width
    held = np.empty((batch, n), np.int64)
    tried, cost = np.empty(n, np.int64), np.empty(n)
    for s in range(batch):
        place = held[s]  # who holds it
        place[:] = -1
        tried[:] = 0
        for first in range(n):
            i = first
            while True:
                t = tried[i]
                if t == len(way) or (t > 0 and way[t] >= saliency[s, i]):
                    break
                tried[i] += 1
                y, x = i // width + down[t], i % width + right[t]
                if y < 0 or y >= height or x < 0 or x >= width or not seen[s, y * width + x]:
                    continue
                j, mine = y * width + x, way[t] - saliency[s, i]
                k = place[j]
                if k < 0 or mine < cost[j] or (mine == cost[j] and i < k):
                    place[j], cost[j] = i, mine
                    if k < 0:
                        break
                    i = k
        for j in range(n):
            if not seen[s, j]:
                place[j] = j
    return held


def moved(pixels: Tensor, source: Tensor) -> Tensor:
    """Images with each cell from where `source` says: (B,H,W,C), (B,h,w) i64 -> (B,H,W,C).

    >>> moved(torch.arange(4.0).view(1, 2, 2, 1), torch.tensor([[[1, 0]]])).flatten().tolist()  # two columns
    [1.0, 0.0, 3.0, 2.0]
    """
    batch, rows, columns = source.shape
    _, height, width, channels = pixels.shape
    high, wide = height // rows, width // columns
    y = torch.arange(height, device=pixels.device) % high
    at = source.repeat_interleave(high, 1)
    line = torch.arange(batch, device=pixels.device)[:, None, None] * height + at // columns * high + y[:, None]
    pieces = pixels.reshape(-1, wide * channels)  # of a row of pixels, those in one cell
    return pieces.index_select(0, (line * columns + at % columns).flatten()).view_as(pixels)
