"""Hugging Face's image folder: a line of `metadata.jsonl` or `metadata.csv` has a picture's `file_name` and `label`.

A label is a number, a name, or a list of shares; `soft_label` beside it, as mixcli writes it, goes before it. The list
lies in the folder, or one in each of its splits' folders; the folders below it say nothing about labels.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from mixcli.errors import MixError, UsageError
from mixcli.files.regular import require_file, require_inside
from mixcli.sources.images.annotations import unnamed
from mixcli.sources.images.class_folders import PictureFiles, is_picture, pictures_in, scan
from mixcli.sources.images.labels import Collector, names_beside, number_or_name
from mixcli.sources.images.splits import SPLIT_OF, WORDS, wanted

METADATA = ("metadata.jsonl", "metadata.csv")
LONGEST = 1 << 22  # characters of a line: the shares of 100,000 classes


def image_folder(root: Path, split: str = "auto") -> PictureFiles | None:
    """The pictures that a folder's lists name; None where it has no list of pictures."""
    lists = _lists(root)
    if not any(is_picture(_name(entry)) for entry, _ in islice(_all(lists), 1)):
        return None
    notes: list[str] = []
    bases, heads = list(lists), None
    if "" not in lists:
        bases = wanted(root, {base: SPLIT_OF[base.lower()] for base in lists}, split, notes)
    elif told := _told(lists[""], split):
        heads = wanted(root, told, split, notes)
    files, labels = _Files(root), Collector()
    for base in bases:
        for entry, where in _entries(lists[base]):
            if heads is None or _name(entry).partition("/")[0] in heads:
                files.add(base, _name(entry), where)
                labels.add(_label(entry, where), where, entry.get("soft_label"))
    there = [name for base in bases for name in _beside(root, base) if heads is None or name.partition("/")[0] in heads]
    notes += unnamed(root, there, files.names)
    names, listing = names_beside(root)
    used = (*(lists[base] for base in bases), *listing)
    return PictureFiles(root, files.names, labels.labels(root, names), used, tuple(notes))


def _beside(root: Path, base: str) -> list[str]:
    """The pictures in the folder of a list, and below it."""
    inner = scan(root / base, root)
    direct = [f"{base}/{name}" if base else name for name in inner.pictures]
    below = [f"{base}/{name}" if base else name for name in inner.folders]
    return [*direct, *(picture for folder in below for picture in pictures_in(root, folder))]


class _Files:
    """Names of pictures, checked to be regular files that lie under `root`."""

    def __init__(self, root: Path):
        self.root = root
        self.names: list[str] = []
        self.folders: set[str] = set()

    def add(self, base: str, name: str, where: str) -> None:
        if not is_picture(name) or "\0" in name:
            raise MixError(f"file_name {name[:80]!r} names no picture", at=where, advice="take the line out")
        path = os.path.normpath(os.path.join(base, name))
        if os.path.isabs(path) or path.startswith(".."):
            raise MixError(
                f"file_name {name[:80]!r} leads out of {self.root}", at=where, advice="copy the picture into it"
            )
        place = self.root / path
        if (folder := os.path.dirname(path)) not in self.folders:
            self.folders.add(folder)
            require_inside(place.parent, self.root)
        if os.path.islink(place):
            require_inside(place, self.root)
        if not os.path.isfile(place):
            raise MixError(f"{str(place)[:300]} is not there or is no regular file", at=where, advice="copy it there")
        self.names.append(Path(path).as_posix())


def _lists(root: Path) -> dict[str, Path]:
    """The list of the folder, '', or those of its splits' folders, train first."""
    bases = [name for word in WORDS for name in sorted(os.listdir(root)) if SPLIT_OF.get(name.lower()) == word]
    lists = {base: root / base / name for base in ("", *bases) for name in METADATA[::-1] if _is_file(root, base, name)}
    return {"": lists[""]} if "" in lists else lists


def _is_file(root: Path, base: str, name: str) -> bool:
    path = root / base / name
    return os.path.lexists(path) and bool(require_file(require_inside(path, root)))


def _told(listing: Path, split: str) -> dict[str, str]:
    """The splits that the first folder of every file_name tells; none where one of them is no split."""
    heads = {_name(entry).partition("/")[0] for entry, _ in _entries(listing)}
    if all(head.lower() in SPLIT_OF for head in heads):
        return {head: SPLIT_OF[head.lower()] for head in sorted(heads)}
    if split in WORDS:
        raise UsageError(f"{listing} does not tell train from test", at=f"--split {split}", advice="leave --split out")
    return {}


def _name(entry: dict[str, Any]) -> str:
    name = entry.get("file_name")
    return name if isinstance(name, str) else ""


def _label(entry: dict[str, Any], where: str) -> Any:
    if "label" not in entry and "soft_label" not in entry:
        has = ", ".join(map(repr, list(entry)[:6]))
        raise MixError(f"no 'label' beside file_name (it has {has})", at=where, advice="add one, or take the list away")
    return entry.get("label")


def _all(lists: dict[str, Path]) -> Iterator[tuple[dict[str, Any], str]]:
    return chain.from_iterable(map(_entries, lists.values()))


def _entries(listing: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """What a list says of each picture, and the line that does."""
    read = _json_lines if listing.suffix == ".jsonl" else _csv_lines
    for entry, line in read(listing):
        yield entry, f"{listing}, line {line}"


def _json_lines(listing: Path) -> Iterator[tuple[dict[str, Any], int]]:
    with open(listing, "rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(LONGEST), b""), 1):
            if line.strip():
                yield _parsed(line, f"{listing}, line {number}"), number


def _parsed(line: bytes, where: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as e:
        raise MixError(f"is no JSON ({str(e)[:80]})", at=where, advice="write the line again") from e
    if not isinstance(entry, dict):
        raise MixError("is no JSON object", at=where, advice="expected one with file_name and label")
    return entry


def _csv_lines(listing: Path) -> Iterator[tuple[dict[str, Any], int]]:
    with open(listing, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        rows = csv.DictReader(file)
        try:
            for row in rows:
                texts = {name: text for name, text in row.items() if name != "soft_label" and isinstance(text, str)}
                label = texts.pop("label", "")
                yield {**texts, **({"label": number_or_name(label)} if label else {})}, rows.line_num
        except csv.Error as e:
            raise MixError(f"is no CSV ({e})", at=f"{listing}, line {rows.line_num}", advice="write it again") from e
