"""Joining the shards of a run: the windows' rows go where one run would have written them."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from mixcli.dataset import Dataset
from mixcli.errors import MixError, UsageError
from mixcli.fields import Digest
from mixcli.formats.h5 import H5Sink
from mixcli.job import check_out
from mixcli.journal import Journal, journal_of
from mixcli.manifest import differences
from mixcli.report import Report


def merge(paths: list[Path], out: Path, overwrite: bool = False, report: Report | None = None) -> None:
    """All shards of a run -> the dataset of the whole run, byte-equal in every field."""
    report = report or Report()
    check_out(out, paths)
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists; --overwrite replaces it")
    shards = [Dataset(path).require() for path in paths]
    _check_family(shards)
    total = sum(s.rows for s in shards)
    sink = H5Sink(out, shards[0].fields, total)
    with closing(Journal(journal_of(sink.part))) as lock, closing(sink):
        sink.create()
        try:
            report.begin(total, 0)
            windows = _copy(shards, sink, report)
            sink.seal(_manifest(shards, windows), shards[0].file.class_names)
        except BaseException:
            sink.part.unlink(missing_ok=True)
            raise
        finally:
            lock.remove()


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
        raise UsageError(f"shard {', '.join(f'{i}/{parts}' for i in missing)} is missing")


def _copy(shards: list[Dataset], sink: H5Sink, report: Report) -> list[dict[str, Any]]:
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
                sink.write(row, arrays)
                row += count
            else:
                for i in range(count):
                    sink.write(int(next(places)), {name: array[i : i + 1] for name, array in arrays.items()})
            report.progress(count)
        if digest.hexdigest() != sha256:
            raise MixError(f"{shard.path}: window {index} (from row {window[1]}) is damaged; make this shard again")
        entries.append({**facts[index], "first_row": first})
    sink.sync()
    return entries


def _manifest(shards: list[Dataset], windows: list[dict[str, Any]]) -> dict[str, Any]:
    """That of the first shard, with the sums of all."""
    told = [s.manifest for s in shards]
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
