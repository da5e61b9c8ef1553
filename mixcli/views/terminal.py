"""Rows of a dataset on a terminal: half-block pictures, ASCII pictures, or a plain table for pipes."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from mixcli.text import clean, clip, pad, width
from mixcli.views.cloud_drawing import draw, ramp, turn
from mixcli.views.half_blocks import RESET, half_blocks, picture_lines
from mixcli.views.picture_drawing import is_picture
from mixcli.views.tiles import UNMIXED

if TYPE_CHECKING:
    from mixcli.checks.selection import Shown

GAP, WIDEST, NARROWEST = 2, 40, 10  # columns between tiles, and of a tile
LONGEST = 60  # characters of a class name in the table
FULL = 240  # a share of 1 as a colour: spheres get up to 5 % brighter than their colour, which must not overflow
LIT_FACE, CONTRAST = 0.92, 1.6  # so few pixels need more of it than a large picture
ROUND, STRAIGHT = "coO@", "-=+#"  # glyphs of parent A and of parent B, little ink to much
DITHER = np.array([[0.125, 0.625], [0.875, 0.375]])
# Entries of xterm's palette from all B to all A, in light and in shadow. Chosen by eye: the nearest entries in RGB turn
# violet, teal and olive.
SHADOW = 0.6  # brightness below which a pixel of 256 colours is in shadow
LIT = np.array([25, 67, 110, 249, 180, 173, 166])
DIM = np.array([24, 24, 67, 244, 137, 130, 130])


def mode(environ: Mapping[str, str], isatty: bool, encoding: str | None) -> str:
    """How to draw: none, ascii, blocks256 or blocks24. From the environment alone: a terminal's answers to queries
    arrive late over SSH and end up as typed characters.

    >>> mode({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, True, "utf-8")
    'blocks24'
    """
    term = environ.get("TERM", "")
    if not isatty or term == "dumb":
        return "none"
    if environ.get("NO_COLOR") or not _is_utf8(encoding):
        return "ascii"
    if environ.get("STY"):  # GNU screen takes the numbers of a 24-bit colour for other attributes (seen with 4.9)
        return "blocks256"
    tmux = environ.get("TMUX") or term.startswith("tmux")  # which reduces colours itself for poorer terminals
    return "blocks24" if tmux or environ.get("COLORTERM", "").lower() in ("truecolor", "24bit") else "blocks256"


def _is_utf8(encoding: str | None) -> bool:
    try:
        return codecs.lookup(encoding or "ascii").name == "utf-8"
    except LookupError:
        return False


def caption(shown: Shown, wide: int | None = None) -> str:
    """One line: the row, its classes and their shares; names give way where it must be short.

    >>> from types import SimpleNamespace
    >>> row = SimpleNamespace(row=7, method="sagemix", names=("bottle", "car"), weight=(0.625, 0.375))
    >>> caption(row), caption(row, 21)
    ('[7] bottle 0.62 + car 0.38', '[7] bo~ 0.62 + car 0.38')
    """
    names = _classes(shown)
    whole = _caption(shown, names)
    if wide is None or width(whole) <= wide:
        return whole
    room = max(3, (wide - width(_caption(shown, [""] * len(names)))) // len(names))
    return _caption(shown, [clip(name, room) for name in names])


def _caption(shown: Shown, names: list[str]) -> str:
    if shown.method in UNMIXED:
        return f"[{shown.row}] {names[0]}"
    return f"[{shown.row}] " + " + ".join(f"{n} {w:.2f}" for n, w in zip(names, shown.weight, strict=False))


def shares(shown: Shown) -> np.ndarray:
    """Share of A at each point of a row; its label's where the points' own are not stored -> (N,)."""
    if shown.lam is None or len(shown.lam) != len(shown.data):
        return np.full(len(shown.data), shown.weight[0] if shown.weight else 1.0)
    return shown.lam


def _classes(shown: Shown) -> list[str]:
    return [clean(name) or "?" for name in shown.names] or ["?"]


def table(shown: list[Shown]) -> str:
    """Plain text without escapes, one row a line."""
    lines = [("row", "method", "classes", "shares", "parents")]
    lines += [_line(s) for s in shown]
    wide = [max(width(line[i]) for line in lines) for i in range(4)]
    padded = ([pad(cell, w) for cell, w in zip(line[:4], wide, strict=True)] + [line[4]] for line in lines)
    return "\n".join("  ".join(cells) for cells in padded)


def _line(shown: Shown) -> tuple[str, str, str, str, str]:
    classes = " + ".join(clip(name, LONGEST) for name in _classes(shown))
    shares = " ".join(f"{w:.2f}" for w in shown.weight)
    parents = " ".join(str(p) for p in shown.parent if p >= 0)
    return str(shown.row), clean(shown.method), classes, shares or "-", parents or "-"


@dataclass(frozen=True)
class Tile:
    """One cloud or image and what stands above it."""

    data: np.ndarray  # (N,3) f32 or (H,W,3) u8
    lam: np.ndarray  # (N,) share of parent A, of a cloud
    title: str
    chip: str = ""  # the parent's letter, on its colour


def preview(shown: list[Shown], columns: int, mode: str, up: str = "y") -> str:
    """Parents and mix of each row as pictures of characters, at most `columns` wide; the background stays the
    terminal's own, dark or light. Where the source is gone, or has no parents, the rows stand three in a line."""
    if mode == "none":
        return table(shown)
    fits = (columns - 2 * GAP) // 3 >= NARROWEST
    across = 3 if fits else 1
    size = max(1, min((columns - (across - 1) * GAP) // across, WIDEST))
    lines: list[str] = []
    for band in _bands([_tiles(s, fits, size) for s in shown], across):
        lines += _band(band, size, mode, up)
    lines += [_legend(columns, mode)] if any(not is_picture(s.data) for s in shown) else []
    return "\n".join(lines) + ("" if mode == "ascii" else RESET)


def _tiles(shown: Shown, fits: bool, size: int) -> list[Tile]:
    """A row's clouds or images: parent A, parent B and the mix, or the mix alone."""
    mix = Tile(shown.data, shares(shown), caption(shown, size))
    if not fits or not shown.parents or shown.method in UNMIXED:
        return [mix]
    pairs = zip("AB", (1.0, 0.0), _classes(shown), shown.parent, shown.parents, strict=False)
    return [Tile(c, np.full(len(c), share), f"{name} #{i}", letter) for letter, share, name, i, c in pairs] + [mix]


def _bands(rows: list[list[Tile]], across: int) -> list[list[Tile]]:
    """What stands side by side: a row with its parents fills a line, rows alone share one."""
    bands: list[list[Tile]] = []
    for tiles in rows:
        if len(tiles) == 1 and bands and len(bands[-1]) < across and not any(t.chip for t in bands[-1]):
            bands[-1] += tiles
        else:
            bands.append(list(tiles))
    return bands


def _band(tiles: list[Tile], size: int, mode: str, up: str) -> list[str]:
    """Lines of tiles side by side, and an empty one."""
    titles = (" " * GAP).join(_title(tile, size, mode) for tile in tiles).rstrip(" ")
    if is_picture(tiles[0].data):
        cells = [picture_lines(tile.data, size, mode) for tile in tiles]
    else:
        cells = _clouds(tiles, size, mode, up)
    body = zip_longest(*cells, fillvalue=" " * size)
    return [titles, *((" " * GAP).join(line) for line in body), ""]


def _clouds(tiles: list[Tile], size: int, mode: str, up: str) -> list[list[str]]:
    """Lines of each tile, all to one scale, without the empty lines above and below."""
    solid = [np.isfinite(tile.data).all(1) for tile in tiles]
    reach = [np.abs(turn(t.data[ok], up)[:, :2]).max() for t, ok in zip(tiles, solid, strict=True) if ok.any()]
    scale = max([*reach, 1e-30])
    pictures = [picture(t.data[ok], t.lam[ok], size, scale, up) for t, ok in zip(tiles, solid, strict=True)]
    used = np.flatnonzero(np.any([p[2].any(1) for p in pictures], 0)) // 2
    cells = [_ascii_cells(*p) if mode == "ascii" else _block_cells(*p, mode) for p in pictures]
    return [c[used.min() : used.max() + 1] if len(used) else [] for c in cells]


def picture(
    cloud: np.ndarray, lam: np.ndarray, size: int, scale: float, up: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share of A, brightness and coverage of every pixel, one pixel a half block -> 3 × (h,size), h even.

    One drawing gives all three: red carries share × brightness, green brightness, and blue is 0 where a sphere is.
    """
    high = size + size % 2
    if len(cloud) == 0:
        return np.zeros((high, size)), np.zeros((high, size)), np.zeros((high, size), bool)
    share = np.clip(np.nan_to_num(lam.astype(np.float64)), 0, 1)
    code = np.stack([share * FULL, np.full(len(cloud), FULL), np.zeros(len(cloud))], 1).round().astype(np.uint8)
    image = np.pad(draw(cloud, code, size, scale, up).astype(np.float64), ((0, high - size), (0, 0), (0, 0)),
                   constant_values=255)  # fmt: skip
    empty = image[:, :, 2] / 255
    solid = empty <= 0.5
    bright = np.where(solid, image[:, :, 1] - 255 * empty, 1).clip(1)
    light = np.where(solid, (bright / FULL / np.where(solid, 1 - empty, 1) / LIT_FACE) ** CONTRAST, 0)
    return ((image[:, :, 0] - 255 * empty) / bright).clip(0, 1), _smooth(light, solid), solid


def _smooth(light: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """Brightness with its neighbours': pixels as large as spheres show the scatter of the points, not the surface."""
    return _blur(light) / np.where(solid, _blur(solid.astype(np.float64)), 1)


def _blur(image: np.ndarray) -> np.ndarray:
    for axis in (0, 1):
        image = 2 * image + np.roll(image, 1, axis) + np.roll(image, -1, axis)
    return image / 16


def _block_cells(lam: np.ndarray, light: np.ndarray, solid: np.ndarray, mode: str) -> list[str]:
    """Lines of half blocks."""
    color = _codes(lam, light, mode)
    pixels = [[c if s else "" for c, s in zip(*row, strict=True)] for row in zip(color, solid, strict=True)]
    return half_blocks(pixels)


def _codes(lam: np.ndarray, light: np.ndarray, mode: str) -> list[list[str]]:
    """Colours as the numbers of an escape sequence -> (h,w)."""
    if mode == "blocks24":
        rgb = (ramp(lam.ravel()) * light.reshape(-1, 1)).clip(0, 255).round().astype(int)
        flat = [f"2;{r};{g};{b}" for r, g, b in rgb.tolist()]
    else:
        step = (lam.ravel() * (len(LIT) - 1)).round().astype(int)
        flat = [f"5;{i}" for i in np.where(light.ravel() < SHADOW, DIM[step], LIT[step]).tolist()]
    wide = lam.shape[1]
    return [flat[i : i + wide] for i in range(0, len(flat), wide)]


def _ascii_cells(lam: np.ndarray, light: np.ndarray, solid: np.ndarray) -> list[str]:
    """Lines of round (A) and straight (B) glyphs, a share between them dithered; a character is two pixels high."""
    high, wide = lam.shape[0] // 2, lam.shape[1]
    count = solid.reshape(high, 2, wide).sum(1)
    lam, light = ((v * solid).reshape(high, 2, wide).sum(1) / count.clip(1) for v in (lam, light))
    first = lam > np.tile(DITHER, (high // 2 + 1, wide // 2 + 1))[:high, :wide]
    ink = np.clip((light - 0.35) / 0.65 * len(ROUND), 0, len(ROUND) - 1).astype(int)
    glyph = np.where(first, np.array(list(ROUND))[ink], np.array(list(STRAIGHT))[ink])
    return ["".join(row) for row in np.where(count > 0, glyph, " ")]


def _title(tile: Tile, size: int, mode: str) -> str:
    """The line above a tile, exactly as wide as it."""
    text = tile.title
    if mode == "ascii":
        text = text.encode("ascii", "replace").decode()
    if not tile.chip:
        return pad(clip(text, size), size)
    chip = f" {tile.chip} "
    if mode != "ascii":
        [[code]] = _codes(np.array([[tile.chip == "A"]], float), np.ones((1, 1)), mode)
        chip = f"\x1b[1;38;5;231;48;{code}m{chip}{RESET}"
    return chip + pad(clip(" " + text, size - 3), size - 3)


def _legend(columns: int, mode: str) -> str:
    """What the colours mean."""
    before, after = "share of A at each point: 0 ", " 1"
    if columns < len(before) + len(after) + 16:
        before, after = "0 ", " 1"
    wide = min(24, columns - len(before) - len(after))
    if wide < 1:
        return ""
    lam, light = np.tile(np.linspace(0, 1, wide), (2, 1)), np.ones((2, wide))
    solid = np.ones((2, wide), bool)
    strip = _ascii_cells(lam, light, solid) if mode == "ascii" else _block_cells(lam, light, solid, mode)
    return before + strip[0] + after
