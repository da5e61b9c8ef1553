"""Saliency of rows to be drawn or scored, from source and checkpoint: the only part of looking that needs torch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import numpy as np

from mixcli.checks.replay import Made, job_of, remade
from mixcli.checks.selection import Selection, Shown, SourceSelection
from mixcli.errors import UsageError
from mixcli.methods import guided
from mixcli.models import Classifier
from mixcli.pipeline.engine import Engine
from mixcli.pipeline.report import Report
from mixcli.pipeline.run import open_engine
from mixcli.pipeline.setup import Setup


def with_saliency(
    selection: Selection | SourceSelection,
    shown: list[Shown],
    ckpt: str | None = None,
    trust: bool = False,
    progress: Callable[[int], None] = lambda clouds: None,
) -> tuple[list[Shown], Classifier | None]:
    """Rows with their saliency, which is mixed like their points, and the classifier, if one gave it.

    The mixes are made again, which tells the points of the parents that each of their points was made of.
    """
    setup = open_again(selection, ckpt, trust)
    with closing(open_engine(setup)) as engine:
        made = {}
        for one in remade(setup, engine, np.array([one.row for one in shown if len(one.parent) > 1], np.int64)):
            made[one.row] = one
            progress(1)
        alone = _saliency(setup, engine, np.unique([one.parent[0] for one in shown if one.row not in made]))
    return [_overlaid(one, made.get(one.row), alone) for one in shown], setup.model


def _overlaid(one: Shown, made: Made | None, alone: dict[int, np.ndarray]) -> Shown:
    if made is None:
        own = alone[one.parent[0]]
        return replace(one, saliency=own, parent_saliency=(own,))
    saliency, index = (
        None if tensor is None else tensor[0].cpu().numpy()  # of a group only the parents' maps are known
        for tensor in (made.mix.saliency, made.mix.by_field().get("point_source"))
    )
    parents = () if made.saliency is None else tuple(made.saliency)
    return replace(one, saliency=saliency, parent_saliency=parents, index=index)


def open_again(selection: Selection | SourceSelection, ckpt: str | None, trust: bool) -> Setup:
    """Source and checkpoint of a mixed dataset, as in the run that made it, with saliency even if that took none."""
    if not isinstance(selection, Selection) or selection.reader is None:
        raise UsageError(selection.note or "saliency needs a mixed dataset: its manifest names source and checkpoint")
    dataset = selection.dataset
    if dataset.recipe["model"] is None and not ckpt:
        raise UsageError(f"{dataset.path} was made without a model", advice="--ckpt gives one")
    job = job_of(dataset, selection.reader.source.paths, ckpt, trust)
    method = guided(job.method, job.method.traits.saliency or "gradient")
    return Setup(replace(job, method=method, keep=(), viewing=True), Report())


def _saliency(setup: Setup, engine: Engine, samples: np.ndarray) -> dict[int, np.ndarray]:
    """Saliency (N,) of each of these source samples."""
    if not len(samples):
        return {}
    values, labels = setup.reader.read(samples).values, setup.source.labels[samples]
    everyone = np.arange(len(samples))[None]
    work = engine.start(values, labels, everyone, everyone)  # of a cloud with itself the assignment costs nothing
    engine.wait(work, lambda _: None)
    return dict(zip(samples.tolist(), work.taken.maps, strict=True))
