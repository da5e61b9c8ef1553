"""What is wrong with a checkpoint's weights: they are no use, or belong to another network or another task."""

from __future__ import annotations

import torch
from torch import Tensor

from mixcli.errors import CheckpointError
from mixcli.models.checkpoint import COUNTER, State
from mixcli.models.layout import Shapes


def refuse_nan(path: str, state: State) -> None:
    """Weights of a training run that diverged are no use."""
    for key, value in state.items():
        if value.is_floating_point() and not (finite := torch.isfinite(value)).all():
            bad = int((~finite).sum())
            raise CheckpointError(
                f"{bad} of the {value.numel()} values of {key} are NaN or infinite",
                at=path,
                advice="pass a checkpoint from before the training diverged",
            )


def refuse_kinds(path: str, state: State, want: State) -> None:
    """Torch casts numbers of any kind to those that a network has: what is lost would be lost in silence.

    Only counters may be of another kind than the network's own, as where all of a state was cast at once.
    """
    for key, value in state.items():
        have, needed = _kind_of(value), _kind_of(want.get(key, value))
        if have != needed and not (key.endswith(COUNTER) and have != "complex"):
            raise CheckpointError(
                f"{key} holds {have} numbers ({value.dtype}) where the network has {needed} ones",
                at=path,
                advice="pass the checkpoint as it was trained, in floating point",
            )


def _kind_of(value: Tensor) -> str:
    if value.is_complex():
        return "complex"
    return "floating-point" if value.is_floating_point() else "whole"


def difference(want: Shapes, have: Shapes) -> str:
    """What tells two sets of weights apart, in a few of their keys; empty when nothing does.

    >>> difference({"fc.weight": (2, 3)}, {"fc.weight": (4, 3), "extra": (1,)})
    '1 key too many (extra)'
    """
    missing = [key for key in want if key not in have and not key.endswith(COUNTER)]
    extra = [key for key in have if key not in want and not key.endswith(COUNTER)]
    parts = [_listed(missing, "missing"), _listed(extra, "too many")]
    if not missing and not extra:
        other = [key for key in want if key in have and want[key] != have[key]]
        parts = [_listed([f"{key} is {have[key]}, not {want[key]}" for key in other], "of another shape")]
    return " and ".join(filter(None, parts))


def _listed(keys: list[str], what: str) -> str:
    if not keys:
        return ""
    return f"{len(keys)} key{'s' * (len(keys) > 1)} {what} ({', '.join(keys[:5])}{', ...' * (len(keys) > 5)})"


SEGMENTERS = (  # a key that only they have, and the weight whose rows are the outputs per point
    ("a DGCNN semantic-segmentation net", "conv8.0.weight", "conv9.weight"),
    ("a PointNet part-segmentation net", "convs1.weight", "convs4.weight"),
    ("a PointNet semantic-segmentation net", "feat.stn.conv1.weight", "conv4.weight"),
    ("a PointNet++ semantic-segmentation net", "fp4.mlp_convs.0.weight", "conv2.weight"),
    ("a PointNet++ part-segmentation net", "fp1.mlp_convs.0.weight", "conv2.weight"),
)


def refuse_others(path: str, have: Shapes) -> None:
    """Name the networks of other tasks, which mixcli does not run."""
    for what, mark, head in SEGMENTERS:
        if mark in have and head in have:
            raise CheckpointError(
                f"is {what} ({have[head][0]} outputs per point), not a classifier",
                at=path,
                advice="mixcli needs a classifier or a DGCNN part-segmentation net",
            )
