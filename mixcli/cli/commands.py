"""The commands beside those of the methods: methods, convert, merge, inspect, verify, view."""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mixcli.cli.console import Console, say, verbosity
from mixcli.cli.options import VERBOSITY, Command, flag, given
from mixcli.errors import UsageError, address
from mixcli.option import Option, options

if TYPE_CHECKING:
    from mixcli.settings.commands import Viewing

LIST_OPTIONS = flag("--options", help="List every method's own options, as for a METHOD that is named.")


class Declaring(Command):
    """A command whose options are those of its dataclass in `mixcli.settings.commands`."""

    def declared(self) -> list[Option]:
        from mixcli.settings.commands import COMMANDS

        return [one for one in options(COMMANDS[str(self.name)]).values() if one.flags]


def json_flag(schema: str) -> click.Option:
    return flag("--json", "as_json", help=f"One JSON object, schema {schema}.")


def ending(*examples: str) -> str:
    """The last lines of a command's help, below its options: examples of it."""
    return "\b\nExample:\n  " + "\n  ".join(examples)


def conclude(console: Console, result: Any) -> None:
    """The end of a run: what was made, on stdout where it is, and exit code 3 where samples were skipped."""
    console.note(_summary(result.manifest))
    if str(result.path) != "-":  # what was streamed is on stdout itself
        click.echo(str(result.path))
    if result.manifest["skipped"]:
        raise click.exceptions.Exit(3)


def _summary(manifest: dict[str, Any]) -> str:
    made, of = _counted(manifest["rows"], "row"), _counted(manifest["samples"], "sample")
    told = [f"{made} from {of} in {manifest['seconds']:.1f} s"]
    ckpt = manifest["checkpoint"]
    if ckpt and ckpt["accuracy"] is not None:
        told.append(f"the checkpoint labels {ckpt['accuracy']:.1%} of them rightly")
    if skipped := manifest["skipped"]:
        first = skipped[0]
        told.append(f"{len(skipped)} skipped (first: {address(first['path'], first['index'])}: {first['reason']})")
    return "; ".join(told)


def _counted(n: int, what: str) -> str:
    """A number of things.

    >>> _counted(1, "row"), _counted(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{n:,} {what}{'s' * (n != 1)}"


@click.command(
    "methods",
    params=[LIST_OPTIONS, json_flag("mixcli.methods/1"), *VERBOSITY],
    short_help="List the methods and what they need.",
    epilog=ending("mixcli methods", "mixcli methods sagemix"),
)
@click.argument("names", nargs=-1, metavar="[METHOD]...")
def list_methods(names: tuple[str, ...], options: bool, as_json: bool, **shown: Any) -> None:
    """List the methods: what they mix, what they need, where they were published; and their options."""
    verbosity(shown)
    from mixcli.methods.table import render, render_options, table

    found = table(list(names))
    if as_json:
        return say(json.dumps(found))
    say(render(found))
    if names or options:
        say("\n" + render_options(found, max(60, shutil.get_terminal_size().columns)))
    return None


@click.command(
    cls=Declaring,
    short_help="Write a dataset to another container, without mixing.",
    epilog=ending("mixcli convert modelnet40_normal_resampled/ modelnet40.h5", "mixcli convert mixed.h5 mixed_ply/"),
)
@click.argument("source", type=click.Path())
@click.argument("out", type=click.Path())
def convert(source: str, out: str, **arguments: Any) -> None:
    """Write any source, or a mixed dataset, to any container without mixing: .h5, .npz, or a folder."""
    quiet, _ = verbosity(arguments)
    _check_no_stream(out)
    from mixcli.pipeline.conversion import convert as convert_

    typed = shlex.join(["mixcli", *sys.argv[1:]])
    with Console(quiet) as console:
        result = convert_(source, out, report=console.report(), command=typed, **given(arguments))
    if result.manifest["recipe"]["method"] == "convert":
        return conclude(console, result)
    click.echo(str(result.path))  # a copy: what its first run skipped was told then
    return None


def _check_no_stream(out: str) -> None:
    if out == "-":
        raise UsageError("-: only the mixing commands stream to stdout; name a .h5 or .npz file, or a folder")


@click.command(
    cls=Declaring,
    short_help="Join the shards of a run.",
    epilog=ending("mixcli merge mixed.0.h5 mixed.1.h5 mixed.2.h5 --out mixed.h5"),
)
@click.argument("shards", nargs=-1, required=True, type=click.Path())
def merge(shards: tuple[str, ...], out: str, overwrite: bool, **shown: Any) -> None:
    """Join all shards of a run into the dataset that one run would have made; a folder is laid out as they are."""
    quiet, _ = verbosity(shown)
    _check_no_stream(out)
    from mixcli.pipeline.merge import merge as merge_

    with Console(quiet) as console:
        merge_(shards, out, overwrite, console.report(), folder=out.endswith("/"))
    click.echo(out)


@click.command(
    cls=Declaring,
    params=[json_flag("mixcli.inspect/1 or mixcli.scores/1")],
    short_help="What is in a mixed dataset, what made it, how good it is.",
    epilog=ending("mixcli inspect mixed.h5", "mixcli inspect mixed.h5 --score"),
)
@click.argument("path", type=click.Path())
def inspect(path: str, full: bool, score: bool, as_json: bool, **arguments: Any) -> None:
    """Show what is in a mixed dataset and what made it; with --score, how good it is."""
    quiet, _ = verbosity(arguments)
    from mixcli.settings.commands import Inspecting

    asked = Inspecting(path=path, **given(arguments))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a provenance string may hold what the terminal cannot show
    if score:
        from mixcli.checks.scores import score as scoring

        how = {name: getattr(asked, name) for name in ("ckpt", "trust_ckpt", "source", "normalize")}
        with Console(quiet) as console:
            found = scoring.score(path, full=full, report=console.report(), **how)
        say(json.dumps(found) if as_json else scoring.render(found))
        console.note(f"kept in {Path(path)}.scores.json; mixcli view {path} --worst shows the worst")
        return
    from mixcli.checks import inspect as inspection

    found = inspection.inspect(Path(path), full)
    say(json.dumps(found) if as_json else inspection.render(found, _unicode()))


def _unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


@click.command(
    cls=Declaring,
    params=[json_flag("mixcli.verify/1")],
    short_help="Find what is wrong in a mixed dataset.",
    epilog=ending("mixcli verify mixed.h5 --replay 16"),
)
@click.argument("path", type=click.Path())
def verify(path: str, as_json: bool, **arguments: Any) -> None:
    """Find every way in which a mixed dataset is not what its manifest says. Faults: one a line, exit code 5."""
    quiet, _ = verbosity(arguments)
    asked = given(arguments)
    from mixcli.checks.verify import verify as verify_

    with Console(quiet) as console:
        found = verify_(path, report=console.report(), **asked)
    lines = [json.dumps(found)] if as_json else [f["message"] for f in found["faults"]]
    for line in lines:
        say(line)
    for note in found["notes"]:
        console.note(note)
    console.note(f"{path}: {_counted(len(found['faults']), 'fault')}; checked: {', '.join(found['checks'])}")
    if found["faults"]:
        raise click.exceptions.Exit(5)


@click.command(
    cls=Declaring,
    short_help="Look at rows beside their parents.",
    epilog=ending(
        "mixcli view mixed.h5 -o sheet.png",
        "mixcli view mixed.h5 -o gallery.html -n 200",
        "mixcli view mixed.h5 --class chair --sort even",
    ),
)
@click.argument("path", type=click.Path())
def view(path: str, **arguments: Any) -> None:
    """Look at rows beside their parents: A orange, B blue. Works without display, GPU and internet.

    Without -o: a preview in the terminal, a table in a pipe, the gallery on a desktop.
    """
    quiet, _ = verbosity(arguments)
    from mixcli.settings.commands import Viewing

    asked = Viewing(path=path, **given(arguments))
    with Console(quiet) as console:
        _view(asked, console)


def _view(asked: Viewing, console: Console) -> None:
    from mixcli.views.view import View, check_picture, wanted

    how = wanted(asked.out, asked.serve, asked.gui, os.environ, sys.stdout.isatty(), sys.stdout.encoding)
    if asked.out:
        check_picture(asked.out, asked.overwrite)
    from mixcli.checks.selection import select

    selection = select(
        asked.path,
        None if asked.serve else asked.count,
        rows=asked.rows,
        klass=asked.klass,
        sort=asked.sort,
        worst=asked.worst,
        seed=asked.seed,
        source=asked.source,
    )
    if selection.note:
        console.note(selection.note)
    if how == "serve" and asked.color == "saliency":
        raise UsageError("--serve shows no saliency, which needs the model at every page", advice="use -o gallery.html")
    if how == "serve":
        return _serve(selection, asked.port, asked.up, asked.color, console)
    seen = View(selection, asked.up, asked.color, asked.ckpt, asked.trust_ckpt)
    if asked.out:
        seen.save(asked.out, asked.overwrite)
        click.echo(asked.out)
    elif how == "gui":
        from mixcli.views.open3d_window import show

        show(seen.shown, asked.up, console.note)
    elif how == "desktop":
        import webbrowser

        click.echo(str(seen.cached()))
        webbrowser.open(seen.cached().as_uri())
    else:
        click.echo(seen.text(how, shutil.get_terminal_size().columns))
        if how != "none":
            console.note("next: -o sheet.png, -o gallery.html, --serve")
    return None


def _serve(selection: Any, port: int, up: str, color: str, console: Console) -> None:
    """Until Ctrl-C, which is the way to end it and no error."""
    from mixcli.views.serve import Server

    with Server(selection, port, up=up, color=color) as server:
        click.echo(server.url)
        for line in filter(None, [server.ssh_line(), "Ctrl-C ends it"]):
            console.note(line)
        try:
            server.run()
        except KeyboardInterrupt:
            console.note("ended")
