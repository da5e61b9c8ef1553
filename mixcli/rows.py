"""Rows of a dataset's fields, from a method's mixes or from unmixed samples."""

from __future__ import annotations

import numpy as np

from mixcli.clouds import Clouds
from mixcli.fields import Field, labels
from mixcli.formats.sources import Source
from mixcli.samples import Mixed

OF_A_MIX = {"index": "point_source"}  # where a field has another name than the tensor of the mix


def mixed_rows(
    mixes: list[Mixed], parent: np.ndarray, source: Source, classes: int, fields: tuple[Field, ...]
) -> dict[str, np.ndarray]:
    """The k mixes of some pairs, pair after pair. parent (p,2) i64 source indices -> arrays of p·k rows."""
    found, wanted = {}, {f.name for f in fields}
    for name, value in vars(mixes[0]).items():
        field = OF_A_MIX.get(name, name)
        if field in wanted and value is not None:
            stacked = np.stack([getattr(m, name).cpu().numpy() for m in mixes], 1)
            found[field] = stacked.reshape(-1, *stacked.shape[2:])
    for name in {"seg", "point_source"} & set(found):
        found[name] = found[name][:, :, : parent.shape[1]]
    found["parent"] = np.repeat(parent, len(mixes), 0)
    return _with_labels(found, source, classes, fields)


def original_rows(
    clouds: Clouds, saliency: np.ndarray | None, samples: np.ndarray, source: Source, classes: int,
    fields: tuple[Field, ...],
) -> dict[str, np.ndarray]:  # fmt: skip
    """Unmixed samples: parent (i, -1), weight (1, 0), nothing drawn. clouds of m samples, saliency (m,N)."""
    m, shapes = len(samples), {f.name: (len(samples), *f.shape) for f in fields}
    first = np.zeros(shapes["parent"][1:], bool)
    first[0] = True  # slot 0 is the sample itself, the others are unused
    own = np.broadcast_to(np.arange(clouds.xyz.shape[1])[:, None], (m, clouds.xyz.shape[1], 1))
    found = {
        "data": clouds.xyz,
        "parent": np.where(first, samples[:, None], -1),
        "weight": np.broadcast_to(first.astype(float), shapes["parent"]),
        "draw": np.full(shapes.get("draw", ()), np.nan),
        "query": np.full((m, 2), -1),
        "normal": clouds.normals,
        "point_weight": np.ones(clouds.xyz.shape[:2]),
        "seg": None if clouds.seg is None else np.where(first, clouds.seg[:, :, None], -1),
        "point_source": np.where(first, own, -1),
        "saliency": saliency,
    }
    return _with_labels(found, source, classes, fields)


def _with_labels(
    found: dict[str, np.ndarray], source: Source, classes: int, fields: tuple[Field, ...]
) -> dict[str, np.ndarray]:
    """Add what follows from parents and weights; cast everything to the fields' types."""
    parent = found["parent"]
    parent_label = np.where(parent < 0, -1, source.labels[parent])
    theirs = [source.soft(np.maximum(slot, 0)) for slot in parent.T] if source.is_soft else None
    soft, hard = labels(parent_label, found["weight"], classes, theirs)
    found |= {"parent_label": parent_label, "soft_label": soft, "label": hard}
    return {f.name: found[f.name].astype(f.dtype, copy=False) for f in fields}
