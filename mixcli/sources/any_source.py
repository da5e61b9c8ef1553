"""A source of clouds or of images, whichever a path holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mixcli.errors import MixError, UsageError
from mixcli.sources.foreign import Foreign
from mixcli.sources.image_source import PictureSource, open_picture_source
from mixcli.sources.named_files import Listed
from mixcli.sources.reading import Reading
from mixcli.sources.source import CloudSource, open_source

Arguments = Sequence[str | Listed]
AnySource = CloudSource | PictureSource
OPENERS: dict[str, Callable[[Arguments, Reading], tuple[AnySource, list[str]]]] = {
    "points": open_source,
    "images": open_picture_source,
}


def open_any(arguments: Arguments, reading: Reading = Reading()) -> AnySource:
    """The source, of clouds if it can be read so. What is wrong with it, the reader that knows it says."""
    refusals: dict[str, MixError] = {}
    for data, opened in OPENERS.items():
        try:
            return opened(arguments, reading)[0]
        except MixError as e:
            refusals[data] = e
    known = _knowing(refusals)
    raise refusals[known[0]] if len(known) == 1 else _both(str(arguments[0]), refusals["points"], refusals["images"])


def held(arguments: Arguments, reading: Reading = Reading()) -> str | None:
    """What a source holds, "points" or "images", whether or not it can be read.

    None where neither reader knows it, or each takes it for its own and refuses it.
    """
    refusals: dict[str, MixError] = {}
    for data, opened in OPENERS.items():
        try:
            return opened(arguments, reading)[0].data
        except MixError as e:
            refusals[data] = e
    known = _knowing(refusals)
    return known[0] if len(known) == 1 else None


def _knowing(refusals: dict[str, MixError]) -> list[str]:
    """The readers that know the source, among those that refuse it."""
    return [data for data, error in refusals.items() if not isinstance(error, Foreign)]


def _both(where: str, clouds: MixError, images: MixError) -> MixError:
    """What both readers say, in one sentence, or what they say alike."""
    if (clouds.address, clouds.reason) == (images.address, images.reason):
        return clouds
    kind = UsageError if isinstance(clouds, UsageError) or isinstance(images, UsageError) else MixError
    reason = f"is read neither as clouds{_within(where, clouds)} nor as images{_within(where, images)}"
    return kind(reason, at=where, advice=images.advice if isinstance(images, Foreign) else "")


def _within(where: str, error: MixError) -> str:
    """What a reader says, as part of a sentence about the source."""
    if isinstance(error, Foreign) and error.bare:
        return ""
    at = "" if error.address in (where, f"--in {where}") else error.address
    told = MixError(error.reason, at=at, advice="" if isinstance(error, Foreign) else error.advice)
    return f" ({told})"
