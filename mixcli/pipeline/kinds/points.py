"""Point clouds, as the setup asks for them: their files, how many points, and which fields they give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from mixcli.data.fields import Field, PerPoint, cloud_fields
from mixcli.data.prepared_clouds import NORMALIZE
from mixcli.errors import BadSample, CheckpointError, UsageError
from mixcli.pipeline.job import Job
from mixcli.pipeline.kinds.contract import Settled
from mixcli.sources.cloud_reader import Carried, Preparation, Reader
from mixcli.sources.source import open_source

if TYPE_CHECKING:
    from torch import Tensor

    from mixcli.models import Classifier
    from mixcli.pipeline.kinds.points_tensors import PointTensors
    from mixcli.pipeline.kinds.tensors import Feed

MESH_POINTS = 2048  # of a mesh, where nothing says how many


class PointClouds:
    """See Kind."""

    one: ClassVar[str] = "cloud"
    causes: ClassVar[str] = (
        "other coordinates (--normalize unit-sphere, another up axis), another number of points (--points) or "
        "neighbours (--model dgcnn:k=40)"
    )
    not_finite: ClassVar[str] = "check its scale, or --normalize unit-sphere"

    def __init__(self, job: Job):
        self.source, self.notes = open_source(list(job.sources), job.reading)

    def sized(self, job: Job, note: Callable[[str], None]) -> Job:
        """With a number of points: as asked, or as many as the source's clouds have, or else its first one."""
        if job.points or self.source.points:
            return replace(job, points=job.points or self.source.points)
        points = self.source.usual_points(MESH_POINTS)
        if isinstance(points, str):
            raise BadSample(*self.source.address(0), points, "--points says how many points to take")
        return replace(job, points=points)

    def probe(self, job: Job, model: Classifier) -> Tensor:
        """A cloud. (1,N,C) f32."""
        import torch

        return torch.linspace(-1, 1, _points(job) * model.channels).reshape(1, _points(job), model.channels)

    def completed(self, job: Job, model: Classifier | None) -> Job:
        """With whether normals travel, and how coordinates are scaled."""
        if other := set(job.keep) - {"point_source", "saliency"} or (job.size and {"size"}):
            raise UsageError("is for images, and points are mixed", at=min(other), advice="leave it out")
        normals = job.normals or bool(model and model.channels == 6)
        normals |= job.method.traits.parents == 1 and self.source.has_normals
        return replace(job, normals=normals, normalize=job.normalize or "none")

    def reader(self, settled: Settled, note: Callable[[str], None]) -> Reader:
        """See Kind."""
        job = settled.job
        if job.normalize not in NORMALIZE:
            raise UsageError(f"of clouds must be one of {', '.join(NORMALIZE)}", at=f"--normalize {job.normalize}")
        how = Preparation(
            points=_points(job), subsample=job.subsample, normalize=job.normalize, seed=job.seed, pad=job.pad
        )
        carried = Carried(normals=job.normals, seg=self.source.has_seg, parts=self._parts(settled))
        return Reader(self.source, settled.classes, how, carried, spool=job.out.parent, note=note)

    def _parts(self, settled: Settled) -> range | None:
        """Part labels that a segmentation checkpoint knows."""
        model = settled.model
        if not (model and model.task == "segment"):
            return None
        if not self.source.has_seg and settled.job.saliency_target == "label":
            raise CheckpointError(
                "is for part segmentation and the source has no part labels",
                at=model.path,
                advice="pass a classifier, or --saliency-target predicted to take saliency towards its own parts",
            )
        first = model.options.get("first", 0)
        return range(first, first + (model.parts or 0))

    def fields(self, settled: Settled) -> tuple[Field, ...]:
        """See Kind."""
        job, mixing = settled.job, settled.mixing
        per_point = PerPoint(
            point_weight=job.point_weight and mixing.parents > 1,
            normals=job.normals,
            seg=self.source.has_seg,
            keep=job.keep,
        )
        return cloud_fields(_points(job), mixing, per_point)

    def tensors(self, settled: Settled, feed: Feed) -> PointTensors:
        """See Kind."""
        from mixcli.pipeline.kinds.points_tensors import PointTensors

        return PointTensors(feed, has_normals=settled.job.normals, has_seg=self.source.has_seg)


def _points(job: Job) -> int:
    """Of every cloud, once the job is sized."""
    if job.points is None:
        raise AssertionError("the job has no number of points yet")
    return job.points
