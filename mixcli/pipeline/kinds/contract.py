"""What differs between point clouds, images and hidden states, as the setup asks for it: sources, sizes, fields.

What the engine asks is another half, `Tensors`, so that the engine knows no files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from mixcli.data.fields import Field, Mixing
from mixcli.errors import BadSample
from mixcli.pipeline.job import Job
from mixcli.sources.source import Source

if TYPE_CHECKING:
    from torch import Tensor

    from mixcli.models import Classifier
    from mixcli.pipeline.kinds.tensors import Feed, Tensors


@dataclass(frozen=True)
class Opened:
    """A job whose source and model are open, and what they settle."""

    job: Job
    source: Source
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


class SampleReader(Protocol):
    """Prepared samples of any window."""

    bad: dict[int, str]  # unusable samples that were met so far, by source index, and why

    def load(self, on_error: str = "raise") -> None:
        """Decode the source where that is the cheapest way; with `raise`, report its first bad sample at once."""

    def read(self, samples: np.ndarray) -> Prepared:
        """Samples of source indices (w,); `bad` then knows which are unusable."""

    def error(self, sample: int) -> BadSample:
        """What to say of an unusable sample."""


class Kind(Protocol):
    """One kind of data. `sized`, then `completed`, give the job anew with what follows from source and model."""

    one: ClassVar[str]  # what a sample is called
    causes: ClassVar[str]  # likely causes of a poor accuracy, as they end a sentence
    not_finite: ClassVar[str]  # what to do about a sample that makes the model's output or gradient infinite

    def open_source(self, job: Job) -> tuple[Source, list[str]]:
        """The source, and notes on how it was read; MixError where it holds none of this kind."""

    def sized(self, job: Job, source: Source, note: Callable[[str], None]) -> Job:
        """The job with the size that all samples are brought to."""

    def probe(self, job: Job, model: Classifier) -> Tensor:
        """A sample (1,...) to ask a program how many classes it knows."""

    def completed(self, job: Job, source: Source, model: Classifier | None) -> Job:
        """The job with what is left to be settled; UsageError where its options are not for this kind."""

    def reader(self, opened: Opened, note: Callable[[str], None]) -> SampleReader: ...

    def fields(self, opened: Opened) -> tuple[Field, ...]:
        """Of the dataset that is made."""

    def tensors(self, opened: Opened, feed: Feed) -> Tensors:
        """The engine's half."""
