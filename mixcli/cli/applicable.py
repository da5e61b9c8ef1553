"""Which options a method is offered: those of the kinds of data that it mixes, each once; and those that fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from mixcli.cli.options import (
    FILES,
    OPTIONS,
    PAIRINGS,
    PAIRS,
    PARTICULAR,
    RUNNING,
    SOURCE,
    Option,
    pairing_option,
)
from mixcli.errors import UsageError
from mixcli.methods import Traits, kinds_of
from mixcli.methods.table import ever_takes_maps

NETWORK = {"ckpt", "model", "trust_ckpt", "normalize", "saliency", "layer", "norm", "saliency_target"}
PICTURES = {"format", "quality", "png_level", "manifest", "keep", "saliency", "norm"}
OWN_MAPS = "Which maps the method looks at; by default its own."
GROUPED = {
    "k": "Times that each group is mixed.",
    "partners": "Rounds of groups: each puts every sample among new ones.",
    "saliency": OWN_MAPS,
}
SINGLE = {"k": "Mixes of each image.", "saliency": OWN_MAPS}
HIDDEN = {
    "layer": "Which layer's states are mixed, named as in the checkpoint's keys: layer3, layer3.1; required.",
    "ckpt": "Trained network; required.",
    "out": "The dataset to write: .h5 or .npz.",
}


def command_options(cls: type) -> list[Option]:
    """Options of a method's command beside its own, in the order of the help: those that mean something to it."""
    useless, helps = _useless(cls), _helps(cls.traits)
    found = [option for option in [*FILES, *options_for(kinds_of(cls))] if name_of(option) not in useless]
    return [_worded(_no_greedy(option) if cls.traits.writes else option, helps) for option in found]


def options_for(kinds: Iterable[str]) -> list[Option]:
    """Options of all methods that mix any of these kinds, each once, in the order of the help."""
    found: dict[str, Option] = {}
    for kind in kinds:
        for option in PARTICULAR[kind]:
            name = name_of(option)
            found[name] = _either(found[name], option) if name in found else option
    return [*PAIRS, *found.values(), *SOURCE, *RUNNING]


def _useless(cls: type) -> set[str]:
    """One of a single parent, or of groups, pairs nobody; one that never looks at maps needs no network."""
    traits = cls.traits
    found = {"pairing", "pairing_fallback"} if traits.group or traits.parents == 1 else set()
    found |= {"partners"} if traits.parents == 1 else set()
    found |= PICTURES if traits.writes else set()
    if kinds_of(cls) == ("images",) and not traits.mask:
        found |= {"keep"}
    blind = traits.parents == 1 and traits.data == "images" and not ever_takes_maps(cls)
    return found | (NETWORK if blind else set())


def _helps(traits: Traits) -> dict[str, str]:
    """What some options mean to a method of these traits, where that is not what they mean to most."""
    return GROUPED if traits.group else SINGLE if traits.parents == 1 else HIDDEN if traits.writes else {}


def _worded(option: Option, helps: Mapping[str, str]) -> Option:
    (names, settings), help_ = option, helps.get(name_of(option))
    return (names, {**settings, "help": help_}) if help_ else option


def _no_greedy(option: Option) -> Option:
    return pairing_option(*PAIRINGS) if name_of(option) == "pairing" else option


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


def check_given(given: Mapping[str, Any], data: str, kinds: Sequence[str], asked: bool = True) -> None:
    """UsageError where an option that was typed, or its value, is not for the kind of data that is mixed.

    given: values by name; data: "points" or "images"; kinds: all that the method mixes; asked: whether the kind was
    typed, and did not come from a default.
    """
    other = next((kind for kind in kinds if kind != data), None)
    more = "" if asked or other is None else f"; {other} are mixed with --on {other}"
    fitting = {name_of(option): option for option in OPTIONS[data]}
    for name, flag in ((name_of(option), option[0][0]) for kind in kinds for option in PARTICULAR[kind]):
        if name not in given:
            continue
        if name not in fitting:
            raise UsageError(f"{flag}: is for {other}, and {data} are mixed; leave it out, or pass --on {other}")
        _check_choice(flag, given[name], fitting[name][1].get("type"), data, more)


def _check_choice(flag: str, value: Any, kind: Any, data: str, more: str) -> None:
    for one in value if isinstance(value, tuple) else (value,):
        if isinstance(kind, click.Choice) and one not in kind.choices:
            raise UsageError(f"{flag} {one}: for {data} must be one of {', '.join(kind.choices)}{more}")
