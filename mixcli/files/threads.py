"""Work that leaves the interpreter, such as compression, on all processors."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TypeVar

MOST_THREADS = 8
SHARE = 8  # items a thread takes at a time: handing them out costs as much as a small picture

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Results in the order of the items; the error of the first that fails. No thread outlives the call, so that
    processes may be forked between calls.

    >>> in_threads(abs, [-3, 2])
    [3, 2]
    """
    if len(items) <= SHARE or processors() == 1:
        return [function(item) for item in items]
    shares = [items[at : at + SHARE] for at in range(0, len(items), SHARE)]
    with ThreadPoolExecutor(min(processors(), len(shares))) as pool:
        return list(chain.from_iterable(pool.map(lambda share: [function(item) for item in share], shares)))


def processors() -> int:
    """Those that this process may use, up to a limit."""
    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(MOST_THREADS, usable)
