"""The dataset on a stream: nothing of it can be gone on with, and its manifest is a file of its own."""

from __future__ import annotations

import os
from io import RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixcli.data.fields import Field
from mixcli.datasets.digest import WindowDigest
from mixcli.datasets.journal import Record
from mixcli.datasets.stream_sink import StreamSink
from mixcli.errors import UsageError
from mixcli.pipeline.plan import Plan, Window
from mixcli.pipeline.report import Report

if TYPE_CHECKING:
    from mixcli.files.picture_files import Encoding


class StreamOutput:
    """See Output. The manifest is written last: where it is there, the stream is whole."""

    def __init__(
        self, stream: RawIOBase, manifest: Path, fields: tuple[Field, ...], plan: Plan, how: Encoding | None = None
    ):
        self.manifest, self.plan = manifest, plan
        self.sink = StreamSink(stream, fields, plan.rows, how)
        self._records: dict[int, Record] = {}

    @property
    def records(self) -> dict[int, Record]:
        """See Output."""
        return self._records

    def finished(self, recipe: dict[str, Any], resume: bool, overwrite: bool) -> None:
        """Never; but the manifest's place must be free before anything is sent."""
        check_manifest(self.manifest, overwrite)

    def open(self, resume: bool, overwrite: bool) -> None:
        """There is no earlier run."""

    def begin(self, recipe: dict[str, Any], batch: int) -> None: ...

    def resume(self, recipe: dict[str, Any], report: Report) -> None:
        """Never: there is no earlier run."""
        raise AssertionError("what was streamed is gone")

    def todo(self) -> list[Window]:
        """See Output."""
        return list(self.plan.windows)

    def write(self, window: int, first: int, arrays: dict[str, np.ndarray], digest: WindowDigest) -> None:
        """See Output."""
        digest.update(self.sink.write(window, first, arrays))

    def finish_window(self, record: Record) -> None:
        """See Output."""
        self._records[record["window"]] = record

    def kept(self) -> str:
        """Nothing can be gone on with."""
        return ""

    def seal(self, manifest: dict[str, Any], class_names: tuple[str, ...] | None) -> None:
        """End the stream, then write the manifest."""
        write_manifest(self.manifest, self.sink.seal(manifest, class_names))

    def close(self) -> None:
        self.sink.close()


def check_manifest(path: Path, overwrite: bool) -> None:
    """UsageError where a manifest cannot be written, or would replace something."""
    if path.is_dir() or not path.parent.is_dir():
        if path.is_dir():
            raise UsageError("is a folder", at=f"--manifest {path}")
        raise UsageError(f"the folder {path.parent} does not exist", at=f"--manifest {path}", advice="make it first")
    if path.is_file() and not overwrite:
        raise UsageError("exists", at=f"--manifest {path}", advice="--overwrite replaces it")


def write_manifest(path: Path, text: str) -> None:
    """All at once; to a device or a pipe, as /dev/stderr, as it is."""
    if path.exists() and not path.is_file():
        path.write_text(text)
        return
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with open(fresh, "x") as file:
        file.write(text)
    os.replace(fresh, path)
