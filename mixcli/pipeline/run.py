"""The loop: windows of the source become rows of the output."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from io import RawIOBase
from pathlib import Path
from typing import Any

import numpy as np

from mixcli.data.mix import Mix
from mixcli.datasets.digest import WindowDigest, runs
from mixcli.datasets.journal import Record
from mixcli.errors import BadSample, UsageError
from mixcli.pipeline.engine import Draws, Engine, Work, choose_device
from mixcli.pipeline.job import Job, check_out
from mixcli.pipeline.kinds.tensors import Feed
from mixcli.pipeline.manifest import Story, accuracy, assemble, recipe_of, skipped
from mixcli.pipeline.output import Output
from mixcli.pipeline.part_output import PartOutput
from mixcli.pipeline.plan import Window
from mixcli.pipeline.report import Report
from mixcli.pipeline.rows import parents_of
from mixcli.pipeline.setup import Setup
from mixcli.saliency.points import NonFinite


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
    output, recipe = _output(setup, stream), recipe_of(setup)
    if manifest := output.finished(recipe, job.resume, job.overwrite):
        report.note(f"{job.out} is finished already")
        return Result(job.out, manifest["rows"], manifest)
    with closing(output):
        earlier = output.open(job.resume, job.overwrite)
        batch = job.batch_size if earlier is None else earlier
        with closing(open_engine(setup, batch, report.note)) as engine:
            if earlier is None:
                output.begin(recipe, engine.batch)
            else:
                output.resume(recipe, report)
            resumed = len(output.records)
            try:
                Loop(setup, output, engine, report).run()
                setup.reader.tell()
                setup.watched.check()
            except BaseException:
                if kept := output.kept():
                    report.note(kept)
                raise
        story = Story(
            recipe=recipe,
            started=began.isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - clock, 3),
            resumed_windows=resumed,
            device=engine.device_name,
            workers=engine.workers,
            assignment=engine.solver,
        )
        manifest = assemble(setup, output.records, story)
        output.seal(manifest, setup.source.class_names)
    return Result(job.out, setup.plan.rows, manifest)


def _output(setup: Setup, stream: RawIOBase | None) -> Output:
    job = setup.job
    if not job.streams:
        return PartOutput(job.out, job.container, setup.fields, setup.plan, job.encoding)
    if stream is None or job.manifest is None:
        what = "the command line streams to its stdout"
        raise UsageError(what, at="--out -", advice="from Python name a file or a folder")
    from mixcli.pipeline.stream_output import StreamOutput

    return StreamOutput(stream, job.manifest, setup.fields, setup.plan, job.encoding)


def open_engine(setup: Setup, batch: int | None = None, note: Callable[[str], None] = lambda sentence: None) -> Engine:
    """The engine of a job."""
    job = setup.job
    feed = Feed(
        method=job.method,
        device=choose_device(job.device),
        model=setup.model,
        target=job.saliency_target,
        normalize=job.normalize or "none",
        norm=job.norm,
        layer=job.layer,
        keep=job.carried,
    )
    return Engine(setup.kind.tensors(setup.settled, feed), workers=job.workers, batch=batch, note=note)


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
        values = self.setup.reader.read(window.samples).values
        return self.engine.start(values, self.source.labels[window.samples], *self.setup.parents(window))

    def _finish(self, window: Window, work: Work, idle: bool) -> None:
        """Mix and write a window, then name it in the journal."""
        self._wait(window, work)
        if work.b is None:
            work.b = self.setup.greedy(window, work.taken.maps)
        digest, row = WindowDigest(self.setup.fields), self.plan.first_row(window)

        def rows(round_: int, pairs: slice, mixes: Sequence[Mix]) -> dict[str, np.ndarray]:
            sides = work.sides(round_, pairs)[: min(self.setup.traits.parents, 2)]
            samples = np.stack([window.samples[side] for side in sides], 1)
            return self.setup.row_maker.mixed(mixes, np.stack([parents_of(mix, samples) for mix in mixes], 1))

        draws = Draws(self.job.seed, window.index, self.job.k)
        for arrays in self.engine.mixes(work, draws, rows, idle):
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
            reason = f"the model's output or gradient for this {kind.one} is not finite"
            raise BadSample(path, index, reason, kind.not_finite) from e

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
            arrays = self.setup.row_maker.originals(self.engine.unmixed(work, at), window.samples[at])
            self._write(window, int(run_[0]), arrays, digest)

    def _record(self, window: Window, work: Work, digest: WindowDigest) -> Record:
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
            self.hint = self.engine.hint(work)
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
        model = self.setup.model
        if model is None or not self._is_poor():
            return
        measured = accuracy(self.setup, self.output.records)
        what = "points" if model.task == "segment" else "source samples"
        self.report.note(
            f"warning: the checkpoint labels only {measured['accuracy']:.1%} of {measured['judged']:,} {what} rightly "
            f"(chance is {self.setup.chance:.1%}); likely causes: another class order, "
            f"{self.hint or self.setup.kind.causes}"
        )
