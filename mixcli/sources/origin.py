"""The source of a finished dataset, found again by its manifest."""

from __future__ import annotations

from typing import Any

from mixcli.datasets.dataset import Dataset
from mixcli.errors import MixError
from mixcli.sources import fingerprint
from mixcli.sources import named_files as listed
from mixcli.sources.source import Reading, Source, open_source


def reopened(dataset: Dataset, moved: list[str] | None = None) -> Source:
    """The source at the manifest's paths, or where it is now.

    Raises MixError if something is missing or of another size; whether it is the very same is `is_same`'s question.
    """
    files = dataset.manifest["source"]["files"]
    reading = Reading(dataset.recipe["split"], dataset.recipe["drop_background"])
    where = moved or [f["path"] for f in files]
    opened, again = _openers(dataset.data)
    try:
        where = listed.again(files, where)
        source = opened(where, reading)[0] if moved else again(where, reading)
    except MixError as e:
        raise MixError(f"the source cannot be read ({e})", advice="--source says where it is") from e
    if [fingerprint.size(part) for part in source.parts] != [f["bytes"] for f in files]:
        raise OtherSource(f"{', '.join(map(str, where))}: not the source that the manifest names (sizes differ)")
    return source


def _openers(data: str) -> tuple[Any, Any]:
    if data == "points":
        return open_source, Source
    from mixcli.sources.image_source import PictureSource, open_picture_source

    return open_picture_source, PictureSource


class OtherSource(MixError):
    """What is there is not what the dataset was made of."""


def is_same(dataset: Dataset, source: Source) -> bool:
    """Whether every byte is as it was."""
    told = [f["sha256"] for f in dataset.manifest["source"]["files"]]
    return [fingerprint.describe(part)["sha256"] for part in source.parts] == told
