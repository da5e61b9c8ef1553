"""What not every operating system has, asked for in one place: everything else may call it as if it were there."""

from __future__ import annotations

import os
from typing import BinaryIO

# Of a file that is opened to be read: no link is followed, and no pipe is waited for.
READ_PLAINLY = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def sync_data(descriptor: int) -> None:
    """What was written to a file is on the disk when this returns."""
    if hasattr(os, "fdatasync"):
        os.fdatasync(descriptor)
    else:
        os.fsync(descriptor)


def claim(descriptor: int, size: int) -> None:
    """Reserve the blocks of a file now; OSError where the disk has too few. Nothing where that cannot be asked for."""
    if size and hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)


def lock(file: BinaryIO) -> None:
    """Hold a file for this process alone, until it is closed; OSError where another one has it.

    Nothing where the system has no such locks.
    """
    try:
        import fcntl
    except ImportError:
        return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
