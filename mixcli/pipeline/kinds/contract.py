"""What differs between point clouds, images and hidden states, as the setup asks for it: sources, sizes, fields.

What the engine asks is another half, `Tensors`, so that the engine knows no files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from mixcli.data.fields import Field, Mixing
from mixcli.pipeline.job import Job
from mixcli.sources.contract import SampleReader, Source

if TYPE_CHECKING:
    from torch import Tensor

    from mixcli.models import Classifier
    from mixcli.pipeline.kinds.tensors import Feed, Tensors


@dataclass(frozen=True)
class Settled:
    """A job once its source and model are open."""

    job: Job
    model: Classifier | None
    classes: int  # of the soft labels

    @property
    def mixing(self) -> Mixing:
        """What rows hold beside their data."""
        traits = self.job.method.traits
        return Mixing(
            classes=self.classes,
            parents=traits.parents,
            draws=len(traits.draw_names),
            query=traits.query,
            raw=traits.raw,
        )


class Prepared(Protocol):
    """Samples of one size."""

    @property
    def values(self) -> np.ndarray:
        """(w,...): see the kinds' `Tensors`."""


class Kind(Protocol):
    """An open source of one kind of data. `sized`, then `completed`, give the job anew, with what it left open."""

    one: ClassVar[str]  # what a sample is called
    causes: ClassVar[str]  # of a poor accuracy, as they end a sentence
    not_finite: ClassVar[str]  # what to do about a sample that makes the model's output or gradient infinite

    @property
    def source(self) -> Source: ...

    @property
    def notes(self) -> list[str]:
        """For the user, on how the source was read."""

    def sized(self, job: Job, note: Callable[[str], None]) -> Job:
        """The job with the size that all samples are brought to."""

    def probe(self, job: Job, model: Classifier) -> Tensor:
        """A sample (1,...) to ask a program how many classes it knows."""

    def completed(self, job: Job, model: Classifier | None) -> Job:
        """The job with what follows from source and model; UsageError where its options are not for this kind."""

    def reader(self, settled: Settled, note: Callable[[str], None]) -> SampleReader[Prepared]: ...

    def fields(self, settled: Settled) -> tuple[Field, ...]:
        """Of the dataset that is made."""

    def tensors(self, settled: Settled, feed: Feed) -> Tensors:
        """The engine's half."""
