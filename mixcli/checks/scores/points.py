"""How good mixed clouds are.

Saliency kept: the share of each parent's saliency that its part of the mix carries, Σ λ_i s_i of A and Σ (1 - λ_i)
s_φ(i) of B. Diversity: the mean distance between the points of two mixes of one pair. Continuity: the mean distance to
the nearest neighbour in the mix against that in the parents, by their shares; 1 is as dense as the parents.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from mixcli.checks.row_saliency import with_saliency
from mixcli.checks.scores.common import PAIRS, Asked, divergence, fit, worst
from mixcli.checks.selection import Selection, Shown
from mixcli.datasets.dataset import spread
from mixcli.models import Classifier
from mixcli.pipeline.engine import usable_cores
from mixcli.pipeline.report import Report

NEAR_COPY = 0.01


def measure(selection: Selection, asked: Asked, report: Report) -> dict[str, Any]:
    """What is measured of the mixes of some pairs, or of all of them."""
    dataset = selection.dataset
    k = dataset.recipe["k"]
    pairs = spread(dataset.mixes // k, None if asked.full else PAIRS)
    rows = (pairs[:, None] * k + np.arange(k)).ravel()
    report.of("cloud")
    report.begin(2 * len(rows), 0)
    shown, model = with_saliency(selection, selection.load(rows), asked.ckpt, asked.trust, report.progress)
    if model is None:
        raise AssertionError("saliency of clouds is a classifier's")
    soft = np.stack([dataset.file.read("soft_label", int(row), 1)[0] for row in rows])
    comparable = model.task == "classify" and model.classes == soft.shape[1]
    kl = divergence(soft, predictions(model, shown, report)) if comparable else None
    return {
        "rows_scored": len(rows),
        "checkpoint": model.path,
        "saliency_kept": _kept(shown),
        "kl_mean": None if kl is None else float(kl.mean()),
        "diversity": _diversity(shown, k),
        "near_copies": _near_copies(selection.lam[: dataset.mixes]),
        "continuity": _continuity(shown),
        "worst": [] if kl is None else worst(rows, kl),
    }


def _kept(shown: list[Shown]) -> dict[str, float]:
    a, b = zip(*(_kept_of(one) for one in shown), strict=True)
    return {"a": float(np.mean(a)), "b": float(np.mean(b)), "both": float(np.mean(a) + np.mean(b))}


def _kept_of(one: Shown) -> tuple[float, float]:
    if one.index is None or one.lam is None:
        raise AssertionError("a mix of clouds knows its points' parents and their shares")
    own, other = (s[np.maximum(i, 0)] for s, i in zip(one.parent_saliency, one.index.T, strict=True))
    return float((one.lam * own).sum()), float(((1 - one.lam) * other).sum())


def predictions(model: Classifier, shown: list[Shown], report: Report) -> np.ndarray:
    """log-probabilities (m,C) f64 of the checkpoint on the mixes; normals, where it wants them, are zero."""
    import torch

    def log_p(one: Shown) -> np.ndarray:
        x = torch.from_numpy(one.data)[None]
        x = torch.nn.functional.pad(x, (0, model.channels - 3))
        with torch.no_grad():
            logits = model.net.logits(x)
        report.progress(1)
        return logits.double().log_softmax(1)[0].numpy()

    threads = torch.get_num_threads()
    with ThreadPoolExecutor(usable_cores(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        log_ps = list(pool.map(log_p, shown))  # a cloud is too small for several threads
    torch.set_num_threads(threads)
    return np.stack(log_ps)


def _diversity(shown: list[Shown], k: int) -> float | None:
    """Mean distance between corresponding points of two mixes of a pair; None for one mix a pair."""
    if k < 2:
        return None
    groups = [shown[i : i + k] for i in range(0, len(shown), k)]
    apart = [np.linalg.norm(p.data - q.data, axis=1).mean() for g in groups for p, q in combinations(g, 2)]
    return float(np.mean(apart))


def _near_copies(lam: np.ndarray) -> float:
    return float(((lam < NEAR_COPY) | (lam > 1 - NEAR_COPY)).mean())


def _continuity(shown: list[Shown]) -> float:
    spacing: dict[int, float] = {}
    for one in shown:
        for i, cloud in zip(one.parent, one.parents, strict=True):
            if i not in spacing:
                spacing[i] = _spacing(cloud)
    ratio = []
    for one in shown:
        expected = sum(w * spacing[i] for w, i in zip(one.weight, one.parent, strict=True))
        ratio.append(_spacing(one.data) / max(expected, 1e-12))
    return float(np.mean(ratio))


def _spacing(cloud: np.ndarray) -> float:
    """Mean distance to the nearest other point."""
    return float(cKDTree(cloud).query(cloud, 2)[0][:, 1].mean())


def lines(scores: dict[str, Any]) -> list[str]:
    """The scores in words."""
    kept, near = scores["saliency_kept"], scores["near_copies"]
    return [
        f"saliency   {kept['a']:.0%} of A's and {kept['b']:.0%} of B's is kept, together {kept['both']:.2f} of 2",
        fit(scores),
        f"diversity  {_or_none(scores['diversity'])} between two mixes of a pair, in units of the cloud",
        f"copies     {near:.0%} of the mixes are near-copies of one parent (lambda within {NEAR_COPY} of 0 or 1)",
        f"continuity {scores['continuity']:.2f} of the parents' nearest-neighbour distance",
    ]


def _or_none(value: float | None) -> str:
    return "not defined for one mix a pair:" if value is None else f"{value:.3f}"
