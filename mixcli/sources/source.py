"""The clouds that `--in` names, as one numbered source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mixcli.datasets.recognise import is_mixed
from mixcli.errors import MixError
from mixcli.files import hdf5
from mixcli.files.regular import require_file
from mixcli.sources.arguments import READABLE, expand
from mixcli.sources.cloud_part import CloudPart, Wanted
from mixcli.sources.clouds.class_folders import class_folders
from mixcli.sources.clouds.id_lists import id_list, listed_clouds
from mixcli.sources.clouds.modelnet import H5Clouds
from mixcli.sources.clouds.npz_clouds import NpzClouds
from mixcli.sources.clouds.shapenet import is_shapenet, split_list, whole_shapenet
from mixcli.sources.foreign import ForeignArgument
from mixcli.sources.named_files import Listed
from mixcli.sources.named_paths import once
from mixcli.sources.numbered import Numbered
from mixcli.sources.own_clouds import OwnClouds
from mixcli.sources.reading import Reading, no_background


class CloudSource(Numbered[CloudPart]):
    """Labelled clouds of one or several parts, numbered through in their order."""

    data = "points"

    def __init__(self, paths: Sequence[Path | str | Listed], reading: Reading = Reading()):
        """paths: what opens the parts, a manifest's among them; what the user names is for `open_source`."""
        opened_by = [path if isinstance(path, Listed) else Path(path) for path in paths]
        super().__init__(opened_by, [_part(path, reading) for path in opened_by], reading)
        if reading.drop_background and not any(part.drops_background for part in self.parts):
            raise no_background(self.paths[0])

    @property
    def points(self) -> int | None:
        """Of every cloud; None where parts differ or do not say, and where points with NaN are left out."""
        if self.reading.drop_nan_points:
            return None
        counts = {part.points for part in self.parts}
        return counts.pop() if len(counts) == 1 else None

    def usual_points(self, of_a_mesh: int) -> int | str:
        """How many points a cloud has, or why that cannot be told: of the first cloud, or, where points with NaN are
        left out, of the one with the fewest left."""
        if not self.reading.drop_nan_points:
            first = self.parts[0].read(slice(0, 1), Wanted(of_a_mesh))[0]
            return first if isinstance(first, str) else len(first)
        fewest = None
        for part in self.parts:
            for row in range(len(part)):
                cloud = part.read(slice(row, row + 1), Wanted(of_a_mesh))[0]
                if not isinstance(cloud, str):
                    left = int((~np.isnan(cloud).any(1)).sum())
                    fewest = left if fewest is None or 0 < left < fewest else fewest
        return fewest or "no point in it without a NaN"

    @property
    def has_normals(self) -> bool:
        return all(part.has_normals for part in self.parts)

    @property
    def has_seg(self) -> bool:
        return all(part.has_seg for part in self.parts)


def open_source(arguments: Sequence[str | Listed], reading: Reading = Reading()) -> tuple[CloudSource, list[str]]:
    """The source that the `--in` arguments name, and notes for the user about how they were read."""
    notes: list[str] = []
    named = [path for argument in arguments for path in expand(argument, reading.split, notes)]
    source = CloudSource(once(named, notes), reading)
    return source, notes + source.notes


def _part(path: Path | Listed, reading: Reading) -> CloudPart:
    part = _opened(path, reading)
    if not len(part):
        raise MixError("holds no cloud", at=path, advice="leave it out")
    return part


def _opened(path: Path | Listed, reading: Reading) -> CloudPart:
    """What a path stands for: the one place that knows every layout."""
    if isinstance(path, Listed):
        return listed_clouds(path)
    if path.is_dir():
        if is_mixed(path):
            return OwnClouds(path)
        return whole_shapenet(path) if is_shapenet(path) else class_folders(path, reading.split)
    suffix = require_file(path).suffix.lower()
    if suffix == ".txt":
        return id_list(path)
    if suffix == ".json":
        return split_list(path)
    if suffix in hdf5.SUFFIXES:
        return _h5(path, reading)
    if suffix == ".npz":
        return OwnClouds(path) if is_mixed(path) else NpzClouds(path, reading.split)
    raise ForeignArgument("cannot be read", at=path, advice=READABLE, bare=True)


def _h5(path: Path, reading: Reading) -> CloudPart:
    try:
        return OwnClouds(path) if is_mixed(path) else H5Clouds(path, reading.drop_background)
    except hdf5.TORN as e:
        raise hdf5.damaged(path, e) from e
