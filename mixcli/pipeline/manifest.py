"""What made a dataset: a recipe, which determines the bytes, and facts, which tell the story."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixcli import __version__
from mixcli.data.fields import Field
from mixcli.pipeline.job import Job

if TYPE_CHECKING:
    from mixcli.files.picture_files import Encoding

SCHEMA = "mixcli.manifest/1"


def recipe(job: Job, sources: list[dict[str, Any]], model: dict[str, Any] | None, classes: int, device: str) -> dict:
    """Everything that decides the data: equal recipes, at an equal batch, give equal bytes."""
    chosen = ("k", "partners", "window", "pairing", "pairing_fallback", "seed", "include_originals")
    chosen += ("points", "subsample", "pad", "normalize", "normals", "split", "drop_background", "saliency_target")
    chosen += ("point_weight", "keep", "size", "norm", "saliency", "layer")
    return {
        "method": job.method.traits.name,
        "options": asdict(job.method),
        **{name: getattr(job, name) for name in chosen},
        "classes": classes,
        "shard": list(job.shard),
        **(job.encoding.recorded if job.encoding else {}),
        "sources": [{key: f[key] for key in ("sha256", "count")} for f in sources],
        "model": model and {key: model[key] for key in ("sha256", "name", "options")},
        "device": device,
        "mixcli": __version__,
    }


def differences(mine: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """What two recipes do not agree on, in words.

    >>> differences({"seed": 1, "sources": [{"sha256": "a"}]}, {"seed": 0, "sources": [{"sha256": "b"}]})
    ['seed 1 is not 0', 'the source is another (its SHA-256 differs)']
    """
    whole = {"sources": "the source is another (its SHA-256 differs)"}
    whole["model"] = "the checkpoint is another (its SHA-256 or its options differ)"
    return [
        whole.get(name) or f"{name} {mine.get(name)!r} is not {theirs.get(name)!r}"
        for name in mine | theirs
        if mine.get(name) != theirs.get(name)
    ]


def describe_fields(fields: tuple[Field, ...]) -> list[dict[str, Any]]:
    return [{"name": f.name, "shape": list(f.shape), "dtype": f.dtype} for f in fields]


def read_fields(manifest: dict[str, Any]) -> tuple[Field, ...]:
    """The fields that the manifest promises."""
    return tuple(Field(f["name"], tuple(f["shape"]), f["dtype"]) for f in manifest["fields"])


def versions(how: Encoding | None = None) -> dict[str, str]:
    """Of everything that had a part in the data, and of the decoder where pictures were encoded with loss."""
    found = {"python": platform.python_version(), "mixcli": __version__}
    for name in ("torch", "numpy", "scipy", "numba", "h5py", "pillow", "pyarrow", "timm"):
        if {"pillow": "PIL"}.get(name, name) in sys.modules:
            found[name] = importlib.metadata.version(name)
    if how and how.lossy:
        from mixcli.files import picture_files as encodings

        found |= encodings.versions(how)
    return found


def skipped(setup: Any, window: Any, position: Any) -> list[dict[str, Any]]:
    """Bad samples of a window, why, and who stands in for them. position (w,): who is at each place."""
    found = []
    for sample, by in zip(window.samples.tolist(), window.samples[position].tolist(), strict=True):
        if sample != by:
            path, index = setup.source.address(sample)
            reason = setup.reader.bad[sample]
            where = {"sample": sample, "window": window.index, "path": path, "index": index}
            found.append({**where, "reason": reason, "stand_in": by})
    return found


def accuracy(setup: Any, records: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """Of the checkpoint on the source, from the forward passes that gave saliency."""
    judged, correct = (sum(r[name] for r in records.values()) for name in ("judged", "correct"))
    known = setup.comparable and judged
    return {"accuracy": round(correct / judged, 6) if known else None, "judged": judged, "correct": correct}


def assemble(setup: Any, records: dict[int, dict[str, Any]], engine: Any, story: dict[str, Any]) -> dict[str, Any]:
    """The manifest of a finished run."""
    plan, in_order = setup.plan, [records[w.index] for w in setup.plan.windows]
    facts = ("window", "first_row", "rows", "sha256", "files_sha256", "batch")
    names = setup.source.class_names
    source = {
        "files": setup.source_files,
        "count": len(setup.source),
        "class_names": names and list(names),
        "soft_labels": setup.source.is_soft,
    }
    return {
        "schema": SCHEMA,
        "recipe": setup.recipe,
        "command": setup.job.command,
        "rows": plan.rows,
        "mixes": plan.mixes,
        "samples": plan.samples,
        "draw_names": list(setup.traits.draw_names),
        "fields": describe_fields(setup.fields),
        "source": source,
        "checkpoint": describe_checkpoint(setup, records),
        "assignment": engine.solver,
        "windows": [{name: r[name] for name in facts if name in r} for r in in_order],
        "skipped": [entry for r in in_order for entry in r["skipped"]],
        "counts": {name: sum(r[name] for r in in_order) for name in ("uniform_saliency", "pairing_fallback")},
        "device": engine.device_name,
        "workers": engine.workers,
        "versions": versions(setup.job.encoding),
        **story,
    }


def describe_checkpoint(setup: Any, records: dict[int, dict[str, Any]]) -> dict[str, Any] | None:
    model = setup.model
    if model is None:
        return None
    told = {name: getattr(model, name) for name in ("sha256", "name", "options", "classes", "trusted", "note")}
    return {"path": str(Path(model.path).resolve()), "spec": setup.job.model, **told, **accuracy(setup, records)}
