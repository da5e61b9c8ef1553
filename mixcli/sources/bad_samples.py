"""Which samples of a source are unusable, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from mixcli.errors import BadSample
from mixcli.sources.contract import Source

HINT = "--on-error skip leaves it out"


class BadSamples(Mapping[int, str]):
    """By their source indices: the reason that counts is the first that was found."""

    def __init__(self, source: Source, classes: int):
        """Samples of other classes than 0 to `classes` - 1 are bad from the start."""
        self.source = source
        self.reasons: dict[int, tuple[str, str]] = {}  # and what would help
        labels = source.labels
        for sample in np.flatnonzero((labels < 0) | (labels >= classes)).tolist():
            self.add(sample, f"label {labels[sample]} is outside the {classes} classes 0..{classes - 1}")

    def add(self, sample: int, reason: str, remedy: str = "") -> None:
        """remedy: what would make the sample usable, if anything."""
        self.reasons.setdefault(sample, (reason, remedy))

    def error(self, sample: int) -> BadSample:
        """What to raise of a bad sample."""
        path, index = self.source.address(sample)
        reason, remedy = self.reasons[sample]
        return BadSample(path, index, reason, f"{remedy}; or {HINT}" if remedy else HINT)

    def __getitem__(self, sample: int) -> str:
        reason, remedy = self.reasons[sample]
        return f"{reason}; {remedy}" if remedy else reason

    def __iter__(self) -> Iterator[int]:
        return iter(self.reasons)

    def __len__(self) -> int:
        return len(self.reasons)

    def __contains__(self, sample: object) -> bool:
        return sample in self.reasons
