"""Point clouds: their saliency from a classifier or a segmentation network, and what travels with their points."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mixcli.clouds import Clouds
from mixcli.kinds import Heat
from mixcli.samples import Mixed, Samples, travel_normals, travel_saliency, travel_seg

if TYPE_CHECKING:
    from torch import Tensor

    from mixcli.engine import Engine

CPU_BATCH, CUDA_BATCH = 1, 32  # clouds in one model call


def map_shape(clouds: Clouds) -> tuple[int, ...]:
    return clouds.xyz.shape[1:2]


def heat(engine: Engine, clouds: Clouds, labels: np.ndarray) -> Heat:
    """The gradient's norm at each point, as a distribution. labels (r,) i64."""
    from mixcli.saliency import gradient

    x = engine.tensor(clouds.values[:, :, : engine.model.channels])
    towards = [engine.tensor(labels) if engine.towards_label else None]
    if engine.model.task == "segment":
        towards = [engine.tensor(labels), engine.tensor(clouds.seg) if engine.towards_label else None]
    found = gradient(engine.net, x, *towards)
    predicted = found.logits.argmax(-1).cpu().numpy()
    judged, correct = _judged(engine, clouds, labels, predicted)
    return Heat(found.map.cpu().numpy(), found.uniform.cpu().numpy(), judged, correct)


def _judged(engine: Engine, clouds: Clouds, labels: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predictions that count, and right ones: of classes (r,), or of each point's part (r,N)."""
    if engine.model.task != "segment":
        return np.ones(len(labels), np.int64), (predicted == labels).astype(np.int64)
    if not clouds.has_seg:
        return np.zeros(len(labels), np.int64), np.zeros(len(labels), np.int64)
    known, right = clouds.seg >= 0, predicted + engine.model.options.get("first", 0) == clouds.seg
    return known.sum(1), (right & known).sum(1)


def samples(engine: Engine, clouds: Clouds, rows: np.ndarray, saliency: np.ndarray | None) -> Samples:
    """What a method sees of one side of some pairs. rows (B,) positions, saliency (B,N)."""
    heat = None if saliency is None else engine.tensor(saliency)
    return Samples(engine.tensor(clouds.values[rows, :, :3]), heat)


def finished(engine: Engine, mix: Mixed, clouds: Clouds, sides: list[np.ndarray], a: Samples, b: Samples) -> Mixed:
    """The mix with what its points carry."""
    found: dict[str, Tensor] = {}
    if clouds.has_normals:
        found["normal"] = travel_normals(mix, *(engine.tensor(clouds.values[rows, :, 3:6]) for rows in sides))
    if clouds.has_seg:
        parts = (engine.tensor(clouds.values[rows, :, -1].astype(np.int64)) for rows in sides)
        found["seg"] = travel_seg(mix, *parts)
    if "saliency" in engine.keep:
        found["saliency"] = travel_saliency(mix, a.saliency, b.saliency)
    return replace(mix, **found) if found else mix
