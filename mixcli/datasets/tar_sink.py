"""Writing a folder of one tar a window: USTAR, without owners or times, so that the same rows are the same bytes.

It is made in `OUT.part/`, each archive under a temporary name until its window is complete. Every row is in one
archive, so the last step has nothing to join.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mixcli.data.fields import Field
from mixcli.datasets.codec import as_stored, kind_of, told
from mixcli.datasets.codecs import codec_of
from mixcli.datasets.contract import FileBytes, RowFiles, Rows
from mixcli.datasets.folder_names import MANIFEST, UNFINISHED, tar_name, tars_of
from mixcli.datasets.manifest_text import pack
from mixcli.datasets.metadata import check_fields, decode_fields, encode, line_bytes
from mixcli.datasets.picture_rows import PictureRows
from mixcli.datasets.place import clear, no_room, part_of, put_in_place, settle
from mixcli.datasets.plain_files import remove
from mixcli.datasets.row_file import check_rows, known_layout
from mixcli.datasets.tar_folder import JSON, TarIndex, kinds_of
from mixcli.errors import MixError
from mixcli.files.picture_files import Encoding

BLOCK = 256  # rows packed at a time
PACKED = 1 << 26  # bytes of rows packed at a time
RECORD = 512  # bytes, to which every member is filled up
END = bytes(2 * RECORD)


class TarSink:
    """Rows of `OUT.part/`, one archive a window; `seal` makes it `OUT/`. how: the encoding of pictures."""

    container = "tar"

    def __init__(self, out: Path, fields: tuple[Field, ...], rows: int, how: Encoding | None = None):
        self.out, self.fields, self.rows = out, fields, rows
        self.part = part_of(out)
        self.codec = codec_of_pictures(fields, out, how)
        self.pictures = kind_of(self.codec)
        self.digits = max(6, len(str(rows - 1)))
        self.layout: dict[str, Any] = {"container": self.container, "digits": self.digits, **told(self.codec)}
        self.window: int | None = None
        self.file = -1
        self.index: TarIndex | None = None

    @property
    def bytes(self) -> int:
        """Expected."""
        return self.rows * (self.codec.expected + self._around)

    @property
    def _around(self) -> int:
        """Bytes of a row beside its pictures."""
        return line_bytes(self.codec.others) + 3 * RECORD // 2 * len(kinds_of(self.codec))

    def create(self) -> None:
        """Make the folder. Its space cannot be reserved, but what cannot fit is refused."""
        self.discard()
        disk, need = os.statvfs(self.out.parent), self.rows * (self.codec.least + self._around)
        if need > disk.f_frsize * disk.f_bavail:
            raise no_room(None, self.out, need)
        self.part.mkdir()

    def reopen(self, layout: dict[str, Any]) -> None:
        """Go on with an `OUT.part/`, without what an unfinished window or end left there."""
        layout = known_layout(self.part, self.container, layout)
        if layout != self.layout or self.part.is_symlink() or not self.part.is_dir():
            raise MixError("is no folder as this run makes it", at=self.part, advice="--overwrite starts again")
        for leftover in (*self.part.glob(f"*{UNFINISHED}"), self.part / MANIFEST):
            remove(leftover)

    def write(self, window: int, first: int, arrays: Rows, ready: RowFiles | None = None) -> Rows:
        """Consecutive rows of every field, from row `first`; a window that was there before is made anew."""
        check_rows(self.fields, arrays)
        if window != self.window:
            self._begin(window)
        parts = []
        for rows, more in samples(self.codec, self.digits, first, arrays, ready):
            for sample in rows:
                self._append(sample)
            parts.append(more)
        return as_stored(arrays, parts)

    def _begin(self, window: int) -> None:
        self.close()
        for path in (self._path(window), self._path(window, UNFINISHED)):
            remove(path)
        self.file = os.open(self._path(window, UNFINISHED), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        self.window = window

    def _append(self, data: FileBytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self.file, view) :]
        except OSError as e:
            advice = "make room, then --resume goes on with the finished windows"
            raise MixError(f"cannot be written ({e.strerror})", at=self.part, advice=advice) from e

    def finish(self, window: int) -> None:
        """The window's archive gets its name. A power cut may still empty it, which its digest shows."""
        if window != self.window:
            return  # it has no rows
        self._append(END)
        self.close()
        os.replace(self._path(window, UNFINISHED), self._path(window))

    def read(self, window: int, first: int, count: int) -> Rows:
        """Consecutive rows of a finished window as written; MixError where one is missing or damaged."""
        path = self._path(window)
        if self.index is None or self.index.tars != [path]:
            self.index = TarIndex([path], self.codec)
        index, wanted = self.index, np.arange(first, first + count)
        places = np.searchsorted(index.rows, wanted)
        there = index.rows[places[places < len(index)]]
        if len(there) != count or (there != wanted).any():
            raise MixError(f"lacks one of the rows {first} to {first + count - 1}", at=path)
        lines = index.lines(places)
        arrays = decode_fields(self.codec.others, lines, lambda i: index.address(JSON, int(places[i])))
        return arrays | {f.name: index.pictures(self.codec, f, places) for f in self.codec.in_files}

    def seal(self, manifest: dict[str, Any], class_names: tuple[str, ...] | None) -> None:
        """Write the manifest, put everything on the disk at once, rename."""
        self.close()
        rows = TarIndex(tars_of(self.part), self.codec).rows
        if len(rows) > self.rows or (rows != np.arange(len(rows))).any():
            raise MixError("holds rows that are not its own", at=self.part, advice="--overwrite starts again")
        if len(rows) < self.rows:
            raise MixError(f"row {len(rows)} was never written", at=self.part, advice="--resume goes on")
        remove(self.part / MANIFEST)
        (self.part / MANIFEST).write_text(pack({**manifest, **told(self.codec)}, class_names, indent=1) + "\n")
        os.sync()
        put_in_place(self.part, self.out)

    def discard(self) -> None:
        """Remove the part, and what a kill in the last step left beside it."""
        self.close()
        clear(self.part)
        settle(self.out)

    def close(self) -> None:
        if self.file >= 0:
            os.close(self.file)
        self.file, self.window, self.index = -1, None, None

    def _path(self, window: int, suffix: str = "") -> Path:
        return self.part / (tar_name(window) + suffix)


def samples(
    codec: PictureRows, digits: int, first: int, arrays: Rows, ready: RowFiles | None = None
) -> Iterator[tuple[list[bytes], Rows]]:
    """Consecutive rows from row `first`, some at a time: the members of each, and what is `changed` in them."""
    step, kinds = max(1, min(BLOCK, PACKED // codec.bytes)), kinds_of(codec)
    for start in range(0, len(arrays["data"]), step):
        some = slice(start, start + step)
        part = {name: a[some] for name, a in arrays.items()}
        keys = [f"{first + start + i:0{digits}d}" for i in range(len(part["data"]))]
        lines, files = encode(codec.others, keys, part, None), ready[some] if ready else codec.pack(first + start, part)
        rows = [_sample(key, kinds, (*f, line)) for key, f, line in zip(keys, files, lines, strict=True)]
        yield rows, {} if ready else codec.changed(files)


def _sample(key: str, kinds: list[str], contents: tuple[FileBytes, ...]) -> bytes:
    return b"".join(member(key + kind, data) for kind, data in zip(kinds, contents, strict=True))


def member(name: str, data: FileBytes) -> bytes:
    """Of an archive, with its header."""
    header = tarfile.TarInfo(name)
    header.size = len(data)
    return header.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % RECORD)


def codec_of_pictures(fields: tuple[Field, ...], out: Path, how: Encoding | None) -> PictureRows:
    """MixError where the rows are no images."""
    codec = codec_of(fields, out, how)
    if not isinstance(codec, PictureRows):
        reason = "webdataset is for images, and these are clouds"
        raise MixError(reason, at=out, advice="write a folder, .h5 or .npz")
    check_fields(codec.others, out)
    return codec
