"""What a job would do and how long it would take, from one batch."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from mixcli.pipeline.engine import Draws
from mixcli.pipeline.job import Job, check_out
from mixcli.pipeline.report import Report
from mixcli.pipeline.run import open_engine
from mixcli.pipeline.setup import Setup

TRIAL = 8  # pairs


def estimate(job: Job, report: Report) -> dict[str, Any]:
    """Counts, bytes and seconds of a job, nothing written. The seconds come from a few samples of the first window."""
    check_out(job.out, job.folder)
    setup = Setup(job, report)
    job = setup.job
    check_out(job.out, job.folder, setup.source.paths)
    setup.plan.check()
    plan = setup.plan
    told = {
        "method": setup.traits.name,
        "samples": plan.samples,
        "classes": setup.classes,
        "windows": len(plan.windows),
        "pairs": plan.samples * job.partners,
        "rows": plan.rows,
        "bytes": plan.rows * sum(f.row_bytes for f in setup.fields),
        "out": str(job.out),
        "points": job.points,
        "size": job.size and "x".join(map(str, job.size)),
    }
    if setup.model:
        options = "".join(f" {k}={v}" for k, v in setup.model.options.items())
        told["model"] = f"{setup.model.name}{options} ({setup.model.path})"
    if plan.windows:
        told |= _trial(job, setup)
    return told


def _trial(job: Job, setup: Setup) -> dict[str, Any]:
    """Time some pairs of the first window: once to compile and warm up, once to measure."""
    engine = open_engine(setup, job.batch_size)
    try:
        samples = setup.plan.windows[0].samples[: max(TRIAL, engine.batch)]
        values = setup.reader.read(samples).values
        for _ in range(2):
            began = time.monotonic()
            at = np.arange(len(samples))
            work = engine.start(values, setup.source.labels[samples], at[None], np.roll(at, 1)[None])
            engine.wait(work, lambda _: None)
            saliency_and_assignment = time.monotonic() - began
            began = time.monotonic()
            for _ in engine.mixes(work, Draws(job.seed, window=0, k=1), lambda *_: None, idle=True):
                pass
            mixing = time.monotonic() - began
    finally:
        engine.close()
    share = setup.plan.samples / len(samples)
    seconds = share * (saliency_and_assignment + mixing * setup.plan.mixes_per_sample)
    facts = {"device": engine.device_name, "workers": engine.workers, "batch": engine.batch}
    return {**facts, "seconds": round(seconds, 1)}


def describe(told: dict[str, Any]) -> str:
    """The plan as a table of two columns."""
    words = {
        **told,
        "bytes": f"{told['bytes'] / 1e6:,.1f} MB",
        "seconds": f"{told['seconds']:,.0f} s (about, from one batch)" if "seconds" in told else None,
    }
    lines = (
        f"{name:<9} {value:,}" if isinstance(value, int) else f"{name:<9} {value}"
        for name, value in words.items()
        if value is not None
    )
    return "\n".join(lines)
