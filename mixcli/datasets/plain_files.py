"""Files of folders that nobody vouches for: opened without following a link; removed, and made to last."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path

from mixcli.datasets.system import READ_PLAINLY
from mixcli.errors import MixError

WHY = {errno.ELOOP: "is a symbolic link, which is not followed", errno.ENOENT: "is missing"}


def open_plain(path: Path | str, line: int | None = None) -> tuple[int, int]:
    """Open a file of an untrusted folder to read -> descriptor, bytes. MixError for a link or anything but a file.

    line: that of metadata.jsonl which names it.
    """
    address = f"{path}" if line is None else f"{path} (metadata.jsonl, line {line})"
    try:
        descriptor = os.open(path, READ_PLAINLY)
    except OSError as e:
        why = WHY.get(e.errno or 0, f"cannot be read ({e.strerror})")
        raise MixError(why, at=address) from e
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise MixError("is no regular file", at=address)
    return descriptor, status.st_size


def is_plain(path: Path) -> bool:
    """Whether it is a file, and no link to one."""
    return path.is_file() and not path.is_symlink()


def check_folders(root: Path, names: list[str]) -> None:
    """No file is reached through a linked folder."""
    for folder in {name.split("/")[0] for name in names}:
        if os.path.islink(root / folder):
            raise MixError("is a symbolic link, which is not followed", at=root / folder)


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
