"""Which options a method is offered: those of the kinds of data that it mixes, each once; and those that fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import click

from mixcli.errors import UsageError
from mixcli.options import OPTIONS, PAIRS, PARTICULAR, RUNNING, SOURCE, Option


def options_for(kinds: Iterable[str], parents: int = 2, group: int = 0) -> list[Option]:
    """Options of a method that mixes any of these kinds, in the order of the help.

    One of a single parent, or of groups, pairs nobody.
    """
    return [option for option in _all(kinds) if name_of(option) not in _useless(parents, group)]


def _useless(parents: int, group: int) -> set[str]:
    if parents == 1:
        return {"pairing", "pairing_fallback", "partners"}
    return {"pairing", "pairing_fallback"} if group else set()


def _all(kinds: Iterable[str]) -> list[Option]:
    found: dict[str, Option] = {}
    for kind in kinds:
        for option in PARTICULAR[kind]:
            name = name_of(option)
            found[name] = _either(found[name], option) if name in found else option
    return [*PAIRS, *found.values(), *SOURCE, *RUNNING]


def name_of(option: Option) -> str:
    """What a command's function calls it.

    >>> name_of((("--no-point-weight", "point_weight"), {})), name_of((("--on-error",), {}))
    ('point_weight', 'on_error')
    """
    return option[0][-1].lstrip("-").replace("-", "_")


def _either(points: Option, images: Option) -> Option:
    """One option for two: with the choices of both, or free text where one of them is: `check_given` narrows it."""
    (names, one), (_, two) = points, images
    types = [settings.get("type") for settings in (one, two)]
    choices = [choice for kind in types if isinstance(kind, click.Choice) for choice in kind.choices]
    both = all(isinstance(kind, click.Choice) for kind in types)
    text = one["help"] if one["help"] == two["help"] else f"Points: {one['help']} Images: {two['help']}"
    return names, {**one, **two, "type": click.Choice(list(dict.fromkeys(choices))) if both else str, "help": text}


def check_given(given: Mapping[str, Any], data: str, kinds: Iterable[str]) -> None:
    """UsageError where an option that was typed, or its value, is not for the kind of data that is mixed.

    given: values by name; data: "points" or "images"; kinds: all that the method mixes.
    """
    fitting = {name_of(option): option for option in OPTIONS[data]}
    for name, flag in ((name_of(option), option[0][0]) for kind in kinds for option in PARTICULAR[kind]):
        if name not in given:
            continue
        if name not in fitting:
            other = next(kind for kind in kinds if kind != data)
            raise UsageError(f"{flag}: is for {other}, and {data} are mixed; leave it out, or pass --on {other}")
        _check_choice(flag, given[name], fitting[name][1].get("type"), data)


def _check_choice(flag: str, value: Any, kind: Any, data: str) -> None:
    for one in value if isinstance(value, tuple) else (value,):
        if isinstance(kind, click.Choice) and one not in kind.choices:
            raise UsageError(f"{flag} {one}: for {data} must be one of {', '.join(kind.choices)}")
