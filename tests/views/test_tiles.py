"""Which tiles a row of images has."""

from dataclasses import replace

import numpy as np
import pytest
from test_picture_drawing import image_row, picture, unmixed

from mixcli.views.cloud_drawing import A, B
from mixcli.views.look import Look
from mixcli.views.picture_drawing import heated, mask_picture, scaled
from mixcli.views.tiles import MORE, OTHER, parent_ink, tiles


def titles(one, color="lam"):
    return [tile.title + tile.tail for tile in tiles(one, Look("y", color))]


def test_parents_mix_and_mask():
    one = image_row()
    found = tiles(one, Look("y", "lam"))
    assert titles(one) == ["A  chair #1", "B  lamp #3", "[7]", "mask  0.75 of A"]
    shown = [*one.parents, one.data, mask_picture(one.lam)]
    assert all((t.picture == scaled(s, 160, 120)).all() for t, s in zip(found, shown, strict=True))
    assert [t.ink for t in found[:2]] == [A, B] and [t.frame for t in found] == [True, True, False, False]
    assert [t.is_mix for t in found] == [False, False, True, False]


def test_saliency_lies_over_both_parents_and_the_mix():
    one = image_row()
    found = tiles(one, Look("y", "saliency"))
    assert titles(one, "saliency") == ["A  chair #1", "B  lamp #3", "[7]", "saliency", "mask  0.75 of A"]
    heats = zip((*one.parents, one.data), (*one.parent_saliency, one.saliency), strict=True)
    shown = [scaled(heated(p, s), 160, 120) for p, s in heats]
    shown.insert(2, scaled(one.data, 160, 120))
    assert all((t.picture == s).all() for t, s in zip(found, shown, strict=False))


def test_parent_colours_the_mask_by_who_has_more():
    one = image_row(lam=np.linspace(0, 1, 32 * 24, dtype=np.float32).reshape(32, 24))
    assert len(np.unique(tiles(one, Look("y", "lam"))[3].picture.reshape(-1, 3), axis=0)) > 100
    assert np.unique(tiles(one, Look("y", "parent"))[3].picture.reshape(-1, 3), axis=0).tolist() == [list(B), list(A)]


@pytest.mark.parametrize("method", ["original", "source"])
def test_what_is_no_mix_stands_alone(method):
    assert titles(unmixed(4, method)) == ["[4] chair"]


def test_a_mix_of_one_parent_shows_it():
    cut = image_row(method="cutout", parent=(1,), label=(0,), weight=(1.0,), names=("chair",), parents=(picture(1),))
    assert titles(cut) == ["A  chair #1", "[7]", "mask  0.75 kept"]


def test_more_than_two_parents():
    many = image_row(parent=(1, 2, 3), weight=(0.5, 0.3, 0.2), names=("a", "b", "c"), parents=(picture(1),) * 3)
    assert titles(many)[:3] == ["A  a #1", "B  b #2", "C  c #3"] and tiles(many, Look("y", "lam"))[2].ink == MORE[0]


def test_parents_colours_differ_and_bear_white_text():
    """Contrast as WCAG has it: 1.05 over luminance + 0.05, at least 3."""
    inks = np.array([parent_ink(slot) for slot in range(7)]) / 255
    assert len({parent_ink(slot) for slot in range(9)}) == 7 and parent_ink(6) == parent_ink(8) == OTHER
    linear = np.where(inks <= 0.04045, inks / 12.92, ((inks + 0.055) / 1.055) ** 2.4)
    assert (1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05) >= 3).all()


def test_without_source_mask_or_saliency():
    bare = image_row(lam=None, parents=(), saliency=None, parent_saliency=())
    assert titles(bare) == titles(bare, "saliency") == ["[7] chair + lamp"]
    damaged = replace(image_row(), names=(), parent=())
    assert titles(damaged)[0] == "A  ? #?"
