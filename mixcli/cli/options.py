"""Options of the command line, made from their declarations (`mixcli.option`), and the few that only it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, replace
from typing import Any

import click

from mixcli.option import Option
from mixcli.values import MOST, Chosen, Count, FilePath, Flag, Many, Number, Part, Sides, Text, Values, Whole


class Declared(click.ParamType):
    """Values of a declared option: whatever type of click stands beside it gives the help and the completion."""

    name = "text"
    option: Option

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return self.option.parse(value) if isinstance(value, str) else value


class OfChoices(Declared, click.Choice):
    name = "choice"


class OfRange(Declared, click.IntRange):
    name = "integer range"


class OfPath(Declared, click.Path): ...


def click_type(one: Option) -> click.ParamType:
    values = one.values.of if isinstance(one.values, Many) else one.values
    found: Declared
    if isinstance(values, Chosen):
        found = OfChoices(values.choices)
    elif isinstance(values, FilePath):
        found = OfPath()
    elif isinstance(values, Whole) and values.least is not None and values.most <= MOST:
        found = OfRange(int(values.least), int(values.most) if values.ends else None)
    else:
        found = Declared()
        found.name = {Whole: "integer", Number: "float", Sides: "n|HxW", Part: "i/n"}.get(type(values), "text")
    found.option = one
    return found


def click_option(one: Option) -> click.Option:
    """The option as click knows it."""
    settings: dict[str, Any] = {"help": one.help or None, "required": one.default is MISSING}
    if isinstance(one.values, Flag):
        return click.Option(_flag_names(one), **settings, **_flag_settings(one))
    settings |= {"type": click_type(one), "multiple": isinstance(one.values, Many)}
    if one.metavar:
        settings["metavar"] = one.metavar
    if one.default not in (None, MISSING, ()) or isinstance(one.values, Count):
        default = one.values.shown(one.default) if isinstance(one.values, Count | Part) else one.default
        settings |= {"default": default, "show_default": one.shown}
    return click.Option([*one.flags, one.name], **settings)


def _flag_names(one: Option) -> list[str]:
    """
    >>> from mixcli.option import options
    >>> from mixcli.settings.run import Settings
    >>> _flag_names(options(Settings)["point_weight"]), _flag_names(options(Settings)["resume"])
    (['--no-point-weight', 'point_weight'], ['--resume', 'resume'])
    """
    off = f"/--no-{one.flag[2:]}" if one.default and not _turns_off(one) else ""
    return [one.flag + off, one.name]


def _turns_off(one: Option) -> bool:
    return one.flag.startswith("--no-")


def _flag_settings(one: Option) -> dict[str, Any]:
    if _turns_off(one):
        return {"is_flag": True, "flag_value": False, "default": True}
    return {"is_flag": True, "default": True, "show_default": True} if one.default else {"is_flag": True}


def merged(one: Option, kinds: Sequence[str]) -> Option:
    """An option for several kinds of data: with the choices of all, or free text where one of them is; whether the
    value is one for the data that is mixed is asked when that is known."""
    found = {kind: one.of(kind) for kind in kinds if kind in one.ways}
    ways = list(found.values()) or [one]
    if len(ways) == 1:
        return ways[0]
    helps = {way.help for way in ways}
    told = " ".join(f"{kind.capitalize()}: {way.help}" for kind, way in found.items())
    choices = tuple(dict.fromkeys(choice for way in ways for choice in way.choices))
    values: Values = Chosen(choices) if all(way.choices for way in ways) else Text()
    metavar = next((way.metavar for way in reversed(ways) if way.metavar), "")
    return replace(
        one,
        help=told if len(helps) > 1 else ways[0].help,
        values=Many(values) if isinstance(one.values, Many) else values,
        metavar=metavar,
    )


def flag(*names: str, help: str) -> click.Option:
    """An option that only the command line has."""
    return click.Option(names, is_flag=True, help=help)


VERBOSITY = [
    flag("-q", "--quiet", help="No progress, no notes."),
    flag("-v", "--verbose", help="Show where an error came from."),
]


class Command(click.Command):
    """A command of declared options. They are made when it is looked into, since a list of commands needs none.

    What click refuses before it looks at values is refused in the words of the declarations.
    """

    made = False

    def declared(self) -> Sequence[Option]:
        """Its options, in the order of the help."""
        raise NotImplementedError

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        if not self.made:
            self.made, more = True, self.params
            arguments = [one for one in more if isinstance(one, click.Argument)]
            plain = [one for one in more if one not in arguments]
            self.params = [*arguments, *map(click_option, self.declared()), *plain, *VERBOSITY]
        return super().get_params(ctx)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        typed = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as e:
            self.refuse(e.option_name)
            raise
        except click.BadOptionUsage as e:
            self._refuse_value(e.option_name, typed)
            raise

    def refuse(self, flag: str) -> None:
        """UsageError for an option that there is, but not here."""

    def _refuse_value(self, flag: str, typed: list[str]) -> None:
        """UsageError for a flag that was given a value."""
        for one in self.declared():
            value = next((text.partition("=")[2] for text in typed if text.startswith(f"{flag}=")), None)
            if flag in one.flags and value is not None:
                one.settle(value)


def given(arguments: dict[str, Any]) -> dict[str, Any]:
    """Those that were typed: defaults are known where they are declared."""
    source = click.get_current_context().get_parameter_source
    return {name: value for name, value in arguments.items() if source(name) is not click.core.ParameterSource.DEFAULT}
