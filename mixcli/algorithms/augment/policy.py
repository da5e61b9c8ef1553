"""Which operations there are, and how strong AugMix and RandAugment make each: numbers alone, no images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# The first nine are AugMix's, the next four those that it leaves out because ImageNet-C tests them.
OPS = (
    "autocontrast", "equalize", "posterize", "rotate", "solarize", "shear_x", "shear_y", "translate_x", "translate_y",
    "color", "contrast", "brightness", "sharpness", "identity",
)  # fmt: skip
AUGMIX, AUGMIX_ALL = 9, 13  # how many of them AugMix draws from, and with --all-ops
STRONGEST = 30  # of RandAugment's magnitude


def augmix_values(op: np.ndarray, level: np.ndarray, sign: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """What each operation is given at a level from 0 to 10, as published: `augmentations.py` of AugMix.

    op (...) i64 numbers in OPS, level (...) f64, sign (...) 1 or -1, size (H,W) pixels -> (...) f64: bits that are
    kept, degrees, the lowest level that is inverted, a slope, whole pixels, or a factor; 0 where there is nothing.

    >>> augmix_values(np.array([2, 3, 4, 5, 7, 9]), np.full(6, 2.5), np.full(6, -1), (32, 48)).round(6).tolist()
    [3.0, -7.0, 192.0, -0.075, -4.0, 0.55]
    """
    height, width = size
    enhanced = level * 1.8 / 10 + 0.1
    return _of_each(
        op,
        posterize=4 - np.floor(level * 4 / 10),
        rotate=sign * np.floor(level * 30 / 10),
        solarize=256 - np.floor(level * 256 / 10),
        shear_x=sign * (level * 0.3 / 10),
        shear_y=sign * (level * 0.3 / 10),
        translate_x=sign * np.floor(level * (width / 3) / 10),
        translate_y=sign * np.floor(level * (height / 3) / 10),
        **dict.fromkeys(("color", "contrast", "brightness", "sharpness"), enhanced),
    )


def randaugment_values(op: np.ndarray, magnitude: float, sign: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """The same for RandAugment (Cubuk et al., NeurIPS 2020) at a magnitude from 0 to 30.

    The paper has 14 operations on one scale and refers to AutoAugment for their ranges (Cubuk et al., CVPR 2019,
    Table 6), which are taken here from their mild end to their strong one: 8 to 4 bits, 0 to ±30 degrees, 256 to 0,
    slopes of 0 to ±0.3, 0 to ±150 pixels of 331, factors of 1 to 1 ± 0.9.

    >>> randaugment_values(np.array([2, 3, 5, 7, 9]), 10, np.full(5, -1), (331, 331)).round(6).tolist()
    [7.0, -10.0, -0.1, -50.0, 0.7]
    """
    share, (height, width) = magnitude / STRONGEST, size
    enhanced = 1 + sign * (0.9 * share)
    return _of_each(
        op,
        posterize=8 - np.rint(4 * share),
        rotate=sign * (30 * share),
        solarize=256 - np.floor(256 * share),
        shear_x=sign * (0.3 * share),
        shear_y=sign * (0.3 * share),
        translate_x=sign * np.floor(150 * share * width / 331),
        translate_y=sign * np.floor(150 * share * height / 331),
        **dict.fromkeys(("color", "contrast", "brightness", "sharpness"), enhanced),
    )


def _of_each(op: np.ndarray, **values: np.ndarray) -> np.ndarray:
    """The value of its own operation at each place of `op`."""
    of_each = [np.broadcast_to(values.get(name, 0.0), op.shape) for name in OPS]
    return np.take_along_axis(np.stack(of_each), op[None], 0)[0]
