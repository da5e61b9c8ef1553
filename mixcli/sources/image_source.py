"""The images that `--in` names, as one numbered source."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from mixcli.datasets.recognise import is_mixed
from mixcli.errors import UsageError
from mixcli.sources.images.class_folders import listed_pictures
from mixcli.sources.images.decode import SUFFIXES
from mixcli.sources.images.image_part import PicturePart
from mixcli.sources.images.opening import open_pictures
from mixcli.sources.images.own_images import OwnPictures
from mixcli.sources.named_files import Listed
from mixcli.sources.source import Reading, Source, once


class PictureSource(Source):
    """Labelled images of one or several parts, numbered through in their order."""

    def _opened(self, path: Path | Listed, reading: Reading) -> PicturePart:
        if isinstance(path, Listed):
            return listed_pictures(path)
        if is_mixed(path):
            return OwnPictures(path)
        part, _ = open_pictures(path, reading.split)
        if part is None:
            raise UsageError(f"{path}: no images in it that mixcli can read; the README lists the layouts")
        return part


def open_picture_source(
    arguments: Sequence[str | Listed], reading: Reading = Reading()
) -> tuple[PictureSource, list[str]]:
    """The source that the `--in` arguments name, and notes for the user about how they were read."""
    notes: list[str] = []
    source = PictureSource(once([path for argument in arguments for path in _named(argument)], notes), reading)
    return source, notes + list(source.notes)


def _named(argument: str | Listed) -> list[Path | Listed]:
    if isinstance(argument, Listed):
        pictures, others = argument.split(SUFFIXES)
        return [*pictures, *others]
    if os.path.lexists(argument):
        return [Path(argument)]
    found = sorted(map(Path, glob.glob(argument))) if glob.has_magic(argument) else []
    if not found:
        raise UsageError(f"--in {argument}: no such file or folder")
    return found
