"""Prepared images of any window: decoded as their window comes, or once in file order.

Folders and tars are read window by window, in parallel threads, so each image is decoded once in a run. Files whose
images cannot be had one by one are decoded once in file order and kept: in memory under 2 GB, else in an unnamed
temporary file beside the output.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mixcli.data.prepared_images import Pictures
from mixcli.errors import BadSample, MixError
from mixcli.sources.bad_samples import BadSamples
from mixcli.sources.cloud_reader import KEEP_BYTES, STRIDE, silent
from mixcli.sources.image_source import PictureSource
from mixcli.sources.images.decode import Fit

DEFAULT_SIZE = 224  # where images differ in size


class PictureReader:
    """Images of a source, all of `size` (H, W). spool: the folder for what does not fit into memory."""

    def __init__(
        self,
        source: PictureSource,
        classes: int,
        size: tuple[int, int],
        spool: Path | None = None,
        note: Callable[[str], None] = silent,
    ):
        self.source, self.size, self.fit, self.spool, self.note = source, size, Fit(*size), spool, note
        self.bad = BadSamples(source, classes)
        self.kept: np.ndarray | None = None
        self.told = False  # whether the remarks of what was read first were

    def load(self, on_error: str = "raise") -> None:
        """See SampleReader.load."""
        shape, parts = (len(self.source), *self.size, 3), self.source.parts
        if all(part.preload for part in parts) and int(np.prod(shape, dtype=np.int64)) < KEEP_BYTES:
            self.kept = np.empty(shape, np.uint8)
        elif not all(part.random_access for part in parts):
            self.kept = self._spooled(shape)
        if self.kept is not None:
            for start in range(0, len(self.source), STRIDE):
                rows = np.arange(start, min(start + STRIDE, len(self.source)))
                self.kept[rows] = self._decode(rows)
            self.tell()
        if on_error == "raise" and self.bad:
            raise self.error(min(self.bad))

    def read(self, samples: np.ndarray) -> Pictures:
        """See SampleReader.read."""
        if self.kept is not None:
            return Pictures(self.kept[samples])
        wanted, place = np.unique(samples, return_inverse=True)
        pictures = Pictures(self._decode(wanted)[place])
        if not self.told:
            self.tell()
        return pictures

    def tell(self) -> None:
        """See SampleReader.tell. Of pictures that are read as they are wanted, after the first and at the end."""
        self.told = True
        for part in self.source.parts:
            for sentence in part.remarks.news("image"):
                self.note(f"{part.path}: {sentence}")

    def error(self, sample: int) -> BadSample:
        """See SampleReader.error."""
        return self.bad.error(sample)

    def _spooled(self, shape: tuple[int, ...]) -> np.ndarray:
        """On disk, where all of its space is claimed now: a disk that fills up later would end the process."""
        size, place = int(np.prod(shape, dtype=np.int64)), self.spool or tempfile.gettempdir()
        file = tempfile.TemporaryFile(dir=place)  # noqa: SIM115 - the memory map holds on to it
        try:
            if sys.platform == "linux":
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                os.ftruncate(file.fileno(), size)
        except OSError as e:
            what = f"{size / 1e6:,.0f} MB for the decoded images of {self.source.paths[0]}"
            raise MixError(
                f"no room for {what} ({e.strerror})", at=place, advice="make room, or take a smaller --size"
            ) from e
        self.note(
            f"{self.source.paths[0]}: its images cannot be had one by one, so all are decoded first, into "
            f"{size / 1e6:,.0f} MB of a temporary file in {place}"
        )
        return np.memmap(file, np.uint8, "r+", shape=shape)

    def _decode(self, samples: np.ndarray) -> np.ndarray:
        """Sorted source indices (r,) -> (r,H,W,3) u8; notes the bad ones, which are black."""
        images = np.zeros((len(samples), *self.size, 3), np.uint8)
        for of in self.source.of_each_part(samples):
            for i, image in zip(of.at.tolist(), of.part.read(of.rows, self.fit), strict=True):
                if isinstance(image, str):
                    self.bad.add(int(samples[i]), image)
                else:
                    images[i] = image
        return images


def size_of(source: PictureSource, asked: tuple[int, int] | None, note: Callable[[str], None]) -> tuple[int, int]:
    """The size that all images are brought to: as asked, that of the source where all are equal, else 224 x 224."""
    if asked:
        return asked
    told = {part.size for part in source.parts}
    size = told.pop() if len(told) == 1 else None
    if size is not None:
        return size
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
