"""Which bytes a part of a source is made of, so that another day's files can be told from them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mixcli.errors import MixError
from mixcli.sources.contract import Part

BLOCK = 1 << 20
THREADS = min(8, (os.cpu_count() or 1) + 2)  # hashlib lets other threads run


class Watched:
    """Files that must stay as they are while they are read: their sizes and times of change, from the start on."""

    def __init__(self, paths: Iterable[Path]):
        self.was = {path: _state(path) for path in paths}

    def check(self) -> None:
        """MixError where one of them was changed."""
        for path, was in self.was.items():
            now = _state(path)
            if now != was:
                happened = "removed" if now is None else "changed"
                raise MixError(
                    f"was {happened} while it was read, so what was made of it may be of two states",
                    at=path,
                    advice="put it back as it was and --resume, or start again with --overwrite",
                )


def _state(path: Path) -> tuple[int, int] | None:
    """Bytes, and the time of the last change in nanoseconds."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def describe(part: Part) -> dict[str, Any]:
    """A part as the manifest records it: where it is, its SHA-256, bytes of its files, count of its clouds."""
    return {"path": str(place(part.path)), "sha256": digest(part), "bytes": size(part), "count": len(part)}


def place(path: Path) -> Path:
    """The path from anywhere. A link stays one: the lists and names that belong to a file are found beside it."""
    return path.resolve() if path.is_dir() else path.parent.resolve() / path.name


def size(part: Part) -> int:
    """Bytes of all its files: a quick look before any of them is read."""
    return sum(os.stat(path).st_size for path in part.files)


def digest(part: Part) -> str:
    """SHA-256 of its file; of several, over a line for each with its name below the part's folder, NUL, its SHA-256."""
    if part.files == [part.path]:
        return sha256(part.path)
    with ThreadPoolExecutor(THREADS) as pool:
        digests = pool.map(sha256, part.files)
        whole = hashlib.sha256()
        for path, of in zip(part.files, digests, strict=True):
            whole.update(os.fsencode(_name(part.path, path)) + b"\0" + of.encode() + b"\n")
    return whole.hexdigest()


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _name(part: Path, path: Path) -> str:
    """Relative to the folder, or to the folder of the list: the same wherever the whole was copied to."""
    return Path(os.path.relpath(path, part if part.is_dir() else part.parent)).as_posix()
