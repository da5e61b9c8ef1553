"""Files and folders where a dataset is made: opened plainly, removed, made to last."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path

from mixcli.errors import MixError

PART = ".part"


def part_of(out: Path) -> Path:
    """The name that a dataset has until it is finished."""
    return out.with_name(out.name + PART)


def open_plain(path: Path | str, line: int | None = None) -> tuple[int, int]:
    """Open a file of an untrusted folder to read -> descriptor, bytes. MixError for a link or anything but a file.

    line: that of metadata.jsonl which names it.
    """
    address = f"{path}" if line is None else f"{path} (metadata.jsonl, line {line})"
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as e:
        why = {errno.ELOOP: "is a symbolic link, which is not followed", errno.ENOENT: "is missing"}
        raise MixError(f"{address}: {why.get(e.errno, f'cannot be read ({e.strerror})')}") from e
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise MixError(f"{address}: is no regular file")
    return descriptor, found.st_size


def is_plain(path: Path) -> bool:
    """Whether it is a file, and no link to one."""
    return path.is_file() and not path.is_symlink()


def no_room(error: Exception | None, out: Path, size: int) -> MixError:
    """What to say where a dataset of `size` bytes does not fit; HDF5 reports a full disk in its own words."""
    free = shutil.disk_usage(out.parent).free
    if error is None or getattr(error, "errno", None) == errno.ENOSPC or free < size:
        return MixError(
            f"{out}: needs {size / 1e6:,.1f} MB and {free / 1e6:,.1f} MB are free there; nothing was written, "
            "make room or choose another --out"
        )
    why = getattr(error, "strerror", None) or error
    return MixError(f"{out}: cannot be written ({why})")


def remove(path: Path) -> None:
    """A file, a link (not what it points to) or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync_path(path: Path) -> None:
    """Make a file, or the names in a folder, outlast a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
