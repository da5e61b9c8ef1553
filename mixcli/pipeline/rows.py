"""RowMaker of a dataset's fields, from a method's mixes or from unmixed samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixcli.data.fields import Field, labels
from mixcli.data.mix import Mix
from mixcli.sources.contract import Source


def parents_of(mix: Mix, sides: np.ndarray) -> np.ndarray:
    """Source indices of each mix's parents: those of its pair, or of its group those that it names.

    sides (p,S) i64 source indices: each pair's, or each member's own -> (p,P) i64, -1 an unused slot.
    """
    if mix.members is None:
        return sides
    members = mix.members.cpu().numpy()
    return np.where(members < 0, -1, sides[np.maximum(members, 0), 0])


@dataclass(frozen=True)
class RowMaker:
    """What turns mixes and samples into rows of every field."""

    source: Source
    classes: int
    fields: tuple[Field, ...]

    def mixed(self, mixes: Sequence[Mix], parent: np.ndarray) -> dict[str, np.ndarray]:
        """The k mixes of some pairs, pair after pair. parent (p,k,P) i64 source indices -> arrays of p·k rows."""
        arrays, wanted = {}, {f.name for f in self.fields}
        tensors = [mix.by_field() for mix in mixes]
        for name in wanted & tensors[0].keys():
            copies = [value.cpu().numpy() for mix in tensors if (value := mix[name]) is not None]
            if copies:
                stacked = np.stack(copies, 1)
                arrays[name] = stacked.reshape(-1, *stacked.shape[2:])
        for name in {"seg", "point_source"} & set(arrays):
            arrays[name] = arrays[name][:, :, : parent.shape[2]]
        arrays["parent"] = parent.reshape(-1, parent.shape[2])
        return self._with_labels(arrays)

    def originals(self, told: dict[str, np.ndarray], samples: np.ndarray) -> dict[str, np.ndarray]:
        """Unmixed samples (m,): parent (i, -1), weight (1, 0), nothing drawn. told: the fields that samples give."""
        m, shapes = len(samples), {f.name: (len(samples), *f.shape) for f in self.fields}
        first = np.zeros(shapes["parent"][1:], bool)
        first[0] = True  # slot 0 is the sample itself, the others are unused
        alone = {
            "parent": np.where(first, samples[:, None], -1),
            "weight": np.broadcast_to(first.astype(float), shapes["parent"]),
            "weight_raw": np.broadcast_to(first.astype(float), shapes["parent"]),
            "draw": np.full(shapes.get("draw", ()), np.nan),
            "query": np.full((m, 2), -1),
        }
        slots = {name: np.where(first, told[name][:, :, None], -1) for name in {"seg", "point_source"} & set(told)}
        return self._with_labels({**told, **slots, **alone})

    def _with_labels(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Add what follows from parents and weights; cast everything to the fields' types."""
        parent = arrays["parent"]
        parent_label = np.where(parent < 0, -1, self.source.labels[parent])
        theirs = [self.source.soft(np.maximum(slot, 0)) for slot in parent.T] if self.source.is_soft else None
        soft, hard = labels(parent_label, arrays["weight"], self.classes, theirs)
        arrays |= {"parent_label": parent_label, "soft_label": soft, "label": hard}
        return {f.name: arrays[f.name].astype(f.dtype, copy=False) for f in self.fields}
