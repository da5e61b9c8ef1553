"""The `--model` argument: the name of a network, or a function of a file, and options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mixcli.errors import UsageError

FACTORY = "path/to/file.py:factory"
TIMM = "timm:"  # and the name of a network of that package


@dataclass(frozen=True)
class Spec:
    """A parsed ``--model``: the name of a network, or a function in a file; options are still text."""

    name: str = ""  # empty: none
    file: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


def parse(spec: str | None) -> Spec:
    """Take a ``--model`` apart.

    >>> parse("dgcnn:k=40")
    Spec(name='dgcnn', file='', options={'k': '40'})
    >>> parse("nets/mine.py:make")
    Spec(name='make', file='nets/mine.py', options={})
    >>> parse("timm:resnet18")
    Spec(name='timm:resnet18', file='', options={})
    """
    if spec is None:
        return Spec()
    stem, in_file, rest = spec.rpartition(".py:")
    of_timm = TIMM if rest.startswith(TIMM) and not in_file else ""
    name, _, text = rest.removeprefix(of_timm).partition(":")
    name = of_timm + name
    if not name or name.endswith(".py") or (in_file and not stem):
        raise UsageError(f"name a network, or a function of a file as in {FACTORY}", at=f"--model {spec}")
    pairs = [item.partition("=") for item in text.split(",") if item]
    for key, _, value in pairs:
        if not (key and value):
            raise UsageError(f"{key!r} is not key=value, as in dgcnn:k=40", at=f"--model {spec}")
    options = {key.strip(): value.strip() for key, _, value in pairs}
    return Spec(name, stem + ".py" if in_file else "", options)


def resolved(wanted: Spec, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a network: its defaults, and over them what the user gave, of the same type."""
    for key in wanted.options:
        if key not in defaults:
            legal = ", ".join(f"{name}={value}" for name, value in defaults.items()) or "none"
            what = f"--model {wanted.name} has no option {key!r}"
            raise UsageError(what, advice=f"its options and defaults: {legal}")
    return dict(defaults) | {key: _value(key, text, defaults[key]) for key, text in wanted.options.items()}


def _value(key: str, text: str, default: Any) -> Any:
    """``text`` in the type of ``default``; a whole number is at least 1, or 0 where 0 is the default."""
    if isinstance(default, bool):
        kind, sound = "true or false", text in ("true", "false")
    elif isinstance(default, int):
        least = min(1, default)
        kind, sound = f"a whole number from {least}", text.isdecimal() and len(text) < 19 and int(text) >= least
    else:
        return type(default)(text)
    if not sound:
        raise UsageError(f"{key}={text} must be {kind}", at="--model")
    return text == "true" if isinstance(default, bool) else int(text)


def program_options(wanted: Spec, data: str) -> dict[str, Any]:
    """The options of a program that is fed "points" or "images"."""
    from mixcli.models.programs import CHOICES, OPTIONS

    options = resolved(wanted, OPTIONS[data])
    for key, value in options.items():
        if value not in CHOICES[key]:
            raise UsageError(f"{key}={value} must be {' or '.join(map(str, CHOICES[key]))}", at="--model")
    return options
