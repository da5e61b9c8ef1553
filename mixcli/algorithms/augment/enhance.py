"""Colour, contrast, brightness and sharpness: a blend of an image and a poorer one, as Pillow's `ImageEnhance`.

The factor is 0 for the poorer image, 1 for the image itself, and goes on beyond it. Blends are made in float32 and cut
to whole levels, as in Pillow, so the results are equal to the last bit.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mixcli.algorithms.augment.levels import lookup, native
from mixcli.jit import njit


def color(images: Tensor, factor: Tensor) -> Tensor:
    """Away from gray. (B,H,W,3) u8, (B,) f64 -> (B,H,W,3) u8."""
    if not native(images):
        return blend(gray(images)[..., None], images, factor[:, None, None, None])
    out = torch.empty_like(images)
    _color(images.flatten(1, 2).numpy(), factor.float().numpy(), out.flatten(1, 2).numpy())
    return out


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Away from the mean gray, rounded. (B,H,W,3) u8, (B,) f64 -> (B,H,W,3) u8."""
    if native(images):
        total = torch.zeros(len(images), dtype=torch.int64)
        _gray_total(images.flatten(1, 2).numpy(), total.numpy())
    else:
        total = gray(images).sum((1, 2))
    mean = (total.double() / (images.shape[1] * images.shape[2]) + 0.5).floor()
    return _from_one_level(images, mean, factor)


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Away from black. (B,H,W,3) u8, (B,) f64 -> (B,H,W,3) u8."""
    return _from_one_level(images, torch.zeros_like(factor), factor)


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Away from a blur; the border stays. (B,H,W,3) u8, (B,) f64 -> (B,H,W,3) u8."""
    if not native(images):
        return blend(smooth(images), images, factor[:, None, None, None])
    out = images.clone()
    _sharpness(images.numpy(), factor.float().numpy(), out.numpy())
    return out


def blend(poorer: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    """poorer + factor·(images - poorer), in float32, cut to whole levels. Any shapes that broadcast -> u8."""
    poorer = poorer.float()
    return (poorer + factor.float() * (images.float() - poorer)).clamp(0, 255).to(torch.uint8)


def gray(images: Tensor) -> Tensor:
    """Luma of ITU-R 601 in 16-bit fixed point, rounded. (B,H,W,3) u8 -> (B,H,W) i32."""
    red, green, blue = images.int().unbind(-1)
    return (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16


def smooth(images: Tensor) -> Tensor:
    """Pillow's SMOOTH, the pixel itself five times and its eight neighbours once, over 13; the border stays as it is.

    (B,H,W,3) u8 -> the same.
    """
    wide, out = images.int(), images.clone()
    if min(images.shape[1:3]) > 2:
        rows = wide[:, :-2] + wide[:, 1:-1] + wide[:, 2:]
        total = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * wide[:, 1:-1, 1:-1]
        out[:, 1:-1, 1:-1] = ((2 * total + 13) // 26).to(torch.uint8)
    return out


def _from_one_level(images: Tensor, level: Tensor, factor: Tensor) -> Tensor:
    """Away from an image of one level (B,)."""
    levels = torch.arange(256, device=images.device)
    return lookup(images, blend(level[:, None, None], levels, factor[:, None, None]))


@njit()
def _gray_total(pixels: np.ndarray, total: np.ndarray) -> None:  # (B,P,3) u8 -> (B,) i64, which is 0 already
    for i in range(len(pixels)):
        for p in range(pixels.shape[1]):
            red, green, blue = np.int32(pixels[i, p, 0]), np.int32(pixels[i, p, 1]), np.int32(pixels[i, p, 2])
            total[i] += (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16


@njit()
def _color(pixels: np.ndarray, factor: np.ndarray, out: np.ndarray) -> None:  # (B,P,3) u8, (B,) f32 -> (B,P,3) u8
    for i in range(len(pixels)):
        f = factor[i]
        for p in range(pixels.shape[1]):
            red, green, blue = np.int32(pixels[i, p, 0]), np.int32(pixels[i, p, 1]), np.int32(pixels[i, p, 2])
            luma = np.float32((19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16)
            for c in range(3):
                v = luma + f * (np.float32(pixels[i, p, c]) - luma)
                out[i, p, c] = np.uint8(min(max(v, np.float32(0)), np.float32(255)))


@njit()
def _sharpness(images: np.ndarray, factor: np.ndarray, out: np.ndarray) -> None:
    """(B,H,W,3) u8, (B,) f32 -> (B,H,W,3) u8, which holds the border already."""
    for i in range(len(images)):
        f = factor[i]
        for y in range(1, images.shape[1] - 1):
            for x in range(1, images.shape[2] - 1):
                for c in range(3):
                    total = 4 * np.int32(images[i, y, x, c])
                    for row in range(y - 1, y + 2):
                        for column in range(x - 1, x + 2):
                            total += np.int32(images[i, row, column, c])
                    smooth = np.float32((2 * total + 13) // 26)
                    v = smooth + f * (np.float32(images[i, y, x, c]) - smooth)
                    out[i, y, x, c] = np.uint8(min(max(v, np.float32(0)), np.float32(255)))
