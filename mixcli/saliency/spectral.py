"""Spectral residual saliency (Hou and Zhang, CVPR 2007), in the arithmetic of GuidedMixup's code; needs no model.

What an image's log spectrum has beyond its local mean is taken back to the image plane. Unlike in Hou and Zhang the
result is not squared, and the image is not shrunk to 64 pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mixcli.saliency.blur import gaussian

LUMA = (0.2989, 0.587, 0.114)  # of red, green and blue
TALLEST = 128  # pixels; a taller image becomes this square
KERNEL, SIGMA = 7, 3.0  # GuidedMixup, section 5.1


def saliency(
    images: Tensor, mean: Sequence[float] = (0, 0, 0), std: Sequence[float] = (1, 1, 1), antialias: bool = True
) -> Tensor:
    """The map of each image. (B,H,W,3) 0..255 -> (B,H,W) f32, not negative, of no particular sum.

    ``mean`` and ``std``, of channels in 0..1, are those that the published code normalises by beforehand: they weigh
    the colours. An image taller than 128 pixels is brought to 128 x 128, and its map back; ``antialias=False`` as by
    torchvision before 0.17.
    """
    scaled = images.float() / 255
    return from_gray(gray((scaled - scaled.new_tensor(mean)) / scaled.new_tensor(std)), antialias)


def gray(images: Tensor) -> Tensor:
    """(B,H,W,3) f32 -> (B,H,W) f32."""
    r, g, b = (weight * channel for weight, channel in zip(LUMA, images.unbind(3), strict=True))
    return r + g + b


def from_gray(image: Tensor, antialias: bool = True) -> Tensor:
    """The blurred map, as large as the image. (B,H,W) f32 -> (B,H,W) f32."""
    size = image.shape[1:]
    if size[0] <= TALLEST:
        return gaussian(residual(image), KERNEL, SIGMA)
    small = _resized(image, (TALLEST, TALLEST), antialias)
    return _resized(gaussian(residual(small), KERNEL, SIGMA), size, antialias)


def residual(image: Tensor) -> Tensor:
    """The magnitude that the spectral residual leaves at each pixel, before any blur. (B,H,W) f32 -> (B,H,W) f32."""
    spectrum = torch.fft.fft2(image)
    # The floor is the published one: no component is exactly zero.
    magnitude = (spectrum.real**2 + spectrum.imag**2 + 1e-10).sqrt()
    log = magnitude.log()
    mean = F.avg_pool2d(F.pad(log[:, None], (1, 1, 1, 1), mode="replicate"), 3, stride=1)[:, 0]
    return torch.fft.ifft2(spectrum * ((log - mean).exp() / magnitude)).abs()


def _resized(maps: Tensor, size: Sequence[int], antialias: bool) -> Tensor:
    return F.interpolate(maps[:, None], size=tuple(size), mode="bilinear", antialias=antialias)[:, 0]
