"""Where the members of a tar archive lie, from one pass over its headers: ustar, GNU and pax, nothing unpacked.

Sizes are checked against the archive before anything of that size is read, so a header that lies ends the pass.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from mixcli.errors import MixError
from mixcli.files.regular import require_file

BLOCK = 512
MOST_EXTRA = 1 << 20  # bytes of a long name or of pax records
REGULAR, FOLDER, LINKS = (b"0", b"\0", b"7"), b"5", (b"1", b"2")
LONG_NAME, LONG_LINK, PAX, GLOBAL_PAX = b"L", b"K", b"x", b"g"


class Member(NamedTuple):
    """One member that is no folder."""

    name: str
    kind: str  # "file", "link" or "other": devices, sparse files
    offset: int
    size: int


def members(path: Path) -> Iterator[Member]:
    """Every member in its order. MixError where the archive is cut short, damaged or compressed."""
    whole = require_file(path).stat().st_size
    if not whole:
        raise MixError("the file is empty", at=path, advice="copy or download it again")
    with open(path, "rb", buffering=0) as file:
        at = 0
        extra: dict[str, str] = {}
        while at < whole:
            file.seek(at)
            header = file.read(BLOCK)
            if header == bytes(len(header)):
                _check_end(path, file)
                return
            kind, size = _checked(path, header, at), _size(path, header, at, extra)
            if kind in LINKS or kind == FOLDER:
                size = 0
            if at + BLOCK + size > whole:
                raise MixError(f"is cut short in {_name(header, extra)!r}", at=path, advice="copy or download it again")
            if kind in (LONG_NAME, LONG_LINK, PAX, GLOBAL_PAX):
                extra |= _extra(path, kind, file, size, at)
            else:
                if kind != FOLDER:
                    yield Member(_name(header, extra), _kind(kind, extra), at + BLOCK, size)
                extra = {}
            at += BLOCK + -(-size // BLOCK) * BLOCK
    raise MixError("has no end mark, so members may be missing", at=path, advice="copy, download or make it again")


def _check_end(path: Path, file: BinaryIO) -> None:
    """MixError where something stands behind what looks like the end mark: a hole, or another archive."""
    while block := file.read(MOST_EXTRA):
        if block.strip(b"\0"):
            at = file.tell() - len(block.lstrip(b"\0"))
            what = f"has an end mark in its middle: it goes on at byte {at:,}"
            raise MixError(what, at=path, advice="copy, download or make it again")


def _checked(path: Path, header: bytes, at: int) -> bytes:
    """The type of a member whose header adds up."""
    if len(header) < BLOCK:
        raise MixError(f"is cut short at byte {at:,}", at=path, advice="copy or download it again")
    if _number(header[148:156]) != sum(header) - sum(header[148:156]) + 8 * ord(" "):
        if at == 0 and header[:2] == b"\x1f\x8b":
            raise MixError("is compressed, and samples are read where they lie", at=path, advice="gunzip it first")
        what = "is no tar archive" if at == 0 else f"is damaged at byte {at:,}"
        raise MixError(what, at=path, advice="copy or download it again")
    return header[156:157]


def _number(field: bytes) -> int | None:
    """Octal digits, or GNU's binary form of what they cannot hold; None where it is neither."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    text = field.strip(b" \0")
    return int(text, 8) if text and not text.strip(b"01234567") else 0 if not text else None


def _size(path: Path, header: bytes, at: int, extra: dict[str, str]) -> int:
    size = _number(header[124:136])
    if (text := extra.get("size")) is not None:
        size = int(text) if text.isdecimal() and len(text) < 19 else None
    if size is None:
        raise MixError(f"is damaged at byte {at:,}", at=path, advice="copy or download it again")
    return size


def _name(header: bytes, extra: dict[str, str]) -> str:
    if "path" in extra:
        return extra["path"]
    name = header[:100].partition(b"\0")[0]
    if header[257:263] == b"ustar\0" and (prefix := header[345:500].partition(b"\0")[0]):
        name = prefix + b"/" + name
    return os.fsdecode(name)


def _kind(kind: bytes, extra: dict[str, str]) -> str:
    if kind in LINKS:
        return "link"
    return "file" if kind in REGULAR and not any(key.startswith("GNU.sparse") for key in extra) else "other"


def _extra(path: Path, kind: bytes, file: BinaryIO, size: int, at: int) -> dict[str, str]:
    """What a member says of the next one; what it says of all of them is not believed."""
    if size > MOST_EXTRA:
        raise MixError(f"has a name of {size:,} bytes at byte {at:,}", at=path, advice="the archive is damaged")
    data = file.read(size)
    if kind == LONG_NAME:
        return {"path": os.fsdecode(data.partition(b"\0")[0])}
    return dict(_records(data)) if kind == PAX else {}


def _records(data: bytes) -> Iterator[tuple[str, str]]:
    """Pax records, 'LENGTH key=value\\n' each; nothing after one that is none."""
    at = 0
    while at < len(data):
        digits = data[at : at + 8].partition(b" ")[0]
        length = int(digits) if digits.isdigit() else 0
        key, equals, value = data[at + len(digits) + 1 : at + length - 1].partition(b"=")
        if length <= len(digits) + 1 or not equals:
            return
        yield os.fsdecode(key), os.fsdecode(value)
        at += length
