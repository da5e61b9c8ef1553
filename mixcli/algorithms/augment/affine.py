"""Rotation, shear and translation: each pixel is read from another place, between four pixels, black outside.

The arithmetic is that of Pillow's `Image.transform(..., AFFINE, resample=BILINEAR)` and `Image.rotate`, in float64 and
cut to whole levels, so the results are equal to the last bit. It has two forms with the same result: loops compiled by
numba on a CPU, and plain torch operations elsewhere.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from mixcli.algorithms.augment.levels import native
from mixcli.jit import njit


def rotate(images: Tensor, degrees: Tensor) -> Tensor:
    """Counterclockwise about the middle, by less than 90 either way. (B,H,W,3) u8, (B,) f64 -> (B,H,W,3) u8."""
    height, width = images.shape[1:3]
    turns = [_rotation(angle, width / 2, height / 2) for angle in degrees.tolist()]
    return resampled(images, degrees.new_tensor(turns).view(-1, 6))


def shear_x(images: Tensor, slope: Tensor) -> Tensor:
    """Rows moved by `slope` (B,) times their own place, about the top left corner. (B,H,W,3) u8 -> the same."""
    return resampled(images, _matrix(slope, b=slope))


def shear_y(images: Tensor, slope: Tensor) -> Tensor:
    """Columns moved by `slope` (B,) times their own place, about the top left corner. (B,H,W,3) u8 -> the same."""
    return resampled(images, _matrix(slope, d=slope))


def translate_x(images: Tensor, pixels: Tensor) -> Tensor:
    """Moved to the left by `pixels` (B,). (B,H,W,3) u8 -> the same."""
    return resampled(images, _matrix(pixels, c=pixels))


def translate_y(images: Tensor, pixels: Tensor) -> Tensor:
    """Moved up by `pixels` (B,). (B,H,W,3) u8 -> the same."""
    return resampled(images, _matrix(pixels, f=pixels))


def resampled(images: Tensor, matrix: Tensor) -> Tensor:
    """The pixel around (x, y) from around (a x + b y + c, d x + e y + f), black where that is outside.

    images (B,H,W,3) u8; matrix (B,6) f64, rows a to f, in pixels from the top left corner -> (B,H,W,3) u8.
    """
    if not native(images):
        return _resampled(images, matrix)
    out = torch.zeros_like(images)
    _resample(images.numpy(), matrix.numpy(), out.numpy())
    return out


def _matrix(like: Tensor, **given: Tensor) -> Tensor:
    """The identity but for the entries that are given, (B,) each -> (B,6) f64."""
    zero, one = torch.zeros_like(like), torch.ones_like(like)
    entries = {"a": one, "b": zero, "c": zero, "d": zero, "e": one, "f": zero, **given}
    return torch.stack(list(entries.values()), 1)


def _rotation(degrees: float, x: float, y: float) -> list[float]:
    """Entries a to f of a turn about (x, y), each step of the arithmetic as in Pillow."""
    turn = -math.radians(degrees % 360.0)
    cos, sin = round(math.cos(turn), 15), round(math.sin(turn), 15)
    return [cos, sin, cos * -x + sin * -y + x, -sin, cos, -sin * -x + cos * -y + y]


def _resampled(images: Tensor, matrix: Tensor) -> Tensor:
    """`resampled` in torch, every product and sum rounded by itself, so that no device contracts them."""
    height, width = images.shape[1:3]
    a, b, c, d, e, f = matrix[:, :, None, None].unbind(1)
    x = torch.arange(width, device=images.device) + 0.5
    y = torch.arange(height, device=images.device)[:, None] + 0.5
    x, y = (a * x + b * y) + c, (d * x + e * y) + f
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    x, y = x - 0.5, y - 0.5
    left, top = x.floor(), y.floor()
    right, below = (x - left)[..., None], (y - top)[..., None]
    columns = [(left.long() + i).clamp(0, width - 1) for i in (0, 1)]
    rows = [(top.long() + i).clamp(0, height - 1) for i in (0, 1)]
    image = torch.arange(len(images), device=images.device)[:, None, None]

    def level(row: Tensor) -> Tensor:
        first, second = (images[image, row, column].double() for column in columns)
        return first + (second - first) * right

    upper, lower = map(level, rows)
    return ((upper + (lower - upper) * below) * inside[..., None]).to(torch.uint8)


@njit()
def _resample(images: np.ndarray, matrix: np.ndarray, out: np.ndarray) -> None:
    """(B,H,W,3) u8, (B,6) f64 -> (B,H,W,3) u8, which is black already."""
    height, width = images.shape[1:3]
    for i in range(len(images)):
        a, b, c, d, e, f = matrix[i]
        for row in range(height):
            for column in range(width):
                x = a * (column + 0.5) + b * (row + 0.5) + c
                y = d * (column + 0.5) + e * (row + 0.5) + f
                if x < 0.0 or x >= width or y < 0.0 or y >= height:
                    continue
                x, y = x - 0.5, y - 0.5
                left, top = math.floor(x), math.floor(y)
                right, below = x - left, y - top
                x0, x1 = max(left, 0), min(left + 1, width - 1)
                y0, y1 = max(top, 0), min(top + 1, height - 1)
                for k in range(3):
                    v = float(images[i, y0, x0, k])
                    if right > 0.0:
                        v += (float(images[i, y0, x1, k]) - v) * right
                    if below > 0.0:
                        w = float(images[i, y1, x0, k])
                        if right > 0.0:
                            w += (float(images[i, y1, x1, k]) - w) * right
                        v += (w - v) * below
                    out[i, row, column, k] = int(v)
