"""Images as characters: the pixels can be read back."""

import numpy as np
import pytest
from test_picture_drawing import picture
from test_terminal import decode, width

from mixcli.views.half_blocks import FIRST, INK, _entries, picture_lines
from mixcli.views.picture_drawing import scaled


def pixels_of(lines: list[str], columns: int) -> list[list[tuple | None]]:
    """Rows of colours of half blocks, None the terminal's own."""
    rows = []
    for cells in decode("\n".join(lines)):
        upper = [None if glyph in " ▄" else fore for glyph, fore, _ in cells]
        lower = [{"█": fore, "▄": fore, "▀": back, " ": None}[glyph] for glyph, fore, back in cells]
        rows += [upper[:columns], lower[:columns]]
    return rows


def test_every_pixel_is_there_in_24_bits():
    image = picture(0, 7, 12)
    rows = pixels_of(picture_lines(image, 12, "blocks24"), 12)
    assert len(rows) == 8 and rows[7] == [None] * 12, "an odd last row has nothing below it"
    assert np.array_equal(np.array([[c[1:] for c in row] for row in rows[:7]]), image)


def test_small_pictures_grow_by_whole_factors_and_large_ones_fit():
    image = picture(0, 10, 8)
    rows = pixels_of(picture_lines(image, 25, "blocks24"), 16)
    assert np.array_equal(np.array([[c[1:] for c in row] for row in rows]), scaled(image, 20, 16))
    assert len(picture_lines(picture(0, 200, 100), 40, "blocks24")) == 20


def test_256_colours_are_near():
    image = np.array([[(0, 0, 0), (255, 255, 255), (255, 0, 0), (118, 118, 118), (95, 135, 175)]], np.uint8)
    codes = [code for code in pixels_of(picture_lines(image, 5, "blocks256"), 5)[0] if code]
    assert codes == [(5, 16), (5, 231), (5, 196), (5, 243), (5, 67)]
    assert len(_entries()) + FIRST == 256


def test_glyphs_go_by_brightness():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:, 2:] = 255
    assert picture_lines(image, 4, "ascii") == ["  @@", "  @@"]
    even = np.full((2, 2, 3), 200, np.uint8)
    assert len(set("".join(picture_lines(even + np.arange(2, dtype=np.uint8)[:, None, None], 2, "ascii")))) == 1
    for level in range(0, 256, 15):
        assert set("".join(picture_lines(np.full((3, 2, 3), level, np.uint8), 2, "ascii"))) <= set(INK)


@pytest.mark.parametrize("mode", ["ascii", "blocks256", "blocks24"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 400), (400, 3), (33, 32), (32, 33)])
def test_lines_are_exactly_as_wide_as_asked(mode, shape):
    for size in (1, 2, 9, 32, 40):
        lines = picture_lines(picture(0, *shape), size, mode)
        assert {width(line) for line in lines} == {size} and 1 <= len(lines) <= (size + 1) // 2
