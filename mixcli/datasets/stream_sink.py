"""Writing one tar to a stream, such as a pipe: each row's picture and JSON adjacent, rows in their order.

Nothing that was written can be looked at again. A row that comes before its turn, as the originals of a window do,
waits in a temporary file (TMPDIR says where), so memory does not grow with the dataset. Saved as `mixed/00000.tar`
with its manifest as `mixed/manifest.json`, the stream is a dataset like any other.
"""

from __future__ import annotations

import tempfile
from io import RawIOBase
from pathlib import Path
from typing import IO, Any

from mixcli.data.fields import Field
from mixcli.datasets.codec import as_stored, told
from mixcli.datasets.contract import Rows
from mixcli.datasets.manifest_text import pack
from mixcli.datasets.row_file import check_rows
from mixcli.datasets.tar_sink import END, codec_of_pictures, samples
from mixcli.errors import MixError
from mixcli.files.picture_files import Encoding

NAME = Path("-")  # what a stream is called where a dataset's path is wanted


class StreamSink:
    """Rows in the order of their numbers, whatever the order in which they come.

    stream: written to at once, it must not keep anything back. how: the encoding of pictures.
    """

    def __init__(self, stream: RawIOBase, fields: tuple[Field, ...], rows: int, how: Encoding | None = None):
        self.stream, self.fields, self.rows = stream, fields, rows
        self.codec = codec_of_pictures(fields, NAME, how)
        self.digits = max(6, len(str(rows - 1)))
        self.row = 0  # the next that goes out
        self.early: dict[int, tuple[int, int]] = {}  # rows that wait: where, and how many bytes
        self.waiting: IO[bytes] | None = None  # the temporary file

    def write(self, window: int, first: int, arrays: Rows) -> Rows:
        """Consecutive rows of every field, from row `first`."""
        check_rows(self.fields, arrays)
        row, parts = first, []
        for rows, more in samples(self.codec, self.digits, first, arrays):
            for sample in rows:
                self._add(row, sample)
                row += 1
            parts.append(more)
        return as_stored(arrays, parts)

    def _add(self, row: int, sample: bytes) -> None:
        if row == self.row:
            self._send(sample)
            self.row += 1
            return
        if self.waiting is None:
            self.waiting = tempfile.TemporaryFile()  # noqa: SIM115 - open until the stream is closed
        try:
            self.early[row] = self.waiting.tell(), self.waiting.write(sample)
        except OSError as e:
            reason = f"the originals cannot wait there ({e.strerror})"
            advice = "make room, or TMPDIR names another folder"
            raise MixError(reason, at=tempfile.gettempdir(), advice=advice) from e

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[self.stream.write(view) :]
        except BrokenPipeError:  # the reader has seen enough
            raise
        except OSError as e:
            advice = "make room where the stream goes"
            raise MixError(f"cannot be written ({e.strerror})", at="--out -", advice=advice) from e

    def seal(self, manifest: dict[str, Any], class_names: tuple[str, ...] | None) -> str:
        """Send what waits, end the archive -> its manifest, with what is said of the pictures."""
        if self.waiting is not None:
            for row in sorted(self.early):
                at, size = self.early[row]
                self.waiting.seek(at)
                self._add(row, self.waiting.read(size))
        if self.row != self.rows:
            raise AssertionError(f"row {self.row} was never written")
        self._send(END)
        return pack({**manifest, **told(self.codec)}, class_names, indent=1) + "\n"

    def close(self) -> None:
        if self.waiting is not None:
            self.waiting.close()
        self.waiting = None
