"""What a run needs of the dataset that it makes, wherever that goes."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from mixcli.datasets.digest import WindowDigest
from mixcli.datasets.journal import Record
from mixcli.pipeline.plan import Window
from mixcli.pipeline.report import Report


class Output(Protocol):
    """A dataset under construction: `finished`, then `open`, then `begin` or `resume`, then windows, then `seal`."""

    @property
    def records(self) -> dict[int, Record]:
        """What is known of each finished window, by its number."""

    def finished(self, recipe: dict[str, Any], resume: bool, overwrite: bool) -> dict[str, Any] | None:
        """The manifest, if `resume` finds this very dataset done; UsageError where something is in the way."""

    def open(self, resume: bool, overwrite: bool) -> int | None:
        """The batch that an earlier run had come down to, where it is to be continued."""

    def begin(self, recipe: dict[str, Any], batch: int) -> None:
        """Lay out a new dataset."""

    def resume(self, recipe: dict[str, Any], report: Report) -> None:
        """Go on with the earlier run."""

    def todo(self) -> list[Window]:
        """Windows that are not there yet."""

    def write(self, window: int, first: int, arrays: dict[str, np.ndarray], digest: WindowDigest) -> None:
        """Consecutive rows of a window, which its digest sees as they will be read."""

    def finish_window(self, record: Record) -> None:
        """All rows of a window are written."""

    def kept(self) -> str:
        """What is kept of an unfinished dataset, in a sentence; or nothing."""

    def seal(self, manifest: dict[str, Any], class_names: tuple[str, ...] | None) -> None:
        """The last step."""

    def close(self) -> None: ...
