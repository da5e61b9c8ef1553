"""The mixing methods: one file, one frozen dataclass of options and one function `mix` each.

    @method(data="points", saliency="gradient", assignment=True, draws=3, ...)
    @dataclass(frozen=True)
    class SageMix(Method): ...

Each field is an `option` (see `mixcli.option`), from which the command line, its help, the checks and the manifest are
made. Packages add methods through the entry
point group `mixcli.methods`, whose entries load such a class.

A method of both kinds of data has an option `on`, whose choices are those kinds, and `needs` that say which it mixes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import cache, wraps
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, TypeVar

from mixcli.errors import MixError, UsageError
from mixcli.methods.contract import Method as Method
from mixcli.methods.contract import Traits as Traits
from mixcli.option import option as option
from mixcli.option import options

BUILT_IN = (
    "sagemix", "pointmixup", "rsmix", "pointcutmix", "mixup", "sage", "guidedmixup", "saliencygrafting", "saliencymix",
    "cutmix", "cutout", "snapmix", "attentivecutmix", "manifoldmixup", "augmix", "keepaugment", "puzzlemix",
    "comixup",
)  # fmt: skip
FROM_A_MODEL = ("gradient", "activation", "cam", "hidden")  # kinds of saliency that need a trained network
T = TypeVar("T")
OF_A_LAYER = ("activation", "hidden")  # those that look at one layer of it


def method(**traits: Any) -> Callable[[type[T]], type[T]]:
    """Declare what a method needs; options are held to their declarations when one is made.

    Where the options decide what is needed, the class has `needs(self)`, whose dict replaces some of the traits.
    """

    def declare(declared: type[T]) -> type[T]:
        cls: Any = declared
        if not issubclass(cls, Method):  # of another package
            cls = type(cls.__name__, (cls, Method), {"__doc__": cls.__doc__, "__module__": cls.__module__})
        cls.traits = Traits(**{"name": cls.__name__.lower(), **traits})
        init, names = cls.__init__, [f.name for f in fields(cls)]

        @wraps(init)
        def checked_init(self: Any, *args: Any, **kwargs: Any) -> None:
            given = {**dict(zip(names, args, strict=False)), **kwargs}
            for name in [name for name in options(cls) if name in given]:  # before the class's own checks
                options(cls)[name].settle(given[name])
            init(self, *args, **kwargs)
            if needs := self.needs():
                object.__setattr__(self, "traits", replace(cls.traits, **needs))

        cls.__init__ = checked_init
        made: type[T] = cls
        return made

    return declare


def kinds_of(cls: type[Method]) -> tuple[str, ...]:
    """Kinds of data that a method mixes, first the one that it mixes by default."""
    on = options(cls).get("on")
    return on.choices if on else (cls.traits.data,)


@cache
def methods() -> Mapping[str, type[Method]]:
    """Every method by name: the built-in ones and those of installed packages."""
    found = [import_module(f"mixcli.methods.{name}").METHOD for name in BUILT_IN]
    found += [entry.load() for entry in entry_points(group="mixcli.methods")]
    return {cls.traits.name: cls for cls in found}


@cache
def _are_all_built_in() -> bool:
    return not tuple(entry_points(group="mixcli.methods"))


def find(name: str) -> type[Method] | None:
    """The method of this name, if there is one. The others are not imported unless it may be of a package."""
    if name in BUILT_IN and _are_all_built_in():
        cls: type[Method] = import_module(f"mixcli.methods.{name}").METHOD
        return cls
    return methods().get(name)


def get(name: str) -> type[Method]:
    """The method of this name, or one sentence with the nearest name."""
    if name == "convert":  # has a command of another shape, so it is not in the registry
        return import_module("mixcli.methods.convert").METHOD
    if cls := find(name):
        return cls
    import difflib

    near = difflib.get_close_matches(name, methods(), 1)
    raise UsageError(f"no method {name!r}", advice=f"did you mean {near[0]!r}?" if near else "")


def restored(recipe: Mapping[str, Any]) -> Any:
    """The method of a manifest, with its options; MixError where this version does not know them."""
    cls = get(recipe["method"])
    if unknown := set(recipe["options"]) - set(options(cls)):
        raise MixError(f"{recipe['method']} has no option {min(unknown)!r} in this version of mixcli")
    return cls(**recipe["options"])


def guided(method: Any, saliency: str) -> Any:
    """The same method, for which saliency of this kind is taken whether it looks at it or not."""
    found = replace(method)
    object.__setattr__(found, "traits", replace(method.traits, saliency=saliency))
    return found
