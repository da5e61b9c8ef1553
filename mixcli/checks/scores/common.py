"""What scores of clouds and of images have in common: what is asked for, and how labels fit predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

PAIRS = 200  # pairs whose mixes are scored unless all are
WORST = 50


@dataclass(frozen=True)
class Asked:
    """How a dataset is to be scored."""

    ckpt: str | None = None  # None: the one that the manifest names
    trust: bool = False  # whether a checkpoint may be a program
    normalize: str | None = None  # of images, what the checkpoint's were normalised by; None: as the manifest says
    full: bool = False  # whether all pairs are scored


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


def fit(scores: dict[str, Any]) -> str:
    """The line about KL."""
    if scores["kl_mean"] is None:
        return "fit        not measured: the checkpoint's classes are not the dataset's"
    rows = ", ".join(f"{w['row']} ({w['kl']:.1f})" for w in scores["worst"][:5])
    return f"fit        mean KL(soft label | prediction) {scores['kl_mean']:.2f} nats; worst rows {rows}"
