"""What every method needs and offers, from the registry alone; runs without torch.

`table` gives a dict of schema mixcli.methods/1, `render` and `render_options` make text of it. Where a method was
published stands in parentheses in the first line of its docstring: "(Lee et al., NeurIPS 2022)".
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import MISSING
from typing import Any

from mixcli.errors import UsageError
from mixcli.methods import FROM_A_MODEL, Method, get, kinds_of, methods
from mixcli.option import Option, options

SCHEMA = "mixcli.methods/1"
PAPER = re.compile(r"\s*\((?P<authors>[^()]+?),(?P<venue>[^(),]*?)\s*(?P<year>\d{4})\)")
NEEDS = ("data", "saliency", "checkpoint", "assignment", "parents", "group", "draws", "pairing")
INDENT = " " * 6
PROBES = (0.5, 1.0)  # values of options that are numbers, whose needs may be others than at the default


def table(names: list[str] | None = None) -> dict[str, Any]:
    """Facts of these methods, or of all, in the order of the registry.

    Each has what it takes at its defaults: `data` (the kinds that it mixes), `saliency` (which maps, or null),
    `checkpoint`, `assignment`, `parents` (P), `group` (samples mixed with each other, 0: pairs), `draws` (whether -k
    above 1 has a meaning) and `pairing`; `otherwise`, what options change in that; and its own `options`.
    """
    chosen = [get(name) for name in names] if names else methods().values()
    return {"schema": SCHEMA, "methods": [_facts(cls) for cls in chosen]}


def _facts(cls: type[Method]) -> dict[str, Any]:
    what, paper = published(cls.__doc__ or "")
    usual = _needs(cls())
    return {
        "name": cls.traits.name,
        "what": what,
        "paper": paper,
        **usual,
        "data": list(kinds_of(cls)),
        "otherwise": list(_otherwise(cls, usual)),
        "options": [_option(one) for one in options(cls).values()],
        "example": cls.traits.example,
    }


def published(docstring: str) -> tuple[str, dict[str, Any] | None]:
    """What a method does, and authors, venue (null for a preprint) and year of its paper, where that is told.

    >>> published("A random box of one image on another (Yun et al., ICCV 2019).")
    ('A random box of one image on another', {'authors': 'Yun et al.', 'venue': 'ICCV', 'year': 2019})
    >>> published("A square hole (DeVries and Taylor, 2017).")[1]["venue"], published("Mine.")
    (None, ('Mine', None))
    """
    first = docstring.strip().splitlines()[0].rstrip(".")
    found = PAPER.search(first)
    if not found:
        return first, None
    paper = {"authors": found["authors"], "venue": found["venue"].strip() or None, "year": int(found["year"])}
    return PAPER.sub("", first), paper


def _needs(method: Any) -> dict[str, Any]:
    traits = method.traits
    return {
        "data": traits.data,
        "saliency": traits.saliency,
        "checkpoint": traits.saliency in FROM_A_MODEL,
        "assignment": traits.assignment,
        "parents": traits.parents,
        "group": traits.group,
        "draws": traits.draws > 0,
        "pairing": "group" if traits.group else "none" if traits.parents == 1 else traits.pairing,
    }


def _otherwise(cls: type[Method], usual: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Options that, by themselves, change what a method needs: {"options": {name: value}, what changes}."""
    for one in options(cls).values():
        told: list[dict[str, Any]] = []
        for value in _values(one):
            try:
                needs = _needs(cls(**{one.name: value}))
            except UsageError:  # not a value of this option, or not by itself
                continue
            changed = {name: needs[name] for name in NEEDS if needs[name] != usual[name]}
            if changed and (one.choices or changed not in told):
                told.append(changed)
                yield {"options": {one.name: value}, **changed}


def ever_takes_maps(cls: type[Method]) -> bool:
    """Whether a method looks at maps, at its defaults or with any of its options."""
    usual = _needs(cls())
    return bool(usual["saliency"]) or any(change.get("saliency") for change in _otherwise(cls, usual))


def _values(one: Option) -> tuple[Any, ...]:
    """Values worth a try beside the default."""
    if isinstance(one.default, bool):
        return (not one.default,)
    tried: tuple[Any, ...] = one.choices or (PROBES if isinstance(one.default, float) else ())
    return tuple(value for value in tried if value != one.default)


def _option(one: Option) -> dict[str, Any]:
    return {
        "name": one.name,
        "flag": one.flag,
        "default": None if one.default is MISSING else one.default,
        "choices": list(one.choices),
        "help": one.help,
    }


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def render(found: dict[str, Any]) -> str:
    """One line a method, and below them what their options change."""
    head = ("method", "data", "maps", "checkpoint", "assignment", "parents", "-k", "pairing", "paper")
    rows = [head, *(_row(one) for one in found["methods"])]
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, wide, strict=True)).rstrip() for row in rows]
    changes = [f"  {one['name']} {words}" for one in found["methods"] for words in _changes(one)]
    return "\n".join([*lines, *(["", "with other options", *changes] if changes else [])])


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    return (
        one["name"],
        " ".join(one["data"]),
        one["saliency"] or "-",
        _yes(one["checkpoint"]),
        _yes(one["assignment"]),
        str(one["parents"]),
        _yes(one["draws"]),
        one["pairing"],
        _paper_words(one["paper"]),
    )


def _yes(value: bool) -> str:
    return "yes" if value else "-"


def _paper_words(paper: dict[str, Any] | None) -> str:
    return f"{paper['authors']}, {paper['venue'] or ''} {paper['year']}".replace("  ", " ") if paper else "-"


def _changes(one: dict[str, Any]) -> list[str]:
    """What a method's options change, a line each."""
    found = []
    for change in one["otherwise"]:
        ((name, value),) = change["options"].items()
        shown = _flag(name) if value is True else f"{_flag(name)} {value}"
        words = [_changed(what, to) for what, to in change.items() if what not in ("options", "data")]
        found += [f"{shown}: {', '.join(words)}"] if words else []
    return found


def _changed(what: str, to: Any) -> str:
    words = {"saliency": "maps", "draws": "-k"}.get(what, what)
    return f"{words} {to}" if isinstance(to, str | int) and not isinstance(to, bool) else f"{words} {_yes(to)}"


def render_options(found: dict[str, Any], width: int = 80) -> str:
    """Every method's own options, with defaults and help, wrapped to a width in characters."""
    return "\n\n".join(_page(one, width) for one in found["methods"])


def _page(one: dict[str, Any], width: int) -> str:
    paper = _paper_words(one["paper"])
    title = f"{one['name']}: {one['what']}" + (f" ({paper})" if one["paper"] else "")
    lines = textwrap.wrap(title, width)
    for option in one["options"]:
        told = textwrap.wrap(option["help"], width, initial_indent=INDENT, subsequent_indent=INDENT)
        lines += ["  " + _signature(option), *told]
    return "\n".join(lines if one["options"] else [*lines, "  no options of its own"])


def _signature(option: dict[str, Any]) -> str:
    if isinstance(option["default"], bool):
        return option["flag"]
    return f"{option['flag']} {'|'.join(option['choices']) or option['default']}" + (
        f"  (default {option['default']})" if option["choices"] else ""
    )
