"""The dataset under construction on a disk: what is there of it already, what is added, and the step to its name."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixcli.data.fields import Field
from mixcli.datasets.container import open_mixed, open_sink
from mixcli.datasets.digest import Digest, WindowDigest, runs
from mixcli.datasets.journal import Journal, Record, journal_of
from mixcli.datasets.recipe import differences
from mixcli.datasets.recognise import replaceable
from mixcli.errors import MixError, UsageError
from mixcli.pipeline.plan import Plan, Window
from mixcli.pipeline.report import Report

if TYPE_CHECKING:
    from mixcli.files.picture_files import Encoding

BLOCK = 1024  # rows digested at a time


class PartOutput:
    """See Output: `OUT.part` and its journal."""

    def __init__(self, out: Path, kind: str, fields: tuple[Field, ...], plan: Plan, how: Encoding | None = None):
        self.out, self.fields, self.plan = out, fields, plan
        self.sink = open_sink(out, fields, plan.rows, kind, how)
        self.journal_path = journal_of(self.sink.part)
        self.opened: Journal | None = None
        self.owned = False  # whether the part is this run's

    @property
    def journal(self) -> Journal:
        """From `open` to `seal`."""
        if self.opened is None:
            raise AssertionError("the journal is not open")
        return self.opened

    def finished(self, recipe: dict[str, Any], resume: bool, overwrite: bool) -> dict[str, Any] | None:
        """See Output. Without a flag nothing finished is touched."""
        if not os.path.lexists(self.out):
            return None
        if overwrite:
            replaceable(self.out)
            return None
        if not resume:
            how = "--overwrite replaces it, --resume accepts it if it is this very job"
            raise UsageError(f"{self.out} exists", advice=how)
        with closing(open_mixed(self.out)) as file:
            manifest = file.manifest()
        if other := differences(recipe, manifest["recipe"]):
            what = f"{self.out} is of another job: {'; '.join(other)}"
            raise UsageError(what, at="--resume", advice="--overwrite replaces it")
        if not self.sink.part.exists():  # a run was killed right after the rename: clear up behind it
            self.sink.discard()
            self.journal_path.unlink(missing_ok=True)
        return manifest

    def open(self, resume: bool, overwrite: bool) -> int | None:
        """See Output. Takes the journal's lock."""
        journal = self.opened = Journal(self.journal_path)
        journal.read()
        there = self.sink.part.exists()
        if there and not (journal.header or overwrite):
            what = f"{self.sink.part} is in the way and has no usable journal"
            raise UsageError(what, advice="--overwrite replaces it")
        earlier = len(journal.records) if there else 0
        if earlier and not (resume or overwrite):
            raise UsageError(
                f"{self.sink.part} holds {earlier} windows of an earlier run",
                advice="--resume goes on with them, --overwrite starts again",
            )
        if not (earlier and resume):
            return None
        return min([journal.header["batch"], *(r["batch"] for r in journal.records.values())])

    def begin(self, recipe: dict[str, Any], batch: int) -> None:
        """See Output."""
        self.sink.create()
        self.owned = True
        self.journal.start({"recipe": recipe, "layout": self.sink.layout, "batch": batch})

    def resume(self, recipe: dict[str, Any], report: Report) -> None:
        """See Output. Windows whose bytes are not those of the journal are made again."""
        header = self.journal.header
        if other := differences(recipe, header["recipe"]):
            what = f"the earlier run was another: {'; '.join(other)}"
            raise UsageError(what, at="--resume", advice="--overwrite starts again")
        self.sink.reopen(header["layout"])
        self.owned = True
        if self.sink.layout != header["layout"]:
            self._renew_header()
        self._drop_what_is_no_window()
        for window in self.plan.windows:
            record = self.journal.records.get(window.index)
            if record and not self._is_as_written(window, record["sha256"]):
                del self.journal.records[window.index]
                report.note(f"window {window.index} is not as the journal says; it is made again")
        report.note(f"resuming: {len(self.journal.records)} of {len(self.plan.windows)} windows are there")

    def _drop_what_is_no_window(self) -> None:
        """Records that do not fit the plan are of no run of it."""
        sizes = {w.index: (self.plan.first_row(w), len(w)) for w in self.plan.windows}
        for index, record in list(self.journal.records.items()):
            first, size = sizes.get(index, (None, 0))
            fits = record["first_row"] == first and record["rows"] == size * self.plan.mixes_per_sample
            if not (fits and 0 <= record["correct"] <= record["judged"] and record["batch"] > 0):
                del self.journal.records[index]

    def _renew_header(self) -> None:
        records = dict(self.journal.records)
        self.journal.start({**self.journal.header, "layout": self.sink.layout})
        for record in records.values():
            self.journal.add(record)

    @property
    def records(self) -> dict[int, Record]:
        """See Output."""
        return self.journal.records

    def todo(self) -> list[Window]:
        """See Output."""
        return [w for w in self.plan.windows if w.index not in self.journal.records]

    def _is_as_written(self, window: Window, sha256: str) -> bool:
        try:
            return window_digest(self.fields, self.plan, window, partial(self.sink.read, window.index)) == sha256
        except MixError:  # what is there of it cannot even be read
            return False

    def write(self, window: int, first: int, arrays: dict[str, np.ndarray], digest: WindowDigest) -> None:
        """See Output."""
        digest.update(self.sink.write(window, first, arrays))

    def finish_window(self, record: Record) -> None:
        """See Output: its rows are made durable, then the journal says so."""
        self.sink.finish(record["window"])
        self.journal.add(record)

    def seal(self, manifest: dict[str, Any], class_names: tuple[str, ...] | None) -> None:
        """See Output: the final name, all at once."""
        self.sink.seal(manifest, class_names)
        self.journal.remove()
        self.opened = None

    def kept(self) -> str:
        """See Output."""
        kept = len(self.records)
        told = f"{kept} of {len(self.plan.windows)} windows are kept in {self.sink.part}; --resume goes on from there"
        return told if kept else ""

    def close(self) -> None:
        """See Output: what can be resumed is left, and nothing else."""
        self.sink.close()
        if self.opened and not self.opened.records:
            if self.owned:
                self.sink.discard()
            self.opened.remove()
        elif self.opened:
            self.opened.close()


Read = Callable[[int, int], dict[str, np.ndarray]]  # first row, count -> rows of every field


def window_digest(fields: tuple[Field, ...], plan: Plan, window: Window, read: Read) -> str:
    """SHA-256 of a window: its mixes, then its originals."""
    digest = Digest(fields)
    first, count = plan.first_row(window), len(window) * plan.mixes_per_sample
    for start in range(first, first + count, BLOCK):
        digest.update(read(start, min(BLOCK, first + count - start)))
    if plan.originals:
        for run in runs(np.sort(plan.original_rows(window))):
            digest.update(read(int(run[0]), len(run)))
    return digest.hexdigest()
