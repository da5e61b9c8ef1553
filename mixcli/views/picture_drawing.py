"""Images as they are shown: to scale, under the heat of their saliency, and masks in colours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mixcli.views.cloud_drawing import heat, ramp

LARGE, MOST_SIDE = 160, 224  # pixels a side that a small picture is brought near to, and that a large one is reduced to
DIM = 0.55  # brightness of a picture under heat
FAINT, DENSE = 0.1, 0.85  # how much of the heat covers the picture, where there is none and where there is most
GREY = np.array([0.299, 0.587, 0.114])  # luma of ITU-R BT.601


def is_picture(data: np.ndarray) -> bool:
    """Whether a row's data is an image, (H,W,3) u8, and not a cloud."""
    return data.ndim == 3 and data.shape[2] == 3 and data.dtype == np.uint8


def shown_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of a picture on paper: a whole multiple where it is small, at most `MOST_SIDE` a side.

    >>> shown_size(32, 32), shown_size(28, 20), shown_size(200, 160), shown_size(3024, 1512)
    ((160, 160), (168, 120), (200, 160), (224, 112))
    """
    longer = max(height, width)
    if longer > MOST_SIDE:
        return max(1, round(height * MOST_SIDE / longer)), max(1, round(width * MOST_SIDE / longer))
    times = max(1, int(LARGE / longer + 0.5))
    return height * times, width * times


def scaled(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H,W,3) u8 -> (height,width,3) u8: by repeating pixels where that is exact, else antialiased."""
    times, left = divmod(height, len(picture))
    if not left and width == times * picture.shape[1]:
        return picture.repeat(times, 0).repeat(times, 1)
    from PIL import Image

    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))


def levels(saliency: np.ndarray) -> np.ndarray:
    """Saliency as 0..1 of its largest value; of what is no number 0. The square root: a few places hold most of it,
    and the rest should still be told apart."""
    value = np.nan_to_num(saliency.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0).clip(0)
    return np.sqrt(value / max(float(value.max(initial=0.0)), 1e-30))


def heated(picture: np.ndarray, saliency: np.ndarray) -> np.ndarray:
    """A picture in dim grey under its saliency. (H,W,3) u8, (H,W) f32 -> (H,W,3) u8."""
    level = levels(saliency)
    cover = (FAINT + (DENSE - FAINT) * level)[..., None]
    grey = (picture @ GREY * DIM)[..., None]
    return (grey * (1 - cover) + _colored(level, heat) * cover).round().astype(np.uint8)


def mask_picture(lam: np.ndarray, whole: bool = False) -> np.ndarray:
    """Parent a's share of each pixel in colours, A orange to B blue; `whole`: only whose share is larger.
    (H,W) f32 -> (H,W,3) u8."""
    share = np.nan_to_num(lam.astype(np.float64), nan=0.5)
    return _colored((share >= 0.5).astype(np.float64) if whole else share, ramp)


def _colored(values: np.ndarray, palette: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    return palette(values.ravel()).reshape(*values.shape, 3)
