"""MNIST's files, and those of the sets that took its place: `*images-idx3-ubyte` beside `*labels-idx1-ubyte`, or `.gz`.

An idx file is 0, 0, 8 (for bytes), its number of axes, a big-endian u4 for each axis, and the bytes.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from pathlib import Path
from typing import Protocol

import numpy as np

from mixcli.errors import MixError, UsageError
from mixcli.files.npz_arrays import BLOCK, DEFLATE_LIMIT
from mixcli.files.regular import is_litter, require_file, require_inside
from mixcli.files.rows_on_disk import RowsOnDisk
from mixcli.sources.images.labels import names_beside
from mixcli.sources.images.splits import wanted
from mixcli.sources.images.stacked import Stack, Stacked, check_pictures
from mixcli.sources.labels import Labels

NAME = re.compile(r"(?P<set>.*?)(?P<what>images|labels)[-.]idx[134][-.]ubyte(\.gz)?")
SPLIT = re.compile(r"(?P<train>train)|(?P<test>test|t10k)|(?P<val>val)")
TORN = (OSError, EOFError, zlib.error)  # what gzip raises on damage


def idx_folder(root: Path, split: str = "auto") -> Stacked | None:
    """The sets of a split in a folder, or in torchvision's `raw` below it; None where there are none."""
    for folder in (root, root / "raw"):
        pictures = _pictures(folder) if folder.is_dir() else {}
        if pictures:
            notes: list[str] = []
            chosen = wanted(root, _told(folder, pictures), split, notes)
            return _stacked(root, folder, [pictures[name] for name in chosen], tuple(notes))
    return None


def idx_file(path: Path) -> Stacked | None:
    """The set whose pictures a file holds; None where its name says no such thing."""
    name = NAME.fullmatch(path.name)
    if not name:
        return None
    if name["what"] == "labels":
        raise UsageError("holds labels", at=path, advice="give the file of pictures beside it")
    return _stacked(path, path.parent, [path], ())


def read_idx(path: Path) -> np.ndarray | RowsOnDisk:
    """u8 array, read by rows, or of a .gz decoded. MixError where the file does not hold what its header says."""
    size = require_file(path).stat().st_size
    if path.suffix != ".gz":
        with open(path, "rb") as file:
            shape, start = _header(path, file)
        if start + math.prod(shape) != size:
            raise MixError(
                f"declares {math.prod(shape):,} bytes but holds {size - start:,}", at=path, advice="download it again"
            )
        return RowsOnDisk(path, np.dtype(np.uint8), shape, start)
    try:
        with gzip.open(path) as file:
            shape, _ = _header(path, file)
            return _unpacked(path, file, shape, size)
    except TORN as e:
        raise MixError(f"cannot be unpacked ({e})", at=path, advice="download it again") from e


class Stream(Protocol):
    """A file, or what unpacks one."""

    def read(self, size: int, /) -> bytes: ...


def _header(path: Path, file: Stream) -> tuple[tuple[int, ...], int]:
    """Shape, and where the bytes begin."""
    magic = file.read(4)
    if len(magic) < 4 or magic[:3] != b"\0\0\x08" or not 1 <= magic[3] <= 4:
        raise MixError("is no idx file of bytes", at=path, advice="download it again")
    sides = file.read(4 * magic[3])
    if len(sides) < 4 * magic[3]:
        raise MixError("is cut short in its header", at=path, advice="download it again")
    shape = tuple(np.frombuffer(sides, ">u4").tolist())
    if not math.prod(shape):
        raise MixError(f"is empty, {shape}", at=path, advice="download it again")
    return shape, 4 + len(sides)


def _unpacked(path: Path, file: Stream, shape: tuple[int, ...], packed: int) -> np.ndarray:
    if math.prod(shape) > packed * DEFLATE_LIMIT:
        raise MixError(f"declares {math.prod(shape):,} bytes, more than {packed:,} can unpack to", at=path)
    values, at = np.empty(math.prod(shape), np.uint8), 0
    while block := file.read(BLOCK):
        if at + len(block) > len(values):
            break
        values[at : at + len(block)] = np.frombuffer(block, np.uint8)
        at += len(block)
    if block or at < len(values):
        raise MixError(
            f"declares {len(values):,} bytes and holds {'more' if block else at}", at=path, advice="download it again"
        )
    return values.reshape(shape)


def _pictures(folder: Path) -> dict[str, Path]:
    """The files of pictures by their name without what says so, the unpacked one where there are both."""
    pictures: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        name = NAME.fullmatch(path.name)
        if name and name["what"] == "images" and not is_litter(path.name):
            pictures.setdefault(name["set"], require_inside(path, folder))
    return pictures


def _told(folder: Path, pictures: dict[str, Path]) -> dict[str, str | None]:
    """The split of each set. UsageError where two are of the same: EMNIST keeps its variants in one folder."""
    told = {name: match.lastgroup if (match := SPLIT.search(name.lower())) else None for name in pictures}
    twice = [path.name for name, path in pictures.items() if list(told.values()).count(told[name]) > 1]
    if twice:
        raise UsageError(f"{twice[0]} and {twice[1]} belong to different sets", at=folder, advice="name one of them")
    return told


def _stacked(path: Path, folder: Path, images: list[Path], notes: tuple[str, ...]) -> Stacked:
    names, listing = names_beside(folder)
    beside = [_labels_of(image) for image in images]
    stacks, labels = [read_idx(image) for image in images], [read_idx(label)[:] for label in beside]
    for image, stack, label, numbers in zip(images, stacks, beside, labels, strict=True):
        check_pictures(image, "images", stack)
        if numbers.shape != stack.shape[:1]:
            raise MixError(f"has {numbers.shape} labels for the {len(stack):,} pictures in {image.name}", at=label)
    hard = np.concatenate(labels).astype(np.int64)
    files = [*(file for pair in zip(images, beside, strict=True) for file in pair), *listing]
    if any("emnist" in image.name.lower() for image in images):
        notes = (*notes, f"{path}: EMNIST's pictures lie transposed, rows for columns; they are read as they lie")
    return Stacked(path, files, list(map(Stack, images, stacks)), Labels(hard, names), notes)


def _labels_of(image: Path) -> Path:
    """The file of labels beside a file of pictures, packed or not."""
    start = image.name[: image.name.rindex("images")]
    for path in sorted(image.parent.iterdir()):
        name = NAME.fullmatch(path.name)
        if name and name["what"] == "labels" and name["set"] == start:
            return require_inside(path, image.parent)
    raise MixError(f"no {start}labels-idx1-ubyte beside it", at=image, advice="put the file of labels there")
