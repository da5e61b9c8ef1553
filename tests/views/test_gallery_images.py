"""A gallery of images: what is in the file is the data, and a real browser can use it."""

from __future__ import annotations

import base64
import html
import io
import json
import re
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from test_gallery import HOSTILE, browser, find, numbers, read_json, share_of, view  # noqa: F401 (a fixture)
from test_picture_drawing import image_row, picture, unmixed
from test_serve import running, served

from mixcli.views.gallery import Gallery, notebook, page, payload, policy
from mixcli.views.gallery_images import FINEST, LARGEST


def image_of(packed: dict) -> Image.Image:
    kind, text = re.fullmatch(r"data:image/(png|jpeg);base64,(.*)", packed["uri"]).groups()
    found = Image.open(io.BytesIO(base64.b64decode(text)))
    assert found.format == kind.upper()
    return found


def test_small_pictures_are_there_bit_for_bit():
    one = image_row()
    content = read_json(page(Gallery([one], "mixed.h5")))
    row = content["rows"][0]
    assert content["kind"] == "images" and content["clouds"] == [] and row["size"] == [32, 24]
    for index, image in [(row["image"], one.data), *zip(row["parents"], one.parents, strict=True)]:
        assert np.array_equal(np.asarray(image_of(content["images"][index])), image)
    assert (row["row"], row["parent"], row["weight"], row["names"]) == (7, [1, 3], [0.75, 0.25], ["chair", "lamp"])


def test_maps_are_there_to_quantisation():
    one = image_row(lam=np.linspace(0, 1, 768, dtype=np.float32).reshape(32, 24))
    row = read_json(page(Gallery([one], "x")))["rows"][0]
    assert row["map"] == [32, 24]
    assert np.abs(numbers(row["lam"], "u1") / 255 - one.lam.ravel()).max() <= 0.5 / 255 + 1e-6
    packed = [(row["saliency"], row["peak"]), *row["heat"]]
    for (text, peak), found in zip(packed, (one.saliency, *one.parent_saliency), strict=True):
        assert np.abs(peak * (numbers(text, "u1") / 255) ** 2 - found.ravel()).max() < 1 / 255


def test_large_pictures_are_jpeg_and_their_maps_reduced():
    one = image_row(0, 1000, 600)
    content = read_json(page(Gallery([one], "x")))
    row, packed = content["rows"][0], content["images"][0]
    assert image_of(packed).format == "JPEG" and max(image_of(packed).size) == LARGEST
    assert row["map"] == [FINEST, 58] and row["size"] == [1000, 600]
    lam = numbers(row["lam"], "u1").reshape(row["map"])
    assert (lam[:, :43] == 255).all() and (lam[:, 44:] == 0).all(), "three quarters of 58 columns are A's"


def test_a_shared_parent_is_there_once():
    content = payload(Gallery([image_row(i) for i in range(12)], "x"))
    assert len(content["images"]) == 3 + 4, "parent 1, parents 2 to 4, and what it makes with each of them"


def test_equal_bytes_of_another_shape_are_another_picture():
    flat = unmixed(0, "source")
    tall = replace(flat, data=flat.data.reshape(24, 32, 3))
    assert len(payload(Gallery([flat, tall], "x"))["images"]) == 2


def test_what_is_no_mix_has_neither_parents_nor_mask():
    for method in ("original", "source"):
        row = payload(Gallery([unmixed(0, method)], "x"))["rows"][0]
        assert row["parents"] == [] and row["lam"] is None and row["heat"] == []


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_does_no_harm(bad):
    maps = np.full((32, 24), bad, np.float32)
    one = image_row(lam=maps, saliency=maps, parent_saliency=(maps, maps), weight=(bad, 0.5))
    row = read_json(page(Gallery([one], "x")))["rows"][0]
    assert row["weight"] == [None, 0.5] and set(numbers(row["lam"], "u1")) <= {128, 255}
    assert row["peak"] == 0 and set(numbers(row["saliency"], "u1")) == {0}


def test_colours_that_cannot_be_had_say_why():
    bare = image_row(lam=None, saliency=None, parent_saliency=())
    absent = payload(Gallery([bare], "x"))["absent"]
    assert "--keep mask" in absent["lam"] and absent["parent"] and "--color saliency" in absent["saliency"]
    assert payload(Gallery([image_row()], "x"))["absent"] == {"lam": "", "parent": "", "saliency": ""}
    assert "source" in payload(Gallery([unmixed(0, "source")], "x"))["absent"]["lam"]


def test_nothing_may_be_loaded_and_names_stay_text():
    text = page(Gallery([image_row(names=(HOSTILE, HOSTILE), method=HOSTILE)], HOSTILE))
    assert f'content="{policy()}"' in text and "img-src data:" in policy()
    assert read_json(text)["rows"][0]["names"] == [HOSTILE, HOSTILE]
    assert len(re.findall(r"</?script", text, re.IGNORECASE)) == 4 and "<img" not in text
    assert not re.findall(r"(?:src|href)\s*=\s*[\"'](?!data:)", text)


def test_200_rows_of_32_pixels_are_under_5_mb():
    rows = [image_row(i, 32, 32, parents=(picture(1000 + i), picture(2000 + i))) for i in range(200)]
    assert len(page(Gallery(rows, "x"))) < 5e6, "though no parent is shared, and noise does not compress"


def test_a_notebook_shows_images():
    text = notebook(Gallery([image_row(i) for i in range(3)], "n"))
    content = read_json(html.unescape(re.findall(r'srcdoc="([^"]*)"', text)[0]))
    assert content["kind"] == "images" and len(content["rows"]) == 3


class Rows:
    """A selection of images."""

    title, note, classes, total = "images", "", ("chair", "lamp"), 30
    rows = np.arange(30)

    def load(self, rows):
        return [image_row(int(row)) for row in rows]


def test_pages_of_a_server_hold_images():
    with running(Rows()) as server:
        content = served(server, "?page=2")
    assert content["kind"] == "images" and [row["row"] for row in content["rows"]] == list(range(24, 30))


# ---------- a real browser ----------


@pytest.fixture
def opened(browser, tmp_path):  # noqa: F811
    """Four mixes, the first with hostile names, the second without maps; and an original."""
    rows = [image_row(i) for i in range(4)] + [unmixed(4, "original")]
    rows[0] = replace(rows[0], names=(HOSTILE, "b" * 200), method=HOSTILE)
    rows[1] = replace(rows[1], lam=None, saliency=None, parent_saliency=())
    path = tmp_path / "images.html"
    path.write_text(page(Gallery(rows, "images")), encoding="utf-8")
    browser.errors(), browser.requests()
    browser.go(path.as_uri())
    time.sleep(0.3)
    yield browser
    assert browser.errors() == [] and browser.requests() == []


def test_tiles_show_the_pictures_and_the_mask(opened):
    one = image_row(2)
    for slot, image in (("slot0", one.parents[0]), ("slot1", one.parents[1]), ("mixed", one.data)):
        tile = opened.tile(2, slot)
        y, x = (np.arange(n) * 2 + 1 for n in (32, 24))
        seen = tile[y * len(tile) // 64][:, x * tile.shape[1] // 48]
        assert np.abs(seen - image).mean() < 4, slot
    mask = opened.tile(2, "map")
    assert 0.7 < share_of(mask, "orange") < 0.8 and 0.2 < share_of(mask, "blue") < 0.3


def test_the_tile_of_maps_is_there_while_there_is_one(opened):
    hidden = "[...document.querySelectorAll('main .map')].map(f => f.hidden)"
    assert opened.run(hidden) == [False, True, False, False, True]
    opened.press("s")
    time.sleep(0.3)
    assert opened.run(hidden) == [False, True, False, False, True]
    plain, hot = opened.tile(2, "mixed"), opened.tile(2, "slot0")
    assert np.abs(plain[:, : plain.shape[1] // 2] - hot[:, : hot.shape[1] // 2]).mean() > 20, "only parents are heated"
    assert hot[: len(hot) // 4, :, 0].mean() > hot[-len(hot) // 4 :, :, 0].mean() + 40, "A is salient above"


def test_pointing_tells_the_pixel(opened):
    box = opened.run(f"(r => [r.x, r.y, r.width, r.height])({find(view(2, 'mixed'))}.getBoundingClientRect())")
    opened.move(box[0] + box[2] * 20.5 / 24, box[1] + box[3] * 8.5 / 32)
    text = opened.run("document.getElementById('tip').textContent")
    assert text.startswith("pixel x 20, y 8\nλ 0.000\nsaliency ") and "saliency of A chair" in text
    assert opened.run("document.querySelectorAll('.ring').length") == 4


def test_the_keyboard_alone_will_do(opened):
    opened.run(f"{find('main article:nth-child(3) .stage')}.focus()")
    opened.press("\ue014")  # right: from nothing to the middle
    assert opened.run("document.getElementById('say').textContent").startswith("pixel x 12, y 16\n")
    opened.press("\ue015")  # down
    assert opened.run("document.getElementById('say').textContent").startswith("pixel x 12, y 17\n")
    opened.press("\ue007")  # enter
    assert opened.wait("document.getElementById('big').open")
    assert opened.run("document.querySelectorAll('#held img').length") == 4


def test_hostile_names_are_shown_as_text(opened):
    assert opened.run(f"{find('main article .slot0 b')}.textContent") == HOSTILE
    sources = json.loads(opened.run("JSON.stringify([...document.images].map(i => i.src.slice(0, 15)))"))
    assert set(sources) == {"data:image/png;"}
    assert opened.run("document.documentElement.scrollWidth <= innerWidth")
