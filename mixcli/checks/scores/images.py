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
from mixcli.checks.scores.image_window import Window
from mixcli.checks.scores.score import PAIRS, fit, worst
from mixcli.checks.selection import Selection
from mixcli.datasets.dataset import Dataset, spread
from mixcli.errors import UsageError
from mixcli.methods import guided
from mixcli.pipeline.engine import Engine
from mixcli.pipeline.report import Report
from mixcli.pipeline.run import open_engine
from mixcli.pipeline.setup import Setup, load_model
from mixcli.settings import normalize as normalize_

WINDOWS = 8  # that are read again unless all are: no mix can be made without its window
NEAR_LEVEL = 2.0  # of 255
KNOWN = 0.9  # share of mixes whose masks must tell where a parent is


def measure(
    selection: Selection, ckpt: str | None, trust: bool, normalize: str | None, full: bool, report: Report
) -> dict[str, Any]:
    """What is measured of the mixes of some pairs, or of all of them."""
    dataset = selection.dataset
    setup, judge = opened(selection, ckpt, trust, normalize)
    windows = list(rows_by_window(dataset, full))
    parents = [np.unique(p[p >= 0]) for p in (dataset.file.take("parent", rows) for rows in windows)]
    report.of("image")
    report.begin(sum(map(len, parents)) + 2 * sum(map(len, windows)), 0)
    with closing(judge), closing(open_engine(setup)) as maker:
        setup.reader.load("skip")
        measured = [
            Window(dataset, setup, judge, rows, samples, report).measured(maker)
            for rows, samples in zip(windows, parents, strict=True)
        ]
    found = {name: np.concatenate([part[name] for part in measured]) for name in measured[0]}
    summary = _summary(np.concatenate(windows), found, judge)
    why = None if summary["saliency_kept"] else _why_unknown(setup, found["again"])
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


def opened(selection: Selection, ckpt: str | None, trust: bool, normalize: str | None) -> tuple[Setup, Engine]:
    """What makes the mixes again, and the engine of the checkpoint that judges them, which may be another one."""
    dataset = selection.dataset
    told = dataset.manifest["checkpoint"]
    if not (told or ckpt):
        raise UsageError(
            f"{dataset.path}: was made without a checkpoint; --ckpt gives one to score it with, and --normalize says "
            "what its images were normalised by"
        )
    own = told["path"] if told and Path(told["path"]).is_file() else ckpt if told else None
    setup = Setup(job_of(dataset, [Path(p) for p in selection.reader.source.paths], own, trust), Report())
    job, preset = replace(setup.job, ckpt=ckpt or told["path"]), normalize or setup.job.normalize
    normalize_.parse(preset)  # a wrong one is told before any work
    model, method = load_model(job, setup.kind), guided(job.method, "gradient")
    target = job.saliency_target if model.classes == setup.classes else "predicted"
    return setup, Engine(method, model, job.device, target=target, normalize=preset, norm=job.norm)


def rows_by_window(dataset: Dataset, full: bool) -> Iterator[np.ndarray]:
    """Rows of whole pairs: of all, or of `PAIRS` that are spread over `WINDOWS` windows."""
    k = dataset.recipe["k"]
    windows = [dataset.windows[i] for i in spread(len(dataset.windows), None if full else WINDOWS)]
    pairs = np.concatenate([np.arange(first, first + rows, k) for _, first, rows, _ in windows])
    pairs = pairs[spread(len(pairs), None if full else PAIRS)]
    for _, first, rows, _ in windows:
        mine = pairs[(pairs >= first) & (pairs < first + rows)]
        if len(mine):
            yield (mine[:, None] + np.arange(k)).ravel()


def _summary(rows: np.ndarray, found: dict[str, np.ndarray], judge: Engine) -> dict[str, Any]:
    known = "kl" in found  # else the checkpoint's classes are not the dataset's
    return {
        "rows_scored": len(rows),
        "checkpoint": judge.model.path,
        "normalize": judge.normalize,
        "top1": _mean(found.get("hit")),
        "parents_top1": _mean(found["parent_right"]) if known else None,
        "top2": _mean(found.get("order")),
        "cross_entropy_mean": _mean(found.get("entropy")),
        "kl_mean": _mean(found.get("kl")),
        "saliency_kept": _kept(found["kept"]),
        "diversity": _mean(found["between"]),
        "near_copies": _mean(found["away"] < NEAR_LEVEL),
        "near_level": NEAR_LEVEL,
        "parent_distance": _mean(found["away"]),
        "worst": worst(rows, found["kl"]) if known else [],
    }


def _mean(values: np.ndarray | None) -> float | None:
    """Of those that are numbers; None where there are none."""
    values = np.empty(0) if values is None else values[~np.isnan(values)]
    return float(values.mean()) if len(values) else None


def _kept(shares: np.ndarray) -> dict[str, Any] | None:
    """Of a and of b, where it is known of most mixes: the others may not be alike. shares (m,2)."""
    a, b = (_mean(share) if (~np.isnan(share)).mean() >= KNOWN else None for share in shares.T)
    return None if a is None else {"a": a, "b": b, "both": a + (b or 0.0)}


def lines(found: dict[str, Any]) -> list[str]:
    """The scores in words."""
    near, level, away = (found[name] for name in ("near_copies", "near_level", "parent_distance"))
    return [
        *_guess_lines(found),
        fit(found),
        _kept_line(found["saliency_kept"], found["saliency_unknown"]),
        _diversity_line(found["diversity"]),
        f"copies     {near:.0%} of the mixes are within {level:g} levels of 255 of a parent; the mean is {away:.1f}",
    ]


def _guess_lines(found: dict[str, Any]) -> list[str]:
    if found["top1"] is None:
        return []
    parents = f"of their parents {found['parents_top1']:.0%}"
    told = [f"recognised {found['top1']:.0%} of the mixes as the class of a parent; {parents}"]
    if found["top2"] is not None:
        told.append(f"order      in {found['top2']:.0%} the two first guesses are the two classes of the label")
    return [*told, f"loss       mean cross-entropy {found['cross_entropy_mean']:.2f} nats towards the soft label"]


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
