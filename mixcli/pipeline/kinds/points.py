"""Point clouds: their saliency from a classifier or a segmentation network, and what travels with their points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mixcli.data.fields import Field, cloud_fields
from mixcli.data.points import Mixed, Samples, travel_normals, travel_saliency, travel_seg
from mixcli.data.prepared_clouds import NORMALIZE, Clouds
from mixcli.errors import BadSample, CheckpointError, UsageError
from mixcli.pipeline.job import Job
from mixcli.pipeline.kinds import Heat
from mixcli.sources import source as sources
from mixcli.sources.cloud_part import Wanted
from mixcli.sources.cloud_reader import Carried, Preparation, Reader
from mixcli.sources.source import CloudSource

if TYPE_CHECKING:
    from torch import Tensor

    from mixcli.pipeline.engine import Engine, Work

CPU_BATCH, CUDA_BATCH = 1, 32  # clouds in one model call
HINT = (
    "other coordinates (--normalize unit-sphere, another up axis), another number of points (--points) or neighbours "
    "(--model dgcnn:k=40)"
)
ONE, NOT_FINITE = "cloud", "check its scale, or --normalize unit-sphere"
MESH_POINTS = 2048  # of a mesh, where nothing says how many


def open_source(job: Job) -> tuple[CloudSource, list[str]]:
    return sources.open_source(list(job.sources), job.reading)


def sized(job: Job, source: CloudSource, note: Callable[[str], None]) -> Job:
    """The job with a number of points: as asked, or as many as the source's clouds have, or else its first one."""
    if job.points or source.points:
        return replace(job, points=job.points or source.points)
    first = source.parts[0].read(slice(0, 1), Wanted(MESH_POINTS))[0]
    if isinstance(first, str):
        raise BadSample(*source.address(0), first, "--points says how many points to take")
    return replace(job, points=len(first))


def probe(job: Job, model: Any) -> Tensor:
    """A cloud to ask a program how many classes it knows. (1,N,C) f32."""
    import torch

    return torch.linspace(-1, 1, job.points * model.channels).reshape(1, job.points, model.channels)


def completed(job: Job, source: CloudSource, model: Any) -> Job:
    """The job with what follows from source and model: whether normals travel."""
    if other := set(job.keep) - {"point_source", "saliency"} or (job.size and {"size"}):
        raise UsageError(f"{min(other)}: is for images, and points are mixed; leave it out")
    normals = job.normals or bool(model and model.channels == 6)
    normals |= job.method.traits.parents == 1 and source.has_normals
    return replace(job, normals=normals, normalize=job.normalize or "none")


def reader(job: Job, source: CloudSource, classes: int, model: Any, note: Callable[[str], None]) -> Reader:
    if job.normalize not in NORMALIZE:
        raise UsageError(f"--normalize {job.normalize}: of clouds must be one of {', '.join(NORMALIZE)}")
    how = Preparation(points=job.points, subsample=job.subsample, normalize=job.normalize, seed=job.seed, pad=job.pad)
    carried = Carried(normals=job.normals, seg=source.has_seg, parts=_parts(job, source, model))
    return Reader(source, classes, how, carried, spool=job.out.parent, note=note)


def _parts(job: Job, source: CloudSource, model: Any) -> range | None:
    """Part labels that a segmentation checkpoint knows."""
    if not (model and model.task == "segment"):
        return None
    if not source.has_seg and job.saliency_target == "label":
        raise CheckpointError(
            f"{model.path}: is for part segmentation and the source has no part labels; pass a classifier, or "
            "--saliency-target predicted to take saliency towards its own parts"
        )
    first = model.options.get("first", 0)
    return range(first, first + model.parts)


def fields(job: Job, source: CloudSource, classes: int, model: Any) -> tuple[Field, ...]:
    traits = job.method.traits
    return cloud_fields(
        job.points, classes, traits.parents, len(traits.draw_names), traits.query,
        job.point_weight and traits.parents > 1, job.normals, source.has_seg, job.keep,
    )  # fmt: skip


def map_shape(engine: Engine, clouds: Clouds) -> tuple[int, ...]:
    return clouds.xyz.shape[1:2]


def heat(engine: Engine, clouds: Clouds, labels: np.ndarray) -> Heat:
    """The gradient's norm at each point, as a distribution. labels (r,) i64."""
    from mixcli.saliency.points import gradient

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


def unmixed(clouds: Clouds, saliency: np.ndarray | None) -> dict[str, np.ndarray]:
    """What the samples themselves give to the fields. saliency (m,N)."""
    found = {
        "data": clouds.xyz,
        "point_weight": np.ones(clouds.xyz.shape[:2]),
        "point_source": np.broadcast_to(np.arange(clouds.xyz.shape[1]), clouds.xyz.shape[:2]),
    }
    more = {"normal": clouds.normals, "seg": clouds.seg, "saliency": saliency}
    return {**found, **{name: values for name, values in more.items() if values is not None}}


def hint(engine: Engine, work: Work) -> str:
    """Nothing that clouds tell of how the model is fed."""
    return ""
