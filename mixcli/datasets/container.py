"""The containers of a mixed dataset: which one a name means, who writes it and who reads it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mixcli.datasets.recognise import SUFFIXES, container_at
from mixcli.errors import UsageError

if TYPE_CHECKING:
    from mixcli.data.fields import Field
    from mixcli.datasets.contract import Mixed, Sink
    from mixcli.files.picture_files import Encoding


def container_of(out: Path, folder: bool = False) -> str:
    """The container that a name asks for: "h5", "npz" or "folder". folder: the name was given with a final slash.

    >>> [container_of(Path(p)) for p in ("mixed.h5", "mixed.npz", "mixed", "mixed.ply")]
    ['h5', 'npz', 'folder', 'folder']
    """
    kind = "folder" if folder else SUFFIXES.get(out.suffix.lower())
    if kind is None:
        advice = "name a .h5 or .npz file, or a folder for .ply files or pictures (a name that ends in '/')"
        raise UsageError(f"{out.suffix} is no container of mixed datasets", at=out, advice=advice)
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
        reason = f"{how.suffix} files lie in a folder"
        raise UsageError(reason, at=out, advice="leave the format out or name a folder")
    if kind == "h5":
        from mixcli.datasets.h5 import H5Sink

        return H5Sink(out, fields, rows)
    from mixcli.datasets.npz import NpzSink

    return NpzSink(out, fields, rows)


def open_mixed(path: Path) -> Mixed:
    """A finished dataset, its container found from what is there; MixError where it is none."""
    kind = container_at(path)
    if kind == "tar":
        from mixcli.datasets.tar_folder import MixedTars

        return MixedTars(path)
    if kind == "folder":
        from mixcli.datasets.folder import MixedFolder

        return MixedFolder(path)
    if kind == "npz":
        from mixcli.datasets.npz import MixedNpz

        return MixedNpz(path)
    from mixcli.datasets.h5 import MixedH5

    return MixedH5(path)
