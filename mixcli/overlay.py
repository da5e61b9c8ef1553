"""Saliency of rows to be drawn or scored, from source and checkpoint: the only part of looking that needs torch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mixcli.engine import Engine
from mixcli.errors import UsageError
from mixcli.replay import job_of
from mixcli.report import Report
from mixcli.setup import Setup
from mixcli.shown import Selection, Shown, SourceSelection


def with_saliency(
    selection: Selection | SourceSelection,
    shown: list[Shown],
    ckpt: str | None = None,
    trust: bool = False,
    progress: Callable[[int], None] = lambda clouds: None,
) -> tuple[list[Shown], Any]:
    """Rows with their saliency, and the classifier: λ_i of parent A's at point i, the rest of B's at its partner."""
    setup = open_again(selection, ckpt, trust)
    maps = parents_saliency(setup, np.unique([i for one in shown for i in one.parent]), progress)
    found = []
    for one in shown:
        own, other = (maps.get(i) for i in (one.parent[0], one.parent[-1]))
        if one.partner is not None and one.lam is not None:
            own = one.lam * own + (1 - one.lam) * other[one.partner]
        found.append(replace(one, saliency=own, parent_saliency=tuple(maps[i] for i in one.parent)))
    return found, setup.model


def open_again(selection: Selection | SourceSelection, ckpt: str | None, trust: bool) -> Setup:
    """Source and checkpoint of a mixed dataset, as in the run that made it."""
    if not isinstance(selection, Selection) or selection.reader is None:
        raise UsageError(selection.note or "saliency needs a mixed dataset: its manifest names source and checkpoint")
    dataset = selection.dataset
    if dataset.recipe["model"] is None and not ckpt:
        raise UsageError(f"{dataset.path} was made without a model; --ckpt gives one")
    return Setup(job_of(dataset, [Path(p) for p in selection.reader.source.paths], ckpt, trust), Report())


def parents_saliency(setup: Setup, samples: np.ndarray, progress: Callable[[int], None]) -> dict[int, np.ndarray]:
    """Saliency (N,) of each of these source samples."""
    clouds, job = setup.reader.read(samples), setup.job
    label = setup.source.labels[samples] if job.saliency_target == "label" else None
    everyone = np.arange(len(samples))[None]
    with closing(Engine(job.method, setup.model, job.device, None, None, lambda _: None)) as engine:
        work = engine.start(clouds, label, everyone, everyone)  # of a cloud with itself the assignment costs nothing
        engine.wait(work, progress)
    return dict(zip(samples.tolist(), work.saliency, strict=True))
