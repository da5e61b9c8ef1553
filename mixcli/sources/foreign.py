"""What is said of a file or folder that a reader does not know: it is none of its kind, and another may know it."""

from __future__ import annotations

from mixcli.errors import MixError, UsageError


class Foreign(MixError):
    """There is nothing of this reader's kind. Any other MixError of a reader says: it is mine, and something is wrong.

    So that where clouds and images are both tried, the reader that knows the file has the word.
    """

    def __init__(self, reason: str, *, at: object = "", advice: str = "", bare: bool = False):
        """bare: the reason says no more than that."""
        super().__init__(reason, at=at, advice=advice)
        self.bare = bare


class ForeignArgument(Foreign, UsageError):
    """The same of what an argument names, rather than of what a file holds."""
