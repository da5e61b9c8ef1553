"""What a source is to those who mix, check and look at it, and what its parts are to it: no more is used of them.

A source is what `--in` names: labelled samples, clouds or images, in one or several parts that are numbered through.
A part is a file, a folder or a list of files. What only clouds or only images have is in `cloud_part` and
`images.image_part`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from mixcli.errors import BadSample
from mixcli.sources.remarks import Remarks

Window = TypeVar("Window", covariant=True)


class SoftLabels(Protocol):
    """Labels that are distributions over the classes."""

    @property
    def classes(self) -> int:
        """How many there are."""

    def dense(self, rows: np.ndarray) -> np.ndarray:
        """(r,) i64, in any order -> (r,classes) f32, each row adding up to 1; MixError where a file says otherwise."""


class Part(Protocol):
    """Labelled samples of one file, folder or list of files. Nothing but labels and headers is read before `read`."""

    @property
    def path(self) -> Path:
        """What opens this part again: the file, the folder, or the list."""

    @property
    def files(self) -> Sequence[Path]:
        """Every file that its samples and labels come from, in a fixed order."""

    @property
    def names(self) -> Sequence[str]:
        """Of samples that are files of their own, their posix paths; () where a file holds many."""

    @property
    def labels(self) -> np.ndarray:
        """(n,) i64: the class, for soft labels the largest."""

    @property
    def shares(self) -> SoftLabels | None:
        """Labels as distributions, where they are that."""

    @property
    def class_names(self) -> tuple[str, ...] | None: ...

    @property
    def notes(self) -> Sequence[str]:
        """For the user: how it was read, and what was left out."""

    @property
    def since(self) -> int:
        """The first version of reading (`reading.VERSION`) that gave these very samples."""

    @property
    def remarks(self) -> Remarks:
        """What was found of rows as they were read."""

    @property
    def random_access(self) -> bool:
        """Whether one sample can be read without decoding others."""

    @property
    def preload(self) -> bool:
        """Whether decoding everything once, in file order, beats reading rows as they are wanted."""

    def __len__(self) -> int: ...

    def address(self, row: int) -> tuple[str, int | None]:
        """The file of a sample, and its index in it; None where the file is the sample."""


class Source(Protocol):
    """Labelled samples of one or several parts, numbered through in their order."""

    @property
    def data(self) -> str:
        """What it holds: "points" or "images"."""

    @property
    def parts(self) -> Sequence[Part]: ...

    @property
    def paths(self) -> Sequence[Path | str]:
        """What opens each part again."""

    @property
    def labels(self) -> np.ndarray:
        """(n,) i64: the class, for soft labels the largest."""

    @property
    def class_names(self) -> tuple[str, ...] | None: ...

    @property
    def is_soft(self) -> bool:
        """Whether the labels of any part are distributions."""

    @property
    def has_seg(self) -> bool:
        """Whether all points have part labels; images never do."""

    def __len__(self) -> int: ...

    def address(self, sample: int) -> tuple[str, int | None]:
        """File, and index within it; None where the file is the sample."""

    def known_classes(self) -> int:
        """As many as there are names, else up to the highest label."""

    def soft(self, samples: np.ndarray) -> np.ndarray:
        """Soft labels of source indices (m,) -> (m,C) f32; for a part of hard labels one-hot rows."""


class SampleReader(Protocol[Window]):
    """Samples of a source as the model sees them, by windows."""

    @property
    def source(self) -> Source: ...

    @property
    def bad(self) -> Mapping[int, str]:
        """Samples that are unusable, as far as they were read, and why."""

    def load(self, on_error: str = "raise") -> None:
        """Decode the source where that is the cheapest way; with "raise", report its first bad sample at once."""

    def read(self, samples: np.ndarray) -> Window:
        """Samples of source indices (w,), in any order; `bad` then knows which are unusable."""

    def tell(self) -> None:
        """Say what is remarkable of the samples read so far, as far as it was not said yet."""

    def error(self, sample: int) -> BadSample:
        """What to raise of a sample in `bad`."""
