"""Hidden states of an image network: what a layer makes of each image stands where its saliency would.

Sources, sizes and reading are those of images. A window holds the states of its samples, 4 bytes a number.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from mixcli.data.fields import Field, hidden_fields
from mixcli.data.images import Images, MixedImages
from mixcli.data.prepared_images import Pictures
from mixcli.errors import UsageError
from mixcli.pipeline.job import Job
from mixcli.pipeline.kinds import Heat, images
from mixcli.pipeline.kinds.images import (  # noqa: F401 - those that do not differ
    CPU_BATCH,
    CUDA_BATCH,
    HINT,
    NOT_FINITE,
    ONE,
    hint,
    normalised,
    open_source,
    probe,
    reader,
    sized,
)
from mixcli.saliency import normalize
from mixcli.sources.image_source import PictureSource

if TYPE_CHECKING:
    from mixcli.pipeline.engine import Engine


def completed(job: Job, source: PictureSource, model: Any) -> Job:
    """The job, whose layer the network has and whose container holds arrays of any shape."""
    from mixcli.models.hidden import SHOWN, layers

    if job.layer is None:
        raise UsageError(f"{job.method.traits.name} needs --layer, one of {', '.join(layers(model.net)[:SHOWN])}")
    if job.container not in ("h5", "npz"):
        raise UsageError(f"--out {job.out}: hidden states are no pictures; name a .h5 or .npz file")
    return images.completed(job, source, model)


def fields(job: Job, source: PictureSource, classes: int, model: Any) -> tuple[Field, ...]:
    shape = _shape(model.net, job.layer, job.size)
    return hidden_fields(shape, classes, job.method.traits.parents, len(job.method.traits.draw_names))


def map_shape(engine: Engine, pictures: Pictures) -> tuple[int, ...]:
    return _shape(engine.net, engine.layer, pictures.values.shape[1:3], engine.device)


@lru_cache(4)
def _shape(net: Any, layer: str, size: tuple[int, int], device: Any = "cpu") -> tuple[int, ...]:
    """Of one image's hidden state."""
    import torch

    from mixcli.models.hidden import hidden

    with torch.no_grad():
        return tuple(hidden(net, torch.zeros(1, 3, *size, device=device), layer).shape[1:])


def heat(engine: Engine, pictures: Pictures, labels: np.ndarray) -> Heat:
    """The layer's output for each image as `map`, and how the rest of the network judges it. labels (r,) i64."""
    import torch

    from mixcli.models.hidden import both
    from mixcli.saliency.points import NonFinite

    with torch.no_grad():
        x = normalised(engine.tensor(pictures.values), normalize.parse(engine.normalize))
        state, logits = both(engine.net, x, engine.layer)
    if not (finite := state.isfinite().flatten(1).all(1)).all():
        raise NonFinite((~finite).nonzero().flatten().tolist())
    correct = (logits.argmax(1).cpu().numpy() == labels).astype(np.int64)
    none = np.zeros(len(labels), bool)
    return Heat(state.float().cpu().numpy(), none, np.ones(len(labels), np.int64), correct)


def samples(engine: Engine, pictures: Pictures, rows: np.ndarray, states: np.ndarray) -> Images:
    """What a method sees of one side of some pairs: states (B,...)."""
    return Images(engine.tensor(states))


def finished(
    engine: Engine, mix: MixedImages, pictures: Pictures, sides: list[np.ndarray], a: Images, b: Images
) -> MixedImages:
    return replace(mix, data=mix.data.float())


def unmixed(pictures: Pictures, states: np.ndarray) -> dict[str, np.ndarray]:
    """What the samples themselves give to the fields."""
    return {"data": states}
