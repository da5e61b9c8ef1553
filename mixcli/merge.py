"""Joining the shards of a run: the windows' rows go where one run would have written them."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from mixcli.dataset import Dataset
from mixcli.errors import MixError, UsageError
from mixcli.fields import Digest
from mixcli.formats.container import container_of, open_sink, replaceable
from mixcli.job import check_out
from mixcli.journal import Journal, journal_of
from mixcli.manifest import differences
from mixcli.report import Report


def merge(
    paths: list[Path], out: Path, overwrite: bool = False, report: Report | None = None, folder: bool = False
) -> None:
    """All shards of a run -> the dataset of the whole run, byte-equal in every field, in any container."""
    report = report or Report()
    check_out(out, folder, paths)
    if os.path.lexists(out):
        if not overwrite:
            raise UsageError(f"{out} exists; --overwrite replaces it")
        replaceable(out)
    shards = [Dataset(path).require() for path in paths]
    _check_family(shards)
    write(shards, open_sink(out, shards[0].fields, sum(s.rows for s in shards), container_of(out, folder)), report)


def write(shards: list[Dataset], sink: Any, report: Report) -> dict[str, Any]:
    """Copy every window of these shards to a new dataset -> its manifest."""
    with closing(Journal(journal_of(sink.part))) as lock, closing(sink):
        sink.create()
        try:
            report.begin(sum(s.rows for s in shards), 0)
            manifest = _manifest(shards, _copy(shards, sink, report))
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


def _copy(shards: list[Dataset], sink: Any, report: Report) -> list[dict[str, Any]]:
    """Write every window in the order of the whole run -> its entries for the manifest."""
    owned = sorted(((w, shard) for shard in shards for w in shard.windows), key=lambda pair: pair[0][0])
    mixes, row, entries = sum(s.mixes for s in shards), 0, []
    samples = np.sort(np.concatenate([s.samples_of(w) for w, s in owned] or [np.empty(0, np.int64)]))
    facts = {w["window"]: w for s in shards for w in s.manifest["windows"]}
    for window, shard in owned:
        index, _, _, sha256 = window
        places = iter(mixes + np.searchsorted(samples, shard.samples_of(window)))
        digest, first = Digest(shard.fields), row
        for at, count in shard.blocks(window):
            arrays = shard.read(at, count)
            digest.update(arrays)
            if at < shard.mixes:
                sink.write(index, row, arrays)
                row += count
            else:
                for i in range(count):
                    sink.write(index, int(next(places)), {name: array[i : i + 1] for name, array in arrays.items()})
            report.progress(count)
        if digest.hexdigest() != sha256:
            raise MixError(f"{shard.path}: window {index} (from row {window[1]}) is damaged; make this shard again")
        sink.finish(index)
        entries.append({**facts[index], "first_row": first})
    return entries


def _manifest(shards: list[Dataset], windows: list[dict[str, Any]]) -> dict[str, Any]:
    """That of the first shard, with the sums of all."""
    told = [s.manifest for s in shards]
    if len(shards) == 1:
        return told[0]
    whole = {**told[0], "recipe": {**shards[0].recipe, "shard": [0, 1]}, "windows": windows}
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
