"""Prepared images of any window: decoded as their window comes, or kept where all of them are small.

Files of many images that fit into 2 GB are decoded once. Folders are read window by window, in parallel threads, so
each file is decoded once in a run as well.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mixcli.errors import BadSample
from mixcli.formats.pictures.decode import Fit
from mixcli.formats.sources import Source
from mixcli.pictures import Pictures
from mixcli.reading import HINT, KEEP_BYTES, STRIDE, bad_labels

DEFAULT_SIZE = 224  # where images differ in size


class PictureReader:
    """Images of a source, all of `size` (H, W)."""

    def __init__(self, source: Source, classes: int, size: tuple[int, int]):
        self.source, self.size, self.fit = source, size, Fit(*size)
        self.bad = bad_labels(source.labels, classes)
        self.kept: np.ndarray | None = None

    def load(self, on_error: str = "raise") -> None:
        """Decode the source where that is the cheapest way; with `raise`, report its first bad sample at once."""
        shape = (len(self.source), *self.size, 3)
        if all(part.preload for part in self.source.parts) and int(np.prod(shape, dtype=np.int64)) < KEEP_BYTES:
            self.kept = np.empty(shape, np.uint8)
            for start in range(0, len(self.source), STRIDE):
                rows = np.arange(start, min(start + STRIDE, len(self.source)))
                self.kept[rows] = self._decode(rows)
        if on_error == "raise" and self.bad:
            raise self.error(min(self.bad))

    def read(self, samples: np.ndarray) -> Pictures:
        """Images of source indices (w,); `bad` then knows which are unusable."""
        if self.kept is not None:
            return Pictures(self.kept[samples])
        wanted, place = np.unique(samples, return_inverse=True)
        return Pictures(self._decode(wanted)[place])

    def error(self, sample: int) -> BadSample:
        return BadSample(*self.source.address(sample), self.bad[sample], HINT)

    def _decode(self, samples: np.ndarray) -> np.ndarray:
        """Sorted source indices (r,) -> (r,H,W,3) u8; notes the bad ones, which are black."""
        found = np.zeros((len(samples), *self.size, 3), np.uint8)
        for part, start in zip(self.source.parts, self.source.starts, strict=False):
            at = np.flatnonzero((samples >= start) & (samples < start + len(part)))
            if not len(at):
                continue
            for i, image in zip(at.tolist(), part.read(samples[at] - start, self.fit), strict=True):
                if isinstance(image, str):
                    self.bad.setdefault(int(samples[i]), image)
                else:
                    found[i] = image
        return found


def size_of(source: Source, asked: tuple[int, int] | None, note: Callable[[str], None]) -> tuple[int, int]:
    """The size that all images are brought to: as asked, that of the source where all are equal, else 224 x 224."""
    if asked:
        return asked
    told = {part.size for part in source.parts}
    if None not in told and len(told) == 1:
        return told.pop()
    sizes = np.concatenate([part.sizes(np.arange(len(part))) for part in source.parts])
    known = np.unique(sizes[(sizes > 0).all(1)], axis=0)
    if len(known) == 1:
        return int(known[0, 0]), int(known[0, 1])
    low, high = ("x".join(map(str, known[i].tolist())) for i in (0, -1)) if len(known) else ("?", "?")
    note(
        f"images have {len(known):,} sizes ({low} to {high}): each is brought to {DEFAULT_SIZE}x{DEFAULT_SIZE}, its "
        "shorter side resized, its centre cropped; --size says otherwise"
    )
    return DEFAULT_SIZE, DEFAULT_SIZE
