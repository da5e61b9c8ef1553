"""Compiled loops: numba on first use, and nothing at all where numba is absent.

``njit`` marks a function of numpy arrays and numbers for compilation. Importing numba takes a third of a
second, so it waits for the first call. A marked function cannot call another marked one.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
_lock = threading.Lock()


def have_numba() -> bool:
    """Whether numba imports here; a broken installation counts as none, and so does MIXCLI_NO_NUMBA=1."""
    return os.environ.get("MIXCLI_NO_NUMBA", "0") in ("", "0") and _imports()


@functools.cache
def _imports() -> bool:
    try:
        import numba  # noqa: F401
    except Exception:  # numba raises more than ImportError when numpy or llvmlite do not fit it
        return False
    return True


def njit(**options: Any) -> Callable[[Callable[P, R]], Compiled[P, R]]:
    """Compile a function at its first call, without the GIL and cached on disk where a folder is writable.

    ``options`` go to ``numba.njit``, which looks at no annotation.

    >>> @njit()
    ... def twice(x):
    ...     return 2 * x
    >>> twice(21)
    42
    """
    return lambda function: Compiled(function, options)


class Compiled(Generic[P, R]):
    """A function that becomes machine code when it is first called; safe to call first from many threads."""

    def __init__(self, function: Callable[P, R], options: dict[str, Any]):
        functools.update_wrapper(self, function)
        self.function, self.options = function, options
        self.dispatcher: Callable[P, R] | None = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        dispatcher = self.dispatcher
        return (dispatcher or self._compile())(*args, **kwargs)

    def available(self) -> Callable[P, R]:
        """This one, or where numba is absent the function as it was written."""
        return self if have_numba() else self.function

    def _compile(self) -> Callable[P, R]:
        with _lock:
            if self.dispatcher is None:
                self.dispatcher = self._compiled()
            return self.dispatcher

    def _compiled(self) -> Callable[P, R]:
        import numba

        settings = {"nogil": True, "cache": True, **self.options}
        try:
            return numba.njit(**settings)(self.function)
        except RuntimeError:  # neither the package folder nor the user's cache can be written
            return numba.njit(**{**settings, "cache": False})(self.function)
