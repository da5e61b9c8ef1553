"""Train, val and test by the names of folders and files, and which of them are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mixcli.errors import UsageError

WORDS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
SPLIT_OF = {word: split for split, words in WORDS.items() for word in words}


def wanted(root: Path, told: Mapping[str, str | None], split: str, notes: list[str]) -> list[str]:
    """Which of several folders, files or arrays are read. told: the split of each by its name, None where none is told.

    auto: train where there is any, else everything.

    >>> wanted(Path("faces"), {"train": "train", "test": "test"}, "auto", notes := [])
    ['train']
    >>> notes
    ["faces: read 'train' of 'train', 'test'; --split all reads everything"]
    """
    splits = set(told.values())
    if split in WORDS and split not in splits:
        has = ", ".join(map(repr, list(told)[:4]))
        raise UsageError(
            f"{root} has {has} and nothing named as that split", at=f"--split {split}", advice="leave --split out"
        )
    chosen = "train" if split == "auto" and "train" in splits else split
    names = [name for name, of in told.items() if of == chosen] if chosen in WORDS else list(told)
    if split == "auto" and len(names) < len(told):
        notes.append(f"{root}: read {_few(names)} of {_few(list(told))}; --split all reads everything")
    return names


def _few(names: list[str]) -> str:
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(map(repr, names[:3])) + more
