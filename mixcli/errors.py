"""Everything that can go wrong in words, with the exit code that the command line gives it."""

from __future__ import annotations


class MixError(Exception):
    """One sentence for the user: what is wrong, where, and what to do about it."""

    code = 1


class UsageError(MixError):
    """The arguments do not fit together or do not fit the data."""

    code = 2


class CheckpointError(MixError):
    """The checkpoint cannot be read, is not safe to read, or is not a classifier for this source."""

    code = 4


class BadSample(MixError):
    """One sample of a source is unusable: its address, its index in the file and the reason.

    >>> str(BadSample("modelnet40.h5", 812, "NaN in 'data'"))
    "modelnet40.h5[812]: NaN in 'data'"
    >>> str(BadSample("chair/chair_1.off", None, "no points in it"))  # a file of its own
    'chair/chair_1.off: no points in it'
    """

    def __init__(self, path: str, index: int | None, reason: str, hint: str = ""):
        self.path, self.index, self.reason = str(path), index, reason
        super().__init__(f"{address(path, index)}: {reason}" + (f"; {hint}" if hint else ""))


def address(path: str, index: int | None) -> str:
    """Where a sample is."""
    return str(path) if index is None else f"{path}[{index}]"
