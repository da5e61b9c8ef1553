"""Images to scale, under heat, and masks in colours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixcli.checks.selection import Shown
from mixcli.views.cloud_drawing import MIDDLE, A, B, heat
from mixcli.views.picture_drawing import LARGE, MOST_SIDE, heated, is_picture, levels, mask_picture, scaled, shown_size


def picture(seed: int, height: int = 32, width: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def image_row(row: int = 7, height: int = 32, width: int = 24, **changes) -> Shown:
    """The left three quarters of A beside the rest of B; A is salient above, B below."""
    a, b = picture(1, height, width), picture(2 + row % 3, height, width)
    lam = np.zeros((height, width), np.float32)
    lam[:, : width * 3 // 4] = 1
    above = np.linspace(1, 0, height, dtype=np.float32)[:, None].repeat(width, 1)
    known = {
        "data": np.where(lam[..., None] == 1, a, b), "lam": lam, "parent": (1, 2 + row % 3), "label": (0, 1),
        "weight": (0.75, 0.25), "names": ("chair", "lamp"), "parents": (a, b),
        "saliency": lam * above + (1 - lam) * above[::-1], "parent_saliency": (above, above[::-1]),
    }  # fmt: skip
    return Shown(row, **{"method": "saliencymix", **known, **changes})


def unmixed(row: int, method: str) -> Shown:
    """An original of a mixed dataset, or a row of a source."""
    own, parent = picture(row), (3,) if method == "original" else ()
    lam = np.ones((32, 24), np.float32) if parent else None
    return Shown(row, method, own, lam, parent, (0,), (1.0,), ("chair",), (own,) if parent else ())


@pytest.mark.parametrize(
    ("data", "is_one"),
    [
        (np.zeros((3, 3, 3), np.uint8), True),
        (np.zeros((3, 3, 3), np.float32), False),
        (np.zeros((1024, 3), np.float32), False),
        (np.zeros((8, 8, 4), np.uint8), False),
    ],
)
def test_pictures_are_told_from_clouds(data, is_one):
    assert is_picture(data) is is_one


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_a_small_picture_grows_by_a_whole_factor_and_a_large_one_fits(height, width):
    high, wide = shown_size(height, width)
    assert 1 <= min(high, wide) and max(high, wide) <= max(MOST_SIDE, LARGE * 1.5)
    if max(height, width) <= MOST_SIDE:
        assert high % height == 0 and wide % width == 0 and high // height == wide // width


def test_enlarging_repeats_pixels_and_reducing_takes_means():
    small = picture(0, 3, 2)
    large = scaled(small, 12, 8)
    assert (large[::4, ::4] == small).all() and (large[3::4, 3::4] == small).all()
    lines = np.zeros((64, 64, 3), np.uint8)
    lines[::2] = 255
    assert abs(scaled(lines, 16, 16)[4:12].astype(int) - 127).max() < 40, "no moiré"


def test_levels_are_of_the_largest_and_damage_is_nothing():
    found = levels(np.array([0.0, 1.0, 4.0, np.nan, np.inf, -3.0], np.float32))
    assert found.tolist() == [0, 0.5, 1, 0, 0, 0]
    assert (levels(np.zeros((2, 2))) == 0).all()


def test_heat_lies_where_the_saliency_is():
    saliency = np.zeros((32, 24), np.float32)
    saliency[4, 5] = 1e-12  # any scale
    seen = heated(picture(0), saliency)
    assert abs(seen[4, 5].astype(int) - heat(np.ones(1))[0]).max() < 40
    cold = seen[20:].astype(int)
    assert cold.max() < 170, "dim where there is none"
    assert np.corrcoef(cold[..., 1].ravel(), picture(0)[20:].mean(2).ravel())[0, 1] > 0.5, "the picture shows through"


def test_masks_are_orange_where_a_is():
    lam = np.array([[1.0, 0.0, 0.5, np.nan]], np.float32)
    assert mask_picture(lam).tolist() == [[list(A), list(B), list(MIDDLE), list(MIDDLE)]]
    assert mask_picture(np.array([[0.6, 0.4]]), whole=True).tolist() == [[list(A), list(B)]]
