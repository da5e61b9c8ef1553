"""Prepared clouds of any window, without reading the source more than about once.

Windows come from a permuted order, so a window needs rows from everywhere. Files of many clouds under 2 GB are decoded
once, in file order, and kept. Larger ones are read row by row where their layout allows that, else decoded once into
an unnamed temporary file beside the output. Folders of one file a cloud are read as their windows come.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixcli.data.prepared_clouds import Clouds, choose, sized, unit_sphere
from mixcli.errors import BadSample, UsageError
from mixcli.files.columns import LEAST_POINTS
from mixcli.sources.bad_samples import BadSamples
from mixcli.sources.cloud_part import CloudPart, Wanted
from mixcli.sources.remarks import Remarks
from mixcli.sources.source import CloudSource

KEEP_BYTES = 2 * 1024**3
STRIDE = 512  # clouds decoded at a time
COARSE = 1e-4  # of a cloud's extent to its distance from the origin: below, float32 holds too few of its digits
UNIT = 5e-6  # how far the length of a normal may be from 1
FAR = "float32 keeps too few digits of shapes so far from the origin (--normalize unit-sphere keeps them)"


@dataclass(frozen=True)
class Preparation:
    """What clouds are brought to before anything else is done with them; part of the recipe."""

    points: int = 1024
    subsample: str = "first"
    normalize: str = "none"
    seed: int = 0
    pad: str = "none"

    @classmethod
    def of(cls, recipe: Mapping[str, Any]) -> Preparation:
        """As a manifest's recipe says."""
        return cls(
            points=recipe["points"],
            subsample=recipe["subsample"],
            normalize=recipe["normalize"],
            seed=recipe["seed"],
            pad=recipe["pad"],
        )


@dataclass(frozen=True)
class Carried:
    """What points have beside their places. parts: the part labels that are known; None: any."""

    normals: bool = False
    seg: bool = False
    parts: range | None = None

    @property
    def channels(self) -> int:
        """With x y z."""
        return 3 + 3 * self.normals + self.seg


def silent(sentence: str) -> None:
    """For notes that nobody wants."""


class Reader:
    """Clouds of a source, as many points each as wanted, ready for the model."""

    def __init__(
        self,
        source: CloudSource,
        classes: int,
        how: Preparation,
        carried: Carried = Carried(),
        *,
        spool: Path | None = None,
        note: Callable[[str], None] = silent,
    ):
        """spool: the folder for what does not fit into memory. UsageError where all clouds are too small, or bare."""
        self.source, self.how, self.carried, self.spool = source, how, carried, spool
        self.note, self.said, self.remarks = note, False, Remarks()
        self.drops_nan = source.reading.drop_nan_points
        first = how.subsample == "first" and not self.drops_nan
        self.wanted = Wanted(how.points, first, carried.normals, carried.seg)
        self.bad = BadSamples(source, classes)
        self.kept: np.ndarray | None = None
        self.told = False  # whether the remarks of what was read first were
        for part in source.parts:
            if part.points is not None and part.points < how.points and how.pad == "none":
                advice = f"--points {how.points} asks for more, --pad repeat repeats points"
                raise UsageError(f"clouds of {part.points} points", at=part.path, advice=advice)
            if part.points is not None and part.points < min(how.points, LEAST_POINTS):
                what = f"{part.points} points are no cloud that --pad repeat could fill up"
                raise UsageError(what, at=part.path, advice="check which of its axes is that of the points")
            if carried.normals and not part.has_normals:
                raise UsageError("normals are wanted, and there are none for every point in it", at=part.path)

    def load(self, on_error: str = "raise") -> None:
        """See SampleReader.load."""
        shape = (len(self.source), self.how.points, self.carried.channels)
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
            self.tell()
        if on_error == "raise" and self.bad:
            raise self.error(min(self.bad))

    def read(self, samples: np.ndarray) -> Clouds:
        """See SampleReader.read."""
        if self.kept is not None:
            return self._clouds(self.kept[samples])
        wanted, place = np.unique(samples, return_inverse=True)
        clouds = self._clouds(self._decode(wanted)[place])
        if not self.told:
            self.tell()
        return clouds

    def tell(self) -> None:
        """See SampleReader.tell. Of files that are read as they are wanted, after the first and at the end."""
        self.told = True
        for part in self.source.parts:
            for sentence in part.remarks.news("cloud"):
                self.note(f"{part.path}: {sentence}")
        for sentence in self.remarks.news("cloud"):
            self.note(f"{self.source.paths[0]}: {sentence}")

    def error(self, sample: int) -> BadSample:
        """See SampleReader.error."""
        return self.bad.error(sample)

    def _clouds(self, values: np.ndarray) -> Clouds:
        return Clouds(values, self.carried.normals, self.carried.seg)

    def _decode(self, samples: np.ndarray) -> np.ndarray:
        """Sorted source indices (r,) -> (r,points,channels) f32; notes the bad ones."""
        clouds = np.concatenate(
            [self._of_part(of.part, of.rows, samples[of.at]) for of in self.source.of_each_part(samples)]
        )
        as_float32 = single(clouds)
        finite = np.isfinite(as_float32).all(axis=(1, 2))
        for at in np.flatnonzero(~finite):
            remedy = "--drop-nan-points leaves such points out" if np.isnan(clouds[at]).any() else ""
            self.bad.add(int(samples[at]), _not_finite(as_float32[at]), "" if self.drops_nan else remedy)
        self._check_parts(clouds, samples)
        clouds = np.where(finite[:, None, None], clouds, clouds.dtype.type(0)) if not finite.all() else clouds
        if self.how.normalize == "unit-sphere":
            clouds = unit_sphere(clouds)
        elif clouds.dtype != np.float32:
            self._remark_coarse(clouds, samples)
            clouds = single(clouds)
        return self._of_unit_normals(clouds, samples) if self.carried.normals else clouds

    def _remark_coarse(self, clouds: np.ndarray, samples: np.ndarray) -> None:
        """Clouds (r,P,C) f64 that float32 cannot hold."""
        places = clouds[:, :, :3]
        extent, magnitude = np.ptp(places, axis=1).max(1), np.abs(places).max((1, 2))
        for at in np.flatnonzero((extent < COARSE * magnitude) & (extent > 0)):
            self.remarks.add(FAR, int(samples[at]))

    def _of_unit_normals(self, clouds: np.ndarray, samples: np.ndarray) -> np.ndarray:
        """Normals of length 1; those of length 0 are none and stay so."""
        normals = clouds[:, :, 3:6].astype(np.float64)
        length = np.linalg.norm(normals, axis=2)
        none = length == 0
        for at in np.flatnonzero(none.any(1)):
            self.remarks.add("some normals are of length 0 and stay so: they are none", int(samples[at]))
        odd = ~none & (np.abs(length - 1) > UNIT)
        if odd.any():
            clouds = clouds.copy()
            clouds[:, :, 3:6][odd] = normals[odd] / length[odd][:, None]
        return clouds

    def _check_parts(self, clouds: np.ndarray, samples: np.ndarray) -> None:
        parts = self.carried.parts
        if not self.carried.seg or parts is None:
            return
        outside = ((clouds[:, :, -1] < parts.start) | (clouds[:, :, -1] >= parts.stop)).any(1)
        for at in np.flatnonzero(outside):
            reason = f"a part label outside the checkpoint's parts {parts.start}..{parts.stop - 1}"
            self.bad.add(int(samples[at]), reason)

    def _of_part(self, part: CloudPart, rows: np.ndarray, samples: np.ndarray) -> np.ndarray:
        how = self.how
        dense = rows[-1] - rows[0] + 1 == len(rows)
        raw = part.read(slice(rows[0], rows[-1] + 1) if dense else rows, self.wanted)
        if self.drops_nan:
            raw = self._without_nan(raw, samples)
        if isinstance(raw, np.ndarray) and raw.shape[1] >= how.points:
            return choose(raw, how.points, how.subsample, how.seed, samples)
        double = any(not isinstance(cloud, str) and cloud.dtype == np.float64 for cloud in raw)
        clouds = np.zeros((len(rows), how.points, self.carried.channels), np.float64 if double else np.float32)
        for at, (cloud, sample) in enumerate(zip(raw, samples.tolist(), strict=True)):
            if isinstance(cloud, str):
                self.bad.add(sample, cloud)
            elif self._is_usable(cloud, sample):
                clouds[at] = sized(cloud, how.points, how.subsample, how.seed, sample)
                self._say_sizes(len(cloud), sample)
        return clouds

    def _without_nan(
        self, raw: np.ndarray | list[np.ndarray | str], samples: np.ndarray
    ) -> np.ndarray | list[np.ndarray | str]:
        """Clouds without the points that have a NaN; as they came where none has."""
        bare = [cloud if isinstance(cloud, str) else cloud[~np.isnan(cloud).any(1)] for cloud in raw]
        fewer = [at for at, cloud in enumerate(bare) if len(cloud) < len(raw[at])]
        for at in fewer:
            self.remarks.add("points with NaN are left out", int(samples[at]))
            if not len(bare[at]):
                bare[at] = "all of its points have a NaN"
        return bare if fewer else raw

    def _is_usable(self, cloud: np.ndarray, sample: int) -> bool:
        """Whether it has points enough; notes it where not."""
        points = self.how.points
        if len(cloud) == 0:
            self.bad.add(sample, "no points in it")
        elif len(cloud) < min(points, LEAST_POINTS):
            self.bad.add(sample, f"{len(cloud)} points are no cloud", "check which of its axes is that of the points")
        elif len(cloud) < points and self.how.pad == "none":
            reason = f"{len(cloud)} points, --points {points} asks for more"
            self.bad.add(sample, reason, "--pad repeat repeats points")
        else:
            return True
        return False

    def _say_sizes(self, size: int, sample: int) -> None:
        points = self.how.points
        if size == points or self.said:
            return
        self.said = True
        path, _ = self.source.address(sample)
        many = "more" if size > points else "fewer"
        taken = f"--subsample {self.how.subsample}" if size > points else "--pad repeat"
        self.note(f"{path} and maybe others have {many} than {points} points: {points} are taken ({taken})")


def single(clouds: np.ndarray) -> np.ndarray:
    """In f32, which makes what does not fit infinite."""
    with np.errstate(over="ignore"):
        return clouds.astype(np.float32, copy=False)


def _not_finite(cloud: np.ndarray) -> str:
    what = "NaN" if np.isnan(cloud).any() else "an infinite value"
    return f"{what} in '{'data' if not np.isfinite(cloud[:, :3]).all() else 'normal'}'"
