"""The commands beside those of the methods: methods, convert, merge, inspect, verify, view."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from mixcli.cli.console import Console, say, verbosity
from mixcli.cli.options import OPTIONS, VERBOSITY, SizeType, add, chosen
from mixcli.errors import UsageError, address
from mixcli.typed import is_count


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
    short_help="List the methods and what they need.",
    epilog=ending("mixcli methods", "mixcli methods sagemix"),
)
@click.argument("names", nargs=-1, metavar="[METHOD]...")
@click.option("--options", is_flag=True, help="List every method's own options, as for a METHOD that is named.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, schema mixcli.methods/1.")
@add(VERBOSITY)
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


# Options of `convert`: those of the mixing commands that concern reading and writing.
READING = ("--subsample", "--pad", "--normalize", "--split", "--drop-background", "--classes", "--on-error")
FORM = ("--format", "--quality")
WRITING = ("--workers", "--resume", "--overwrite")


@click.command(
    short_help="Write a dataset to another container, without mixing.",
    epilog=ending("mixcli convert modelnet40_normal_resampled/ modelnet40.h5", "mixcli convert mixed.h5 mixed_ply/"),
)
@click.argument("source", type=click.Path())
@click.argument("out", type=click.Path())
@click.option("--points", type=click.IntRange(1), help="Points of a cloud; by default as many as the source has.")
@click.option("--size", type=SizeType(), help="Size of images; by default that of the source.")
@click.option("--seed", type=int, default=0, help="Decides --subsample random.")
@add([option for option in OPTIONS["images"] if option[0][0] in FORM])
@add([option for option in OPTIONS["points"] if option[0][0] in READING + WRITING])
@add(VERBOSITY)
def convert(source: str, out: str, **arguments: Any) -> None:
    """Write any source, or a mixed dataset, to any container without mixing: .h5, .npz, or a folder."""
    quiet, _ = verbosity(arguments)
    _check_no_stream(out)
    from mixcli.pipeline.conversion import convert as convert_

    typed = shlex.join(["mixcli", *sys.argv[1:]])
    with Console(quiet) as console:
        result = convert_(source, out, report=console.report(), command=typed, **arguments)
    if result.manifest["recipe"]["method"] == "convert":
        return conclude(console, result)
    click.echo(str(result.path))  # a copy: what its first run skipped was told then
    return None


def _check_no_stream(out: str) -> None:
    if out == "-":
        raise UsageError("-: only the mixing commands stream to stdout; name a .h5 or .npz file, or a folder")


@click.command(
    short_help="Join the shards of a run.",
    epilog=ending("mixcli merge mixed.0.h5 mixed.1.h5 mixed.2.h5 --out mixed.h5"),
)
@click.argument("shards", nargs=-1, required=True, type=click.Path())
@click.option("--out", required=True, type=click.Path(), help="The whole dataset: .h5, .npz or a folder.")
@click.option("--overwrite", is_flag=True, help="Replace an existing output.")
@add(VERBOSITY)
def merge(shards: tuple[str, ...], out: str, overwrite: bool, **shown: Any) -> None:
    """Join all shards of a run into the dataset that one run would have made; a folder is laid out as they are."""
    quiet, _ = verbosity(shown)
    _check_no_stream(out)
    from mixcli.pipeline.merge import merge as merge_

    with Console(quiet) as console:
        merge_([Path(p) for p in shards], Path(out), overwrite, console.report(), out.endswith("/"))
    click.echo(out)


@click.command(
    short_help="What is in a mixed dataset, what made it, how good it is.",
    epilog=ending("mixcli inspect mixed.h5", "mixcli inspect mixed.h5 --score"),
)
@click.argument("path", type=click.Path())
@click.option("--full", is_flag=True, help="Look at every row of a large dataset, not at a sample.")
@click.option("--score", is_flag=True, help="Measure how good the mixes are, with the checkpoint.")
@click.option("--ckpt", type=click.Path(), help="Another checkpoint for --score than that of the manifest.")
@click.option("--normalize", metavar="PRESET", help="What its images were normalised by, as for the mixing commands.")
@click.option("--trust-ckpt", is_flag=True, help="Load a checkpoint that is a program.")
@click.option("--source", multiple=True, metavar="PATH", help="Where the source is now, if it moved.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, schema mixcli.inspect/1 or mixcli.scores/1.")
@add(VERBOSITY)
def inspect(
    path: str, full: bool, score: bool, ckpt: str | None, normalize: str | None, trust_ckpt: bool,
    source: tuple[str, ...], as_json: bool, **shown: Any,
) -> None:  # fmt: skip
    """Show what is in a mixed dataset and what made it; with --score, how good it is."""
    quiet, _ = verbosity(shown)
    sys.stdout.reconfigure(errors="replace")  # a provenance string may hold what the terminal cannot show
    if score:
        from mixcli.checks.scores import score as scoring

        with Console(quiet) as console:
            found = scoring.score(path, ckpt, trust_ckpt, list(source) or None, full, console.report(), normalize)
        say(json.dumps(found) if as_json else scoring.render(found))
        console.note(f"kept in {Path(path)}.scores.json; mixcli view {path} --worst shows the worst")
        return
    from mixcli.checks import inspect as inspection

    found = inspection.inspect(Path(path), full)
    say(json.dumps(found) if as_json else inspection.render(found, _unicode()))


def _unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


@click.command(short_help="Find what is wrong in a mixed dataset.", epilog=ending("mixcli verify mixed.h5 --replay 16"))
@click.argument("path", type=click.Path())
@click.option("--replay", default="0", metavar="N|all", help="Make so many rows again from source and checkpoint.")
@click.option("--source", multiple=True, metavar="PATH", help="Where the source is now, if it moved; may be repeated.")
@click.option("--ckpt", type=click.Path(), help="Where the checkpoint is now, if it moved.")
@click.option("--trust-ckpt", is_flag=True, help="Load a checkpoint that is a program.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, schema mixcli.verify/1.")
@add(VERBOSITY)
def verify(
    path: str, replay: str, source: tuple[str, ...], ckpt: str | None, trust_ckpt: bool, as_json: bool, **shown: Any
) -> None:
    """Find every way in which a mixed dataset is not what its manifest says. Faults: one a line, exit code 5."""
    quiet, _ = verbosity(shown)
    if replay != "all" and not is_count(replay):
        raise click.UsageError(f"--replay {replay}: must be a count or all")
    from mixcli.checks.verify import verify as verify_

    rows = None if replay == "all" else int(replay)
    with Console(quiet) as console:
        found = verify_(Path(path), rows, list(source), ckpt, trust_ckpt, console.report())
    lines = [json.dumps(found)] if as_json else [f["message"] for f in found["faults"]]
    for line in lines:
        say(line)
    for note in found["notes"]:
        console.note(note)
    console.note(f"{path}: {_counted(len(found['faults']), 'fault')}; checked: {', '.join(found['checks'])}")
    if found["faults"]:
        raise click.exceptions.Exit(5)


@click.command(
    short_help="Look at rows beside their parents.",
    epilog=ending(
        "mixcli view mixed.h5 -o sheet.png",
        "mixcli view mixed.h5 -o gallery.html -n 200",
        "mixcli view mixed.h5 --class chair --sort even",
    ),
)
@click.argument("path", type=click.Path())
@click.option("-o", "--out", type=click.Path(), help="Write a contact sheet, .png, or a gallery, .html.")
@click.option("-n", "count", type=click.IntRange(1), default=12, show_default=True, help="How many rows.")
@click.option("--rows", metavar="3,7-9", help="These rows.")
@click.option("--class", "klass", metavar="NAME", help="Rows with a share of this class.")
@click.option("--sort", type=click.Choice(["row", "lam", "even"]), help="By lambda, or the evenest mixes first.")
@click.option("--worst", is_flag=True, help="The rows that inspect --score found worst.")
@click.option("--seed", type=int, help="Draw the rows instead of spreading them.")
@click.option("--color", **chosen("lam", "parent", "saliency", default="lam", help="What colours mean."))
@click.option("--up", **chosen("x", "y", "z", default="y", help="The axis that points up."))
@click.option("--source", multiple=True, metavar="PATH", help="Where the source is now, if it moved.")
@click.option("--ckpt", type=click.Path(), help="Where the checkpoint is now, for --color saliency.")
@click.option("--trust-ckpt", is_flag=True, help="Load a checkpoint that is a program.")
@click.option("--serve", is_flag=True, help="Serve all rows to a browser on this machine or through ssh -L.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of --serve; any free one by default.")
@click.option("--gui", is_flag=True, help="Open3D's window; needs a display.")
@click.option("--overwrite", is_flag=True, help="Replace an existing picture.")
@add(VERBOSITY)
def view(path: str, **arguments: Any) -> None:
    """Look at rows beside their parents: A orange, B blue. Works without display, GPU and internet.

    Without -o: a preview in the terminal, a table in a pipe, the gallery on a desktop.
    """
    quiet, _ = verbosity(arguments)
    with Console(quiet) as console:
        _view(Path(path), console, **arguments)


def _view(
    path: Path, console: Console, out: str | None, serve: bool, port: int, gui: bool, overwrite: bool, color: str,
    up: str, ckpt: str | None, trust_ckpt: bool, **which: Any,
) -> None:  # fmt: skip
    from mixcli.views.view import View, check_picture, wanted

    how = wanted(out, serve, gui, os.environ, sys.stdout.isatty(), sys.stdout.encoding)
    if out:
        check_picture(out, overwrite)
    from mixcli.checks.selection import select

    which["source"] = list(which["source"]) or None
    selection = select(path, None if serve else which.pop("count"), **{k: v for k, v in which.items() if k != "count"})
    if selection.note:
        console.note(selection.note)
    if how == "serve" and color == "saliency":
        raise UsageError("--serve shows no saliency, which needs the model at every page; use -o gallery.html")
    if how == "serve":
        return _serve(selection, port, up, color, console)
    seen = View(selection, up, color, ckpt, trust_ckpt)
    if how == "file":
        seen.save(out, overwrite)
        click.echo(out)
    elif how == "gui":
        from mixcli.views.open3d_window import show

        show(seen.shown, up, console.note)
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
