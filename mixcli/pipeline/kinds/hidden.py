"""Hidden states of an image network, as the setup asks for them: sources, sizes and reading are those of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixcli.data.fields import Field, hidden_fields
from mixcli.errors import UsageError
from mixcli.pipeline.job import Job
from mixcli.pipeline.kinds.contract import Settled
from mixcli.pipeline.kinds.images import ImageFiles, size

if TYPE_CHECKING:
    from mixcli.models import Classifier
    from mixcli.pipeline.kinds.hidden_tensors import HiddenTensors
    from mixcli.pipeline.kinds.tensors import Feed


class HiddenStates(ImageFiles):
    """See Kind."""

    def completed(self, job: Job, model: Classifier | None) -> Job:
        """The job itself, whose layer the network has and whose container holds arrays of any shape."""
        from mixcli.models.hidden import SHOWN, layers

        if job.layer is None:
            names = ", ".join(layers(_net(model).net)[:SHOWN])
            raise UsageError(f"{job.method.traits.name} needs --layer, one of {names}")
        if job.container not in ("h5", "npz"):
            what = "hidden states are no pictures"
            raise UsageError(what, at=f"--out {job.out}", advice="name a .h5 or .npz file")
        return super().completed(job, model)

    def fields(self, settled: Settled) -> tuple[Field, ...]:
        """See Kind."""
        import torch

        from mixcli.pipeline.kinds.hidden_tensors import shape_of

        layer = settled.job.layer or ""  # `completed` asks for one
        shape = shape_of(_net(settled.model).net, layer, size(settled.job), torch.device("cpu"))
        return hidden_fields(shape, settled.mixing)

    def tensors(self, settled: Settled, feed: Feed) -> HiddenTensors:
        """See Kind."""
        from mixcli.pipeline.kinds.hidden_tensors import HiddenTensors

        return HiddenTensors(feed)


def _net(model: Classifier | None) -> Classifier:
    """The model, without which there are no hidden states."""
    if model is None:
        raise AssertionError("hidden states are taken without a model")
    return model
