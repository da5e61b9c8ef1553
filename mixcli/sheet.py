"""A contact sheet: parent A, parent B and the mix of some rows, as one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixcli.shown import Shown
from mixcli.splat import A, B, draw, heat, ramp

if TYPE_CHECKING:
    from PIL.Image import Image

TILE, GAP, TEXT = 190, 10, 36
INK = (30, 30, 30)


def sheet(shown: list[Shown], up: str = "y", color: str = "lam", note: str = "") -> Image:
    """Rows as triples of tiles, several a line; a row of its own where the parents are not at hand."""
    from PIL import Image, ImageDraw

    tiles = max(len(_tiles(s, color)) for s in shown)
    across = min(len(shown), {4: 2, 3: 2, 2: 3, 1: 6}[tiles])
    wide, high = tiles * (TILE + GAP) + 2 * GAP, TILE + TEXT + GAP
    page = Image.new("RGB", (across * wide + GAP, -(-len(shown) // across) * high + 60), "white")
    pen = ImageDraw.Draw(page)
    for i, one in enumerate(shown):
        _row(page, pen, one, (GAP + i % across * wide, GAP + i // across * high), up, color)
    _legend(page, pen, page.height - 40, color, note)
    return page


def _tiles(one: Shown, color: str) -> list[tuple[np.ndarray, np.ndarray, str, tuple]]:
    """Cloud, its colours, title and the title's colour of each tile of a row."""
    titles = [f"{side}  {name} #{parent}" for side, name, parent in zip("AB", one.names, one.parent, strict=False)]
    found = [
        (cloud, _plain(color_, len(cloud)), title, color_)
        for cloud, color_, title in zip(one.parents, (A, B), titles, strict=False)
    ]
    mix = f"[{one.row}]" if found and len(one.parent) > 1 else f"[{one.row}] {' + '.join(one.names)}"
    if len(one.parent) < 2:
        found = []
    found.append((one.data, colors(one, "lam" if color == "saliency" else color), mix, INK))
    if color == "saliency" and one.saliency is not None:
        found.append((one.data, colors(one, color), "saliency", INK))
    return found


def colors(one: Shown, color: str) -> np.ndarray:
    """Colours of a row's points -> (N,3) u8."""
    if color == "saliency" and one.saliency is not None:
        # The square root: a few points hold most of it, and the rest should still be told apart.
        return heat(np.sqrt(one.saliency / max(float(one.saliency.max()), 1e-30)))
    if one.lam is None:
        return _plain(A, len(one.data))
    return ramp(one.lam if color != "parent" else (one.lam >= 0.5).astype(float))


def _plain(color: tuple, n: int) -> np.ndarray:
    return np.tile(np.array(color, np.uint8), (n, 1))


def _row(page: Image, pen: Any, one: Shown, at: tuple[int, int], up: str, color: str) -> None:
    """All tiles of a row, to one scale."""
    tiles = _tiles(one, color)
    scale = max(float(np.linalg.norm(cloud, axis=1).max()) for cloud, *_ in tiles) or 1.0
    left, top = at
    for slot, (cloud, shades, title, ink) in enumerate(tiles):
        here = left + slot * (TILE + GAP)
        page.paste(_image(draw(cloud, shades, TILE, scale, up)), (here, top))
        pen.text((here, top + TILE), title, ink, _font(13))
        if len(one.weight) > 1 and title.startswith("["):
            _bar(pen, (here, top + TILE + 18), one)


def _bar(pen: Any, at: tuple[int, int], one: Shown) -> None:
    """The soft label: a bar of two colours, each class's share in it where there is room."""
    split = round(TILE * one.weight[0])
    for start, stop, color, i in ((0, split, A, 0), (split, TILE, B, 1)):
        if stop > start:
            pen.rectangle((at[0] + start, at[1], at[0] + stop - 1, at[1] + 13), fill=color)
            text = f"{one.names[i]} {one.weight[i]:.2f}"
            if pen.textlength(text, font=_font(10)) < stop - start - 6:
                pen.text((at[0] + start + 3, at[1] + 1), text, "white", _font(10))


def _legend(page: Image, pen: Any, top: int, color: str, note: str) -> None:
    low, high, scale = ("saliency   0", "most", heat) if color == "saliency" else ("lambda   0 = B", "1 = A", ramp)
    pen.text((GAP, top), low, INK, _font(12))
    page.paste(_image(np.broadcast_to(scale(np.linspace(0, 1, 180)), (14, 180, 3))), (110, top + 1))
    pen.text((300, top), f"{high}     {note}", INK, _font(12))


def _image(array: np.ndarray) -> Image:
    from PIL import Image

    return Image.fromarray(np.ascontiguousarray(array))


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)
