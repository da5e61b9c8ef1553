"""Images, as the setup asks for them: their files, their one size, and which fields they give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from mixcli.data.fields import Field, image_fields
from mixcli.errors import UsageError
from mixcli.pipeline.job import Job
from mixcli.pipeline.kinds.contract import Settled
from mixcli.settings import normalize
from mixcli.sources.image_reader import PictureReader, size_of
from mixcli.sources.image_source import open_picture_source

if TYPE_CHECKING:
    from torch import Tensor

    from mixcli.models import Classifier
    from mixcli.pipeline.kinds.images_tensors import ImageTensors
    from mixcli.pipeline.kinds.tensors import Feed


class ImageFiles:
    """See Kind."""

    one: ClassVar[str] = "image"
    causes: ClassVar[str] = "another --normalize, another --size, or another stem (--model NAME:stride=2)"
    not_finite: ClassVar[str] = "check --normalize and the checkpoint; --on-error does not skip it"

    def __init__(self, job: Job):
        self.source, self.notes = open_picture_source(list(job.sources), job.reading)

    def sized(self, job: Job, note: Callable[[str], None]) -> Job:
        """With the size that all images are brought to, and the mean and deviation of the network's images."""
        no_network = job.method.traits.saliency == "spectral"  # that asks for colours weighed in some way
        return replace(
            job,
            size=size_of(self.source, job.size, note),
            points=None,
            normalize=job.normalize or ("none" if no_network else "imagenet"),
        )

    def probe(self, job: Job, model: Classifier) -> Tensor:
        """An image. (1,3,H,W) f32."""
        import torch

        height, width = size(job)
        return torch.linspace(-1, 1, 3 * height * width).reshape(1, 3, height, width)

    def completed(self, job: Job, model: Classifier | None) -> Job:
        """The job itself, whose options are for images, for this method and for this network."""
        if other := set(job.keep) - {"mask", "saliency"}:  # saliency is kept for viewing only, in no field
            raise UsageError("is for points, and images are mixed", at=min(other), advice="leave it out")
        if "mask" in job.keep and not job.method.traits.mask:
            what = f"{job.method.traits.name} has no share of each pixel"
            raise UsageError(what, at="--keep mask", advice="leave it out")
        job.method.fits(size(job))
        if job.layer is not None and model:
            from mixcli.models import hidden

            hidden.check(model.net, job.layer)
        return job

    def reader(self, settled: Settled, note: Callable[[str], None]) -> PictureReader:
        """See Kind."""
        job = settled.job
        normalize.parse(job.normalize or "none")  # a wrong one is told before any work
        return PictureReader(self.source, settled.classes, size(job), spool=job.out.parent, note=note)

    def fields(self, settled: Settled) -> tuple[Field, ...]:
        """See Kind."""
        return image_fields(size(settled.job), settled.mixing, settled.job.keep)

    def tensors(self, settled: Settled, feed: Feed) -> ImageTensors:
        """See Kind."""
        from mixcli.pipeline.kinds.images_tensors import ImageTensors

        return ImageTensors(feed)


def size(job: Job) -> tuple[int, int]:
    """H and W of every image, once the job is sized."""
    if job.size is None:
        raise AssertionError("the job has no size of images yet")
    return job.size
