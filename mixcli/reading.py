"""Prepared clouds of any window, without reading the source more than about once.

Windows come from a permuted order, so a window needs rows from everywhere. A source under 2 GB is decoded once, in
file order, and kept. A larger one is read row by row where its layout allows that, else decoded once into an
unnamed temporary file beside the output.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from mixcli.clouds import choose, unit_sphere
from mixcli.errors import BadSample, UsageError
from mixcli.formats.sources import Source

KEEP_BYTES = 2 * 1024**3
STRIDE = 512  # clouds decoded at a time

HINT = "--on-error skip leaves it out"


class Reader:
    """Clouds of a source, `points` each, ready for the model."""

    def __init__(
        self,
        source: Source,
        classes: int,
        points: int = 1024,
        subsample: str = "first",
        normalize: str = "none",
        seed: int = 0,
        normals: bool = False,
        spool: Path | None = None,
    ):
        self.source, self.points, self.subsample, self.normalize = source, points, subsample, normalize
        self.seed, self.normals, self.spool = seed, normals, spool
        self.bad = _bad_labels(source.labels, classes)
        self.kept: np.ndarray | None = None
        for part in source.parts:
            if part.points < points:
                raise UsageError(f"{part.path}: clouds of {part.points} points; --points {points} asks for more")
            if normals and not part.has_normals:
                raise UsageError(f"{part.path}: the model wants normals, and there is no 'normal' like 'data' in it")

    @property
    def channels(self) -> int:
        return 6 if self.normals else 3

    def load(self, on_error: str = "raise") -> None:
        """Decode the source where that is the cheapest way; with `raise`, report its first bad sample at once."""
        shape = (len(self.source), self.points, self.channels)
        size = 4 * int(np.prod(shape, dtype=np.int64))
        if size < KEEP_BYTES:
            self.kept = np.empty(shape, np.float32)
        elif not all(part.random_access for part in self.source.parts):
            spool = tempfile.TemporaryFile(dir=self.spool)  # noqa: SIM115 - the memory map holds on to it
            self.kept = np.memmap(spool, np.float32, "w+", shape=shape)
        if self.kept is not None:
            for start in range(0, len(self.source), STRIDE):
                rows = np.arange(start, min(start + STRIDE, len(self.source)))
                self.kept[rows[0] : rows[-1] + 1] = self._decode(rows)
        if on_error == "raise" and self.bad:
            raise self.error(min(self.bad))

    def read(self, samples: np.ndarray) -> np.ndarray:
        """Clouds of source indices (w,) -> (w,points,channels) f32; `bad` then knows which are unusable."""
        if self.kept is not None:
            return self.kept[samples]
        wanted, place = np.unique(samples, return_inverse=True)
        return self._decode(wanted)[place]

    def error(self, sample: int) -> BadSample:
        path, index = self.source.address(sample)
        return BadSample(path, index, self.bad[sample], HINT)

    def _decode(self, samples: np.ndarray) -> np.ndarray:
        """Sorted source indices (r,) -> (r,points,channels) f32; notes the bad ones."""
        parts = []
        for part, start in zip(self.source.parts, self.source.starts, strict=False):
            rows = samples[(samples >= start) & (samples < start + len(part))] - start
            if len(rows):
                dense = rows[-1] - rows[0] + 1 == len(rows)
                wanted = self.points if self.subsample == "first" else part.points
                raw = part.read(slice(rows[0], rows[-1] + 1) if dense else rows, wanted, self.normals)
                parts.append(choose(raw, self.points, self.subsample, self.seed, rows + start))
        clouds = np.concatenate(parts)
        finite = np.isfinite(clouds).all(axis=(1, 2))
        for at in np.flatnonzero(~finite):
            self.bad.setdefault(int(samples[at]), _not_finite(clouds[at]))
        clouds = np.where(finite[:, None, None], clouds, np.float32(0)) if not finite.all() else clouds
        return unit_sphere(clouds) if self.normalize == "unit-sphere" else clouds


def _bad_labels(labels: np.ndarray, classes: int) -> dict[int, str]:
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    return {int(i): f"label {labels[i]} is outside the {classes} classes 0..{classes - 1}" for i in outside}


def _not_finite(cloud: np.ndarray) -> str:
    what = "NaN" if np.isnan(cloud).any() else "an infinite value"
    return f"{what} in '{'data' if not np.isfinite(cloud[:, :3]).all() else 'normal'}'"
