"""The options of a method's command, in the order of the help: its own, and those that mean something to it."""

from __future__ import annotations

from dataclasses import replace

from mixcli.cli.options import merged
from mixcli.methods import Method
from mixcli.methods.offered import kinds_mixed, offered, role
from mixcli.option import Option, options
from mixcli.pipeline.job import Job
from mixcli.settings.run import Settings

FILES = ("sources", "ckpt", "out")  # these come first, and a method's own behind them


def command_options(cls: type[Method]) -> list[Option]:
    """All declared options of a method's command."""
    own, of_a_run = options(cls), options(Job)
    files = [of_a_run[name] for name in FILES]
    others = [of_a_run[name] for name in options(Settings)]
    first, last = ([one for one in offered(some, cls) if one.name not in own] for some in (files, others))
    return [*(worded(one, cls) for one in first), *own.values(), *(worded(one, cls) for one in last)]


def worded(one: Option, cls: type[Method]) -> Option:
    """An option as it is for the kinds of data that a method mixes, and for what it does with them."""
    found = merged(one, kinds_mixed(cls))
    return replace(found, help=one.says.get(role(cls), found.help))
