"""Joining the shards of a run: the windows' rows go where one run would have written them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixcli.datasets.codec import FILES
from mixcli.datasets.container import container_of, open_sink
from mixcli.datasets.contract import PictureFiles, RowFiles, Rows, Sink
from mixcli.datasets.dataset import Dataset, Layout
from mixcli.datasets.digest import Digests, WindowDigest
from mixcli.datasets.journal import Journal, journal_of
from mixcli.datasets.recipe import differences
from mixcli.datasets.recognise import replaceable
from mixcli.errors import MixError, UsageError
from mixcli.option import takes
from mixcli.pipeline.job import check_out
from mixcli.pipeline.report import Report
from mixcli.settings.commands import Merging

if TYPE_CHECKING:
    from mixcli.files.picture_files import Lossy


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
    layout, rows = _layout(shards, whole, folder), sum(s.rows for s in shards)
    write(shards, open_sink(whole, shards[0].fields, rows, layout.container, layout.loss), report)


def _layout(shards: list[Dataset], out: Path, folder: bool) -> Layout:
    """A folder is laid out as the shards are, which is what one run would have written."""
    kind = container_of(out, folder)
    if kind != "folder":
        return Layout(kind, None)
    for other in shards[1:]:
        if other.layout != shards[0].layout:
            kinds = " and ".join(f"{s.path} is a {s.file.kind}" for s in (shards[0], other))
            reason = f"{kinds}, so a folder could be either"
            raise UsageError(reason, at=f"--out {out}", advice="name a .h5 or .npz file")
    return shards[0].layout


def write(shards: list[Dataset], sink: Sink, report: Report) -> dict[str, Any]:
    """Copy every window of these shards to a new dataset -> its manifest.

    Pictures in files of the sink's own kind are copied as they are. If the sink loses some of others, the manifest is
    as if they had been written so from the start.
    """
    loss = _loss(shards, sink)
    with closing(Journal(journal_of(sink.part))) as lock, closing(sink):
        sink.create()
        try:
            report.begin(sum(s.rows for s in shards), 0)
            manifest = _manifest(shards, _copy(shards, sink, report, loss is not None), loss)
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
        unlike = differences({**first.recipe, "shard": 0}, {**other.recipe, "shard": 0})
        if unlike:
            raise UsageError(f"{other.path} is no shard of the run of {first.path}: {'; '.join(unlike)}")
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


def _loss(shards: list[Dataset], sink: Sink) -> Lossy | None:
    """What rows go through on their way to a sink, if that loses something."""
    if sink.pictures is None or all(_files_to_copy(shard, sink) for shard in shards):
        return None
    return sink.pictures.loss


def _files_to_copy(shard: Dataset, sink: Sink) -> PictureFiles | None:
    """The pictures' files of a shard, where the sink keeps pictures in files of the same kind."""
    ours = shard.file.pictures
    if ours is None or sink.pictures is None or ours.kind.naming != sink.pictures.naming:
        return None
    return ours


def _rows(shard: Dataset, at: int, count: int, files: PictureFiles | None) -> tuple[Rows, RowFiles | None]:
    """Consecutive rows of every field, with the bytes of lossy files, and the files that are to be copied."""
    rows = shard.read(at, count)
    if files is None:
        return rows, None
    ready = list(files.of_rows(at, count))
    if files.kind.loss:
        rows[FILES] = np.frombuffer(b"".join(row[0] for row in ready), np.uint8)
    return rows, ready


def _copy(shards: list[Dataset], sink: Sink, report: Report, loses: bool) -> list[dict[str, Any]]:
    """Write every window in the order of the whole run -> its entries for the manifest."""
    owned = sorted(((w, shard) for shard in shards for w in shard.windows), key=lambda pair: pair[0].index)
    mixes, row = sum(s.mixes for s in shards), 0
    samples = np.sort(np.concatenate([s.samples_of(w) for w, s in owned] or [np.empty(0, np.int64)]))
    facts = {w["window"]: w for s in shards for w in s.manifest["windows"]}
    entries = []
    for window, shard in owned:
        index, files = window.index, _files_to_copy(shard, sink)
        places = iter(mixes + np.searchsorted(samples, shard.samples_of(window)))
        digest, written, first = WindowDigest(shard.fields), WindowDigest(shard.fields), row
        for at, count in shard.blocks(window):
            arrays, ready = _rows(shard, at, count, files)
            digest.update(arrays)
            arrays.pop(FILES, None)
            for start, rows, their_files in _placed(arrays, ready, row if at < shard.mixes else places):
                kept = sink.write(index, start, rows, their_files)
                if loses:
                    written.update(kept)
            row += count if at < shard.mixes else 0
            report.progress(count)
        if not _is_intact(digest.entries(), facts[index]):
            reason = f"window {index} (from row {window.first}) is damaged"
            raise MixError(reason, at=shard.path, advice="make this shard again")
        sink.finish(index)
        entries.append({**facts[index], "first_row": first, **(written.entries() if loses else {})})
    return entries


def _placed(
    rows: Rows, ready: RowFiles | None, where: int | Iterator[np.int64]
) -> Iterator[tuple[int, Rows, RowFiles | None]]:
    """Rows and their files, and the row that they are in the whole: all in one piece, or each by itself.

    where: of the first of them, or of each.
    """
    if isinstance(where, int):
        yield where, rows, ready
        return
    for i in range(len(rows["data"])):
        yield int(next(where)), {name: array[i : i + 1] for name, array in rows.items()}, ready and ready[i : i + 1]


def _is_intact(seen: Digests, told: Digests) -> bool:
    """Of lossy files that are copied the bytes decide, whatever pixels this decoder sees in them."""
    if "files_sha256" in seen and "files_sha256" in told:
        return seen["files_sha256"] == told["files_sha256"]
    return seen["sha256"] == told["sha256"]


def _manifest(shards: list[Dataset], windows: list[dict[str, Any]], loss: Lossy | None) -> dict[str, Any]:
    """That of the first shard, with the sums of all. loss: what its pictures went through on the way."""
    told = [s.manifest for s in shards]
    if loss is not None:
        from mixcli.files.picture_files import versions

        more = {"recipe": {**shards[0].recipe, **loss.recorded}, "windows": windows}
        told[0] = {**told[0], **more, "versions": told[0]["versions"] | versions(loss)}
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
