"""The command line: arguments, streams, exit codes and signals. Nothing here knows how anything works."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import traceback
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from mixcli import __version__
from mixcli.errors import MixError, UsageError
from mixcli.methods import get, methods
from mixcli.options import OPTIONS, VERBOSITY, add, chosen, method_option

EXIT_CODES = """\b
Exit codes: 0 done, 1 failed, 2 usage, 3 done but samples were skipped, 4 checkpoint, 5 verify found faults,
130 Ctrl-C, 141 closed pipe, 143 SIGTERM. An interrupted run goes on with --resume."""


class Terminated(BaseException):
    """SIGTERM, as an exception, so that what is finished stays resumable."""


class Main(click.Group):
    """The group of all commands; a method's command is made from its dataclass when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*methods(), *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return method_command(name) if name in methods() else super().get_command(ctx, name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            get_or_suggest(args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Every way to end, as an exit code."""
        ctx.obj = {"verbose": False}
        signal.signal(signal.SIGTERM, _terminate)
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except MixError as e:
            _fail(ctx, str(e), e.code)
        except KeyboardInterrupt:
            _fail(ctx, "interrupted", 130)
        except Terminated:
            _fail(ctx, "terminated", 143)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at its end
            ctx.exit(141)
        except OSError as e:
            _fail(ctx, f"{e.filename}: {e.strerror}" if e.filename else str(e), 1)
        except MemoryError:
            _fail(ctx, "out of memory; a smaller --window or --batch-size needs less", 1)
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except Exception as e:
            _fail(ctx, f"internal error, please report it: {type(e).__name__}: {e} (-v shows where)", 1)


def _fail(ctx: click.Context, message: str, code: int) -> None:
    if ctx.obj["verbose"]:
        traceback.print_exc()
    click.echo(f"mixcli: {message}", err=True)
    ctx.exit(code)


def _terminate(*_: Any) -> None:
    raise Terminated


def get_or_suggest(name: str, known: list[str]) -> None:
    import difflib

    near = difflib.get_close_matches(name, known, 1)
    raise UsageError(f"no command {name!r}" + (f"; did you mean {near[0]!r}?" if near else "; see mixcli --help"))


def method_command(name: str) -> click.Command:
    """The command of a mixing method: files, the method's own options, then those of all methods."""
    cls = get(name)

    @add([*OPTIONS[:3], *map(method_option, fields(cls)), *OPTIONS[3:], *VERBOSITY])
    def command(**arguments: Any) -> None:
        _mix(cls, arguments)

    text = f"{cls.__doc__}\n\n\b\nExample:\n  {cls.traits.example}\n\n{EXIT_CODES}"
    return click.command(name, help=text, short_help=cls.__doc__.splitlines()[0])(command)


def _mix(cls: type, arguments: dict[str, Any]) -> None:
    quiet, _ = _verbosity(arguments)
    dry = arguments.pop("dry_run")
    own = {f.name: arguments.pop(f.name) for f in fields(cls)}
    from mixcli.job import Job

    arguments["out"] = Path(arguments["out"])
    job = Job(cls(**own), command=shlex.join(["mixcli", *sys.argv[1:]]), **arguments)
    console = Console(quiet)
    if dry:
        from mixcli.dryrun import describe, estimate

        click.echo(describe(estimate(job, console.report())))
        return
    from mixcli.run import run

    with console:
        result = run(job, console.report())
    console.note(_summary(result.manifest))
    click.echo(str(result.path))
    if result.manifest["skipped"]:
        raise click.exceptions.Exit(3)


def _verbosity(arguments: dict[str, Any]) -> tuple[bool, bool]:
    quiet, verbose = arguments.pop("quiet"), arguments.pop("verbose")
    click.get_current_context().find_root().obj["verbose"] = verbose
    return quiet, verbose


def _summary(manifest: dict[str, Any]) -> str:
    told = [f"{manifest['rows']:,} rows from {manifest['samples']:,} samples in {manifest['seconds']:.1f} s"]
    ckpt = manifest["checkpoint"]
    if ckpt and ckpt["accuracy"] is not None:
        told.append(f"the checkpoint labels {ckpt['accuracy']:.1%} of them rightly")
    if skipped := manifest["skipped"]:
        first = skipped[0]
        told.append(f"{len(skipped)} skipped (first: {first['path']}[{first['index']}]: {first['reason']})")
    return "; ".join(told)


class Console:
    """Progress and notes on stderr; a bar only on a terminal."""

    def __init__(self, quiet: bool):
        self.quiet, self.bar = quiet, None

    def __enter__(self) -> Console:
        return self

    def __exit__(self, *_: Any) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def report(self) -> Any:
        from mixcli.report import Report

        return Report(self.note, self.begin, self.progress)

    def note(self, text: str) -> None:
        if self.quiet:
            return
        if self.bar is not None:
            self.bar.clear()
        click.echo(text, err=True)

    def begin(self, total: int, done: int) -> None:
        from tqdm import tqdm

        self.bar = tqdm(total=total, initial=done, unit="cloud", disable=self.quiet or None, smoothing=0.1)

    def progress(self, clouds: int) -> None:
        if self.bar is not None:
            self.bar.update(clouds)


@click.group(cls=Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mixcli")
def main() -> None:
    """Turn a labelled dataset and a trained model into an offline mixed dataset.

    \b
    mixcli sagemix --in modelnet40.h5 --ckpt dgcnn.pt --out mixed.h5 -k 4
    mixcli inspect mixed.h5
    mixcli verify mixed.h5 --replay 16
    """


@main.command()
@click.argument("shards", nargs=-1, required=True, type=click.Path())
@click.option("--out", required=True, type=click.Path(), help="The whole dataset, .h5.")
@click.option("--overwrite", is_flag=True, help="Replace an existing output.")
@add(VERBOSITY)
def merge(shards: tuple[str, ...], out: str, overwrite: bool, **verbosity: Any) -> None:
    """Join all shards of a run into the dataset that one run would have made.

    \b
    Example:
      mixcli merge mixed.0.h5 mixed.1.h5 mixed.2.h5 --out mixed.h5
    """
    quiet, _ = _verbosity(verbosity)
    from mixcli.merge import merge as merge_

    with Console(quiet) as console:
        merge_([Path(p) for p in shards], Path(out), overwrite, console.report())
    click.echo(out)


@main.command()
@click.argument("path", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="One JSON object, schema mixcli.inspect/1.")
@add(VERBOSITY)
def inspect(path: str, as_json: bool, **verbosity: Any) -> None:
    """Show what is in a mixed dataset and what made it.

    \b
    Example:
      mixcli inspect mixed.h5
    """
    _verbosity(verbosity)
    from mixcli.inspection import inspect as inspect_
    from mixcli.inspection import render

    found = inspect_(Path(path))
    sys.stdout.reconfigure(errors="replace")  # a provenance string may hold what the terminal cannot show
    click.echo(json.dumps(found) if as_json else render(found, _unicode()))


def _unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


@main.command()
@click.argument("path", type=click.Path())
@click.option("--replay", default="0", metavar="N|all", help="Make so many rows again from source and checkpoint.")
@click.option("--source", multiple=True, metavar="PATH", help="Where the source is now, if it moved; may be repeated.")
@click.option("--ckpt", type=click.Path(), help="Where the checkpoint is now, if it moved.")
@click.option("--trust-ckpt", is_flag=True, help="Load a checkpoint that is a program.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, schema mixcli.verify/1.")
@add(VERBOSITY)
def verify(
    path: str, replay: str, source: tuple[str, ...], ckpt: str | None, trust_ckpt: bool, as_json: bool, **verbosity: Any
) -> None:
    """Find every way in which a mixed dataset is not what its manifest says. Faults: one a line, exit code 5.

    \b
    Example:
      mixcli verify mixed.h5 --replay 16
    """
    quiet, _ = _verbosity(verbosity)
    if replay != "all" and not replay.isdigit():
        raise click.UsageError(f"--replay {replay}: must be a count or all")
    from mixcli.verification import verify as verify_

    rows = None if replay == "all" else int(replay)
    with Console(quiet) as console:
        found = verify_(Path(path), rows, list(source), ckpt, trust_ckpt, console.report())
    lines = [json.dumps(found)] if as_json else [f["message"] for f in found["faults"]]
    for line in lines:
        click.echo(line)
    for note in found["notes"]:
        console.note(note)
    console.note(f"{path}: {len(found['faults'])} faults; checked: {', '.join(found['checks'])}")
    if found["faults"]:
        raise click.exceptions.Exit(5)


@main.command()
@click.argument("path", type=click.Path())
@click.option("-o", "--out", required=True, type=click.Path(), help="The picture to write, .png.")
@click.option("-n", "count", type=click.IntRange(1, 200), default=12, show_default=True, help="How many mixes.")
@click.option("--up", **chosen("x", "y", "z", default="y", help="The axis that points up."))
@click.option("--overwrite", is_flag=True, help="Replace an existing picture.")
@add(VERBOSITY)
def view(path: str, out: str, count: int, up: str, overwrite: bool, **verbosity: Any) -> None:
    """Draw mixes of a dataset beside their parents, without a display: A orange, B blue.

    \b
    Example:
      mixcli view mixed.h5 -o sheet.png
    """
    _verbosity(verbosity)
    if Path(out).suffix.lower() != ".png":
        raise UsageError(f"-o {out}: must end in .png")
    if Path(out).exists() and not overwrite:
        raise UsageError(f"{out} exists; --overwrite replaces it")
    from mixcli.sheet import sheet

    sheet(Path(path), count, up=up).save(out)
    click.echo(out)
