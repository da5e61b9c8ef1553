"""Rows of a dataset's fields, from a method's mixes or from unmixed samples."""

from __future__ import annotations

import numpy as np

from mixcli.data.fields import Field, labels
from mixcli.data.images import MixedImages
from mixcli.data.points import Mixed
from mixcli.sources.contract import Source

OF_A_MIX = {"index": "point_source"}  # where a field has another name than the tensor of the mix


def parents_of(mix: Mixed | MixedImages, sides: np.ndarray) -> np.ndarray:
    """Source indices of each mix's parents: those of its pair, or of its group those that it names.

    sides (p,S) i64 source indices: each pair's, or each member's own -> (p,P) i64, -1 an unused slot.
    """
    if getattr(mix, "members", None) is None:
        return sides
    members = mix.members.cpu().numpy()
    return np.where(members < 0, -1, sides[np.maximum(members, 0), 0])


def mixed_rows(
    mixes: list[Mixed] | list[MixedImages], parent: np.ndarray, source: Source, classes: int, fields: tuple[Field, ...]
) -> dict[str, np.ndarray]:
    """The k mixes of some pairs, pair after pair. parent (p,k,P) i64 source indices -> arrays of p·k rows."""
    found, wanted = {}, {f.name for f in fields}
    for name, value in vars(mixes[0]).items():
        field = OF_A_MIX.get(name, name)
        if field in wanted and value is not None:
            stacked = np.stack([getattr(m, name).cpu().numpy() for m in mixes], 1)
            found[field] = stacked.reshape(-1, *stacked.shape[2:])
    for name in {"seg", "point_source"} & set(found):
        found[name] = found[name][:, :, : parent.shape[2]]
    found["parent"] = parent.reshape(-1, parent.shape[2])
    return _with_labels(found, source, classes, fields)


def original_rows(
    found: dict[str, np.ndarray], samples: np.ndarray, source: Source, classes: int, fields: tuple[Field, ...]
) -> dict[str, np.ndarray]:
    """Unmixed samples (m,): parent (i, -1), weight (1, 0), nothing drawn. found: the fields that the samples give."""
    m, shapes = len(samples), {f.name: (len(samples), *f.shape) for f in fields}
    first = np.zeros(shapes["parent"][1:], bool)
    first[0] = True  # slot 0 is the sample itself, the others are unused
    alone = {
        "parent": np.where(first, samples[:, None], -1),
        "weight": np.broadcast_to(first.astype(float), shapes["parent"]),
        "weight_raw": np.broadcast_to(first.astype(float), shapes["parent"]),
        "draw": np.full(shapes.get("draw", ()), np.nan),
        "query": np.full((m, 2), -1),
    }
    for name in {"seg", "point_source"} & set(found):
        found[name] = np.where(first, found[name][:, :, None], -1)
    return _with_labels({**found, **alone}, source, classes, fields)


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
