"""WebDataset: tar archives in which key.jpg, key.png or the like is followed or led by key.cls or key.json.

A sample is a run of members with the same key: all of a name before the first dot behind its last slash. `cls` holds
a number or a name, `json` an object with `label`, or mixcli's `soft_label`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mixcli.errors import MixError
from mixcli.files.regular import in_litter, require_file
from mixcli.files.tar_index import Member, members
from mixcli.sources.images.decode import SUFFIXES, opened, size_of
from mixcli.sources.images.encoded import Encoded, of_bytes
from mixcli.sources.images.labels import Collector, names_beside, number_or_name
from mixcli.text import clean

HEAD = 1 << 14  # bytes that hold a picture's header where no thumbnail or colour profile stands before it
MOST_LABEL = 1 << 22  # bytes of a cls or json member
KINDS = tuple(suffix[1:] for suffix in SUFFIXES)
AGAIN = "make the archive again"
HOW = f"{AGAIN} with tar --dereference --hard-dereference"


class Tars(Encoded):
    """The samples of some archives that have a picture, archive after archive. Bytes are read where they lie."""

    def __init__(self, path: Path, shards: list[Path], notes: Sequence[str] = ()):
        labels, self.members, where, without = Collector(), list[str](), list[tuple[int, int, int]](), 0
        for number, shard in enumerate(shards):
            with open(require_file(shard), "rb") as file:
                for key, sample in samples(shard):
                    picture = _picture(shard, key, sample)
                    if picture is None:
                        without += 1
                        continue
                    labels.add(*_label(shard, key, sample, file))
                    self.members.append(picture.name)
                    where.append((number, picture.offset, picture.size))
        names, listing = names_beside(shards[0].parent)
        if without:
            notes = [*notes, f"{path}: left out {without:,} sample{'s' * (without != 1)} without a picture"]
        super().__init__(path, labels.labels(path, names), notes)
        self.where = np.array(where, np.int64).reshape(-1, 3)  # archive, first byte, bytes
        self.shards, self.files = shards, [*shards, *listing]

    def address(self, row: int) -> tuple[str, None]:
        """The name of the member behind that of its archive, on one line whatever is in it."""
        return f"{self.shards[self.where[row, 0]]}/{clean(self.members[row])}", None

    def encoded(self, row: int, most: int | None = None) -> bytes:
        """The first bytes of a picture, all where `most` does not say otherwise."""
        number, offset, size = self.where[row].tolist()
        with opened(self.shards[number]) as file:
            return _bytes(file, offset, min(size, size if most is None else most))

    def size_at(self, row: int) -> tuple[int, int] | str:
        """See Encoded.size_at; mostly the first bytes tell it."""
        size = of_bytes(size_of, lambda: self.encoded(row, HEAD))
        return size if size != (-1, -1) or self.where[row, 2] <= HEAD else super().size_at(row)


def samples(shard: Path) -> Iterator[tuple[str, dict[str, Member]]]:
    """Key of each sample, and its members by what stands behind the key."""
    named = ((*_split(member.name), member) for member in members(shard))
    for key, run in groupby((one for one in named if one[1]), key=itemgetter(0)):
        sample: dict[str, Member] = {}
        for _, kind, member in run:
            if kind in sample:
                raise MixError(
                    f"has {member.name[:80]!r} twice in a row", at=shard, advice="give every sample its own key"
                )
            sample[kind] = member
        yield key, sample


def _split(name: str) -> tuple[str, str]:
    """Key, and what stands behind it; that is empty for a hidden member.

    >>> _split("./train/000123.cam1.JPG"), _split("train/._000123.jpg")
    (('train/000123', 'cam1.jpg'), ('train/._000123.jpg', ''))
    """
    folder, slash, base = name.removeprefix("./").rpartition("/")
    key, _, kind = base.partition(".")
    return (
        (folder + slash + key, kind.lower())
        if key and not key.startswith("__") and not in_litter(folder)
        else (name, "")
    )


def _picture(shard: Path, key: str, sample: dict[str, Member]) -> Member | None:
    """Of key.jpg and key.mask.png it is the first."""
    for kinds in ([k for k in sample if k in KINDS], [k for k in sample if k.rpartition(".")[2] in KINDS]):
        if len(kinds) > 1:
            raise MixError(
                f"sample {key[:80]!r} has pictures {kinds[0]!r} and {kinds[1]!r}", at=shard, advice="leave one in it"
            )
        if kinds:
            return _regular(shard, sample[kinds[0]])
    return None


def _label(shard: Path, key: str, sample: dict[str, Member], file: BinaryIO) -> tuple[Any, str, Any]:
    """Label, where it stands, and the shares beside it."""
    kind = next((k for k in ("cls", "json") if k in sample), None)
    if kind is None:
        raise MixError(f"sample {key[:80]!r} has neither a .cls nor a .json member", at=shard, advice="add its label")
    member, where = _regular(shard, sample[kind]), f"{shard}/{sample[kind].name}"
    if member.size > MOST_LABEL:
        raise MixError(f"{member.size:,} bytes are too many for a label", at=where, advice="make the archive again")
    data = _bytes(file, member.offset, member.size)
    if kind == "cls":
        return number_or_name(data.decode("utf-8", "surrogateescape")), where, None
    try:
        told = json.loads(data)
    except (ValueError, RecursionError) as e:
        raise MixError(f"is no JSON ({str(e)[:80]})", at=where, advice="make the archive again") from e
    if not isinstance(told, dict) or not {"label", "soft_label"} & set(told):
        raise MixError("has no 'label'", at=where, advice="expected an object with one")
    return told.get("label"), where, told.get("soft_label")


def _regular(shard: Path, member: Member) -> Member:
    if ".." in member.name.split("/"):
        raise MixError(f"{member.name[:80]!r} is a name that leads out of the archive", at=shard, advice=AGAIN)
    if member.kind != "file":
        what = "a link" if member.kind == "link" else "no regular file"
        raise MixError(f"{member.name[:80]!r} is {what}, which is not followed", at=shard, advice=HOW)
    return member


def _bytes(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)
