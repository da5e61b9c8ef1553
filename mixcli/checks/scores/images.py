"""How good mixed images are, in the eyes of a checkpoint.

Recognised: how often its first guess is the class of a parent (`top1`), and how often it is right on the parents
themselves (`parents_top1`), which is what to compare with. Order: how often its first two guesses are the two classes
with the largest shares (`top2`), of the mixes that have two. Saliency kept: the share of each parent's saliency, which
is the checkpoint's gradient, that lies where the mix shows this parent: Σ M s_a and Σ (1 - M) T(s_b), with the mask M
and b moved by T; null where these do not tell, as of pieces that are moved or stretched. Diversity: the mean absolute
difference of one mix of a pair and its next. Near-copies: mixes whose mean absolute difference to a parent is below
`near_level`. Differences are in levels of 255.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mixcli.checks.replay import job_of
from mixcli.checks.scores.common import PAIRS, Asked, fit, worst
from mixcli.checks.scores.image_window import Case, Judge, Window
from mixcli.checks.selection import Selection
from mixcli.datasets.dataset import Dataset, spread
from mixcli.errors import UsageError
from mixcli.methods import guided
from mixcli.pipeline.engine import choose_device
from mixcli.pipeline.kinds.images_tensors import ImageTensors
from mixcli.pipeline.kinds.tensors import Feed
from mixcli.pipeline.report import Report
from mixcli.pipeline.run import open_engine
from mixcli.pipeline.setup import Setup, load_model
from mixcli.settings import normalize

WINDOWS = 8  # that are read again unless all are: no mix can be made without its window
NEAR_LEVEL = 2.0  # of 255
KNOWN = 0.9  # share of mixes whose masks must tell where a parent is


def measure(selection: Selection, asked: Asked, report: Report) -> dict[str, Any]:
    """What is measured of the mixes of some pairs, or of all of them."""
    dataset = selection.dataset
    setup, judge = opened(selection, asked)
    windows = list(rows_by_window(dataset, asked.full))
    parents = [np.unique(p[p >= 0]) for p in (dataset.file.take("parent", rows) for rows in windows)]
    report.of("image")
    report.begin(sum(map(len, parents)) + 2 * sum(map(len, windows)), 0)
    with closing(judge.engine), closing(open_engine(setup)) as maker:
        setup.reader.load("skip")
        case = Case(dataset, setup, judge, maker, report)
        measured = [Window(case, rows, samples).measured() for rows, samples in zip(windows, parents, strict=True)]
    measures = {name: np.concatenate([part[name] for part in measured]) for name in measured[0]}
    summary = _summary(np.concatenate(windows), measures, judge)
    why = None if summary["saliency_kept"] else _why_unknown(setup, measures["again"])
    return summary | {"saliency_unknown": why}


def _why_unknown(setup: Setup, again: np.ndarray) -> str:
    """Why nothing tells how much saliency the mixes keep. again (m,): which came out as they are stored."""
    traits = setup.traits
    if again.mean() < KNOWN:
        return "made again, too few of the mixes come out as they are stored"
    if traits.moves:
        return f"{traits.name} moves pieces, so no mask tells whose saliency a pixel carries"
    if not traits.mask:
        return f"{traits.name} has no mask that tells where a parent is"
    return "the masks do not tell where the parents are"


def opened(selection: Selection, asked: Asked) -> tuple[Setup, Judge]:
    """What makes the mixes again, and the checkpoint that judges them, which may be another one."""
    dataset, reader = selection.dataset, selection.reader
    if reader is None:
        raise UsageError("scores need the source", at=dataset.path, advice=selection.note)
    told = dataset.manifest["checkpoint"]
    if not (told or asked.ckpt):
        raise UsageError(
            "was made without a checkpoint",
            at=dataset.path,
            advice="--ckpt gives one to score it with, and --normalize says what its images were normalised by",
        )
    own = told["path"] if told and Path(told["path"]).is_file() else asked.ckpt if told else None
    setup = Setup(job_of(dataset, reader.source.paths, own, asked.trust), Report())
    job = replace(setup.job, ckpt=asked.ckpt or told["path"])
    preset = asked.normalize or job.normalize or "none"
    normalize.parse(preset)  # a wrong one is told before any work
    model = load_model(job, setup.kind)
    feed = Feed(
        method=guided(job.method, "gradient"),
        device=choose_device(job.device),
        model=model,
        target=job.saliency_target if model.classes == setup.classes else "predicted",
        normalize=preset,
        norm=job.norm,
    )
    return setup, Judge(ImageTensors(feed))


def rows_by_window(dataset: Dataset, full: bool) -> Iterator[np.ndarray]:
    """Rows of whole pairs: of all, or of `PAIRS` that are spread over `WINDOWS` windows."""
    k = dataset.recipe["k"]
    windows = [dataset.windows[i] for i in spread(len(dataset.windows), None if full else WINDOWS)]
    spans = [(window.first, window.rows) for window in windows]
    pairs = np.concatenate([np.arange(first, first + rows, k) for first, rows in spans])
    pairs = pairs[spread(len(pairs), None if full else PAIRS)]
    for first, rows in spans:
        mine = pairs[(pairs >= first) & (pairs < first + rows)]
        if len(mine):
            yield (mine[:, None] + np.arange(k)).ravel()


def _summary(rows: np.ndarray, measures: dict[str, np.ndarray], judge: Judge) -> dict[str, Any]:
    known = "kl" in measures  # else the checkpoint's classes are not the dataset's
    return {
        "rows_scored": len(rows),
        "checkpoint": judge.feed.network.path,
        "normalize": judge.feed.normalize,
        "top1": _mean(measures.get("hit")),
        "parents_top1": _mean(measures["parent_right"]) if known else None,
        "top2": _mean(measures.get("order")),
        "cross_entropy_mean": _mean(measures.get("entropy")),
        "kl_mean": _mean(measures.get("kl")),
        "saliency_kept": _kept(measures["kept"]),
        "diversity": _mean(measures["between"]),
        "near_copies": _mean(measures["away"] < NEAR_LEVEL),
        "near_level": NEAR_LEVEL,
        "parent_distance": _mean(measures["away"]),
        "worst": worst(rows, measures["kl"]) if known else [],
    }


def _mean(values: np.ndarray | None) -> float | None:
    """Of those that are numbers; None where there are none."""
    values = np.empty(0) if values is None else values[~np.isnan(values)]
    return float(values.mean()) if len(values) else None


def _kept(shares: np.ndarray) -> dict[str, Any] | None:
    """Of a and of b, where it is known of most mixes: the others may not be alike. shares (m,2)."""
    a, b = (_mean(share) if (~np.isnan(share)).mean() >= KNOWN else None for share in shares.T)
    return None if a is None else {"a": a, "b": b, "both": a + (b or 0.0)}


def lines(scores: dict[str, Any]) -> list[str]:
    """The scores in words."""
    near, level, away = (scores[name] for name in ("near_copies", "near_level", "parent_distance"))
    return [
        *_guess_lines(scores),
        fit(scores),
        _kept_line(scores["saliency_kept"], scores["saliency_unknown"]),
        _diversity_line(scores["diversity"]),
        f"copies     {near:.0%} of the mixes are within {level:g} levels of 255 of a parent; the mean is {away:.1f}",
    ]


def _guess_lines(scores: dict[str, Any]) -> list[str]:
    if scores["top1"] is None:
        return []
    parents = f"of their parents {scores['parents_top1']:.0%}"
    told = [f"recognised {scores['top1']:.0%} of the mixes as the class of a parent; {parents}"]
    if scores["top2"] is not None:
        told.append(f"order      in {scores['top2']:.0%} the two first guesses are the two classes of the label")
    return [*told, f"loss       mean cross-entropy {scores['cross_entropy_mean']:.2f} nats towards the soft label"]


def _kept_line(share: dict[str, Any] | None, why: str | None) -> str:
    if share is None:
        return f"saliency   not measured: {why}"
    if share["b"] is None:
        return f"saliency   {share['a']:.0%} of A's is kept"
    return f"saliency   {share['a']:.0%} of A's and {share['b']:.0%} of B's is kept, together {share['both']:.2f} of 2"


def _diversity_line(value: float | None) -> str:
    if value is None:
        return "diversity  not defined for one mix a pair"
    return f"diversity  {value:.1f} levels of 255 between two mixes of a pair"
