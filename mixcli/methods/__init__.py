"""The mixing methods: one file, one frozen dataclass of options and one function `mix` each.

    @method(data="points", saliency="gradient", assignment=True, draws=3, ...)
    @dataclass(frozen=True)
    class SageMix(Method): ...

The command line, its help and the manifest are made from the dataclass. Packages add methods through the entry
point group `mixcli.methods`, whose entries load such a class.

A method of both kinds of data has an option `on`, whose choices are those kinds, and `needs` that say which it mixes.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import field, fields, replace
from functools import cache, wraps
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from mixcli.errors import MixError, UsageError
from mixcli.methods.contract import Method as Method
from mixcli.methods.contract import Traits as Traits

BUILT_IN = (
    "sagemix", "pointmixup", "rsmix", "pointcutmix", "mixup", "sage", "guidedmixup", "saliencygrafting", "saliencymix",
    "cutmix", "cutout", "snapmix", "attentivecutmix", "manifoldmixup", "augmix", "keepaugment", "puzzlemix",
    "comixup",
)  # fmt: skip
FROM_A_MODEL = ("gradient", "activation", "cam", "hidden")  # kinds of saliency that need a trained network
OF_A_LAYER = ("activation", "hidden")  # those that look at one layer of it
MOST = 1e9  # of any option that is a number: squares of it stay far from infinity


def option(default: Any, help: str, *, above: float | None = None, choices: tuple[str, ...] = ()) -> Any:
    """A field of a method's dataclass that is an option of its command."""
    return field(default=default, metadata={"help": help, "above": above, "choices": choices})


def method(**traits: Any) -> Callable[[type], type]:
    """Declare what a method needs; checks the options' ranges when one is made.

    Where the options decide what is needed, the class has `needs(self)`, whose dict replaces some of the traits.
    """

    def declare(cls: type) -> type:
        if not issubclass(cls, Method):  # of another package
            cls = type(cls.__name__, (cls, Method), {"__doc__": cls.__doc__, "__module__": cls.__module__})
        cls.traits = Traits(**{"name": cls.__name__.lower(), **traits})
        init = cls.__init__

        @wraps(init)
        def checked_init(self: Any, *args: Any, **kwargs: Any) -> None:
            init(self, *args, **kwargs)
            _check_options(self)
            if needs := self.needs():
                object.__setattr__(self, "traits", replace(cls.traits, **needs))

        cls.__init__ = checked_init
        return cls

    return declare


def _check_options(self: Any) -> None:
    for f in fields(self):
        value, above, choices = getattr(self, f.name), f.metadata["above"], f.metadata["choices"]
        flag = "--" + f.name.replace("_", "-")
        if type(f.default) is int and type(value) is not int:
            raise UsageError(f"{flag} {value}: must be a whole number")
        if above is not None and not above < value <= MOST:
            raise UsageError(f"{flag} {value}: must be a finite number above {above:g}, at most {MOST:g}")
        if choices and value not in choices:
            raise UsageError(f"{flag} {value}: must be one of {', '.join(choices)}")


def kinds_of(cls: type) -> tuple[str, ...]:
    """Kinds of data that a method mixes, first the one that it mixes by default."""
    return next((f.metadata["choices"] for f in fields(cls) if f.name == "on"), (cls.traits.data,))


@cache
def methods() -> Mapping[str, type]:
    """Every method by name: the built-in ones and those of installed packages."""
    found = [import_module(f"mixcli.methods.{name}").METHOD for name in BUILT_IN]
    found += [entry.load() for entry in entry_points(group="mixcli.methods")]
    return {cls.traits.name: cls for cls in found}


def get(name: str) -> type:
    """The method of this name, or one sentence with the nearest name."""
    if name == "convert":  # has a command of another shape, so it is not in the registry
        return import_module("mixcli.methods.convert").METHOD
    if name in methods():
        return methods()[name]
    near = difflib.get_close_matches(name, methods(), 1)
    raise UsageError(f"no method {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))


def restored(recipe: dict[str, Any]) -> Any:
    """The method of a manifest, with its options; MixError where this version does not know them."""
    cls = get(recipe["method"])
    if unknown := set(recipe["options"]) - {f.name for f in fields(cls)}:
        raise MixError(f"{recipe['method']} has no option {min(unknown)!r} in this version of mixcli")
    return cls(**recipe["options"])


def guided(method: Any, saliency: str) -> Any:
    """The same method, for which saliency of this kind is taken whether it looks at it or not."""
    found = replace(method)
    object.__setattr__(found, "traits", replace(method.traits, saliency=saliency))
    return found
