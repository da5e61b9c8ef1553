"""How good is a dataset? What one would ask before training on it for a day.

Saliency kept: the share of each parent's saliency that its part of the mix carries, Σ λ_i s_i of A and Σ (1 - λ_i)
s_φ(i) of B. Fit: KL(soft label ‖ prediction) of the checkpoint on the mix. Diversity: the mean distance between the
points of two mixes of one pair. Continuity: the mean distance to the nearest neighbour in the mix against that in
the parents, by their shares; 1 is as dense as the parents.
"""

from __future__ import annotations

import json
import os
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from mixcli.dataset import spread
from mixcli.errors import UsageError
from mixcli.overlay import with_saliency
from mixcli.report import Report
from mixcli.shown import Selection, Shown

SCHEMA = "mixcli.scores/1"
PAIRS = 200  # pairs whose mixes are scored unless all are
WORST = 50
NEAR_COPY = 0.01


def score(
    path: str | Path,
    ckpt: str | None = None,
    trust: bool = False,
    source: list[str] | None = None,
    full: bool = False,
    report: Report | None = None,
) -> dict[str, Any]:
    """Scores of the mixes of some pairs, spread over the dataset; the worst rows are kept in `PATH.scores.json`."""
    report, path = report or Report(), Path(path)
    selection = Selection(path, source)
    if selection.dataset.recipe["pairing"] == "none":
        raise UsageError(f"{path}: holds no mixes to score")
    if selection.dataset.data == "images":
        raise UsageError(f"{path}: --score measures mixes of clouds; look at images with mixcli view --color saliency")
    k = selection.dataset.recipe["k"]
    pairs = spread(selection.dataset.mixes // k, None if full else PAIRS)
    rows = (pairs[:, None] * k + np.arange(k)).ravel()
    report.begin(2 * len(rows), 0)
    shown, model = with_saliency(selection, selection.load(rows), ckpt, trust, report.progress)
    soft = np.stack([selection.dataset.file.read("soft_label", int(row), 1)[0] for row in rows])
    comparable = model.task == "classify" and model.classes == soft.shape[1]
    fit = divergence(soft, predictions(model, shown, report)) if comparable else None
    found = {
        "schema": SCHEMA,
        "path": str(path),
        "rows_scored": len(rows),
        "rows": selection.dataset.mixes,
        "checkpoint": model.path,
        "saliency_kept": _kept(shown),
        "kl_mean": None if fit is None else float(fit.mean()),
        "diversity": _diversity(shown, k),
        "near_copies": float(_near_copies(selection.lam[: selection.dataset.mixes])),
        "continuity": _continuity(shown),
        "worst": [] if fit is None else _worst(rows, fit),
    }
    _write(path.with_name(path.name + ".scores.json"), found)
    return found


def _kept(shown: list[Shown]) -> dict[str, float]:
    a, b = zip(*(_kept_of(one) for one in shown), strict=True)
    return {"a": float(np.mean(a)), "b": float(np.mean(b)), "both": float(np.mean(a) + np.mean(b))}


def _kept_of(one: Shown) -> tuple[float, float]:
    own, other = (s[np.maximum(i, 0)] for s, i in zip(one.parent_saliency, one.index.T, strict=True))
    return float((one.lam * own).sum()), float(((1 - one.lam) * other).sum())


def predictions(model: Any, shown: list[Shown], report: Report) -> np.ndarray:
    """log-probabilities (m,C) f64 of the checkpoint on the mixes; normals, where it wants them, are zero."""
    import torch

    found = []
    for one in shown:
        x = torch.from_numpy(one.data)[None]
        x = torch.nn.functional.pad(x, (0, model.channels - 3))
        with torch.no_grad():
            logits = model.net.vjp(x)[0] if hasattr(model.net, "vjp") else model.net(x)
        found.append(logits.double().log_softmax(1)[0].numpy())
        report.progress(1)
    return np.stack(found)


def divergence(soft: np.ndarray, log_p: np.ndarray) -> np.ndarray:
    """KL(soft label ‖ prediction) (m,) in nats.

    >>> divergence(np.array([[0.5, 0.5]]), np.log([[0.5, 0.5]])).tolist()
    [0.0]
    """
    soft = soft.astype(np.float64)
    entropy = np.where(soft > 0, soft * np.log(np.where(soft > 0, soft, 1)), 0)
    return (entropy - soft * log_p).sum(1)


def _diversity(shown: list[Shown], k: int) -> float | None:
    """Mean distance between corresponding points of two mixes of a pair; None for one mix a pair."""
    if k < 2:
        return None
    groups = [shown[i : i + k] for i in range(0, len(shown), k)]
    apart = [np.linalg.norm(p.data - q.data, axis=1).mean() for g in groups for p, q in combinations(g, 2)]
    return float(np.mean(apart))


def _near_copies(lam: np.ndarray) -> float:
    return ((lam < NEAR_COPY) | (lam > 1 - NEAR_COPY)).mean() if len(lam) else 0.0


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


def _worst(rows: np.ndarray, fit: np.ndarray) -> list[dict[str, Any]]:
    order = np.argsort(-fit, kind="stable")[:WORST]
    return [{"row": int(rows[i]), "kl": round(float(fit[i]), 6)} for i in order]


def _write(path: Path, found: dict[str, Any]) -> None:
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(found, indent=1))
    os.replace(beside, path)


def render(found: dict[str, Any]) -> str:
    """Scores as lines of text."""
    kept, near = found["saliency_kept"], found["near_copies"]
    lines = [
        f"scored     {found['rows_scored']:,} of {found['rows']:,} mixes with {found['checkpoint']}",
        f"saliency   {kept['a']:.0%} of A's and {kept['b']:.0%} of B's is kept, together {kept['both']:.2f} of 2",
        "fit        " + _fit(found),
        f"diversity  {_or_none(found['diversity'])} between two mixes of a pair, in units of the cloud",
        f"copies     {near:.0%} of the mixes are near-copies of one parent (lambda within {NEAR_COPY} of 0 or 1)",
        f"continuity {found['continuity']:.2f} of the parents' nearest-neighbour distance",
    ]
    return "\n".join(lines)


def _fit(found: dict[str, Any]) -> str:
    if found["kl_mean"] is None:
        return "not measured: the checkpoint's classes are not the dataset's"
    worst = ", ".join(f"{w['row']} ({w['kl']:.1f})" for w in found["worst"][:5])
    return f"mean KL(soft label | prediction) {found['kl_mean']:.2f} nats; worst rows {worst}"


def _or_none(value: float | None) -> str:
    return "not defined for one mix a pair:" if value is None else f"{value:.3f}"
