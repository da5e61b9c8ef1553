"""What the files and folders of a dataset in a folder are called, so that mixcli's own can be told from others."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

METADATA, MANIFEST = "metadata.jsonl", "manifest.json"
UNFINISHED = ".tmp"  # behind the name of a window that is being written
WINDOW, ROW = re.compile(r"[0-9]{5,9}(\.tmp)?"), re.compile(r"[0-9]{6,12}(\.ply|\.jpg|\.webp|(\.mask)?\.png)")
TAR = re.compile(r"[0-9]{5,9}\.tar")
BESIDE = ("README.md", ".gitattributes")  # what a dataset gets where it is published


def tar_name(window: int) -> str:
    """Of a window's archive.

    >>> tar_name(3)
    '00003.tar'
    """
    return f"{window:05d}.tar"


def tars_of(folder: Path) -> list[Path]:
    """The archives, window after window."""
    return sorted((p for p in folder.iterdir() if TAR.fullmatch(p.name)), key=lambda p: int(p.stem))


def is_of_tars(folder: Path) -> bool:
    """Whether the rows lie in archives, and not in files of their own."""
    if os.path.lexists(folder / METADATA):
        return False
    return os.path.lexists(folder / MANIFEST) and not any(entry.is_dir() for entry in os.scandir(folder))


def files_in(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Everything in a folder and below it that is no folder itself; links are not followed."""
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from files_in(Path(entry.path))
        else:
            yield entry


def foreign(folder: Path) -> str | None:
    """An entry that a dataset, finished or not, does not have; None if there is none."""
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False) and WINDOW.fullmatch(entry.name):
            for inner in os.scandir(entry.path):
                if not (inner.is_file(follow_symlinks=False) and ROW.fullmatch(inner.name)):
                    return f"{entry.name}/{inner.name}"
        elif not (entry.is_file(follow_symlinks=False) and _is_own(entry.name)):
            return entry.name
    return None


def _is_own(name: str) -> bool:
    return name in (METADATA, MANIFEST) or TAR.fullmatch(name.removesuffix(UNFINISHED)) is not None
