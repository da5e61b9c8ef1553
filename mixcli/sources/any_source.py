"""A source of clouds or of images, whichever a path holds."""

from __future__ import annotations

from mixcli.errors import MixError
from mixcli.sources.image_source import open_picture_source
from mixcli.sources.source import Reading, Source, open_source


def open_any(arguments: list[str], reading: Reading = Reading()) -> tuple[Source, str]:
    """The source, and what it holds: "points" or "images". What is wrong with neither is told of clouds."""
    try:
        return open_source(arguments, reading)[0], "points"
    except MixError as no_clouds:
        try:
            return open_picture_source(arguments, reading)[0], "images"
        except MixError as no_images:
            raise (no_images if "image" in str(no_images) or "picture" in str(no_images) else no_clouds) from None
