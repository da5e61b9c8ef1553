"""Any source to any container, without mixing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixcli.datasets.container import open_sink
from mixcli.datasets.dataset import Dataset
from mixcli.datasets.recognise import is_mixed, replaceable
from mixcli.errors import UsageError
from mixcli.methods import get
from mixcli.methods.offered import check_kind
from mixcli.option import options
from mixcli.pipeline.job import Job, check_out, encoding_of, formatted
from mixcli.pipeline.merge import write
from mixcli.pipeline.report import Report
from mixcli.pipeline.run import Result, run
from mixcli.settings.commands import Converting
from mixcli.sources.any_source import open_any
from mixcli.sources.reading import Reading

if TYPE_CHECKING:
    from mixcli.files.picture_files import Encoding


def convert(
    source: str | Path,
    out: str | Path,
    points: int | None = None,
    report: Report | None = None,
    *,
    command: str | None = None,
    **arguments: Any,
) -> Result:
    """Write a source, or a mixed dataset with all of its fields, to another container.

    Arguments are the options of `mixcli convert`, see `Converting`. The rows of a mixed dataset stay as they are, so
    none that concern reading may be given for it. `format` may lose some of its pixels, once, which the manifest tells.
    command: as typed, for the record.
    """
    given = {**arguments, **({} if points is None else {"points": points})}
    _check_known(given)
    asked = Converting(**{"source": source, "out": out, **given})
    report, folder = report or Report(), str(out).endswith("/")
    if is_mixed(Path(asked.source)):
        _check_copied(asked)
        return _copy(asked, folder, report)
    data = open_any([asked.source], Reading.asked(asked)).data
    method: Any = get("convert")
    for name in given:
        check_kind(options(Converting)[name], data, done="converted")
    settings: dict[str, Any] = {"points": None, **given, "folder": folder, "command": command}
    return run(Job(method(on=data), (asked.source,), Path(asked.out), **settings), report)


def _check_known(given: Mapping[str, Any]) -> None:
    import difflib

    for name in given:
        if name not in options(Converting):
            near = difflib.get_close_matches(name, options(Converting), 1)
            told = f"did you mean {near[0]!r}?" if near else "mixcli convert --help lists them"
            raise UsageError(f"convert has no option {name!r}", advice=told)


def _check_copied(asked: Converting) -> None:
    """UsageError for what would change rows that are copied."""
    for name, one in options(Converting).items():
        if one.flags and name not in FREE and getattr(asked, name) != one.default:
            raise UsageError(f"{asked.source} is a mixed dataset, whose rows are copied as they are", at=one.flag)


FREE = ("overwrite", "workers", "resume", "on_error", "format", "quality")  # do not touch what is read


def _copy(asked: Converting, folder: bool, report: Report) -> Result:
    path, out = Path(asked.source), Path(asked.out)
    check_out(out, folder, [path])
    kind = formatted(out, folder, asked.format)
    if os.path.lexists(out):
        if not asked.overwrite:
            raise UsageError(f"{out} exists", advice="--overwrite replaces it")
        replaceable(out)
    dataset = Dataset(path).require()
    for name in ("format", "quality"):
        if getattr(asked, name) is not None:
            check_kind(options(Converting)[name], dataset.data, done="converted")
    how = _once(dataset, encoding_of(asked.format, asked.quality), asked.quality)
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
