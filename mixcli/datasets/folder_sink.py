"""Writing a folder of `.ply` or of pictures.

It is made in `OUT.part/`: a window's files under a temporary name of its folder, its lines in `OUT.part.pieces/`, both
renamed when the window is complete. The pieces are joined at the end and outlast the last rename, so that every step of
the end can be done again after a kill.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixcli.data.fields import Field
from mixcli.datasets.codec import Codec, as_stored, kind_of, own, told
from mixcli.datasets.codecs import codec_of
from mixcli.datasets.contract import RowFiles, Rows
from mixcli.datasets.folder_names import MANIFEST, METADATA, UNFINISHED
from mixcli.datasets.manifest_text import pack
from mixcli.datasets.metadata import HEAD, LineIndex, check_fields, decode, encode, file_name, line_bytes, longest
from mixcli.datasets.place import clear, no_room, part_of, put_in_place, settle
from mixcli.datasets.plain_files import remove
from mixcli.datasets.row_file import check_rows, known_layout, write_all
from mixcli.errors import MixError, UsageError

if TYPE_CHECKING:
    from mixcli.files.picture_files import Encoding

PIECE = re.compile(r"[0-9]{5,9}\.jsonl(\.tmp)?")
BLOCK = 256  # rows packed at a time: they stay in the processor's cache
PACKED = 1 << 26  # bytes of rows packed at a time
COPIED = 1 << 22  # bytes of lines copied at a time
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL


class FolderSink:
    """Rows of `OUT.part/`, one file or more each; `seal` makes it `OUT/`.

    how: the encoding of pictures; UsageError where the rows are no images.
    """

    container = "folder"

    def __init__(self, out: Path, fields: tuple[Field, ...], rows: int, how: Encoding | None = None):
        self.out, self.fields, self.rows = out, fields, rows
        self.part = part_of(out)
        self.pieces = self.part.with_name(self.part.name + ".pieces")
        self.codec = codec_of(fields, out, how)
        check_fields(self.codec.others, out)
        self.pictures = kind_of(self.codec)
        self.block = max(1, min(BLOCK, PACKED // self.codec.bytes))
        self.digits = max(6, len(str(rows - 1)))
        self.layout: dict[str, Any] = {"container": self.container, "digits": self.digits, **told(self.codec)}
        self.window: int | None = None
        self.lines = -1
        self.piece: Piece | None = None

    @property
    def bytes(self) -> int:
        """Expected."""
        return self.rows * (self.codec.expected + line_bytes(self.codec.others))

    def create(self) -> None:
        """Make the folder. Its space cannot be reserved, but what cannot fit is refused."""
        self.discard()
        self._check_room()
        self.part.mkdir()
        self.pieces.mkdir()

    def _check_room(self) -> None:
        disk = os.statvfs(self.out.parent)
        lines = 2 * self.rows * line_bytes(self.codec.others)  # the pieces stay until the end
        need = self.rows * -(-self.codec.least // disk.f_frsize) * disk.f_frsize + lines
        if need > disk.f_bavail * disk.f_frsize:
            raise no_room(None, self.out, need)
        files = self.rows * (1 + len(self.codec.naming.beside))
        if disk.f_files and disk.f_favail < files:
            reason = f"needs {files:,} files and its disk has room for {disk.f_favail:,} more"
            raise MixError(reason, at=self.out, advice="nothing was written, write .h5 or .npz")

    def reopen(self, layout: dict[str, Any]) -> None:
        """Go on with an `OUT.part/`, without what an unfinished window or end left there."""
        layout = known_layout(self.part, self.container, layout)
        if layout != self.layout or self.part.is_symlink() or not self.part.is_dir():
            raise MixError("is no folder as this run makes it", at=self.part, advice="--overwrite starts again")
        self.pieces.mkdir(exist_ok=True)
        for leftover in (*self.part.glob(f"*{UNFINISHED}"), *self.pieces.glob(f"*{UNFINISHED}")):
            remove(leftover)
        for name in (METADATA, MANIFEST):
            remove(self.part / name)

    def write(self, window: int, first: int, arrays: Rows, ready: RowFiles | None = None) -> Rows:
        """Consecutive rows of every field, from row `first`; a window that was there before is made anew."""
        check_rows(self.fields, arrays)
        if window != self.window:
            self._begin(window)
        parts = []
        for start in range(0, len(arrays["data"]), self.block):
            some = slice(start, start + self.block)
            block, files = {name: a[some] for name, a in arrays.items()}, ready and ready[some]
            parts.append(self._write(window, first + start, block, files))
        return as_stored(arrays, parts)

    def _begin(self, window: int) -> None:
        self.close()
        for path in (self._folder(window), self._folder(window, UNFINISHED), self._piece(window)):
            remove(path)
        self._folder(window, UNFINISHED).mkdir()
        self.lines = os.open(self._piece(window, UNFINISHED), NEW)
        self.window = window

    def _write(self, window: int, first: int, arrays: Rows, ready: RowFiles | None) -> Rows:
        """A block of rows -> what is `changed` in them."""
        naming, count = self.codec.naming, len(arrays["data"])
        names = [file_name(window, first + i, self.digits, naming.suffix) for i in range(count)]
        lines, raw = encode(self.codec.others, names, arrays, naming), ready or self.codec.pack(first, arrays)
        prefix = f"{self._folder(window, UNFINISHED)}{os.sep}"
        try:
            for name, files in zip(names, raw, strict=True):
                for path, data in zip(naming.files(name), files, strict=True):
                    _write_file(prefix + path[path.index("/") + 1 :], data)
            _write_on(self.lines, memoryview(b"".join(lines)))
        except OSError as e:
            advice = "make room, then --resume goes on with the finished windows"
            raise MixError(f"cannot be written ({e.strerror})", at=self.part, advice=advice) from e
        return {} if ready else self.codec.changed(raw)

    def finish(self, window: int) -> None:
        """The window's lines and files get their names. A power cut may still empty them, which its digest shows."""
        if window != self.window:
            return  # it has no rows
        self.close()
        os.replace(self._piece(window, UNFINISHED), self._piece(window))
        os.rename(self._folder(window, UNFINISHED), self._folder(window))

    def read(self, window: int, first: int, count: int) -> Rows:
        """Consecutive rows of a finished window as written; MixError where one is missing or damaged."""
        if self.piece is None or self.piece.path != self._piece(window):
            self._forget()
            self.piece = Piece(self._piece(window), window, self.digits, self.codec)
        rows = np.arange(first, first + count)
        names, arrays = self.piece.decode(rows)
        in_files = self.codec.read(self.part, names, rows)
        return arrays | {f.name: own(f, in_files) for f in self.codec.in_files}

    def seal(self, manifest: dict[str, Any], class_names: tuple[str, ...] | None) -> None:
        """Join the pieces, write the manifest, put everything on the disk at once, rename."""
        self.close()
        self._join()
        remove(self.part / MANIFEST)
        (self.part / MANIFEST).write_text(pack({**manifest, **told(self.codec)}, class_names, indent=1) + "\n")
        os.sync()
        put_in_place(self.part, self.out)
        self._drop_pieces()

    def _join(self) -> None:
        """`metadata.jsonl` in the order of the rows: every line's length is known before the first is copied."""
        lengths = np.zeros(self.rows, np.int64)
        for piece in self._finished():
            if piece.rows[-1] >= self.rows or lengths[piece.rows].any():
                raise MixError("holds rows that are not its own", at=piece.path, advice="--overwrite starts again")
            lengths[piece.rows] = np.diff(piece.index.starts)
        if not lengths.all():
            reason = f"row {int((lengths == 0).argmax())} was never written"
            raise MixError(reason, at=self.part, advice="--resume goes on")
        places = np.cumsum(lengths) - lengths
        remove(self.part / METADATA)
        with open(self.part / METADATA, "xb") as target:
            for piece in self._finished():
                piece.copy(target.fileno(), places)

    def _finished(self) -> Iterator[Piece]:
        """Every window's piece, one open at a time."""
        for path in sorted(self.pieces.glob("*.jsonl"), key=lambda p: int(p.stem)):
            piece = Piece(path, int(path.stem), self.digits, self.codec)
            yield piece
            piece.close()

    def discard(self) -> None:
        """Remove the part and the pieces, and what a kill in the last step left beside them."""
        self.close()
        clear(self.part)
        self._drop_pieces()
        settle(self.out)

    def _drop_pieces(self) -> None:
        if self.pieces.is_dir() and (other := [p for p in self.pieces.iterdir() if not PIECE.fullmatch(p.name)]):
            advice = "move it away or choose another --out"
            raise UsageError("was not written by mixcli", at=other[0], advice=advice)
        remove(self.pieces)

    def close(self) -> None:
        if self.lines >= 0:
            os.close(self.lines)
        self.lines, self.window = -1, None
        self._forget()

    def _forget(self) -> None:
        if self.piece:
            self.piece.close()
        self.piece = None

    def _folder(self, window: int, suffix: str = "") -> Path:
        return self.part / f"{window:05d}{suffix}"

    def _piece(self, window: int, suffix: str = "") -> Path:
        return self.pieces / f"{window:05d}.jsonl{suffix}"


def _write_file(path: str, data: memoryview | bytes) -> None:
    descriptor = os.open(path, NEW, 0o666)
    try:
        _write_on(descriptor, memoryview(data))
    finally:
        os.close(descriptor)


def _write_on(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


class Piece:
    """A finished window's lines, ascending by row."""

    def __init__(self, path: Path, window: int, digits: int, codec: Codec):
        self.path, self.codec, self.index = path, codec, LineIndex(path, longest(codec.others))
        self.rows = self._rows(len(HEAD) + len(f"{window:05d}/"), digits)
        if not len(self.rows) or (np.diff(self.rows) <= 0).any():
            self.close()
            raise MixError("is damaged, its rows do not ascend", at=path)

    def _rows(self, at: int, digits: int) -> np.ndarray:
        """The rows' numbers, from their files' names: digits at one place of every line."""
        starts, lengths = self.index.starts[:-1], np.diff(self.index.starts)
        if not len(starts) or (lengths < at + digits).any():
            return np.empty(0, np.int64)
        digit = np.memmap(self.path, np.uint8, "r")[starts[:, None] + np.arange(at, at + digits)].astype(np.int64)
        digit -= ord("0")
        return np.where(((digit < 0) | (digit > 9)).any(1), -1, digit @ 10 ** np.arange(digits)[::-1])

    def decode(self, rows: np.ndarray) -> tuple[list[str], Rows]:
        """Names and fields of some of its rows (m,)."""
        at = np.searchsorted(self.rows, rows)
        if not np.isin(rows, self.rows).all():
            raise MixError(f"row {rows[~np.isin(rows, self.rows)][0]} is missing", at=self.path)
        lines, naming = self.index.lines(at), self.codec.naming
        return decode(self.codec.others, lines, rows, lambda i: f"{self.path}, line {at[i] + 1}", naming)

    def copy(self, target: int, places: np.ndarray) -> None:
        """Each line to its row's place in a file."""
        starts = self.index.starts
        for run in np.split(np.arange(len(self.rows)), np.flatnonzero(np.diff(self.rows) != 1) + 1):
            first, end, place = int(starts[run[0]]), int(starts[run[-1] + 1]), int(places[self.rows[run[0]]])
            for at in range(first, end, COPIED):
                write_all(target, self.index.raw(at, min(COPIED, end - at)), place + at - first)

    def close(self) -> None:
        self.index.close()
