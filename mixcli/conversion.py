"""Any source to any container, without mixing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mixcli.dataset import Dataset
from mixcli.errors import UsageError
from mixcli.formats.any_source import open_any
from mixcli.formats.container import container_of, is_mixed, open_sink, replaceable
from mixcli.formats.sources import Reading
from mixcli.job import Job, check_out
from mixcli.merge import write
from mixcli.methods import get
from mixcli.report import Report
from mixcli.run import Result, run


def convert(source: str, out: str, points: int | None = None, report: Report | None = None, **arguments: Any) -> Result:
    """Write a source, or a mixed dataset with all of its fields, to another container.

    Arguments are those of `Job` that concern reading. The rows of a mixed dataset stay as they are, so none of those
    may be given for it.
    """
    report, folder = report or Report(), str(out).endswith("/")
    if not is_mixed(Path(source)):
        reading = Reading(arguments.get("split", "auto"), arguments.get("drop_background", False))
        method = get("convert")(on=open_any([str(source)], reading)[1])
        return run(Job(method, (str(source),), Path(out), folder=folder, points=points, **arguments), report)
    plain = Job.__dataclass_fields__
    for name, value in {**arguments, "points": points}.items():
        if name not in FREE and value != (None if name == "points" else plain[name].default):
            flag = "--" + name.replace("_", "-")
            raise UsageError(f"{flag}: {source} is a mixed dataset, whose rows are copied as they are")
    return _copy(Path(source), Path(out), folder, bool(arguments.get("overwrite")), report)


FREE = ("overwrite", "command", "workers", "resume", "on_error")  # do not touch what is in a row


def _copy(path: Path, out: Path, folder: bool, overwrite: bool, report: Report) -> Result:
    check_out(out, folder, [path])
    if os.path.lexists(out):
        if not overwrite:
            raise UsageError(f"{out} exists; --overwrite replaces it")
        replaceable(out)
    dataset = Dataset(path).require()
    manifest = write([dataset], open_sink(out, dataset.fields, dataset.rows, container_of(out, folder)), report)
    return Result(out, dataset.rows, manifest)
