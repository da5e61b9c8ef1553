"""The command line: arguments, streams, exit codes and signals. Nothing here knows how anything works."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from mixcli import __version__
from mixcli.cli import commands
from mixcli.cli.commands import conclude, ending
from mixcli.cli.console import Console, say, verbosity
from mixcli.cli.options import Command, flag, given
from mixcli.errors import MixError, UsageError
from mixcli.methods import Method, find, methods
from mixcli.option import Option, options

if TYPE_CHECKING:
    from mixcli.sources.named_files import Listed

EXIT_CODES = """\b
Exit codes: 0 done, 1 failed, 2 usage, 3 done but samples were skipped, 4 checkpoint, 5 verify found faults,
130 Ctrl-C, 141 closed pipe, 143 SIGTERM. An interrupted run goes on with --resume."""
CUT_SHORT = "; the tar on stdout is incomplete and no manifest was written"


DRY_RUN = flag("--dry-run", help="Print the plan and an estimate; write nothing.")
OUT_OF_MEMORY = "out of memory; a smaller --window or --batch-size needs less"


class Terminated(BaseException):
    """SIGTERM, as an exception, so that what is finished stays resumable."""


class Main(click.Group):
    """The group of all commands; a method's command is made from its dataclass when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*methods(), *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if command := super().get_command(ctx, name):
            return command
        cls = find(name)
        return MethodCommand(cls) if cls else None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            get_or_suggest(args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Every way to end, as an exit code."""
        ctx.obj = {"verbose": False, "left": ""}
        signal.signal(signal.SIGTERM, _terminate)
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except MixError as e:
            _fail(ctx, str(e), e.code)
        except KeyboardInterrupt:
            _fail(ctx, f"interrupted{ctx.obj['left']}", 130)
        except Terminated:
            _fail(ctx, f"terminated{ctx.obj['left']}", 143)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at its end
            ctx.exit(141)
        except OSError as e:
            _fail(ctx, f"{e.filename}: {e.strerror}" if e.filename else str(e), 1)
        except MemoryError:
            _fail(ctx, OUT_OF_MEMORY, 1)
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except Exception as e:
            if "can't allocate memory" in str(e):  # as torch says it
                _fail(ctx, OUT_OF_MEMORY, 1)
            _fail(ctx, f"internal error, please report it: {type(e).__name__}: {e} (-v shows where)", 1)


def _fail(ctx: click.Context, message: str, code: int) -> None:
    if ctx.obj["verbose"]:
        traceback.print_exc()
    say(f"mixcli: {message}", err=True)
    ctx.exit(code)


def _terminate(*_: Any) -> None:
    raise Terminated


def get_or_suggest(name: str, known: list[str]) -> None:
    import difflib

    near = difflib.get_close_matches(name, known, 1)
    raise UsageError(f"no command {name!r}", advice=f"did you mean {near[0]!r}?" if near else "see mixcli --help")


class MethodCommand(Command):
    """The command of a mixing method."""

    def __init__(self, cls: type[Method]):
        self.method, doc = cls, cls.__doc__ or ""
        last = f"{EXIT_CODES}\n\n{ending(cls.traits.example)}"
        super().__init__(
            cls.traits.name, callback=self.mix, params=[DRY_RUN], help=doc, short_help=doc.splitlines()[0], epilog=last
        )

    def declared(self) -> list[Option]:
        from mixcli.cli.applicable import command_options

        return command_options(self.method)

    def refuse(self, flag: str) -> None:
        from mixcli.methods.offered import check_offered
        from mixcli.pipeline.job import Job

        for one in options(Job).values():
            if flag in one.flags:
                check_offered(one, self.method)

    def mix(self, **arguments: Any) -> None:
        quiet, _ = verbosity(arguments)
        _mix(self.method, given(arguments), arguments["dry_run"], Console(quiet))


def _mix(cls: type[Method], typed: dict[str, Any], dry: bool, console: Console) -> None:
    sources, out = typed["sources"], typed["out"]
    asked = {name: value for name, value in typed.items() if name not in ("sources", "out", "dry_run")}
    from mixcli.pipeline.job import Job

    more = {"folder": out.endswith("/"), "command": shlex.join(["mixcli", *sys.argv[1:]])}
    job = Job.asked(cls, sources, out, {**asked, **more})
    if "-" in sources:
        job = replace(job, sources=tuple(_stdin() if path == "-" else path for path in sources))
    stream = _stdout() if job.streams and not dry else None
    if dry:
        from mixcli.pipeline.estimate import describe, estimate

        click.echo(describe(estimate(job, console.report())))
        return
    from mixcli.pipeline.run import run

    told = click.get_current_context().obj
    told["left"] = CUT_SHORT if job.streams else ""
    with console:
        result = run(job, console.report(), stream)
    told["left"] = ""
    conclude(console, result)


def _stdin() -> Listed:
    """The files that `--in -` names."""
    from mixcli.sources.named_files import listed

    if sys.stdin.isatty():
        told = "find photos -type f | mixcli ... --in -"
        raise UsageError("reads file names, and stdin is a terminal", at="--in -", advice=told)
    return listed(sys.stdin.buffer)


def _stdout() -> Any:
    """Where `--out -` goes, unbuffered: what cannot be sent must not wait for the end of the process."""
    if sys.stdout.isatty():
        told = "pipe it on, as in ... --out - | tar tvf -"
        raise UsageError("writes a tar, and stdout is a terminal", at="--out -", advice=told)
    return open(sys.stdout.fileno(), "wb", buffering=0, closefd=False)


@click.group(cls=Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mixcli")
def main() -> None:
    """Turn a labelled dataset and a trained model into an offline mixed dataset.

    \b
    mixcli sagemix --in modelnet40.h5 --ckpt dgcnn.pt --out mixed.h5 -k 4
    mixcli inspect mixed.h5
    mixcli verify mixed.h5 --replay 16

    The repository's docs/ go step by step from published files to training.
    """


for _command in (
    commands.list_methods, commands.convert, commands.merge, commands.inspect, commands.verify, commands.view,
):  # fmt: skip
    main.add_command(_command)
