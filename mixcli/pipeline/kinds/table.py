"""The kinds by name."""

from __future__ import annotations

from mixcli.pipeline.job import Job
from mixcli.pipeline.kinds.contract import Kind


def opened(name: str, job: Job) -> Kind:
    """The job's source as "points", "images", or "hidden" states of images; MixError where it holds nothing such."""
    if name == "points":
        from mixcli.pipeline.kinds.points import PointClouds

        return PointClouds(job)
    if name == "images":
        from mixcli.pipeline.kinds.images import ImageFiles

        return ImageFiles(job)
    from mixcli.pipeline.kinds.hidden import HiddenStates

    return HiddenStates(job)
