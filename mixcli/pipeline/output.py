"""The dataset under construction: what is there of it already, what is added, and the step that makes it final."""

from __future__ import annotations

import os
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixcli.data.fields import Field
from mixcli.datasets.container import open_mixed, open_sink
from mixcli.datasets.digest import Digest, WindowDigest, runs
from mixcli.datasets.journal import Journal, journal_of
from mixcli.datasets.recipe import differences
from mixcli.datasets.recognise import replaceable
from mixcli.errors import MixError, UsageError
from mixcli.pipeline.plan import Plan, Window
from mixcli.pipeline.report import Report

if TYPE_CHECKING:
    from mixcli.files.picture_files import Encoding

BLOCK = 1024  # rows digested at a time


class Output:
    """`OUT.part` and its journal."""

    def __init__(self, out: Path, kind: str, fields: tuple[Field, ...], plan: Plan, how: Encoding | None = None):
        self.out, self.fields, self.plan = out, fields, plan
        self.sink = open_sink(out, fields, plan.rows, kind, how)
        self.journal_path = journal_of(self.sink.part)
        self.journal: Journal | None = None
        self.owned = False  # whether the part is this run's

    def finished(self, recipe: dict[str, Any], resume: bool, overwrite: bool) -> dict[str, Any] | None:
        """The manifest, if `--resume` finds this very dataset done. Without a flag nothing finished is touched."""
        if not os.path.lexists(self.out):
            return None
        if overwrite:
            replaceable(self.out)
            return None
        if not resume:
            raise UsageError(f"{self.out} exists; --overwrite replaces it, --resume accepts it if it is this very job")
        with closing(open_mixed(self.out)) as file:
            manifest = file.manifest()
        if other := differences(recipe, manifest["recipe"]):
            raise UsageError(f"--resume: {self.out} is of another job: {'; '.join(other)}; --overwrite replaces it")
        if not self.sink.part.exists():  # a run was killed right after the rename: clear up behind it
            self.sink.discard()
            self.journal_path.unlink(missing_ok=True)
        return manifest

    def open(self, resume: bool, overwrite: bool) -> bool:
        """Take the journal's lock -> whether an earlier run is to be continued."""
        self.journal = Journal(self.journal_path)
        self.journal.read()
        there = self.sink.part.exists()
        if there and not (self.journal.header or overwrite):
            raise UsageError(f"{self.sink.part} is in the way and has no usable journal; --overwrite replaces it")
        earlier = len(self.journal.records) if there else 0
        if earlier and not (resume or overwrite):
            raise UsageError(
                f"{self.sink.part} holds {earlier} windows of an earlier run; --resume goes on with them, --overwrite "
                "starts again"
            )
        return bool(earlier and resume)

    def begin(self, recipe: dict[str, Any], batch: int) -> None:
        """Lay out a new dataset."""
        self.sink.create()
        self.owned = True
        self.journal.start({"recipe": recipe, "layout": self.sink.layout, "batch": batch})

    def earlier_batch(self) -> int:
        """The batch that the earlier run had come down to."""
        return min([self.journal.header["batch"], *(r["batch"] for r in self.journal.records.values())])

    def resume(self, recipe: dict[str, Any], report: Report) -> None:
        """Go on with the earlier run; windows whose bytes are not those of the journal are made again."""
        header = self.journal.header
        if other := differences(recipe, header["recipe"]):
            raise UsageError(f"--resume: the earlier run was another: {'; '.join(other)}; --overwrite starts again")
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
    def records(self) -> dict[int, dict[str, Any]]:
        """What the journal says of each finished window."""
        return self.journal.records

    def todo(self) -> list[Window]:
        return [w for w in self.plan.windows if w.index not in self.journal.records]

    def _is_as_written(self, window: Window, sha256: str) -> bool:
        try:
            return window_digest(self.fields, self.plan, window, partial(self.sink.read, window.index)) == sha256
        except MixError:  # what is there of it cannot even be read
            return False

    def write(self, window: int, first: int, arrays: dict[str, np.ndarray], digest: WindowDigest) -> None:
        """Consecutive rows of a window, which its digest sees as they will be read."""
        digest.update(self.sink.write(window, first, arrays) or arrays)

    def finish_window(self, record: dict[str, Any]) -> None:
        """Its rows are written: make them durable, then say so."""
        self.sink.finish(record["window"])
        self.journal.add(record)

    def seal(self, manifest: dict[str, Any], class_names: tuple[str, ...] | None) -> None:
        """The last step: the final name, all at once."""
        self.sink.seal(manifest, class_names)
        self.journal.remove()
        self.journal = None

    def close(self) -> None:
        """Leave what can be resumed, and nothing else."""
        self.sink.close()
        if self.journal and not self.journal.records:
            if self.owned:
                self.sink.discard()
            self.journal.remove()
        elif self.journal:
            self.journal.close()


def window_digest(fields: tuple[Field, ...], plan: Plan, window: Window, read: Any) -> str:
    """SHA-256 of a window: its mixes, then its originals. read(first, count) -> rows of every field."""
    digest = Digest(fields)
    first, count = plan.first_row(window), len(window) * plan.mixes_per_sample
    for start in range(first, first + count, BLOCK):
        digest.update(read(start, min(BLOCK, first + count - start)))
    if plan.originals:
        for run in runs(np.sort(plan.original_rows(window))):
            digest.update(read(int(run[0]), len(run)))
    return digest.hexdigest()
