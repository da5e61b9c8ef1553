"""Any source to any container, without mixing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixcli.datasets.container import open_sink
from mixcli.datasets.dataset import Dataset
from mixcli.datasets.recognise import is_mixed, replaceable
from mixcli.errors import UsageError
from mixcli.methods import get
from mixcli.pipeline.job import Job, check_out, encoding_of, formatted
from mixcli.pipeline.merge import write
from mixcli.pipeline.report import Report
from mixcli.pipeline.run import Result, run
from mixcli.sources.any_source import open_any
from mixcli.sources.reading import Reading

if TYPE_CHECKING:
    from mixcli.files.picture_files import Encoding


def convert(source: str, out: str, points: int | None = None, report: Report | None = None, **arguments: Any) -> Result:
    """Write a source, or a mixed dataset with all of its fields, to another container.

    Arguments are those of `Job` that concern reading and writing. The rows of a mixed dataset stay as they are, so none
    that concern reading may be given for it. `format` may lose some of its pixels, once, which the manifest tells.
    """
    report, folder = report or Report(), str(out).endswith("/")
    if not is_mixed(Path(source)):
        reading = Reading(arguments.get("split", "auto"), arguments.get("drop_background", False))
        method = get("convert")(on=open_any([str(source)], reading).data)
        return run(Job(method, (str(source),), Path(out), folder=folder, points=points, **arguments), report)
    plain = Job.__dataclass_fields__
    for name, value in {**arguments, "points": points}.items():
        if name not in FREE and value != (None if name == "points" else plain[name].default):
            flag = "--" + name.replace("_", "-")
            raise UsageError(f"{flag}: {source} is a mixed dataset, whose rows are copied as they are")
    form = arguments.get("format"), arguments.get("quality")
    return _copy(Path(source), Path(out), folder, form, bool(arguments.get("overwrite")), report)


FREE = ("overwrite", "command", "workers", "resume", "on_error", "format", "quality")  # do not touch what is read


def _copy(
    path: Path, out: Path, folder: bool, form: tuple[str | None, int | None], overwrite: bool, report: Report
) -> Result:
    check_out(out, folder, [path])
    kind = formatted(out, folder, form[0])
    asked = encoding_of(*form)
    if os.path.lexists(out):
        if not overwrite:
            raise UsageError(f"{out} exists; --overwrite replaces it")
        replaceable(out)
    dataset = Dataset(path).require()
    how = _once(dataset, asked, form[1])
    manifest = write([dataset], open_sink(out, dataset.fields, dataset.rows, kind, how), report)
    return Result(out, dataset.rows, manifest)


def _once(dataset: Dataset, asked: Encoding | None, quality: int | None) -> Encoding | None:
    """How pictures are kept: they lose something once, since what was lost twice cannot be made again."""
    lost = dataset.recipe.get("encoding")
    if asked is None or not asked.lossy or lost is None:
        return asked
    had, now = dataset.layout[1], dataset.recipe.get("quality")
    if had is not None and had.suffix == asked.suffix and quality in (None, now):
        return had
    raise UsageError(
        f"--format {asked.suffix[1:]}: the pictures of {dataset.path} went through {lost} of quality {now} already and "
        "would lose twice; take png or webdataset, or mix again"
    )
