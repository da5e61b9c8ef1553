"""Joining the shards of a run: the windows' rows go where one run would have written them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixcli.datasets.codecs import FILES, READY, is_lossy
from mixcli.datasets.container import container_of, open_sink, replaceable
from mixcli.datasets.dataset import Dataset
from mixcli.datasets.journal import Journal, journal_of
from mixcli.errors import MixError, UsageError
from mixcli.option import takes
from mixcli.pipeline.job import check_out
from mixcli.pipeline.manifest import differences
from mixcli.pipeline.output import WindowDigest
from mixcli.pipeline.report import Report
from mixcli.settings.commands import Merging

if TYPE_CHECKING:
    from mixcli.files.picture_files import Encoding


@takes(Merging)
def merge(
    paths: Sequence[str | Path],
    out: str | Path,
    overwrite: bool = False,
    report: Report | None = None,
    folder: bool = False,
) -> None:
    """All shards of a run -> the dataset of the whole run, byte-equal in every field, in any container.

    folder: whether `out` is one whatever its suffix.
    """
    report, parts, whole = report or Report(), list(map(Path, paths)), Path(out)
    check_out(whole, folder, parts)
    if os.path.lexists(whole):
        if not overwrite:
            raise UsageError(f"{whole} exists", advice="--overwrite replaces it")
        replaceable(whole)
    shards = [Dataset(path).require() for path in parts]
    _check_family(shards)
    kind, how = _layout(shards, whole, folder)
    write(shards, open_sink(whole, shards[0].fields, sum(s.rows for s in shards), kind, how), report)


def _layout(shards: list[Dataset], out: Path, folder: bool) -> tuple[str, Encoding | None]:
    """A folder is laid out as the shards are, which is what one run would have written."""
    kind = container_of(out, folder)
    if kind != "folder":
        return kind, None
    for other in shards[1:]:
        if other.layout != shards[0].layout:
            kinds = " and ".join(f"{s.path} is a {s.file.kind}" for s in (shards[0], other))
            raise UsageError(f"--out {out}: {kinds}, so a folder could be either; name a .h5 or .npz file")
    return shards[0].layout


def write(shards: list[Dataset], sink: Any, report: Report) -> dict[str, Any]:
    """Copy every window of these shards to a new dataset -> its manifest.

    Pictures in files of the sink's own kind are copied as they are. If the sink loses some of others, the manifest is
    as if they had been written so from the start.
    """
    how = _loss(shards, sink)
    with closing(Journal(journal_of(sink.part))) as lock, closing(sink):
        sink.create()
        try:
            report.begin(sum(s.rows for s in shards), 0)
            manifest = _manifest(shards, _copy(shards, sink, report, how is not None), how)
            sink.seal(manifest, shards[0].file.class_names)
        except BaseException:
            sink.discard()
            raise
        finally:
            lock.remove()
    return manifest


def _check_family(shards: list[Dataset]) -> None:
    """Every shard of one run, each once."""
    first = shards[0]
    for other in shards[1:]:
        told = differences({**first.recipe, "shard": 0}, {**other.recipe, "shard": 0})
        if told:
            raise UsageError(f"{other.path} is no shard of the run of {first.path}: {'; '.join(told)}")
    parts = first.recipe["shard"][1]
    numbers = sorted(s.recipe["shard"] for s in shards)
    if any(n != parts for _, n in numbers):
        raise UsageError(f"the shards do not agree on their number: {', '.join(f'{i}/{n}' for i, n in numbers)}")
    have = [i for i, _ in numbers]
    if twice := {i for i in have if have.count(i) > 1}:
        raise UsageError(f"shard {min(twice)}/{parts} is given twice")
    if missing := sorted(set(range(parts)) - set(have)):
        names = ", ".join(f"{i}/{parts}" for i in missing)
        raise UsageError(f"shard {names} is missing" if len(missing) == 1 else f"shards {names} are missing")


def _loss(shards: list[Dataset], sink: Any) -> Encoding | None:
    """What rows go through on their way to a sink, if that loses something."""
    codec = getattr(sink, "codec", None)
    if codec is None or not is_lossy(codec) or all(_same_files(s, sink) for s in shards):
        return None
    return codec.how


def _same_files(shard: Dataset, sink: Any) -> bool:
    """Whether both keep pictures in files of the same kind."""
    ours, theirs = (getattr(of, "codec", None) for of in (shard.file, sink))
    return bool(ours and theirs) and not ours.together and ours.naming == theirs.naming


def _rows(shard: Dataset, at: int, count: int, as_files: bool) -> dict[str, Any]:
    """Consecutive rows of every field, and their files if those are to be copied."""
    rows: dict[str, Any] = shard.read(at, count)
    if as_files:
        rows[READY] = list(shard.file.files(at, count))
        if shard.file.lossy:
            rows[FILES] = np.frombuffer(b"".join(files[0] for files in rows[READY]), np.uint8)
    return rows


def _copy(shards: list[Dataset], sink: Any, report: Report, loses: bool) -> list[dict[str, Any]]:
    """Write every window in the order of the whole run -> its entries for the manifest."""
    owned = sorted(((w, shard) for shard in shards for w in shard.windows), key=lambda pair: pair[0][0])
    mixes, row, entries = sum(s.mixes for s in shards), 0, []
    samples = np.sort(np.concatenate([s.samples_of(w) for w, s in owned] or [np.empty(0, np.int64)]))
    facts = {w["window"]: w for s in shards for w in s.manifest["windows"]}
    for window, shard in owned:
        index, as_files = window[0], _same_files(shard, sink)
        places = iter(mixes + np.searchsorted(samples, shard.samples_of(window)))
        digest, written, first = WindowDigest(shard.fields), WindowDigest(shard.fields), row
        for at, count in shard.blocks(window):
            arrays = _rows(shard, at, count, as_files)
            digest.update(arrays)
            arrays.pop(FILES, None)
            if at < shard.mixes:
                blocks, row = [(row, arrays)], row + count
            else:
                blocks = _scattered(arrays, places, count)
            for start, block in blocks:
                kept = sink.write(index, start, block)
                if loses:
                    written.update(kept)
            report.progress(count)
        if not _is_intact(digest.entries(), facts[index]):
            raise MixError(f"{shard.path}: window {index} (from row {window[1]}) is damaged; make this shard again")
        sink.finish(index)
        entries.append({**facts[index], "first_row": first, **(written.entries() if loses else {})})
    return entries


def _scattered(arrays: dict[str, Any], places: Iterator, count: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each of some rows by itself, and its place."""
    for i in range(count):
        yield int(next(places)), {name: array[i : i + 1] for name, array in arrays.items()}


def _is_intact(found: dict[str, str], told: dict[str, Any]) -> bool:
    """Of lossy files that are copied the bytes decide, whatever pixels this decoder sees in them."""
    name = "files_sha256" if {"files_sha256"} <= found.keys() & told.keys() else "sha256"
    return found[name] == told[name]


def _manifest(shards: list[Dataset], windows: list[dict[str, Any]], how: Encoding | None) -> dict[str, Any]:
    """That of the first shard, with the sums of all. how: what its pictures lost on the way."""
    told = [s.manifest for s in shards]
    if how is not None:
        from mixcli.files.picture_files import versions

        more = {"recipe": {**shards[0].recipe, **how.recorded}, "windows": windows}
        told[0] = {**told[0], **more, "versions": told[0]["versions"] | versions(how)}
    if len(shards) == 1:
        return told[0]
    whole = {**told[0], "recipe": {**told[0]["recipe"], "shard": [0, 1]}, "windows": windows}
    for name in ("rows", "mixes", "samples", "seconds"):
        whole[name] = sum(m[name] for m in told)
    whole["counts"] = {name: sum(m["counts"][name] for m in told) for name in told[0]["counts"]}
    whole["skipped"] = [entry for m in told for entry in m["skipped"]]
    whole["started"] = min(m["started"] for m in told)
    whole["merged_from"] = [{"path": str(s.path.resolve()), "shard": s.recipe["shard"]} for s in shards]
    if whole["checkpoint"]:
        whole["checkpoint"] = {**whole["checkpoint"], **_accuracy([m["checkpoint"] for m in told])}
    return whole


def _accuracy(checkpoints: list[dict[str, Any]]) -> dict[str, Any]:
    judged, correct = (sum(c[name] for c in checkpoints) for name in ("judged", "correct"))
    comparable = all(c["accuracy"] is not None or not c["judged"] for c in checkpoints)
    accuracy = round(correct / judged, 6) if judged and comparable else None
    return {"accuracy": accuracy, "judged": judged, "correct": correct}
