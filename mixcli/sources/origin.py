"""The source of a finished dataset, found again by its manifest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mixcli.datasets.dataset import Dataset
from mixcli.errors import MixError
from mixcli.sources import fingerprint
from mixcli.sources import named_files as listed
from mixcli.sources.contract import Source
from mixcli.sources.named_files import Listed
from mixcli.sources.reading import Reading
from mixcli.sources.source import CloudSource, open_source

if TYPE_CHECKING:
    from mixcli.sources.image_source import PictureSource


def reopened(dataset: Dataset, moved: list[str] | None = None) -> CloudSource | PictureSource:
    """The source at the manifest's paths, or where it is now.

    Raises MixError if something is missing or of another size; whether it is the very same is `is_same`'s question.
    """
    files = dataset.manifest["source"]["files"]
    reading = Reading.of(dataset.recipe)
    told = moved or [f["path"] for f in files]
    try:
        where = listed.again(files, told)
        source = _of_arguments(dataset.data, where, reading) if moved else _of_paths(dataset.data, where, reading)
    except MixError as e:
        raise MixError(f"the source cannot be read ({e})", advice="--source says where it is") from e
    if [fingerprint.size(part) for part in source.parts] != [f["bytes"] for f in files]:
        raise OtherSource("not the source that the manifest names (sizes differ)", at=", ".join(map(str, where)))
    return source


def _of_arguments(data: str, where: Sequence[str | Listed], reading: Reading) -> CloudSource | PictureSource:
    """What a user names, as with --in."""
    if data == "points":
        return open_source(where, reading)[0]
    from mixcli.sources.image_source import open_picture_source

    return open_picture_source(where, reading)[0]


def _of_paths(data: str, where: Sequence[str | Listed], reading: Reading) -> CloudSource | PictureSource:
    """What opens the very parts again."""
    if data == "points":
        return CloudSource(where, reading)
    from mixcli.sources.image_source import PictureSource

    return PictureSource(where, reading)


class OtherSource(MixError):
    """What is there is not what the dataset was made of."""


def is_same(dataset: Dataset, source: Source) -> bool:
    """Whether every byte is as it was."""
    told = [f["sha256"] for f in dataset.manifest["source"]["files"]]
    return [fingerprint.describe(part)["sha256"] for part in source.parts] == told
