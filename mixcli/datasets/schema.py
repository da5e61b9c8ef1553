"""What a manifest must hold, so that all code behind it can rely on it: anyone may have made the file it stands in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mixcli.errors import UsageError
from mixcli.option import KINDS, Option, options
from mixcli.settings.run import Settings
from mixcli.values import Count, Flag, Many, Part, Sides, Values, Whole

COUNT, TEXT, NUMBER, FLAG = "a count", "a text", "a number", "true or false"


class Maybe:
    """This, or null."""

    def __init__(self, of: Any):
        self.of = of


class Later(Maybe):
    """This, or null, or nothing at all: a name that manifests of older versions do not have."""


class Absent:
    """This, or nothing at all, which stands for the default."""

    def __init__(self, of: Any):
        self.of = of


class Named:
    """An object of any names, whose values are this."""

    def __init__(self, of: Any):
        self.of = of


class Either(tuple):
    """One of these texts or numbers."""


def _pattern(one: Option) -> Any:
    """What a recipe holds of an option: something of its form. Whether it is allowed is `disallowed`'s question."""
    form = _form(one.values)
    if one.optional and not one.settled:
        return Later(form) if one.later else Maybe(form)
    return Absent(form) if one.later else form


def _form(values: Values) -> Any:
    if isinstance(values, Many):
        return [_form(values.of)]
    if isinstance(values, Sides | Part):
        return [COUNT]
    return FLAG if isinstance(values, Flag) else COUNT if isinstance(values, Whole | Count) else TEXT


RECORDED = {name: one for name, one in options(Settings).items() if one.recorded}
RECIPE = {
    "method": TEXT, "options": Named(None), **{name: _pattern(one) for name, one in RECORDED.items()},
    "device": TEXT, "reading": Later(COUNT), "encoding": Later(Either(("jpg", "webp"))), "quality": Later(COUNT),
    "subsampling": Later(Either(("4:4:4", "4:2:0"))),
    "model": Maybe({"sha256": TEXT, "name": TEXT, "options": Named(None)}),
}  # fmt: skip
CHECKPOINT = {
    "path": TEXT, "spec": Maybe(TEXT), "sha256": TEXT, "name": TEXT, "options": Named(None), "judged": COUNT,
    "correct": COUNT, "accuracy": Maybe(NUMBER),
}  # fmt: skip
FILE = {"path": TEXT, "sha256": TEXT, "bytes": COUNT, "count": COUNT, "names": Later([TEXT])}
WINDOW = {
    "window": COUNT, "first_row": COUNT, "rows": COUNT, "sha256": TEXT, "files_sha256": Later(TEXT), "batch": COUNT,
}  # fmt: skip
SKIPPED = {"sample": COUNT, "window": COUNT, "path": TEXT, "index": Maybe(COUNT), "reason": TEXT, "stand_in": COUNT}
MANIFEST = {
    "schema": TEXT, "rows": COUNT, "mixes": COUNT, "samples": COUNT, "recipe": RECIPE, "command": Maybe(TEXT),
    "draw_names": [TEXT], "assignment": Maybe(TEXT), "device": TEXT, "started": TEXT, "seconds": NUMBER,
    "fields": [{"name": TEXT, "shape": [COUNT], "dtype": Either(("<f4", "<i8", "<i4", "|u1"))}],
    "source": {"files": [FILE], "count": COUNT, "class_names": Maybe([TEXT]), "soft_labels": FLAG},
    "checkpoint": Maybe(CHECKPOINT), "windows": [WINDOW], "skipped": [SKIPPED], "counts": Named(COUNT),
    "versions": Named(TEXT),
}  # fmt: skip
MOST = 2**62
MOST_TOLD = 64  # characters


def wrong(value: Any, pattern: Any = MANIFEST, at: str = "") -> Iterator[str]:
    """Where a value is not of the pattern, in words; more names than those of a pattern are welcome.

    >>> list(wrong({"k": True}, {"k": COUNT, "seed": COUNT}))
    ["'k' is not a count", "'seed' is missing"]
    """
    if isinstance(pattern, Absent):
        yield from wrong(value, pattern.of, at)
    elif isinstance(pattern, Maybe):
        if value is not None:
            yield from wrong(value, pattern.of, at)
    elif isinstance(pattern, list):
        if not isinstance(value, list):
            yield f"'{at}' is not a list"
        else:
            for i, entry in enumerate(value):
                yield from wrong(entry, pattern[0], f"{at}[{i}]")
    elif isinstance(pattern, dict | Named):
        yield from _object(value, pattern, at)
    elif pattern is not None and not _is(value, pattern):
        yield f"'{at}' is not {pattern if isinstance(pattern, str) else 'one of ' + ', '.join(pattern)}"


def _object(value: Any, pattern: Any, at: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"'{at}' is not an object"
        return
    inner = dict.fromkeys(value, pattern.of) if isinstance(pattern, Named) else pattern
    for name, of in inner.items():
        where = f"{at}.{name}" if at else name
        if name in value:
            yield from wrong(value[name], of, where)
        elif not isinstance(of, Later | Absent):
            yield f"'{where}' is missing"


def _is(value: Any, kind: Any) -> bool:
    if isinstance(kind, Either):
        return value in kind
    if kind == COUNT:
        return type(value) is int and 0 <= value < MOST
    return isinstance(value, {TEXT: str, FLAG: bool, NUMBER: int | float}[kind])


def disallowed(recipe: Mapping[str, Any], data: str | None = None) -> Iterator[str]:
    """Values of a recipe that no run can have recorded, in words that name the key.

    recipe: of the right form, see `wrong`; data: what was mixed, "points", "images" or "hidden" states, if it is known.
    """
    for name in (*RECORDED, "quality", "device"):
        one = options(Settings)[name]
        if name not in recipe or (value := recipe[name]) is None or value in one.also:
            continue
        at = f"'recipe.{name}' is {told(value)}"
        if data and not one.is_default(value) and not one.is_for(data):
            yield f"{at}, which is for {one.kinds[0]}, and {KINDS[data]} were mixed"
            continue
        try:
            one.settle(value, data)
        except UsageError as e:
            yield f"{at}: {e.reason}"


def told(value: Any) -> str:
    """A value from a file, short enough to be repeated in a sentence.

    >>> told([1, 2]), told("a" * 99)
    ('[1, 2]', '"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...')
    """
    text = json.dumps(value)
    return text if len(text) <= MOST_TOLD else text[:MOST_TOLD] + "..."
