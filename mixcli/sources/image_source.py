"""The images that `--in` names, as one numbered source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mixcli.datasets.recognise import is_mixed
from mixcli.sources.foreign import ForeignArgument
from mixcli.sources.images.class_folders import listed_pictures
from mixcli.sources.images.decode import SUFFIXES
from mixcli.sources.images.image_part import PicturePart
from mixcli.sources.images.labels import Labelled
from mixcli.sources.images.opening import open_pictures
from mixcli.sources.images.own_images import OwnPictures
from mixcli.sources.named_files import Listed
from mixcli.sources.named_paths import matching, once
from mixcli.sources.numbered import Numbered
from mixcli.sources.reading import Reading, no_background


class PictureSource(Numbered[PicturePart]):
    """Labelled images of one or several parts, numbered through in their order."""

    data = "images"
    has_seg = False

    def __init__(self, paths: Sequence[Path | str | Listed], reading: Reading = Reading()):
        """paths: what opens the parts."""
        opened_by = [path if isinstance(path, Listed) else Path(path) for path in paths]
        super().__init__(opened_by, [_scaled(_opened(path, reading), reading) for path in opened_by], reading)
        if reading.drop_background:
            raise no_background(self.paths[0])


def open_picture_source(
    arguments: Sequence[str | Listed], reading: Reading = Reading()
) -> tuple[PictureSource, list[str]]:
    """The source that the `--in` arguments name, and notes for the user about how they were read."""
    notes: list[str] = []
    source = PictureSource(once([path for argument in arguments for path in _named(argument)], notes), reading)
    return source, notes + source.notes


def _named(argument: str | Listed) -> list[Path | Listed]:
    if isinstance(argument, Listed):
        pictures, others = argument.split(SUFFIXES)
        return [*pictures, *others]
    return [*matching(argument)]


def _scaled(part: PicturePart, reading: Reading) -> PicturePart:
    if isinstance(part, Labelled):
        part.sixteen.scale = reading.scale_16bit
    return part


def _opened(path: Path | Listed, reading: Reading) -> PicturePart:
    if isinstance(path, Listed):
        return listed_pictures(path)
    if is_mixed(path):
        return OwnPictures(path)
    part, _ = open_pictures(path, reading.split)
    if part is None:
        reason, advice = "no images in it that mixcli can read", "the README lists the layouts"
        raise ForeignArgument(reason, at=path, advice=advice, bare=True)
    return part
