"""A contact sheet: parent A, parent B and the mix of some rows, as one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixcli.checks.selection import Shown
from mixcli.text import clean
from mixcli.views.cloud_drawing import heat, ramp
from mixcli.views.look import USUAL, Look
from mixcli.views.picture_drawing import is_picture
from mixcli.views.tiles import INK, Tile, parent_ink, tiles

if TYPE_CHECKING:
    from PIL.Image import Image

GAP, TEXT = 10, 36
NARROWEST, WIDEST = 110, 1900  # of a tile, so that its text fits; of rows side by side
ACROSS = {1: 6, 2: 3}  # rows side by side by the tiles of a row; of more tiles two
SHORTEST, LONGEST = 3, 200  # characters of a name that is cut; a hostile one may be megabytes


def sheet(shown: list[Shown], look: Look = USUAL, note: str = "") -> Image:
    """Rows of clouds or images as tiles, several rows a line; the mix alone where the parents are not at hand."""
    from PIL import Image, ImageDraw

    rows = [tiles(one, look) for one in shown]
    side = max(NARROWEST, *(tile.picture.shape[1] for row in rows for tile in row))
    most = max(map(len, rows))
    wide, high = most * (side + GAP) + 2 * GAP, max(t.picture.shape[0] for row in rows for t in row) + TEXT + GAP
    across = max(1, min(len(shown), ACROSS.get(most, 2), WIDEST // wide))
    page = Image.new("RGB", (across * wide + GAP, -(-len(shown) // across) * high + 60), "white")
    pen = ImageDraw.Draw(page)
    for i, (one, row) in enumerate(zip(shown, rows, strict=True)):
        left, top = GAP + i % across * wide, GAP + i // across * high
        for slot, tile in enumerate(row):
            _tile(page, pen, one, tile, at=(left + slot * (side + GAP), top), side=side)
    _legend(page, pen, page.height - 40, _meanings(shown, look.color), note)
    return page


def _tile(page: Image, pen: Any, one: Shown, tile: Tile, at: tuple[int, int], side: int) -> None:
    """The picture, its title, and under a mix the soft label."""
    high, wide = tile.picture.shape[:2]
    left, top = at
    page.paste(_image(tile.picture), at)
    if tile.frame:
        pen.rectangle((left - 2, top - 2, left + wide + 1, top + high + 1), outline=tile.ink, width=2)
    tail = pen.textlength(tile.tail, font=_font(13))
    pen.text((left, top + high + 1), clipped(pen, tile.title, side - tail, 13) + tile.tail, tile.ink, _font(13))
    if tile.is_mix and len(one.weight) > 1:
        _bar(pen, (left, top + high + 19), one, max(wide, NARROWEST))


def _bar(pen: Any, at: tuple[int, int], one: Shown, wide: int) -> None:
    """The soft label: a bar of the parents' colours, each class's share in it where there is room."""
    edges = np.rint(np.cumsum([0.0, *np.nan_to_num(one.weight)]).clip(0, 1) * wide).astype(int)
    edges[-1] = wide
    for slot, (start, stop) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        if stop <= start:
            continue
        pen.rectangle((at[0] + start, at[1], at[0] + stop - 1, at[1] + 13), fill=parent_ink(slot))
        share = f"{one.weight[slot]:.2f}"
        room = stop - start - 6 - pen.textlength(share, font=_font(10))
        if room > 0:
            name = clipped(pen, one.names[slot], room - 6, 10)
            name = name if len(name) > SHORTEST or name == one.names[slot] else ""
            pen.text((at[0] + start + 3, at[1] + 1), f"{name}  {share}".strip(), "white", _font(10))


def clipped(pen: Any, text: str, wide: float, size: int) -> str:
    """The start of a text, at most so many pixels wide."""
    whole = text = clean(text[:LONGEST])
    while text and pen.textlength(text if text == whole else text + "…", font=_font(size)) > wide:
        text = text[:-1]
    return text if text == whole else text and text + "…"


def _meanings(shown: list[Shown], color: str) -> list[str]:
    """Which colours need a legend; of images without maps none do."""
    if any(not is_picture(one.data) for one in shown):
        return ["saliency" if color == "saliency" else "lam"]
    hot = color == "saliency" and any(one.saliency is not None or one.parent_saliency for one in shown)
    most = max((len(one.parent) for one in shown if one.lam is not None), default=0)
    return ["saliency"] * hot + [{1: "kept", 2: "lam"}.get(most, "first")] * bool(most)


def _legend(page: Image, pen: Any, top: int, meanings: list[str], note: str) -> None:
    words = {
        "saliency": ("saliency   0", "most", heat),
        "lam": ("lambda   0 = B", "1 = A", ramp),
        "first": ("mask   0 = others", "1 = A", ramp),
        "kept": ("mask   0 = new", "1 = kept", ramp),
    }
    left = GAP
    for low, high, scale in (words[name] for name in meanings):
        pen.text((left, top), low, INK, _font(12))
        page.paste(_image(np.broadcast_to(scale(np.linspace(0, 1, 180)), (14, 180, 3))), (left + 100, top + 1))
        pen.text((left + 290, top), high, INK, _font(12))
        left += 360
    pen.text((left, top), note, INK, _font(12))


def _image(array: np.ndarray) -> Image:
    from PIL import Image

    return Image.fromarray(np.ascontiguousarray(array))


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)
