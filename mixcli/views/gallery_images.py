"""Rows of images in a gallery: pictures as data URIs, PNG where small and JPEG where large, shares and saliency as
uint8 of each pixel, of maps with more than `FINEST` pixels a side reduced to that."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from mixcli.views.gallery_json import Distinct, head, pack_lam, pack_saliency, text_of
from mixcli.views.tiles import UNMIXED

if TYPE_CHECKING:
    from mixcli.checks.selection import Shown

EXACT = 128 * 128  # pixels up to which a picture is kept bit for bit
LARGEST = 512  # pixels a side of a picture: an enlarged tile shows about as many
FINEST = 96  # pixels a side of a map: a row has up to four, which weigh more than its pictures
QUALITY = 90  # of JPEG


def image_row(one: Shown, images: Distinct) -> dict[str, Any]:
    """A row as JSON. Its maps are all of one size; what is no mix has neither parents nor mask."""
    height, width = one.data.shape[:2]
    mixed = one.method not in UNMIXED
    size = _within(height, width, FINEST)
    saliency, peak = pack_saliency(None if one.saliency is None else _reduced(one.saliency, size))
    return {
        **head(one),
        "size": [height, width],
        "image": images.add(one.data),
        "parents": [images.add(picture) for picture in one.parents if mixed],
        "map": list(size),
        "lam": None if one.lam is None or not mixed else pack_lam(_reduced(one.lam, size)),
        "saliency": saliency,
        "peak": peak,
        "heat": [pack_saliency(_reduced(theirs, size)) for theirs in one.parent_saliency if mixed],
    }


def pack_image(picture: np.ndarray) -> dict[str, Any]:
    """(H,W,3) u8 -> its size and a data URI."""
    from PIL import Image

    height, width = picture.shape[:2]
    image, written, kind = Image.fromarray(np.ascontiguousarray(picture)), io.BytesIO(), "png"
    if height * width > EXACT:
        image, kind = image.resize(_within(height, width, LARGEST)[::-1], Image.Resampling.LANCZOS), "jpeg"
    image.save(written, kind, optimize=True, quality=QUALITY)
    return {"h": height, "w": width, "uri": f"data:image/{kind};base64,{text_of(written.getvalue())}"}


def _within(height: int, width: int, side: int) -> tuple[int, int]:
    """Height and width, reduced to at most `side`.

    >>> _within(32, 32, 96), _within(512, 256, 128)
    ((32, 32), (128, 64))
    """
    part = min(1, side / max(height, width))
    return max(1, round(height * part)), max(1, round(width * part))


def _reduced(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map (H,W), brought to a size by the means of its pixels."""
    if values.shape == size:
        return values
    from PIL import Image

    return np.asarray(Image.fromarray(values.astype(np.float32)).resize(size[::-1], Image.Resampling.BOX))
