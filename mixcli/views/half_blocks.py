"""Pictures of characters: two pixels in a half block, in 24-bit or 256 colours, or glyphs by brightness."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np

from mixcli.views.cloud_drawing import oklab
from mixcli.views.picture_drawing import GREY, scaled

RESET = "\x1b[0m"
INK = " .:-=+*#%@"  # little light to much: a terminal's text is mostly bright on dark
LEAST = 64  # levels of brightness that the glyphs span, so that the noise of an even picture stays even
FIRST = 16  # entry of xterm's palette; those before it are each terminal's own
CUBE, GREYS = (0, 95, 135, 175, 215, 255), range(8, 248, 10)  # levels of the 216 colours and 24 greys from there on
OKLAB = np.array([0.5, 1, 1])  # hue before lightness: by distance alone skin turns olive and red in places


def picture_lines(picture: np.ndarray, size: int, mode: str) -> list[str]:
    """An image as lines of exactly `size` columns, half as many lines or fewer. (H,W,3) u8."""
    height, width = _fitting(picture.shape[0], picture.shape[1], size)
    small = scaled(picture, height, width)
    lines = _glyphs(small) if mode == "ascii" else half_blocks(_codes(small, mode))
    return [line + " " * (size - small.shape[1]) for line in lines]


def _fitting(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width inside a square: a whole multiple where it fits, else reduced.

    >>> _fitting(16, 8, 40), _fitting(100, 50, 40)
    ((32, 16), (40, 20))
    """
    longer = max(height, width)
    times = size // longer or size / longer
    return max(1, round(height * times)), max(1, round(width * times))


def half_blocks(codes: list[list[str]]) -> list[str]:
    """Lines of half blocks: the upper pixel is the character's colour, the lower one its background. Of an odd number
    of rows the last has the terminal's own background below it."""
    below = [*codes[1::2], [""] * len(codes[0])]
    return [_line(top, bottom) for top, bottom in zip(codes[::2], below, strict=False)]


def _line(top: list[str], bottom: list[str]) -> str:
    text, last = "", ""
    for high, low in zip(top, bottom, strict=True):
        if not high and not low:
            style, glyph = "0", " "
        elif high == low:
            style, glyph = f"0;38;{high}", "█"
        elif not high:
            style, glyph = f"0;38;{low}", "▄"
        else:
            style, glyph = f"0;38;{high}" + (f";48;{low}" if low else ""), "▀"
        text += (f"\x1b[{style}m" if style != last else "") + glyph
        last = style
    return text + RESET


def _codes(picture: np.ndarray, mode: str) -> list[list[str]]:
    """Colours as the numbers of an escape sequence. (h,w,3) u8 -> (h,w)."""
    if mode == "blocks24":
        return [[f"2;{r};{g};{b}" for r, g, b in row] for row in picture.tolist()]
    return [[f"5;{i}" for i in row] for row in _palette_of_256(picture).tolist()]


def _palette_of_256(picture: np.ndarray) -> np.ndarray:
    """The nearest entries. (h,w,3) u8 -> (h,w)."""
    colors, inverse = np.unique(picture.reshape(-1, 3), axis=0, return_inverse=True)
    away = oklab(colors / 255)[:, None] * OKLAB - _entries()
    return FIRST + (away**2).sum(2).argmin(1)[inverse].reshape(picture.shape[:2])


@cache
def _entries() -> np.ndarray:
    """Of the palette, from `FIRST` on (240,3)."""
    return oklab(np.array([*product(CUBE, repeat=3), *((level,) * 3 for level in GREYS)]) / 255) * OKLAB


def _glyphs(picture: np.ndarray) -> list[str]:
    """By brightness, from the picture's darkest to its brightest; a character is two pixels high."""
    light = picture @ GREY
    light = np.concatenate([light, light[-1:]])[: len(light) + len(light) % 2]
    pairs = (light[::2] + light[1::2]) / 2
    low, high = pairs.min(), pairs.max()
    level = (pairs - min(low, 255 - LEAST)) / max(high - low, LEAST)
    return ["".join(INK[i] for i in row) for row in np.rint(level * (len(INK) - 1)).astype(int).tolist()]
