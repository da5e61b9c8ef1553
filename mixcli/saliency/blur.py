"""Smoothing saliency maps, and making distributions of them."""

from __future__ import annotations

import torch
from torch import Tensor


def gaussian(maps: Tensor, kernel: int, sigma: float) -> Tensor:
    """Gaussian blur, mirrored at the border without repeating it: (B,H,W) -> (B,H,W), in the maps' own float type.

    The kernel is ``kernel`` pixels wide, an odd number, sampled at whole pixels and of sum 1. A map may be smaller
    than the kernel: it is then mirrored more than once. Every pixel is the same sum of products for any batch.

    >>> gaussian(torch.tensor([[[0.0, 4.0, 0.0]]]), 3, 0.8493218).round(decimals=3)  # weights 1/4, 1/2, 1/4
    tensor([[[2., 2., 2.]]])
    """
    reach = torch.arange(kernel, dtype=torch.float64) - kernel // 2
    bell = torch.exp(-0.5 * (reach / sigma) ** 2)
    weight = (bell / bell.sum()).tolist()
    for dim in (1, 2):
        size = maps.shape[dim]
        wide = maps.index_select(dim, _mirrored(size, kernel // 2, maps.device))
        maps = sum((w * wide.narrow(dim, k, size) for k, w in enumerate(weight)), maps.new_zeros(()))
    return maps


def distribution(maps: Tensor) -> Tensor:
    """Maps over their sums, (B,H,W) -> (B,H,W) f64; a map that is zero everywhere becomes uniform."""
    maps = maps.double()
    total = maps.sum((1, 2), keepdim=True)
    zero = total == 0
    return (maps + zero.double()) / total.where(~zero, float(maps[0].numel()))


def _mirrored(size: int, more: int, device: torch.device) -> Tensor:
    """Indices of range(size) with `more` mirrored ones on each side: 2 1 | 0 1 2 3 | 2 1. -> (size + 2·more,) i64"""
    last = max(size - 1, 1)
    place = torch.arange(-more, size + more, device=device) % (2 * last)
    return torch.minimum(place, 2 * last - place).clamp(max=size - 1)
