"""Pictures of one size as arrays: colour, grey with or without a last axis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mixcli.errors import MixError
from mixcli.sources.clouds.stacked import described
from mixcli.sources.images.decode import MOST_PIXELS, Fit, fitted
from mixcli.sources.images.encoded import each
from mixcli.sources.images.labels import Labelled, Labels


class Stacked(Labelled):
    """Rows of one or several stacks, (n,H,W), (n,H,W,1) or (n,H,W,3) u8, mapped or in memory, one after the other."""

    random_access, preload = True, False

    def __init__(
        self,
        path: Path,
        files: list[Path],
        stacks: list[np.ndarray],
        labels: Labels,
        notes: tuple[str, ...] = (),
        homes: list[Path] | None = None,
    ):
        """homes: the file of each stack, where that is not `path`."""
        shapes = [tuple(stack.shape[1:]) for stack in stacks]
        if len(set(shapes)) > 1:
            raise MixError(
                f"pictures of {min(shapes)} and of {max(shapes)}", at=path, advice="--split takes one of the two"
            )
        super().__init__(path, labels, notes)
        self.files, self.stacks, self.homes = files, stacks, homes or [path] * len(stacks)
        self.starts = np.cumsum([0, *(stack.shape[0] for stack in stacks)])
        self.size = tuple(stacks[0].shape[1:3])

    def address(self, row: int) -> tuple[str, int]:
        at = int(np.searchsorted(self.starts, row, side="right")) - 1
        return str(self.homes[at]), int(row - self.starts[at])

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        """See PicturePart.sizes."""
        return np.tile(np.array(self.size, np.int64), (len(rows), 1))

    def read(self, rows: np.ndarray, fit: Fit = Fit()) -> list[np.ndarray]:
        """See PicturePart.read."""
        found = self.pixels(rows)
        if fit.height is not None and fit.sides != self.size:
            grey = found.reshape(*found.shape[:3]) if found.shape[3:] == (1,) else found
            return each(lambda picture: fitted(Image.fromarray(picture), fit), list(grey))
        return list(coloured(found))

    def pixels(self, rows: np.ndarray) -> np.ndarray:
        """Rows as they are stored, (r,H,W), (r,H,W,1) or (r,H,W,3) u8."""
        found = np.empty((len(rows), *self.stacks[0].shape[1:]), np.uint8)
        for stack, start in zip(self.stacks, self.starts, strict=False):
            at = np.flatnonzero((rows >= start) & (rows < start + stack.shape[0]))
            found[at] = stack[rows[at] - start]
        return found


def coloured(pictures: np.ndarray) -> np.ndarray:
    """(r,H,W), (r,H,W,1) or (r,H,W,3) u8 -> (r,H,W,3)."""
    if pictures.ndim == 3:
        pictures = pictures[..., None]
    return pictures if pictures.shape[3] == 3 else np.repeat(pictures, 3, axis=3)


def check_pictures(path: Path, name: str, data: Any) -> None:
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
