"""Operations that send every level to another: a table of 256 levels for each image and channel.

The arithmetic is that of Pillow's `ImageOps`, to the last bit. Counting and looking up have two forms with the same
result: loops compiled by numba on a CPU, and plain torch operations elsewhere.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mixcli.jit import have_numba, njit


def native(images: Tensor) -> bool:
    """Whether the compiled loops serve this tensor."""
    return images.device.type == "cpu" and have_numba()


def autocontrast(images: Tensor, _: Tensor) -> Tensor:
    """Each channel stretched to 0..255. (B,H,W,3) u8 -> the same; a channel of one level stays as it is."""
    count = histogram(images)
    low, high = ends(count)
    levels = torch.arange(256, device=images.device).double()
    scale = torch.full_like(low, 255.0) / (high - low)  # a number over a tensor would be rounded twice
    stretched = (levels * scale + -low * scale).clamp(0, 255)
    return lookup(images, stretched.where(high > low, levels).to(torch.uint8))


def equalize(images: Tensor, _: Tensor) -> Tensor:
    """Each channel's levels spread by how many pixels have them. (B,H,W,3) u8 -> the same."""
    count = histogram(images)
    levels = torch.arange(256, device=images.device)
    brightest = count.gather(2, ends(count)[1].long())
    step = (count.sum(2, keepdim=True) - brightest) // 255
    darker = count.cumsum(2) - count
    spread = ((step // 2 + darker) // step.clamp(min=1)).clamp(max=255)
    return lookup(images, spread.where(step > 0, levels).to(torch.uint8))


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """The highest `bits` (B,) of each level, 1 to 8. (B,H,W,3) u8 -> the same."""
    step = 2 ** (8 - bits.long())[:, None, None]
    levels = torch.arange(256, device=images.device)
    return lookup(images, (levels // step * step).to(torch.uint8))


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Levels from `threshold` (B,) on inverted. (B,H,W,3) u8 -> the same."""
    levels = torch.arange(256, device=images.device)
    return lookup(images, levels.where(levels < threshold[:, None, None], 255 - levels).to(torch.uint8))


def ends(count: Tensor) -> tuple[Tensor, Tensor]:
    """The lowest and the highest level that occur. (B,3,256) i64 -> two (B,3,1) f64."""
    levels = torch.arange(256, device=count.device).double()
    low, high = levels.where(count > 0, 255.0), levels.where(count > 0, 0.0)
    return low.amin(2, keepdim=True), high.amax(2, keepdim=True)


def histogram(images: Tensor) -> Tensor:
    """How many pixels have each level. (B,H,W,3) u8 -> (B,3,256) i64."""
    cells = len(images) * 3 * 256
    if not native(images):
        return torch.bincount(_cell(images).flatten(), minlength=cells).view(-1, 3, 256)
    count = torch.zeros(len(images), 3, 256, dtype=torch.int64)
    _histogram(images.flatten(1, 2).numpy(), count.numpy())
    return count


def lookup(images: Tensor, table: Tensor) -> Tensor:
    """Each level replaced. (B,H,W,3) u8, tables (B,3,256) u8, or (B,1,256) of all channels -> (B,H,W,3) u8."""
    table = table.expand(-1, 3, -1).contiguous()
    if not native(images):
        return table.flatten()[_cell(images)]
    out = torch.empty_like(images)
    _lookup(images.flatten(1, 2).numpy(), table.numpy(), out.flatten(1, 2).numpy())
    return out


def _cell(images: Tensor) -> Tensor:
    """Where in a flat (B,3,256) the level of each pixel stands. (B,H,W,3) u8 -> (B,H,W,3) i64."""
    first = 256 * torch.arange(len(images) * 3, device=images.device)
    return images.long() + first.view(-1, 1, 1, 3)


@njit()
def _histogram(pixels: np.ndarray, count: np.ndarray) -> None:  # (B,P,3) u8 -> (B,3,256) i64
    for i in range(len(pixels)):
        for p in range(pixels.shape[1]):
            for c in range(3):
                count[i, c, pixels[i, p, c]] += 1


@njit()
def _lookup(pixels: np.ndarray, table: np.ndarray, out: np.ndarray) -> None:  # (B,P,3), (B,3,256) -> (B,P,3) u8
    for i in range(len(pixels)):
        for p in range(pixels.shape[1]):
            for c in range(3):
                out[i, p, c] = table[i, c, pixels[i, p, c]]
