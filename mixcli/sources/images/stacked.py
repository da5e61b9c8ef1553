"""Pictures of one size as arrays: colour, grey with or without a last axis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image

from mixcli.errors import MixError
from mixcli.sources.images.decode import MOST_PIXELS, Fit, fitted
from mixcli.sources.images.encoded import each
from mixcli.sources.images.labels import Labelled
from mixcli.sources.labels import Labels
from mixcli.sources.stacked_arrays import Declared, described


class Pixels(Declared, Protocol):
    """(n,H,W), (n,H,W,1) or (n,H,W,3) u8, read by rows: an array, mapped or in memory, or a dataset of HDF5."""

    def __getitem__(self, rows: np.ndarray, /) -> np.ndarray: ...


class Stack(NamedTuple):
    """Pictures of one array, and the file that holds them."""

    home: Path
    pixels: Pixels


class Stacked(Labelled):
    """Rows of one or several stacks, one after the other."""

    random_access, preload = True, False

    def __init__(self, path: Path, files: list[Path], stacks: list[Stack], labels: Labels, notes: Sequence[str] = ()):
        shapes = [tuple(pixels.shape[1:]) for _, pixels in stacks]
        if len(set(shapes)) > 1:
            raise MixError(
                f"pictures of {min(shapes)} and of {max(shapes)}", at=path, advice="--split takes one of the two"
            )
        super().__init__(path, labels, notes)
        self.files = files
        self.homes, self.stacks = [stack.home for stack in stacks], [stack.pixels for stack in stacks]
        self.starts = np.cumsum([0, *(pixels.shape[0] for pixels in self.stacks)])
        height, width = self.stacks[0].shape[1:3]
        self.size = (height, width)

    def address(self, row: int) -> tuple[str, int]:
        at = int(np.searchsorted(self.starts, row, side="right")) - 1
        return str(self.homes[at]), int(row - self.starts[at])

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        """See PicturePart.sizes."""
        return np.tile(np.array(self.size, np.int64), (len(rows), 1))

    def read(self, rows: np.ndarray, fit: Fit | None = None) -> list[np.ndarray]:
        """See PicturePart.read."""
        stored = self.pixels(rows)
        if fit is None or fit.sides == self.size:
            return list(coloured(stored))
        grey = stored.reshape(*stored.shape[:3]) if stored.shape[3:] == (1,) else stored
        return each(lambda picture: fitted(Image.fromarray(picture), fit), list(grey))

    def pixels(self, rows: np.ndarray) -> np.ndarray:
        """Rows as they are stored, (r,H,W), (r,H,W,1) or (r,H,W,3) u8."""
        pixels = np.empty((len(rows), *self.stacks[0].shape[1:]), np.uint8)
        for stack, start in zip(self.stacks, self.starts, strict=False):
            at = np.flatnonzero((rows >= start) & (rows < start + stack.shape[0]))
            pixels[at] = stack[rows[at] - start]
        return pixels


def coloured(pictures: np.ndarray) -> np.ndarray:
    """(r,H,W), (r,H,W,1) or (r,H,W,3) u8 -> (r,H,W,3)."""
    if pictures.ndim == 3:
        pictures = pictures[..., None]
    return pictures if pictures.shape[3] == 3 else np.repeat(pictures, 3, axis=3)


def check_pictures(path: Path, name: str, data: Declared) -> None:
    """MixError unless `data` is (n,H,W), (n,H,W,1) or (n,H,W,3) u8 of a size that a picture may have."""
    shape = tuple(data.shape)
    if len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3):
        raise MixError(
            f"'{name}' is {described(data)}, channels first", at=path, advice=f"transpose it to (n, H, W, {shape[1]})"
        )
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)) or np.dtype(data.dtype) != np.uint8:
        what = "(pictures, H, W, 3) or (pictures, H, W) uint8, 0 to 255"
        raise MixError(f"'{name}' is {described(data)}", at=path, advice=f"expected {what}")
    if not 0 < shape[1] * shape[2] <= MOST_PIXELS:
        raise MixError(
            f"'{name}' has pictures of {shape[1]:,} x {shape[2]:,} pixels", at=path, advice="that is no picture"
        )
