"""Everything that can go wrong in words, with the exit code that the command line gives it."""

from __future__ import annotations


class MixError(Exception):
    """One sentence for the user: where something is wrong, what it is, and what to do about it.

    Whoever words an error anew takes these fields; nobody searches its text.

    >>> str(MixError("no manifest in it", at="mixed.h5", advice="mixcli did not write it"))
    'mixed.h5: no manifest in it; mixcli did not write it'
    """

    code = 1

    def __init__(self, reason: str, *, at: object = "", advice: str = ""):
        """at: the file, the option or the place in a file that the reason is about."""
        self.address, self.reason, self.advice = str(at), reason, advice
        super().__init__(reason)

    def __str__(self) -> str:
        where = f"{self.address}: " if self.address else ""
        return f"{where}{self.reason}" + (f"; {self.advice}" if self.advice else "")


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

    def __init__(self, path: str, index: int | None, reason: str, advice: str = ""):
        self.path, self.index = str(path), index
        super().__init__(reason, at=address(path, index), advice=advice)


def address(path: str, index: int | None) -> str:
    """Where a sample is."""
    return str(path) if index is None else f"{path}[{index}]"
