"""The containers of a mixed dataset: which one a name means, one interface to all, the step to the final name.

A dataset is made under `OUT.part`. A file takes its final name by one rename. A folder cannot be renamed over another:
the old one steps aside to `OUT.part.old`, the new one gets its name, and only then is the old one removed. A kill in
between leaves both, the new one in place or still `OUT.part`, which can be resumed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mixcli.data.fields import Field
from mixcli.datasets.place import part_of, remove, sync_path
from mixcli.errors import MixError, UsageError

if TYPE_CHECKING:
    from mixcli.files.picture_files import Encoding

SUFFIXES = {".h5": "h5", ".hdf5": "h5", ".npz": "npz", ".ply": "folder", "": "folder"}
SCHEMA = "mixcli.manifest/"


class Sink(Protocol):
    """A dataset under construction: rows go where they belong, window after window."""

    part: Path  # a file or a folder
    layout: dict[str, Any]  # what a later run needs to go on with the part
    bytes: int  # expected

    def create(self) -> None:
        """A new part; MixError where the disk has no room for it."""

    def reopen(self, layout: dict[str, Any]) -> None:
        """Go on with the part of an earlier run; MixError where it is none of this container."""

    def write(self, window: int, first: int, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray] | None:
        """Consecutive rows of every field, from row `first`. One window at a time, rows ascending within it.

        Returns them as they will be read, where a lossy encoding changes them, with its bytes as `FILES`.
        """

    def finish(self, window: int) -> None:
        """The window is complete and may be named in the journal."""

    def read(self, window: int, first: int, count: int) -> dict[str, np.ndarray]:
        """Consecutive rows of a window as written; damaged ones are other rows, or MixError."""

    def seal(self, manifest: dict[str, Any], class_names: tuple[str, ...] | None) -> None:
        """The final name, all at once. Killed anywhere, it can be done again after `reopen`."""

    def discard(self) -> None:
        """Remove the part."""

    def close(self) -> None: ...


class Mixed(Protocol):
    """A finished dataset, read by rows."""

    path: Path
    kind: str  # in words
    size: int  # bytes on the disk
    names: list[str]  # of the fields
    class_names: tuple[str, ...] | None

    def field(self, name: str) -> Any:
        """Its `shape` (M, ...) and `dtype`; MixError where it is unusable."""

    def read(self, name: str, first: int, count: int) -> np.ndarray: ...

    def take(self, name: str, rows: np.ndarray) -> np.ndarray: ...

    def manifest(self) -> dict[str, Any]:
        """What made the dataset; MixError where there is none or it does not parse."""

    def faults(self) -> Iterator[str]:
        """What is wrong with the container itself, apart from the values in it."""

    def close(self) -> None: ...


def container_of(out: Path, folder: bool = False) -> str:
    """The container that a name asks for: "h5", "npz" or "folder". folder: the name was given with a final slash.

    >>> [container_of(Path(p)) for p in ("mixed.h5", "mixed.npz", "mixed", "mixed.ply")]
    ['h5', 'npz', 'folder', 'folder']
    """
    kind = "folder" if folder else SUFFIXES.get(out.suffix.lower())
    if kind is None:
        raise UsageError(
            f"{out}: {out.suffix} is no container of mixed datasets; name a .h5 or .npz file, or a folder for .ply "
            "files or pictures (a name that ends in '/')"
        )
    return kind


def open_sink(out: Path, fields: tuple[Field, ...], rows: int, kind: str, how: Encoding | None = None) -> Sink:
    """The writer of a new dataset. Nothing is touched before `create` or `reopen`.

    kind: what `container_of` says, or "tar". how: the encoding of pictures; UsageError where none are written.
    """
    if kind == "tar":
        from mixcli.datasets.tar_sink import TarSink

        return TarSink(out, fields, rows, how)
    if kind == "folder":
        from mixcli.datasets.folder_sink import FolderSink

        return FolderSink(out, fields, rows, how)
    if how is not None:
        raise UsageError(f"{out}: {how.suffix} files lie in a folder; leave the format out or name a folder")
    if kind == "h5":
        from mixcli.datasets.h5 import H5Sink as sink
    else:
        from mixcli.datasets.npz import NpzSink as sink
    return sink(out, fields, rows)


def open_mixed(path: Path) -> Mixed:
    """A finished dataset, its container found from what is there; MixError where it is none."""
    if path.is_dir():
        from mixcli.datasets.folder import MixedFolder, is_of_tars

        if is_of_tars(path):
            from mixcli.datasets.tar_folder import MixedTars

            return MixedTars(path)
        return MixedFolder(path)
    if not path.is_file():
        raise MixError(f"{path}: no such file or folder")
    with open(path, "rb") as file:
        head = file.read(4)
    if head[:2] == b"PK":
        from mixcli.datasets.npz import MixedNpz

        return MixedNpz(path)
    if head != b"\x89HDF" and SUFFIXES.get(path.suffix.lower()) != "h5":
        raise MixError(f"{path}: is no mixed dataset; mixcli reads the .h5, .npz and folders that it wrote")
    from mixcli.datasets.h5 import MixedH5

    return MixedH5(path)


def is_mixed(path: Path) -> bool:
    """Whether mixcli wrote it. Cheap; whatever is wrong with it, the answer is no."""
    try:
        file = open_mixed(path)
        try:
            return file.manifest() is not None
        finally:
            file.close()
    except (MixError, OSError, ValueError, KeyError, RuntimeError):
        return False


def replaceable(out: Path) -> None:
    """UsageError if what has this name is not mixcli's to replace: a folder, or a file without suffix, of others."""
    if out.is_symlink() and not out.is_file():
        raise UsageError(f"{out}: is a symbolic link; remove it or choose another --out")
    if out.is_dir():
        from mixcli.datasets.folder import foreign

        if any(out.iterdir()) and not is_mixed(out):
            raise UsageError(f"{out}: is a folder that mixcli did not write; choose another --out")
        if other := foreign(out):
            raise UsageError(f"{out}: holds {other}, which mixcli did not write; move it away or choose another --out")
    elif os.path.lexists(out) and SUFFIXES.get(out.suffix.lower()) not in ("h5", "npz") and not is_mixed(out):
        raise UsageError(f"{out}: is a file that mixcli did not write; choose another --out")


def clear(part: Path) -> None:
    """Remove the part of an earlier run, whatever its container, but no folder in which anything else lies."""
    if part.is_dir() and not part.is_symlink():
        from mixcli.datasets.folder import foreign

        if other := foreign(part):
            raise UsageError(f"{part}: holds {other}, which mixcli did not write; move it away or choose another --out")
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


def _aside(out: Path) -> Path:
    return out.with_name(part_of(out).name + ".old")


def pack(manifest: dict[str, Any], class_names: tuple[str, ...] | None, indent: int | None = None) -> str:
    """Manifest and class names as one JSON object."""
    return json.dumps({**manifest, **({"class_names": list(class_names)} if class_names else {})}, indent=indent)


def unpack(path: Path, text: str | bytes) -> tuple[dict[str, Any], tuple[str, ...] | None]:
    """`pack` the other way."""
    found = parsed_manifest(path, text)
    names = found.pop("class_names", None)
    return found, tuple(names) if _are_names(names) else None


def parsed_manifest(path: Path, text: str | bytes | None) -> dict[str, Any]:
    """A manifest as `mixcli` writes it, or MixError."""
    if text is None:
        raise MixError(f"{path}: no manifest in it; mixcli did not write it")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise MixError(f"{path}: its manifest does not parse ({e})") from e
    if not isinstance(found, dict) or not str(found.get("schema", "")).startswith(SCHEMA):
        raise MixError(f"{path}: its manifest is not one of mixcli's")
    return found


def parsed_names(text: str) -> tuple[str, ...] | None:
    """A JSON list of strings, or nothing."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return tuple(found) if _are_names(found) else None


def _are_names(found: Any) -> bool:
    return isinstance(found, list) and all(isinstance(name, str) for name in found)
