"""The tiles of a row on a contact sheet: its parents, the mix, and what the mix was decided by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mixcli.views.cloud_drawing import A, B, draw, heat, ramp
from mixcli.views.look import Look
from mixcli.views.picture_drawing import heated, is_picture, levels, mask_picture, scaled, shown_size

if TYPE_CHECKING:
    from mixcli.checks.selection import Shown

SIDE = 190  # of a cloud's tile
INK, OTHER = (30, 30, 30), (0x6B, 0x6F, 0x76)  # of text; of seventh and later parents
# Of C to F: at least 22 apart in CIELAB from each other, A, B and the grey, also for eyes that lack a cone, and dark
# enough for white text.
MORE = (0x51, 0xA5, 0x6B), (0x64, 0x1F, 0x63), (0x44, 0x40, 0x1C), (0xB0, 0x72, 0xF6)
LETTERS = "ABCDEFGH"
UNMIXED = ("original", "source")  # methods of rows that are no mix


@dataclass(frozen=True)
class Tile:
    """One picture of a row and what stands under it."""

    picture: np.ndarray  # (h,w,3) u8
    title: str
    tail: str = ""  # of the title, kept where the rest is cut
    ink: tuple[int, int, int] = INK
    frame: bool = False  # whether the picture, which has colours of its own, is framed in the ink
    is_mix: bool = False  # the soft label stands under it


def parent_ink(slot: int) -> tuple[int, int, int]:
    """Orange of A, blue of B, green, purple, olive and violet of C to F, grey of any other."""
    inks = (A, B, *MORE)
    return inks[slot] if slot < len(inks) else OTHER


def tiles(one: Shown, look: Look) -> list[Tile]:
    """Of a cloud or an image, from left to right; the parents are left out where they are not at hand."""
    return list(_of_image(one, look.color) if is_picture(one.data) else _of_cloud(one, look))


def _of_cloud(one: Shown, look: Look) -> Iterator[Tile]:
    """All to one scale."""
    color, up = look.color, look.up
    parents = one.parents if len(one.parent) > 1 else ()
    scale = max(float(np.linalg.norm(cloud, axis=1).max()) for cloud in (*parents[:2], one.data)) or 1.0
    for slot, cloud in enumerate(parents[:2]):
        ink = parent_ink(slot)
        yield Tile(draw(cloud, _plain(ink, len(cloud)), SIDE, scale, up), *_titles(one, slot), ink)
    mix = colors(one, "lam" if color == "saliency" else color)
    yield Tile(draw(one.data, mix, SIDE, scale, up), _mix_title(one, bool(parents)), is_mix=True)
    if color == "saliency" and one.saliency is not None:
        yield Tile(draw(one.data, colors(one, color), SIDE, scale, up), "saliency")


def _of_image(one: Shown, color: str) -> Iterator[Tile]:
    """With saliency the parents stand under their heat; the mask is a tile of its own."""
    hot = color == "saliency"
    parents = () if one.method in UNMIXED else one.parents
    for slot, picture in enumerate(parents):
        under_heat = hot and slot < len(one.parent_saliency)
        seen = heated(picture, one.parent_saliency[slot]) if under_heat else picture
        yield Tile(_sized(seen), *_titles(one, slot), parent_ink(slot), frame=True)
    yield Tile(_sized(one.data), _mix_title(one, bool(parents)), is_mix=True)
    if hot and one.saliency is not None:
        yield Tile(_sized(heated(one.data, one.saliency)), "saliency")
    if one.lam is not None and one.method not in UNMIXED:
        mean = f"  {np.nan_to_num(one.lam).mean():.2f} {'of A' if len(one.parent) > 1 else 'kept'}"
        yield Tile(_sized(mask_picture(one.lam, whole=color == "parent")), "mask", mean)


def _sized(picture: np.ndarray) -> np.ndarray:
    return scaled(picture, *shown_size(*picture.shape[:2]))


def _titles(one: Shown, slot: int) -> tuple[str, str]:
    """Title and tail of a parent."""
    name, number = (values[slot] if slot < len(values) else "?" for values in (one.names, one.parent))
    return f"{LETTERS[slot % len(LETTERS)]}  {name}", f" #{number}"


def _mix_title(one: Shown, has_parents: bool) -> str:
    return f"[{one.row}]" if has_parents else f"[{one.row}] {' + '.join(one.names)}"


def colors(one: Shown, color: str) -> np.ndarray:
    """Colours of a cloud's points -> (N,3) u8."""
    if color == "saliency" and one.saliency is not None:
        return heat(levels(one.saliency))
    if one.lam is None:
        return _plain(A, len(one.data))
    return ramp(one.lam if color != "parent" else (one.lam >= 0.5).astype(float))


def _plain(color: tuple[int, int, int], n: int) -> np.ndarray:
    return np.tile(np.array(color, np.uint8), (n, 1))
