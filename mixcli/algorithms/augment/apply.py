"""Operations of AugMix and RandAugment on whole batches of images, each image with an operation of its own.

The published code applies Pillow's to one image after the other. These give the same images, to the last bit.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mixcli.algorithms.augment.affine import rotate, shear_x, shear_y, translate_x, translate_y
from mixcli.algorithms.augment.enhance import brightness, color, contrast, sharpness
from mixcli.algorithms.augment.levels import autocontrast, equalize, posterize, solarize


def identity(images: Tensor, _: Tensor) -> Tensor:
    """As they are."""
    return images


# In the order of OPS in `augment_policy`, whose numbers the draws have.
FUNCTIONS = (
    autocontrast, equalize, posterize, rotate, solarize, shear_x, shear_y, translate_x, translate_y,
    color, contrast, brightness, sharpness, identity,
)  # fmt: skip


def levels(data: Tensor) -> Tensor:
    """The whole levels of images. (B,H,W,3) f32, 0..255 -> (B,H,W,3) u8."""
    return data.round().clamp(0, 255).to(torch.uint8)


def apply(images: Tensor, op: np.ndarray, value: np.ndarray) -> Tensor:
    """Each image changed by its own operation, those of one operation at once.

    images (B,H,W,3) u8 on any device; op (B,) i64 numbers in FUNCTIONS, where -1 is the last, the identity; value (B,)
    f64 as in `augment_policy` -> (B,H,W,3) u8.
    """
    order = np.argsort(op, kind="stable")
    numbers, count = np.unique(op, return_counts=True)
    parts = images.index_select(0, _indices(order, images)).split(count.tolist())
    given = torch.from_numpy(value[order]).to(images.device).split(count.tolist())
    done = [FUNCTIONS[number](*both) for number, *both in zip(numbers.tolist(), parts, given, strict=True)]
    return torch.cat(done).index_select(0, _indices(np.argsort(order), images))


def _indices(rows: np.ndarray, images: Tensor) -> Tensor:
    return torch.from_numpy(rows).to(images.device)
