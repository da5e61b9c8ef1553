"""Which options of a run mean something to a method: those for the data that it mixes, and for what it does with it.

The command line offers no others, and Python refuses them in the same words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from mixcli.errors import UsageError
from mixcli.methods import Method, kinds_of
from mixcli.methods.table import ever_takes_maps
from mixcli.option import KINDS, Option


def kinds_mixed(cls: type[Method]) -> tuple[str, ...]:
    """Kinds of data, as options know them, that a method mixes; first the one that it mixes by default."""
    return (cls.traits.writes,) if cls.traits.writes else kinds_of(cls)


def role(cls: type[Method]) -> str:
    """For `Option.says`: what a method does that changes what some options mean to it."""
    traits = cls.traits
    return "group" if traits.group else "single" if traits.parents == 1 else traits.writes


def facts(cls: type[Method]) -> set[str]:
    """For `Option.needs`: "several" parents, "pairs" of them, a "network" that may be asked, a "mask" to keep."""
    traits = cls.traits
    single, pictures = traits.parents == 1, kinds_of(cls) == ("images",)
    found = {
        "several": not single,
        "pairs": not single and not traits.group,
        "network": not (single and traits.data == "images") or ever_takes_maps(cls),
        "mask": traits.mask or not pictures,
    }
    return {name for name, holds in found.items() if holds}


def offered(declared: Iterable[Option], cls: type[Method]) -> list[Option]:
    """Those that mean something to a method, in the order of the help: of a run of options for certain kinds of data,
    first all of its first kind."""
    found: list[Option] = []
    for particular, run in groupby(declared, key=lambda one: bool(one.kinds)):
        some = list(run)
        kinds = kinds_mixed(cls) if particular else ("",)
        found += dict.fromkeys(one for kind in kinds for one in some if not particular or one.is_for(kind))
    known = facts(cls)
    return [one for one in found if known.issuperset(one.needs)]


def check_kind(one: Option, data: str, kinds: Iterable[str] = (), done: str = "mixed") -> None:
    """UsageError where an option is not for the kind of data that there is.

    data: as options know it; kinds: all that a method mixes, of which --on chooses; done: what is done with the data.
    """
    if one.is_for(data):
        return
    other = next((f", or pass --on {kind}" for kind in kinds if one.is_for(kind)), "")
    raise UsageError(f"is for {one.kinds[0]}, and {KINDS[data]} are {done}", at=one.flag, advice=f"leave it out{other}")


def check_offered(one: Option, cls: type[Method]) -> None:
    """UsageError where an option means nothing to a method, whatever the method's own options are."""
    kinds = kinds_mixed(cls)
    if not any(map(one.is_for, kinds)):
        check_kind(one, kinds[0])
    if not facts(cls).issuperset(one.needs):
        raise UsageError(f"means nothing to {cls.traits.name}", at=one.flag, advice="leave it out")


def check_given(declared: Mapping[str, Option], given: Mapping[str, Any], method: Method, asked: bool = True) -> None:
    """UsageError where an option that was given, or its value, is not for this method and the data that it mixes.

    given: values by name; asked: whether the kind of data was given, and did not come from a default.
    """
    cls = type(method)
    data, kinds = method.traits.writes or method.traits.data, kinds_mixed(cls)
    other = next((kind for kind in kinds if kind != data), None)
    more = "" if asked or other is None else f"{other} are mixed with --on {other}"
    for name, value in given.items():
        if one := declared.get(name):
            check_offered(one, cls)
            check_kind(one, data, kinds)
            one.settle(value, data, more)
