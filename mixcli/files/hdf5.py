"""HDF5 files that nobody vouches for: no link leads out of them, and no size is believed before it is checked."""

from __future__ import annotations

import math
from pathlib import Path

import h5py

from mixcli.errors import MixError
from mixcli.files.regular import require_file

SUFFIXES = (".h5", ".hdf5")
DEFLATE_LIMIT = 1100  # no filter of HDF5 shrinks further than deflate's 1032:1
TORN = (KeyError, RuntimeError, ValueError, OSError)  # h5py's several ways to say that metadata is damaged

SIGNATURE = b"\x89HDF\r\n\x1a\n"
END = {0: 40, 1: 44, 2: 28, 3: 28}  # where a superblock of each version, with offsets of 8 bytes, says the file's end
WIDTH = {0: 13, 1: 13, 2: 9, 3: 9}  # and where it says how wide its offsets are


def open_h5(path: Path) -> h5py.File:
    """The file, or one sentence that says why it cannot be read."""
    require_file(path)
    try:
        return h5py.File(path, "r")
    except OSError as e:
        why = "it is cut short" if is_cut_short(path) else short(e)
        raise MixError(f"not a readable HDF5 file ({why})", at=path, advice="copy or download it again") from e


def is_cut_short(path: Path) -> bool:
    """Whether the file ends before the place that its superblock, its first bytes, gives as its end."""
    with open(path, "rb") as file:
        head = file.read(64)
    version = head[8] if len(head) == 64 and head.startswith(SIGNATURE) else None
    if version not in END or head[WIDTH[version]] != 8:
        return False
    return int.from_bytes(head[END[version] : END[version] + 8], "little") > path.stat().st_size


def damaged(path: Path, error: Exception) -> MixError:
    """What to raise of an error among `TORN`."""
    why = f"its HDF5 metadata is damaged ({short(error)})"
    return MixError(why, at=path, advice="copy or download it again")


def holds(file: h5py.File, name: str) -> bool:
    """Whether there is an entry of this name; asking for it the usual way would follow links."""
    return file.id.links.exists(name.encode())


def checked(path: Path, file: h5py.File, name: str) -> h5py.Dataset:
    """A dataset whose bytes are in this very file, and as many as its header says."""
    hard = holds(file, name) and file.id.links.get_info(name.encode()).type == h5py.h5l.TYPE_HARD
    item = file[name] if hard else None
    if not isinstance(item, h5py.Dataset) or item.external or item.is_virtual:
        raise MixError(
            f"'{name}' is no plain dataset of this file", at=path, advice="links to other files are not followed"
        )
    if item.shape is None:
        raise MixError(f"'{name}' has no values at all", at=path, advice="write the file again")
    stored = item.id.get_storage_size()
    if item.nbytes > max(1, stored) * DEFLATE_LIMIT:
        raise MixError(
            f"'{name}' declares {item.nbytes:,} bytes but holds {stored:,}", at=path, advice="the file is incomplete"
        )
    if item.chunks is not None and item.size:
        whole = math.prod(-(-side // chunk) for side, chunk in zip(item.shape, item.chunks, strict=True))
        if item.id.get_num_chunks() < whole:
            held = f"{item.id.get_num_chunks():,} of its {whole:,} pieces"
            raise MixError(f"'{name}' holds {held}", at=path, advice="the file is incomplete, write it again")
    return item


def short(error: Exception) -> str:
    """The part of an HDF5 message that a person can use."""
    text = str(error)
    return text[text.find("(") + 1 : text.rfind(")")] if "(" in text else text
