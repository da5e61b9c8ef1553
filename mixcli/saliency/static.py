"""Fine-grained static saliency (Montabone and Soto, 2010), in the integer arithmetic of OpenCV's implementation.

How much brighter or darker each pixel is than its surroundings, for surroundings of six sizes. SaliencyMix (Uddin et
al., ICLR 2021) takes the peak of this map; it needs no trained model.
"""

from __future__ import annotations

import numpy as np

RADII = (12, 24, 28, 48, 56, 112)  # half the side of the surroundings, pixels
LUMA = (3735, 19235, 9798)  # of 2^15: OpenCV's weights of blue, green and red, which SaliencyMix applies to R, G and B
AT_A_TIME = 1 << 16  # pixels whose intermediate arrays stay in the cache


def saliency(images: np.ndarray) -> np.ndarray:
    """The map of each image. (B,H,W,3) u8 in RGB order -> (B,H,W) f32 in steps of 1/255 from 0 to 1.

    Bit for bit what OpenCV's `StaticSaliencyFineGrained` gives for the RGB bytes that SaliencyMix hands it, as long
    as OpenCV's float32 sums are exact: up to 65,000 pixels. A flat image gives zeros.

    >>> saliency(np.array([[[[0] * 3, [0] * 3, [64] * 3]]], np.uint8)).tolist()  # gray 8, 16, 24 once it is smoothed
    [[[1.0, 0.0, 1.0]]]
    """
    maps = np.zeros(images.shape[:3], np.float32)
    step = max(1, AT_A_TIME // max(1, maps[:1].size))
    for start in range(0, len(images), step):
        maps[start : start + step] = _maps(images[start : start + step])
    return maps


def _maps(images: np.ndarray) -> np.ndarray:
    on, off = (_stretch(part) for part in _contrast(_smooth(_smooth(_gray(images)))))
    most = np.maximum(on, off).max((1, 2), initial=1, keepdims=True)
    # A pixel above some surroundings and below others may pass 255; the byte wraps, as it does there.
    return (255 * (on + off) // most % 256).astype(np.float32) * np.float32(1 / 255)


def _gray(images: np.ndarray) -> np.ndarray:  # (B,H,W,3) u8 -> (B,H,W) i32
    b, g, r = (weight * images[..., c].astype(np.int32) for c, weight in enumerate(LUMA))
    return (b + g + r + (1 << 14)) >> 15


def _smooth(gray: np.ndarray) -> np.ndarray:
    """Binomial 3x3 blur, rounded, mirrored at the border without repeating it. (B,H,W) i32 -> (B,H,W) i32."""
    padded = np.pad(gray, ((0, 0), (1, 1), (1, 1)), "reflect")
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    return (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:] + 8) >> 4


def _contrast(gray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whole steps above and below the mean of the surroundings, over all radii. (B,H,W) i32 -> two of the same."""
    # Sums of a large image wrap at 2^32; their differences do not, since no surroundings reach 2^31.
    integral = np.pad(gray, ((0, 0), (1, 0), (1, 0))).cumsum(1, dtype=np.int32).cumsum(2, dtype=np.int32)
    on, off = np.zeros_like(gray), np.zeros_like(gray)
    for radius in RADII:
        difference = (gray.astype(np.float32) - _surroundings(integral, gray, radius)).astype(np.int32)
        on += np.maximum(difference, 0)
        off -= np.minimum(difference, 0)
    return on, off


def _surroundings(integral: np.ndarray, gray: np.ndarray, radius: int) -> np.ndarray:
    """Mean of the pixels from radius - 1 before to radius after, without the pixel itself. -> (B,H,W) f32."""
    (top, bottom), (left, right) = (_edges(side, radius) for side in gray.shape[1:])
    band = integral[:, bottom] - integral[:, top]
    total = (band[:, :, right] - band[:, :, left] - gray).astype(np.float32)
    others = ((bottom - top)[:, None] * (right - left) - 1).astype(np.float32)
    return total / others if others.all() else gray.astype(np.float32)  # an image of one pixel has no contrast


def _edges(side: int, radius: int) -> tuple[np.ndarray, np.ndarray]:
    at = np.arange(side)
    return np.maximum(at - radius + 1, 0), np.minimum(at + radius + 1, side)


def _stretch(part: np.ndarray) -> np.ndarray:
    """Each image's values over its largest, times 255, cut to whole numbers. (B,H,W) i32 -> (B,H,W) i32."""
    return 255 * part // part.max((1, 2), initial=1, keepdims=True)
