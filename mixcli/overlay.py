"""Saliency of rows that are to be drawn, from source and checkpoint: the only part of viewing that needs torch."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from mixcli.engine import Engine
from mixcli.errors import UsageError
from mixcli.replay import job_of
from mixcli.report import Report
from mixcli.setup import Setup
from mixcli.shown import Selection, Shown


def with_saliency(
    selection: Selection, shown: list[Shown], ckpt: str | None = None, trust: bool = False
) -> list[Shown]:
    """Each row's saliency: λ_i of parent A's at point i and the rest of parent B's at its partner."""
    if not isinstance(selection, Selection) or selection.reader is None:
        raise UsageError(selection.note or "--color saliency needs a mixed dataset: its manifest names the checkpoint")
    dataset = selection.dataset
    if dataset.recipe["model"] is None and not ckpt:
        raise UsageError(f"{dataset.path} was made without a model; --ckpt gives one for --color saliency")
    job = job_of(dataset, [Path(p) for p in selection.reader.source.paths], ckpt, trust)
    setup = Setup(job, Report())
    samples = np.unique([i for one in shown for i in one.parent])
    clouds, at = setup.reader.read(samples), np.arange(len(samples))
    label = setup.source.labels[samples] if job.saliency_target == "label" else None
    with closing(Engine(job.method, setup.model, job.device, None, None, lambda _: None)) as engine:
        work = engine.start(clouds, label, at[None], at[None])
        engine.wait(work, lambda _: None)
    maps = dict(zip(samples.tolist(), work.saliency, strict=True))
    return [replace(one, saliency=_mixed(one, maps)) for one in shown]


def _mixed(one: Shown, maps: dict[int, np.ndarray]) -> np.ndarray:
    own = maps[one.parent[0]]
    if one.partner is None or one.lam is None:
        return own
    return one.lam * own + (1 - one.lam) * maps[one.parent[1]][one.partner]
