"""A contact sheet: parent A, parent B and the mix of some rows, as one picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixcli.dataset import Dataset, spread
from mixcli.formats.sources import Source
from mixcli.reading import Reader
from mixcli.splat import A, B, draw, ramp

if TYPE_CHECKING:
    from PIL.Image import Image

TILE, GAP, TEXT = 190, 10, 36
INK, FAINT = (30, 30, 30), (130, 130, 130)


def sheet(path: Path, count: int = 12, rows: np.ndarray | None = None, up: str = "y") -> Image:
    """Triples of `rows`, or of `count` rows spread over the dataset, two triples a line."""
    from PIL import Image, ImageDraw

    dataset = Dataset(path)
    rows = spread(dataset.mixes, count) if rows is None else rows
    names = dataset.file.class_names or [str(i) for i in range(dataset.recipe["classes"])]
    across = 2 if len(rows) > 1 else 1
    wide, high = 3 * (TILE + GAP) + 2 * GAP, TILE + TEXT + GAP
    page = Image.new("RGB", (across * wide + GAP, -(-len(rows) // across) * high + 60), "white")
    pen = ImageDraw.Draw(page)
    parents = _parents(dataset)
    for i, row in enumerate(rows.tolist()):
        left, top = GAP + i % across * wide, GAP + i // across * high
        _triple(page, pen, dataset, parents, row, names, (left, top), up)
    _legend(page, pen, page.height - 38)
    return page


def _parents(dataset: Dataset) -> Reader | None:
    """The prepared source clouds, where the source still is."""
    files = [Path(f["path"]) for f in dataset.manifest["source"]["files"]]
    if not all(f.is_file() for f in files):
        return None
    recipe = dataset.recipe
    prepared = (recipe["points"], recipe["subsample"], recipe["normalize"], recipe["seed"])
    return Reader(Source(files), recipe["classes"], *prepared)


def _triple(
    page: Image, pen: Any, dataset: Dataset, parents: Reader | None, row: int, names: Any, at: tuple[int, int], up: str
) -> None:
    """One row: its parents, where the source is at hand, and the mix, all to the same scale."""
    values = dataset.read(row, 1)
    mix, parent, label, weight = (values[n][0] for n in ("data", "parent", "parent_label", "weight"))
    lam = values["point_weight"][0] if "point_weight" in values else np.full(len(mix), weight[0])
    tiles = [(mix, ramp(lam), f"[{row}]", INK)]
    if parents is not None:
        for cloud, i, name, color in zip(parents.read(parent)[::-1], (1, 0), "BA", (B, A), strict=True):
            plain = np.tile(np.array(color, np.uint8), (len(cloud), 1))
            tiles.insert(0, (cloud, plain, f"{name}  {names[label[i]]} #{parent[i]}", color))
    scale = max(float(np.linalg.norm(cloud, axis=1).max()) for cloud, *_ in tiles)
    left, top = at
    for slot, (cloud, color, title, ink) in enumerate(tiles):
        left = at[0] + slot * (TILE + GAP)
        page.paste(_image(draw(cloud, color, TILE, scale, up)), (left, top))
        pen.text((left, top + TILE), title, ink, _font(13))
    _bar(pen, (left, top + TILE + 18), names, label, weight)


def _bar(pen: Any, at: tuple[int, int], names: Any, label: np.ndarray, weight: np.ndarray) -> None:
    """The soft label: a bar of two colours, each class's share in it where there is room."""
    split = round(TILE * float(weight[0]))
    for start, stop, color, i in ((0, split, A, 0), (split, TILE, B, 1)):
        if stop > start:
            pen.rectangle((at[0] + start, at[1], at[0] + stop - 1, at[1] + 13), fill=color)
            text = f"{names[label[i]]} {weight[i]:.2f}"
            if pen.textlength(text, font=_font(10)) < stop - start - 6:
                pen.text((at[0] + start + 3, at[1] + 1), text, "white", _font(10))


def _legend(page: Image, pen: Any, top: int) -> None:
    pen.text((GAP, top), "lambda   0 = B", INK, _font(12))
    strip = np.broadcast_to(ramp(np.linspace(0, 1, 180)), (14, 180, 3))
    page.paste(_image(strip), (110, top + 1))
    pen.text((300, top), "1 = A", INK, _font(12))


def _image(array: np.ndarray) -> Image:
    from PIL import Image

    return Image.fromarray(np.ascontiguousarray(array))


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)
