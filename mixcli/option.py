"""An option is declared once, as a field of a dataclass:

    k: int = option(1, "Mixes of each pair.", flags="-k", least=1, recorded=True)

From that declaration come the option of the command line and its help, the check of a value that is set from Python,
the key of the manifest's recipe and what may stand there, what a replay reads back, the kinds of data it is for, and
its row in `docs/options.md`. The order of the fields is that of the help. What values there are follows from the
annotation: `int`, `float`, `bool`, `str`, `Path`, `tuple[str, ...]`, what `mixcli.values` names, and each of these
`| None`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cached_property, wraps
from types import UnionType
from typing import Annotated, Any, ParamSpec, TypeVar, Union, get_args, get_origin

from mixcli.errors import UsageError
from mixcli.values import MUST_BE_ONE, PATHS, Chosen, Count, Flag, Many, Number, Refused, Text, Values, Whole

KINDS = {"points": "points", "images": "images", "hidden": "hidden states"}  # of data, and what sentences call them
METADATA = "option"
BY_NAME = ("--",)  # flags of an option that are made of its field's name
_KNOWN: dict[type, Mapping[str, Option]] = {}
UNKNOWN = Values()  # until the annotation is looked at


@dataclass(frozen=True, eq=False, repr=False)
class Way:
    """What an option is for one kind of data, where the kinds differ."""

    help: str = ""
    choices: tuple[str, ...] = ()
    form: Callable[[str], object] | None = None
    metavar: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class Option:
    """An option as it was declared, see `option`; `name`, `values` and `optional` follow from its field."""

    default: Any = MISSING
    help: str = ""
    flags: tuple[str, ...] = BY_NAME
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    above: float | None = None
    form: Callable[[str], object] | None = None
    word: str = ""
    metavar: str = ""
    shown: bool = True
    kinds: tuple[str, ...] = ()
    ways: Mapping[str, Way] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    says: Mapping[str, str] = field(default_factory=dict)
    recorded: bool = False
    settled: bool = False
    later: bool = False
    also: tuple[str, ...] = ()
    name: str = ""
    values: Values = UNKNOWN
    optional: bool = False

    @property
    def flag(self) -> str:
        """What sentences call it: its first flag, or its name where it has none."""
        return self.flags[0] if self.flags else self.name

    @cached_property
    def _of(self) -> dict[str, Option]:
        return {kind: _in_this_way(self, way) for kind, way in self.ways.items()}

    def of(self, kind: str | None) -> Option:
        """The option as it is for one kind of data."""
        return self._of.get(kind or "", self)

    def is_for(self, kind: str) -> bool:
        return not self.kinds or kind in self.kinds

    def is_default(self, value: Any) -> bool:
        """Whether a value says no more than nothing would; a recipe has lists for tuples."""
        return value is None or (tuple(value) if isinstance(value, list) else value) == self.default

    def parse(self, text: str) -> Any:
        """What a text on the command line means, or UsageError; whether it is allowed is asked later, by `settle`."""
        try:
            return self.values.parse(text)
        except Refused as e:
            raise self.refusal(text, e) from e

    def settle(self, value: Any, kind: str | None = None, more: str = "") -> Any:
        """A value in the form in which it is kept, or UsageError.

        more: what to do where the value would be right for another kind of data.
        """
        if value is None and self.optional:
            return None
        one = self.of(kind)
        try:
            return one.values.settle(value)
        except Refused as e:
            wrong = value if e.part is None else [e.part]
            if kind and e.reason.startswith(MUST_BE_ONE) and self._is_for_another(wrong, kind):
                e = Refused(f"for {KINDS[kind]} {e.reason}", more, e.part)
            raise one.refusal(value, e) from e

    def _is_for_another(self, value: Any, kind: str) -> bool:
        for other in self._of.keys() - {kind}:
            try:
                self.of(other).values.settle(value)
                return True
            except Refused:
                pass
        return False

    def refusal(self, value: Any, why: Refused) -> UsageError:
        """The sentence about a wrong value: the same from Python and from the command line."""
        wrong = value if why.part is None else [why.part]
        return UsageError(why.reason, at=f"{self.flag} {self.values.shown(wrong)}", advice=why.advice)

    def recalled(self, recipe: Mapping[str, Any]) -> Any:
        """Its value in a recipe, which is JSON."""
        return recipe.get(self.name, self.default) if self.later else recipe[self.name]


def option(
    default: Any = MISSING,
    help: str = "",
    *,
    flags: str | tuple[str, ...] = BY_NAME,
    choices: tuple[str, ...] = (),
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    form: Callable[[str], object] | None = None,
    word: str = "",
    values: Values | None = None,
    metavar: str = "",
    shown: bool = True,
    kinds: tuple[str, ...] = (),
    ways: Mapping[str, Way] | None = None,
    needs: tuple[str, ...] = (),
    says: Mapping[str, str] | None = None,
    recorded: bool = False,
    settled: bool = False,
    later: bool = False,
    also: tuple[str, ...] = (),
) -> Any:
    """A field of a dataclass that is an option. Without a default it must be given.

    Values: `choices` of texts; `least` and `most`, or `above`, of numbers; `form`, which refuses texts that are not of
    it; `word`, that stands for None on the command line ("auto"); `values`, where the annotation does not tell them.

    Command line: `flags`, by default --name; an empty tuple for what only Python sets. `metavar`, as click's. `shown`:
    whether the help shows the default. `says`: other help for methods of a "group", of a "single" parent, or that write
    "hidden" states.

    What it is for: `kinds` of data, all if empty; `ways`, where these differ in help, choices or form (then they are
    the kinds). `needs`: words of `mixcli.methods.offered.facts` that must hold for a method to be offered it.

    In the recipe: `recorded`, as it is. `settled`: a run puts a value in the place of None. `also`: values that a run
    puts there and nobody types. `later`: older manifests do not have it, which stands for its default.
    """
    declared = Option(
        default=default,
        help=help,
        flags=(flags,) if isinstance(flags, str) else flags,
        choices=choices,
        least=least,
        most=most,
        above=above,
        form=form,
        word=word,
        values=values or UNKNOWN,
        metavar=metavar,
        shown=shown,
        kinds=kinds or tuple(ways or ()),
        ways=ways or {},
        needs=needs,
        says=says or {},
        recorded=recorded,
        settled=settled,
        later=later,
        also=also,
    )
    return _field(declared)


def _field(declared: Option) -> Any:
    named = {METADATA: declared}
    return field(metadata=named) if declared.default is MISSING else field(default=declared.default, metadata=named)


def as_in(cls: type, name: str, kind: str | None = None, **changes: Any) -> Any:
    """A field that is the option of another dataclass, as it is for one kind of data, with some changes."""
    return _field(replace(options(cls)[name].of(kind), **changes))


def options(cls: type) -> Mapping[str, Option]:
    """The options of a dataclass by name, in their order."""
    if cls not in _KNOWN:
        _KNOWN[cls] = {f.name: _bound(cls, f) for f in fields(cls) if METADATA in f.metadata}
    return _KNOWN[cls]


def _bound(cls: type, f: Any) -> Option:
    declared: Option = f.metadata[METADATA]
    flags = ("--" + f.name.replace("_", "-"),) if declared.flags is BY_NAME else declared.flags
    if declared.values is not UNKNOWN:  # it was given, or is bound already in another class
        optional = declared.optional or declared.default is None
        return replace(declared, name=f.name, flags=flags, optional=optional)
    kind, optional = _annotation(cls, f), False
    if get_origin(kind) in (Union, UnionType):
        inner = [arm for arm in get_args(kind) if arm is not type(None)]
        optional, kind = len(inner) < len(get_args(kind)), inner[0]
    named = replace(declared, name=f.name, flags=flags, optional=optional)
    return replace(named, values=_values(kind, named))


def _annotation(cls: type, f: Any) -> Any:
    """The type of a field; that of its default where the annotation cannot be followed."""
    if not isinstance(f.type, str):
        return f.type
    home = next(base for base in cls.__mro__ if f.name in vars(base).get("__annotations__", {}))
    try:
        return eval(f.type, vars(sys.modules[home.__module__]))
    except NameError:
        return type(f.default)


def _values(kind: Any, one: Option) -> Values:
    if get_origin(kind) is Annotated:
        found: Values = get_args(kind)[1]
        return found
    if get_origin(kind) in (tuple, list):
        return Many(_values(get_args(kind)[0], one), get_origin(kind))
    if one.choices:
        return Chosen(one.choices)
    if kind is int and one.word:
        return Count(one.word, int(one.least or 0))
    simple = {bool: Flag(), int: Whole(one.least, one.most, one.above), float: Number(one.least, one.most, one.above)}
    return {**simple, **PATHS}.get(kind) or Text(one.form)


def _in_this_way(one: Option, way: Way) -> Option:
    values: Values = Chosen(way.choices) if way.choices else Text(way.form)
    if isinstance(one.values, Many):
        values = Many(values, one.values.kept)
    return replace(
        one, help=way.help or one.help, choices=way.choices, form=way.form, metavar=way.metavar or one.metavar,
        values=values,
    )  # fmt: skip


def settle(asked: object, kind: str | None = None) -> None:
    """Hold all options of a dataclass to their declarations, whatever sets them."""
    for name, one in options(type(asked)).items():
        value = getattr(asked, name)
        kept = one.settle(value, kind)
        if kept is not value:
            object.__setattr__(asked, name, kept)


P = ParamSpec("P")
T = TypeVar("T")


def takes(cls: type) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Hold a function's arguments to the options of their names in `cls`."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(function)

        @wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> T:
            bound = signature.bind(*args, **kwargs)
            for name, value in bound.arguments.items():
                if one := options(cls).get(name):
                    bound.arguments[name] = one.settle(value)
            return function(*bound.args, **bound.kwargs)

        return checked

    return decorate
