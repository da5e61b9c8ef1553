"""How good is a dataset? What one would ask before training on it for a day.

Clouds and images are measured by `scoring_points` and `scoring_images`; what both tell is here. Fit: KL(soft label ‖
prediction) of the checkpoint on the mix, in nats. Near-copies: the share of mixes that are nearly one of their parents,
of clouds by λ, of images by their pixels.
"""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from mixcli.checks.selection import Selection
from mixcli.datasets.dataset import Dataset
from mixcli.errors import UsageError
from mixcli.option import takes
from mixcli.pipeline.report import Report
from mixcli.settings.commands import Inspecting

SCHEMA = "mixcli.scores/1"
PAIRS = 200  # pairs whose mixes are scored unless all are
WORST = 50


@takes(Inspecting)
def score(
    path: str | Path,
    ckpt: str | None = None,
    trust_ckpt: bool = False,
    source: list[str] | None = None,
    full: bool = False,
    report: Report | None = None,
    normalize: str | None = None,
) -> dict[str, Any]:
    """Scores of the mixes of some pairs, spread over the dataset; the worst rows are kept in `PATH.scores.json`.

    normalize: of images, what the checkpoint's were normalised by, where that is not what the manifest says.
    """
    report, path = report or Report(), Path(path)
    _check_visible(path)
    selection = Selection(path, source)
    dataset = selection.dataset
    if dataset.recipe["method"] == "convert" or not dataset.mixes:
        raise UsageError(f"{path}: holds no mixes to score")
    if selection.reader is None:
        raise UsageError(f"{path}: scores need the source; {selection.note}")
    if dataset.data == "images":
        from mixcli.checks.scores.images import measure

        measured = measure(selection, ckpt, trust_ckpt, normalize, full, report)
    else:
        from mixcli.checks.scores.points import measure

        if normalize:
            raise UsageError("--normalize: is for images, and these are clouds; leave it out")
        measured = measure(selection, ckpt, trust_ckpt, full, report)
    found = {"schema": SCHEMA, "path": str(path), "data": dataset.data, "rows": dataset.mixes, **measured}
    _write(path.with_name(path.name + ".scores.json"), found)
    return found


def _check_visible(path: Path) -> None:
    with closing(Dataset(path).require()) as dataset:
        if dataset.data == "hidden":
            raise UsageError(f"{path}: hidden states cannot be scored; train the rest of the network on them instead")


def divergence(soft: np.ndarray, log_p: np.ndarray) -> np.ndarray:
    """KL(soft label ‖ prediction) (m,) in nats, from (m,C) shares and log-probabilities.

    >>> divergence(np.array([[0.5, 0.5]]), np.log([[0.5, 0.5]])).tolist()
    [0.0]
    """
    return cross_entropy(soft, log_p) - cross_entropy(soft, np.log(np.where(soft > 0, soft, 1), dtype=np.float64))


def cross_entropy(soft: np.ndarray, log_p: np.ndarray) -> np.ndarray:
    """-Σ soft · log p of each row (m,) in nats: KL and the entropy of the soft label."""
    return -(soft.astype(np.float64) * log_p).sum(1)


def worst(rows: np.ndarray, kl: np.ndarray) -> list[dict[str, Any]]:
    """The rows that fit worst, the worst first."""
    order = np.argsort(-kl, kind="stable")[:WORST]
    return [{"row": int(rows[i]), "kl": round(float(kl[i]), 6)} for i in order]


def _write(path: Path, found: dict[str, Any]) -> None:
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(found, indent=1))
    os.replace(beside, path)


def render(found: dict[str, Any]) -> str:
    """Scores as lines of text."""
    if found["data"] == "images":
        from mixcli.checks.scores.images import lines
    else:
        from mixcli.checks.scores.points import lines
    scored = f"scored     {found['rows_scored']:,} of {found['rows']:,} mixes with {found['checkpoint']}"
    return "\n".join([scored, *lines(found)])


def fit(found: dict[str, Any]) -> str:
    """The line about KL."""
    if found["kl_mean"] is None:
        return "fit        not measured: the checkpoint's classes are not the dataset's"
    rows = ", ".join(f"{w['row']} ({w['kl']:.1f})" for w in found["worst"][:5])
    return f"fit        mean KL(soft label | prediction) {found['kl_mean']:.2f} nats; worst rows {rows}"
