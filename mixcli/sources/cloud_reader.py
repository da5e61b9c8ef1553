"""Prepared clouds of any window, without reading the source more than about once.

Windows come from a permuted order, so a window needs rows from everywhere. Files of many clouds under 2 GB are decoded
once, in file order, and kept. Larger ones are read row by row where their layout allows that, else decoded once into
an unnamed temporary file beside the output. Folders of one file a cloud are read as their windows come.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mixcli.data.prepared_clouds import Clouds, choose, sized, unit_sphere
from mixcli.errors import BadSample, UsageError
from mixcli.sources.cloud_part import Part
from mixcli.sources.source import Source

KEEP_BYTES = 2 * 1024**3
STRIDE = 512  # clouds decoded at a time

HINT = "--on-error skip leaves it out"


class Reader:
    """Clouds of a source, `points` each, ready for the model. parts: the part labels that it knows."""

    def __init__(
        self,
        source: Source,
        classes: int,
        points: int = 1024,
        subsample: str = "first",
        normalize: str = "none",
        seed: int = 0,
        pad: str = "none",
        normals: bool = False,
        seg: bool = False,
        parts: range | None = None,
        spool: Path | None = None,
        note: Callable[[str], None] = lambda sentence: None,
    ):
        self.source, self.points, self.subsample, self.normalize = source, points, subsample, normalize
        self.seed, self.pad, self.normals, self.seg, self.parts, self.spool = seed, pad, normals, seg, parts, spool
        self.note, self.said = note, False
        self.bad = bad_labels(source.labels, classes)
        self.kept: np.ndarray | None = None
        for part in source.parts:
            if part.points is not None and part.points < points and pad == "none":
                raise UsageError(
                    f"clouds of {part.points} points",
                    at=part.path,
                    advice=f"--points {points} asks for more, --pad repeat repeats points",
                )
            if normals and not part.has_normals:
                raise UsageError("normals are wanted, and there are none for every point in it", at=part.path)

    @property
    def channels(self) -> int:
        return 3 + 3 * self.normals + self.seg

    def load(self, on_error: str = "raise") -> None:
        """Decode the source where that is the cheapest way; with `raise`, report its first bad sample at once."""
        shape = (len(self.source), self.points, self.channels)
        size = 4 * int(np.prod(shape, dtype=np.int64))
        if all(part.preload for part in self.source.parts) and size < KEEP_BYTES:
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

    def read(self, samples: np.ndarray) -> Clouds:
        """Clouds of source indices (w,); `bad` then knows which are unusable."""
        if self.kept is not None:
            return Clouds(self.kept[samples], self.normals, self.seg)
        wanted, place = np.unique(samples, return_inverse=True)
        return Clouds(self._decode(wanted)[place], self.normals, self.seg)

    def error(self, sample: int) -> BadSample:
        path, index = self.source.address(sample)
        hint = HINT if "--pad" not in self.bad[sample] else f"or {HINT}"
        return BadSample(path, index, self.bad[sample], hint)

    def _decode(self, samples: np.ndarray) -> np.ndarray:
        """Sorted source indices (r,) -> (r,points,channels) f32; notes the bad ones."""
        parts = []
        for part, start in zip(self.source.parts, self.source.starts, strict=False):
            rows = samples[(samples >= start) & (samples < start + len(part))] - start
            if len(rows):
                parts.append(self._decode_part(part, rows, rows + start))
        clouds = np.concatenate(parts)
        finite = np.isfinite(clouds).all(axis=(1, 2))
        for at in np.flatnonzero(~finite):
            self.bad.setdefault(int(samples[at]), _not_finite(clouds[at]))
        self._check_parts(clouds, samples)
        clouds = np.where(finite[:, None, None], clouds, np.float32(0)) if not finite.all() else clouds
        return unit_sphere(clouds) if self.normalize == "unit-sphere" else clouds

    def _check_parts(self, clouds: np.ndarray, samples: np.ndarray) -> None:
        if not self.seg or self.parts is None:
            return
        outside = ((clouds[:, :, -1] < self.parts.start) | (clouds[:, :, -1] >= self.parts.stop)).any(1)
        for at in np.flatnonzero(outside):
            reason = f"a part label outside the checkpoint's parts {self.parts.start}..{self.parts.stop - 1}"
            self.bad.setdefault(int(samples[at]), reason)

    def _decode_part(self, part: Part, rows: np.ndarray, samples: np.ndarray) -> np.ndarray:
        dense = rows[-1] - rows[0] + 1 == len(rows)
        which = slice(rows[0], rows[-1] + 1) if dense else rows
        raw = part.read(which, self.points, self.subsample == "first", self.normals, self.seg)
        if isinstance(raw, np.ndarray) and raw.shape[1] >= self.points:
            return choose(raw, self.points, self.subsample, self.seed, samples)
        clouds = np.zeros((len(rows), self.points, self.channels), np.float32)
        for at, (cloud, sample) in enumerate(zip(raw, samples.tolist(), strict=True)):
            if reason := self._unusable(cloud):
                self.bad.setdefault(sample, reason)
            else:
                clouds[at] = sized(cloud, self.points, self.subsample, self.seed, sample)
                self._say_sizes(len(cloud), sample)
        return clouds

    def _unusable(self, cloud: np.ndarray | str) -> str:
        if isinstance(cloud, str):
            return cloud
        if len(cloud) == 0:
            return "no points in it"
        if len(cloud) < self.points and self.pad == "none":
            return f"{len(cloud)} points, --points {self.points} asks for more; --pad repeat repeats points"
        return ""

    def _say_sizes(self, size: int, sample: int) -> None:
        if size == self.points or self.said:
            return
        self.said = True
        path, _ = self.source.address(sample)
        many = "more" if size > self.points else "fewer"
        how = f"--subsample {self.subsample}" if size > self.points else "--pad repeat"
        self.note(f"{path} and maybe others have {many} than {self.points} points: {self.points} are taken ({how})")


def bad_labels(labels: np.ndarray, classes: int) -> dict[int, str]:
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    return {int(i): f"label {labels[i]} is outside the {classes} classes 0..{classes - 1}" for i in outside}


def _not_finite(cloud: np.ndarray) -> str:
    what = "NaN" if np.isnan(cloud).any() else "an infinite value"
    return f"{what} in '{'data' if not np.isfinite(cloud[:, :3]).all() else 'normal'}'"
