"""How a run tells its caller what it does: the library itself prints nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def _silent(*_: object) -> None:
    pass


@dataclass
class Report:
    """Callbacks, all silent unless given."""

    note: Callable[[str], None] = _silent  # one sentence for the user
    begin: Callable[[int, int], None] = _silent  # samples in all, and those that an earlier run has done
    progress: Callable[[int], None] = _silent  # so many more samples are done
    of: Callable[[str], None] = _silent  # what is counted, told before `begin`: "cloud", "image"; else it is rows
