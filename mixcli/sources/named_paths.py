"""The paths that `--in` arguments name, each once."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from mixcli.errors import UsageError
from mixcli.files.regular import is_litter
from mixcli.sources.named_files import Listed


def matching(argument: str) -> list[Path]:
    """A file or a folder, or all that a pattern matches."""
    if argument and os.path.lexists(Path(argument)):
        return [Path(argument)]
    if not glob.has_magic(argument):
        raise UsageError("no such file or folder", at=f"--in {argument}")
    paths = sorted(path for path in map(Path, glob.glob(argument)) if not is_litter(path.name))
    if not paths:
        raise UsageError("no file matches", at=f"--in {argument}")
    return paths


def once(named: Sequence[Path | Listed], notes: list[str]) -> list[Path | Listed]:
    """Lists, then paths in a fixed order, each once, with a note if one was named more often."""
    lists = [p for p in named if isinstance(p, Listed)]
    files = [p for p in named if not isinstance(p, Listed)]
    places = [Path(os.path.realpath(path)) for path in files]  # which a circle of links does not stop
    paths = dict(zip(places, files, strict=True))
    if len(paths) < len(files):
        twice = next(path for i, path in enumerate(files) if places[i] in places[:i])
        notes.append(f"{twice}: named more than once, read once")
    return [*lists, *sorted(paths.values())]
