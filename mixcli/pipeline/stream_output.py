"""The dataset on a stream: nothing of it can be gone on with, and its manifest is a file of its own."""

from __future__ import annotations

import os
from io import RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixcli.data.fields import Field
from mixcli.datasets.digest import WindowDigest
from mixcli.datasets.stream_sink import StreamSink
from mixcli.errors import UsageError
from mixcli.pipeline.plan import Plan, Window

if TYPE_CHECKING:
    from mixcli.files.picture_files import Encoding


class StreamOutput:
    """What `Output` is for a file. The manifest is written last: where it is there, the stream is whole."""

    def __init__(
        self, stream: RawIOBase, manifest: Path, fields: tuple[Field, ...], plan: Plan, how: Encoding | None = None
    ):
        self.manifest, self.plan = manifest, plan
        self.sink = StreamSink(stream, fields, plan.rows, how)
        self.records: dict[int, dict[str, Any]] = {}

    def finished(self, recipe: dict[str, Any], resume: bool, overwrite: bool) -> None:
        """Never; but the manifest's place must be free before anything is sent."""
        check_manifest(self.manifest, overwrite)

    def open(self, resume: bool, overwrite: bool) -> bool:
        """There is no earlier run."""
        return False

    def begin(self, recipe: dict[str, Any], batch: int) -> None: ...

    def todo(self) -> list[Window]:
        return list(self.plan.windows)

    def write(self, window: int, first: int, arrays: dict[str, np.ndarray], digest: WindowDigest) -> None:
        """See Output."""
        digest.update(self.sink.write(window, first, arrays))

    def finish_window(self, record: dict[str, Any]) -> None:
        """See Output."""
        self.records[record["window"]] = record

    def seal(self, manifest: dict[str, Any], class_names: tuple[str, ...] | None) -> None:
        """End the stream, then write the manifest."""
        write_manifest(self.manifest, self.sink.seal(manifest, class_names))

    def close(self) -> None:
        self.sink.close()


def check_manifest(path: Path, overwrite: bool) -> None:
    """UsageError where a manifest cannot be written, or would replace something."""
    if path.is_dir() or not path.parent.is_dir():
        where = "is a folder" if path.is_dir() else f"the folder {path.parent} does not exist; make it first"
        raise UsageError(f"--manifest {path}: {where}")
    if path.is_file() and not overwrite:
        raise UsageError(f"--manifest {path}: exists; --overwrite replaces it")


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
