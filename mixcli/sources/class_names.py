"""Class names: from a list beside the files, or as published where a layout has a fixed order and no list."""

from __future__ import annotations

import os
from pathlib import Path

from mixcli.files.regular import read_lines, require_inside

SHAPE_NAMES = "shape_names.txt"

# The order of ScanObjectNN's labels.
SCANOBJECTNN: tuple[str, ...] = (
    *("bag", "bin", "box", "cabinet", "chair", "desk", "display", "door", "shelf", "table", "bed", "pillow"),
    *("sink", "sofa", "toilet"),
)

# The order of ShapeNetPart's synsetoffset2category.txt, and of `label` in its HDF5 files.
SHAPENET_PART: tuple[str, ...] = (
    *("Airplane", "Bag", "Cap", "Car", "Chair", "Earphone", "Guitar", "Knife", "Lamp", "Laptop"),
    *("Motorbike", "Mug", "Pistol", "Rocket", "Skateboard", "Table"),
)


def names_beside(path: Path) -> tuple[str, ...] | None:
    """The names in `shape_names.txt` beside a file, if there is one."""
    listing = path.parent / SHAPE_NAMES
    return read_names(listing) if os.path.isfile(listing) else None


def read_names(listing: Path) -> tuple[str, ...] | None:
    """One name a line."""
    lines = read_lines(require_inside(listing, listing.parent))
    return tuple(filter(None, lines)) or None
