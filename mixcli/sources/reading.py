"""How the files of a source are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mixcli.errors import UsageError

SPLITS = ("auto", "train", "test", "all")


@dataclass(frozen=True)
class Reading:
    """How files are read; part of the recipe."""

    split: str = "auto"  # auto: the train split where the source tells train from test, else everything
    drop_background: bool = False  # points that ScanObjectNN's `mask` marks

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise UsageError(f"must be one of {', '.join(SPLITS)}", at=f"--split {self.split}")


def no_background(path: Path | str) -> UsageError:
    """What is wrong with `--drop-background` where nothing says which points are background."""
    return UsageError(f"{path} has no 'mask' as ScanObjectNN's files", at="--drop-background", advice="leave it out")
