"""The loop: windows of the source become rows of the output."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from io import RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixcli.data.points import Mixed
from mixcli.errors import BadSample, UsageError
from mixcli.pipeline.engine import Engine, Work
from mixcli.pipeline.job import Job, check_out
from mixcli.pipeline.manifest import accuracy, assemble, skipped
from mixcli.pipeline.output import Output, WindowDigest, runs
from mixcli.pipeline.plan import Window
from mixcli.pipeline.report import Report
from mixcli.pipeline.rows import mixed_rows, original_rows, parents_of
from mixcli.pipeline.setup import Setup
from mixcli.saliency.points import NonFinite

if TYPE_CHECKING:
    from mixcli.pipeline.stream_output import StreamOutput


@dataclass
class Result:
    """What a run made."""

    path: Path
    rows: int
    manifest: dict[str, Any] = field(repr=False)


def mix(
    method: str,
    source: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    report: Report | None = None,
    **arguments: Any,
) -> Result:
    """Mix a dataset: `mix("sagemix", "modelnet40.h5", "mixed.h5", ckpt="dgcnn.pt", k=4, sigma=0.3)`.

    Arguments are the options of the method, and of a run (`mixcli.settings.run`), as on the command line; errors are
    `mixcli.errors.MixError` with one sentence.
    """
    from mixcli.methods import get

    return run(Job.asked(get(method), source, out, arguments), report or Report())


def run(job: Job, report: Report, stream: RawIOBase | None = None) -> Result:
    """Do the job from start to end, or go on where an earlier run of it stopped.

    stream: where the dataset goes if the job's `out` is "-"; unbuffered.
    """
    began, clock = datetime.datetime.now(datetime.UTC), time.monotonic()
    check_out(job.out, job.folder)
    setup = Setup(job, report)
    job = setup.job
    check_out(job.out, job.folder, setup.source.paths)
    setup.plan.check()
    output = _output(job, setup, stream)
    if manifest := output.finished(setup.recipe, job.resume, job.overwrite):
        report.note(f"{job.out} is finished already")
        return Result(job.out, manifest["rows"], manifest)
    with closing(output):
        earlier = output.open(job.resume, job.overwrite)
        batch = output.earlier_batch() if earlier else job.batch_size
        with closing(open_engine(setup, batch, report.note)) as engine:
            if earlier:
                output.resume(setup.recipe, report)
            else:
                output.begin(setup.recipe, engine.batch)
            resumed = len(output.records)
            try:
                Loop(setup, output, engine, report).run()
            except BaseException:
                _say_what_is_kept(output, report)
                raise
        seconds = round(time.monotonic() - clock, 3)
        story = {"started": began.isoformat(timespec="seconds"), "seconds": seconds, "resumed_windows": resumed}
        manifest = assemble(setup, output.records, engine, story)
        output.seal(manifest, setup.source.class_names)
    return Result(job.out, setup.plan.rows, manifest)


def _output(job: Job, setup: Setup, stream: RawIOBase | None) -> Output | StreamOutput:
    if not job.streams:
        return Output(job.out, job.container, setup.fields, setup.plan, job.encoding)
    if stream is None:
        raise UsageError("--out -: the command line streams to its stdout; from Python name a file or a folder")
    from mixcli.pipeline.stream_output import StreamOutput

    return StreamOutput(stream, job.manifest, setup.fields, setup.plan, job.encoding)


def open_engine(setup: Setup, batch: int | None = None, note: Callable[[str], None] = lambda sentence: None) -> Engine:
    """The engine of a job."""
    job = setup.job
    return Engine(
        job.method, setup.model, job.device, job.workers, batch, job.saliency_target, job.carried, job.normalize,
        job.norm, note, job.layer,
    )  # fmt: skip


def _say_what_is_kept(output: Output | StreamOutput, report: Report) -> None:
    kept = len(output.records)
    if kept and isinstance(output, Output):
        part = output.sink.part
        report.note(f"{kept} of {len(output.plan.windows)} windows are kept in {part}; --resume goes on from there")


GOOD = 0.9  # accuracy from which nobody asks whether another preset would do better


class Loop:
    """One pass over the windows that are not there yet."""

    def __init__(self, setup: Setup, output: Output, engine: Engine, report: Report):
        self.setup, self.output, self.engine, self.report = setup, output, engine, report
        self.plan, self.source, self.job = setup.plan, setup.source, setup.job
        self.hint = ""  # what the first window says about a poor accuracy

    def run(self) -> None:
        """A window's mixes are made and written here while the workers are on the next window."""
        todo = self.output.todo()
        self.report.begin(self.plan.samples, self.plan.samples - sum(map(len, todo)))
        if todo:
            self.setup.reader.load(self.job.on_error)
        ahead = None
        for window in [*todo, None]:
            following = (window, self._start(window)) if window is not None else None
            if ahead:
                self._finish(*ahead, idle=following is None)
            ahead = following
        self._warn_if_poor()

    def _start(self, window: Window) -> Work:
        clouds = self.setup.reader.read(window.samples)
        return self.engine.start(clouds, self.source.labels[window.samples], *self.setup.parents(window))

    def _finish(self, window: Window, work: Work, idle: bool) -> None:
        """Mix and write a window, then name it in the journal."""
        self._wait(window, work)
        if work.b is None:
            work.b = self.setup.greedy(window, work.saliency)
        digest, row = WindowDigest(self.setup.fields), self.plan.first_row(window)

        def rows(round_: int, pairs: slice, mixes: list[Mixed]) -> dict[str, np.ndarray]:
            sides = (work.a, work.b)[: min(self.setup.traits.parents, 2)]
            sides = np.stack([window.samples[side[round_, pairs]] for side in sides], 1)
            parent = np.stack([parents_of(mix, sides) for mix in mixes], 1)
            return mixed_rows(mixes, parent, self.source, self.setup.classes, self.setup.fields)

        for arrays in self.engine.mixes(work, window.index, self.job.k, self.job.seed, rows, idle):
            row += self._write(window, row, arrays, digest)
        if self.plan.originals:
            self._write_originals(window, work, digest)
        self.output.finish_window(self._record(window, work, digest))
        if len(self.output.records) == 1:
            self._advise(work)

    def _wait(self, window: Window, work: Work) -> None:
        try:
            self.engine.wait(work, self.report.progress)
        except NonFinite as e:
            path, index = self.source.address(int(window.samples[e.rows[0]]))
            kind = self.setup.kind
            reason = f"the model's output or gradient for this {kind.ONE} is not finite"
            raise BadSample(path, index, reason, kind.NOT_FINITE) from e

    def _write(self, window: Window, row: int, arrays: dict[str, np.ndarray], digest: WindowDigest) -> int:
        self.output.write(window.index, row, arrays, digest)
        return len(arrays["data"])

    def _write_originals(self, window: Window, work: Work, digest: WindowDigest) -> None:
        """The window's own samples, at their rows behind all mixes, in source order."""
        rows, position = self.plan.original_rows(window), self.setup.stand_ins(window)
        order = np.argsort(rows)
        for run_ in runs(rows[order]):
            at = position[order[: len(run_)]]
            order = order[len(run_) :]
            saliency = None if work.saliency is None else work.saliency[at]
            found = self.setup.kind.unmixed(work.values[at], saliency)
            arrays = original_rows(found, window.samples[at], self.source, self.setup.classes, self.setup.fields)
            self._write(window, int(run_[0]), arrays, digest)

    def _record(self, window: Window, work: Work, digest: WindowDigest) -> dict[str, Any]:
        """The journal's line: what the manifest will need to know of this window."""
        return {
            "window": window.index,
            "first_row": self.plan.first_row(window),
            "rows": len(window) * self.plan.mixes_per_sample,
            **digest.entries(),
            "batch": work.batch,
            "judged": int(work.judged.sum()),
            "correct": int(work.correct.sum()),
            "uniform_saliency": int(work.uniform.sum()),
            "pairing_fallback": self.setup.fallbacks(window),
            "skipped": skipped(self.setup, window, self.setup.stand_ins(window)),
        }

    def _advise(self, work: Work) -> None:
        """What the first window tells of how the model is fed: now, not only in the morning."""
        if self._accuracy() < GOOD:
            self.hint = self.setup.kind.hint(self.engine, work)
        if self._is_poor():
            if len(self.plan.windows) > 1:
                self._warn_if_poor()
        elif self.hint:
            self.report.note(f"the checkpoint may do better with {self.hint}")

    def _accuracy(self) -> float:
        """So far; 1 where there is nothing to measure."""
        share = accuracy(self.setup, self.output.records)["accuracy"]
        return 1.0 if share is None else share

    def _is_poor(self) -> bool:
        """Under chance + ¼(1 - chance) something is wrong with how the model is fed."""
        chance = self.setup.chance
        return self._accuracy() < chance + (1 - chance) / 4

    def _warn_if_poor(self) -> None:
        if not self._is_poor():
            return
        measured = accuracy(self.setup, self.output.records)
        what = "points" if self.setup.model.task == "segment" else "source samples"
        self.report.note(
            f"warning: the checkpoint labels only {measured['accuracy']:.1%} of {measured['judged']:,} {what} rightly "
            f"(chance is {self.setup.chance:.1%}); likely causes: another class order, "
            f"{self.hint or self.setup.kind.HINT}"
        )
