"""The journal beside an unfinished dataset: a header that says what is being made, then one line a finished window.

A line is written after the window's data is on the disk, so what the journal names can be trusted as far as its
digest can be checked. A line cut short by a kill is no line.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, TypedDict

from mixcli.datasets.digest import Digests
from mixcli.datasets.place import PART, part_of
from mixcli.datasets.system import lock
from mixcli.errors import UsageError


class Header(TypedDict, total=False):
    """What is being made; empty where there is no journal yet."""

    recipe: dict[str, Any]
    layout: dict[str, Any]  # of the sink
    batch: int  # samples in one model call


class Record(Digests):
    """One finished window."""

    window: int
    first_row: int
    rows: int
    batch: int
    judged: int  # predictions that can be right or wrong
    correct: int  # of those
    uniform_saliency: int  # samples
    pairing_fallback: int  # pairs
    skipped: list[dict[str, Any]]  # entries of the manifest


class Journal:
    """Append-only lines of JSON, held under a lock while a run writes."""

    def __init__(self, path: Path):
        self.path = path
        self.header: Header = {}
        self.records: dict[int, Record] = {}
        if path.is_symlink():
            reason = "is a symbolic link, which mixcli does not write through"
            raise UsageError(reason, at=path, advice="remove it")
        self.file = open(path, "a+b")  # noqa: SIM115 - open for the life of the run: the lock hangs on it
        try:
            lock(self.file)
        except OSError as e:
            self.file.close()
            reason = "another mixcli run is writing this dataset"
            raise UsageError(reason, at=path, advice="wait for it or stop it") from e

    def read(self) -> None:
        """Header and finished windows; whatever follows the last whole line is cut off."""
        self.file.seek(0)
        whole = 0
        for line in self.file:
            if not line.endswith(b"\n"):
                break
            entry = _parsed(line, RECORD if self.header else HEADER)
            if entry is None:
                break
            whole += len(line)
            if self.header:
                self.records[entry["window"]] = entry
            else:
                self.header = entry
        self.file.truncate(whole)

    def start(self, header: Header) -> None:
        """A new journal, whatever was in it."""
        self.file.truncate(0)
        self.header, self.records = header, {}
        self._append(header)

    def add(self, record: Record) -> None:
        """`record["window"]` is finished and its data is on the disk."""
        self.records[record["window"]] = record
        self._append(record)

    def _append(self, entry: Header | Record) -> None:
        self.file.write(json.dumps(entry).encode() + b"\n")
        self.file.flush()
        os.fsync(self.file.fileno())

    def close(self) -> None:
        self.file.close()

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.close()


def journal_of(part: Path) -> Path:
    return part.with_name(part.name + ".journal")


def check_there(path: Path) -> None:
    """UsageError where no dataset has this name."""
    check_finished(path)
    if not path.exists():
        raise UsageError("no such dataset", at=path)


def check_finished(path: Path) -> None:
    """UsageError where the name is that of a dataset under construction, or of what it will be."""
    part = path if os.path.lexists(path) else part_of(path)
    if not (os.path.lexists(part) and part.suffix == PART and journal_of(part).exists()):
        return
    if journal_of(part).stat().st_size:
        how = "wait for the run that writes it, or --resume goes on with it"
    else:  # nothing of a merge or a copy is kept for later
        how = "wait for the command that writes it, or run it again"
    raise UsageError("unfinished" if part == path else f"unfinished ({part})", at=path, advice=how)


# What a line must hold; a line without it is none, and its window is made again.
HEADER = {"recipe": dict, "layout": dict, "batch": int}
RECORD = {
    "window": int, "first_row": int, "rows": int, "sha256": str, "batch": int, "judged": int, "correct": int,
    "uniform_saliency": int, "pairing_fallback": int, "skipped": list,
}  # fmt: skip


def _parsed(line: bytes, needs: dict[str, type]) -> Any:
    """What a line holds, or None where it is no whole line of this sort."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(entry, dict) and all(isinstance(entry.get(name), kind) for name, kind in needs.items())
    return entry if whole else None
