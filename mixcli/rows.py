"""Rows of a dataset's fields, from a method's mixes or from unmixed samples."""

from __future__ import annotations

import numpy as np

from mixcli.fields import Field, labels
from mixcli.samples import Mixed


def mixed_rows(
    mixes: list[Mixed], parent: np.ndarray, source_labels: np.ndarray, classes: int, fields: tuple[Field, ...]
) -> dict[str, np.ndarray]:
    """The k mixes of some pairs, pair after pair. parent (p,2) i64 source indices -> arrays of p·k rows."""
    found = {}
    for name in ("data", "weight", "draw", "query", "point_weight"):
        if getattr(mixes[0], name) is not None:
            stacked = np.stack([getattr(m, name).cpu().numpy() for m in mixes], 1)
            found[name] = stacked.reshape(-1, *stacked.shape[2:])
    found["parent"] = np.repeat(parent, len(mixes), 0)
    return _with_labels(found, source_labels[found["parent"]], classes, fields)


def original_rows(
    clouds: np.ndarray, samples: np.ndarray, source_labels: np.ndarray, classes: int, fields: tuple[Field, ...]
) -> dict[str, np.ndarray]:
    """Unmixed samples: parent (i, -1), weight (1, 0), nothing drawn. clouds (m,N,3), samples (m,) i64."""
    m, nobody = len(samples), np.full(len(samples), -1)
    draws = next(f.shape for f in fields if f.name == "draw")
    found = {
        "data": clouds,
        "parent": np.stack([samples, nobody], 1),
        "weight": np.tile([1.0, 0.0], (m, 1)),
        "draw": np.full((m, *draws), np.nan),
        "query": np.full((m, 2), -1),
        "point_weight": np.ones(clouds.shape[:2]),
    }
    return _with_labels(found, np.stack([source_labels[samples], nobody], 1), classes, fields)


def _with_labels(
    found: dict[str, np.ndarray], parent_label: np.ndarray, classes: int, fields: tuple[Field, ...]
) -> dict[str, np.ndarray]:
    """Add what follows from parents and weights; cast everything to the fields' types."""
    soft, hard = labels(parent_label, found["weight"], classes)
    found |= {"parent_label": parent_label, "soft_label": soft, "label": hard}
    return {f.name: found[f.name].astype(f.dtype, copy=False) for f in fields}
