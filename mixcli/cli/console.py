"""Progress and notes on stderr, results on stdout."""

from __future__ import annotations

from typing import Any

import click


def verbosity(arguments: dict[str, Any]) -> tuple[bool, bool]:
    quiet, verbose = arguments.pop("quiet"), arguments.pop("verbose")
    click.get_current_context().find_root().obj["verbose"] = verbose
    return quiet, verbose


def say(text: str, err: bool = False) -> None:
    """Print text in which names and paths from files may stand: no control character reaches the terminal."""
    from mixcli.views.terminal import clean

    click.echo("\n".join(map(clean, text.split("\n"))), err=err)


class Console:
    """Progress and notes on stderr; a bar only on a terminal."""

    def __init__(self, quiet: bool):
        self.quiet, self.bar, self.unit = quiet, None, "row"

    def __enter__(self) -> Console:
        return self

    def __exit__(self, *_: Any) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def report(self) -> Any:
        from mixcli.pipeline.report import Report

        return Report(self.note, self.begin, self.progress, self.of)

    def note(self, text: str) -> None:
        if self.quiet:
            return
        if self.bar is not None:
            self.bar.clear()
        say(text, err=True)

    def of(self, unit: str) -> None:
        self.unit = unit

    def begin(self, total: int, done: int) -> None:
        from tqdm import tqdm

        how = {"unit": self.unit, "smoothing": 0.1, "leave": False}  # one that stays leaves an empty line
        self.bar = tqdm(total=total, initial=done, disable=self.quiet or None, **how)

    def progress(self, samples: int) -> None:
        if self.bar is not None:
            self.bar.update(samples)
