"""Pictures: the right colours in the right places, nearer points in front."""

from dataclasses import replace

import numpy as np
import pytest
from test_picture_drawing import image_row, unmixed

from mixcli.checks.selection import select
from mixcli.views.cloud_drawing import MIDDLE, A, B, draw, ramp, turn
from mixcli.views.look import Look
from mixcli.views.sheet import sheet


def colors(image):
    """Pixels that are not background -> (n,3)."""
    return image[(image < 250).any(2)]


def test_ramp_ends_at_the_parents_colours():
    ends = ramp(np.array([1.0, 0.0, 0.5]))
    assert ends.tolist() == [list(A), list(B), list(MIDDLE)]


def test_a_cloud_of_one_colour_is_drawn_in_shades_of_it():
    cloud = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
    cloud /= np.linalg.norm(cloud, axis=1, keepdims=True)
    image = draw(cloud, np.tile(np.array(A, np.uint8), (500, 1)), 120)
    seen = colors(image).astype(float)
    assert image.shape == (120, 120, 3) and 0.2 < len(seen) / 120**2 < 0.9
    assert (seen[:, 0] > seen[:, 2]).all(), "orange everywhere"


def test_the_nearer_point_hides_the_farther():
    eye = np.array([[0, 0, 1]]) @ np.linalg.inv(turn(np.eye(3, dtype=np.float32), "y"))
    cloud = np.concatenate([eye * 0.5, eye * -0.5]).astype(np.float32)
    image = draw(cloud, np.array([A, B], np.uint8), 100)
    seen = colors(image).astype(float)
    assert (seen[:, 0] > seen[:, 2]).all()


@pytest.mark.parametrize(("up", "axis"), [("x", 0), ("y", 1), ("z", 2)])
def test_up(up, axis):
    point = np.zeros((1, 3), np.float32)
    point[0, axis] = 1
    assert turn(point, up)[0, 1] > 0.9 and np.isclose(np.linalg.det(turn(np.eye(3, dtype=np.float32), up)), 1)


def test_a_sheet_shows_both_parents_and_the_mix(tiny):
    path = tiny.mix("mixed.h5").path
    chosen = select(path, 4)
    picture = np.asarray(sheet(chosen.load(chosen.rows)))
    assert picture.shape[0] > 2 * 190 and picture.shape[1] > 6 * 190
    tile = lambda slot: colors(picture[10:200, 10 + slot * 200 : 200 + slot * 200]).astype(float)  # noqa: E731
    assert (tile(0)[:, 0] > tile(0)[:, 2]).mean() > 0.95, "A is orange"
    assert (tile(1)[:, 0] < tile(1)[:, 2]).mean() > 0.95, "B is blue"
    assert len(tile(2)) > 500


def test_without_the_source_the_mix_stands_alone(tiny):
    path = tiny.mix("mixed.h5").path
    tiny.source.rename(tiny.folder / "gone.h5")
    chosen = select(path, 1)
    assert "parents are not shown" in chosen.note
    picture = np.asarray(sheet(chosen.load(chosen.rows)))
    assert len(colors(picture[10:200, 10:200])) > 500
    assert (picture[10:200, 220:400] == 255).all()


def picture_at(page, left, top, wide=120, high=160):
    return page[top : top + high, left : left + wide]


def test_a_sheet_of_images_shows_parents_mix_mask_and_label():
    one = image_row()
    page = np.asarray(sheet([one]))
    for slot, image in enumerate((*one.parents, one.data)):
        assert (picture_at(page, 10 + slot * 130, 10)[2::5, 2::5] == image).all(), "every pixel five times as large"
    mask = picture_at(page, 10 + 3 * 130, 10)
    assert (mask[:, :90] == A).all() and (mask[:, 90:] == B).all()
    assert (page[9, 10:130] == A).all() and (page[9, 140:260] == B).all(), "frames"
    bar = page[10 + 160 + 19 + 6, 270:390]
    assert bar[1].tolist() == list(A) and bar[88].tolist() == list(A) and bar[91].tolist() == list(B)


def test_heat_of_images_is_drawn_only_when_asked():
    one = image_row()
    plain, hot = (np.asarray(sheet([one], Look(color=color))) for color in ("lam", "saliency"))
    assert hot.shape[1] == plain.shape[1] + 130
    assert (picture_at(hot, 10, 10) != picture_at(plain, 10, 10)).any()
    assert (picture_at(hot, 270, 10) == picture_at(plain, 270, 10)).all(), "the mix itself stays"


def test_images_of_all_kinds_on_one_sheet():
    hostile = ("a" * 10**6, "two\nlines\x1b[2J\ud800")
    rows = [image_row(0), unmixed(1, "original"), image_row(2, 300, 200), image_row(3, names=hostile)]
    page = sheet([*rows, replace(image_row(4), weight=(np.nan, 0.5))], Look(color="saliency"), "a note")
    assert page.width < 2200
    alone = np.asarray(sheet([unmixed(1, "source")], note=""))
    assert (alone[-50:] == 255).all(), "no legend where nothing has a map"


def test_a_long_name_stays_in_its_tile():
    page = np.asarray(sheet([image_row(names=("W" * 100, "lamp"))]))
    assert (page[172:189, 131:138] == 255).all() and (page[172:189, 100:130] < 200).any()
