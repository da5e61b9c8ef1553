"""`docs/options.md`, made from the declarations: `python -m mixcli.cli.options_page` writes it anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING
from pathlib import Path

from mixcli.methods import Method, methods
from mixcli.option import Option, options
from mixcli.pipeline.job import Job
from mixcli.settings.commands import COMMANDS
from mixcli.settings.run import Settings
from mixcli.values import MOST, Chosen, Count, FilePath, Flag, Function, Many, Number, Part, Ranged, Sides

PAGE = Path("docs/options.md")
INTRODUCTION = """# Every option

Made from the declarations by `python -m mixcli.cli.options_page`; a test holds this page to them.

Options have the same names, values and defaults on the command line (`--png-level 3`) and from Python (`png_level=3`),
and a wrong value is refused in the same words. *For* says which kinds of data an option is for. *Recipe* marks those
that decide the data: the manifest's recipe holds them, two datasets of equal recipes are equal, and `mixcli verify`
finds values there that are not allowed here. (`--format` and `--quality` stand there as `encoding` and `quality` where
pictures lose something, `--device` as `cpu` or `cuda`, the checkpoint as its SHA-256.)
"""
HEAD = "| option | Python | values | default | for | recipe | meaning |\n|---|---|---|---|---|---|---|"
SHORT_HEAD = "| option | Python | values | default | meaning |\n|---|---|---|---|---|"


def page() -> str:
    """The whole page, in Markdown."""
    of_a_run = options(Job)
    files = [of_a_run[name] for name in ("sources", "ckpt", "out")]
    parts = [INTRODUCTION, "## Of every mixing command\n", table([*files, *options(Settings).values()])]
    parts += ["## Of one method\n\nAll of these stand in the recipe, under `options`.\n"]
    parts += list(_of_methods(methods().values()))
    for name, cls in COMMANDS.items():
        title = f"mixcli.{name}" if name == "open_dataset" else f"mixcli {name}"
        parts += [f"## Of `{title}`\n", short_table(options(cls).values())]
    return "\n".join(parts)


def _of_methods(classes: Iterable[type[Method]]) -> Iterator[str]:
    for cls in classes:
        if own := options(cls):
            yield f"### {cls.traits.name}\n\n{short_table(own.values())}"


def table(declared: Iterable[Option]) -> str:
    recorded = {True: "yes", False: ""}
    return _lines(
        HEAD, [(*_ahead(o), ", ".join(o.kinds) or "all", recorded[o.recorded], _meaning(o)) for o in declared]
    )


def short_table(declared: Iterable[Option]) -> str:
    return _lines(SHORT_HEAD, [(*_ahead(one), _meaning(one)) for one in declared])


def _lines(head: str, rows: Iterable[tuple[str, ...]]) -> str:
    cells = (" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows)
    return "\n".join([head, *(f"| {row} |" for row in cells), ""])


def _ahead(one: Option) -> tuple[str, str, str, str]:
    flags = ", ".join(f"`{name}`" for name in one.flags)
    return flags, f"`{one.name}`", _values(one), "required" if one.default is MISSING else f"`{one.default!r}`"


def _meaning(one: Option) -> str:
    return _by_kind(one, lambda way: way.help) or "-"


def _values(one: Option) -> str:
    return _by_kind(one, _told)


def _by_kind(one: Option, tell: Callable[[Option], str]) -> str:
    """What is told of an option, once for all kinds of data of which it is the same."""
    kinds: dict[str, list[str]] = {}
    for kind in one.kinds or ("",):
        kinds.setdefault(tell(one.of(kind)), []).append(kind)
    if len(kinds) == 1:
        return next(iter(kinds))
    return "; ".join(f"{', '.join(names)}: {text.removesuffix('.')}" for text, names in kinds.items())


def _told(one: Option) -> str:
    """
    >>> [_told(options(Settings)[name]) for name in ("quality", "on_error", "batch_size")]
    ['whole number, at least 1, at most 100', '`raise`, `skip`', 'whole number, at least 1, or `auto`']
    """
    many = isinstance(one.values, Many)
    values = one.values.of if isinstance(one.values, Many) else one.values
    if isinstance(values, Chosen):
        text = ", ".join(f"`{choice}`" for choice in values.choices)
    elif isinstance(values, Ranged):
        text = ("number" if isinstance(values, Number) else "whole number") + _range(values)
        text += f", or `{values.word}`" if isinstance(values, Count) else ""
    else:
        plain = {Flag: "on or off", FilePath: "path", Function: "function", Sides: "side or HxW", Part: "i/n"}
        text = next((word for kind, word in plain.items() if isinstance(values, kind)), one.metavar or "text")
    return f"any number of: {text}" if many else text


def _range(values: Ranged) -> str:
    starts = "" if values.least is None else f"at least {values.least:g}"
    if values.above is not None:
        starts = f"above {values.above:g}"
    ends = f"at most {values.most:g}" if values.ends and values.most <= MOST else ""
    return "".join(f", {part}" for part in (starts, ends) if part)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
