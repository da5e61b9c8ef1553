"""Where a dataset is made, and the step to its final name.

A dataset is made under `OUT.part`. A file takes its final name by one rename. A folder cannot be renamed over another:
the old one steps aside to `OUT.part.old`, the new one gets its name, and only then is the old one removed. A kill in
between leaves both, the new one in place or still `OUT.part`, which can be resumed.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from mixcli.datasets.plain_files import remove, sync_path
from mixcli.datasets.recognise import check_own, replaceable
from mixcli.errors import MixError

PART = ".part"


def part_of(out: Path) -> Path:
    """The name that a dataset has until it is finished."""
    return out.with_name(out.name + PART)


def _aside(out: Path) -> Path:
    return out.with_name(part_of(out).name + ".old")


def clear(part: Path) -> None:
    """Remove the part of an earlier run, whatever its container, but no folder in which anything else lies."""
    if part.is_dir() and not part.is_symlink():
        check_own(part)
    remove(part)


def put_in_place(part: Path, out: Path) -> None:
    """Give the part, complete and on the disk, its final name."""
    replaceable(out)
    if os.path.lexists(out) and (out.is_dir() or part.is_dir()):
        clear(_aside(out))
        os.rename(out, _aside(out))
    try:
        os.replace(part, out)
        sync_path(out.parent)
    finally:
        settle(out)


def settle(out: Path) -> None:
    """What was put aside is removed if its successor is in place, else it gets its name back."""
    aside = _aside(out)
    if os.path.lexists(aside):
        if os.path.lexists(out):
            clear(aside)
        else:
            os.rename(aside, out)


def no_room(error: Exception | None, out: Path, size: int) -> MixError:
    """What to say where a dataset of `size` bytes does not fit; HDF5 reports a full disk in its own words."""
    free = shutil.disk_usage(out.parent).free
    is_full = isinstance(error, OSError) and error.errno == errno.ENOSPC
    if error is None or is_full or free < size:
        reason = f"needs {size / 1e6:,.1f} MB and {free / 1e6:,.1f} MB are free there"
        return MixError(reason, at=out, advice="nothing was written, make room or choose another --out")
    why = (error.strerror if isinstance(error, OSError) else None) or error
    return MixError(f"cannot be written ({why})", at=out)
