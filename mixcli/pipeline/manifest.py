"""What made a dataset: a recipe, which determines the bytes, and facts, which tell the story."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixcli import __version__
from mixcli.datasets.journal import Record
from mixcli.datasets.recipe import describe_fields
from mixcli.option import options
from mixcli.pipeline.job import Job
from mixcli.pipeline.plan import Window
from mixcli.settings.run import Settings
from mixcli.sources.reading import VERSION as READING

if TYPE_CHECKING:
    import numpy as np

    from mixcli.files.picture_files import Encoding
    from mixcli.pipeline.setup import Setup

SCHEMA = "mixcli.manifest/1"

Records = Mapping[int, Record]  # what the journal says of each finished window, by its number


def recipe(job: Job, sources: list[dict[str, Any]], model: dict[str, Any] | None, classes: int, device: str) -> dict:
    """Everything that decides the data: equal recipes, at an equal batch, give equal bytes."""
    recorded = {name: getattr(job, name) for name, one in options(Settings).items() if one.recorded}
    return {
        "method": job.method.traits.name,
        "options": {name: getattr(job.method, name) for name in options(type(job.method))},
        **recorded,
        "classes": classes,
        "reading": READING,
        **(job.encoding.recorded if job.encoding else {}),
        "sources": [{key: f[key] for key in ("sha256", "count")} for f in sources],
        "model": model and {key: model[key] for key in ("sha256", "name", "options")},
        "device": device,
        "mixcli": __version__,
    }


def versions(how: Encoding | None = None) -> dict[str, str]:
    """Of everything that had a part in the data, and of the decoder where pictures were encoded with loss."""
    told = {"python": platform.python_version(), "mixcli": __version__}
    for name in ("torch", "numpy", "scipy", "numba", "h5py", "pillow", "pyarrow", "timm"):
        if {"pillow": "PIL"}.get(name, name) in sys.modules:
            told[name] = importlib.metadata.version(name)
    if how and how.lossy:
        from mixcli.files import picture_files as encodings

        told |= encodings.versions(how)
    return told


def recipe_of(setup: Setup) -> dict[str, Any]:
    """The `recipe` of a job whose source and model are open; as JSON gives it back."""
    from mixcli.pipeline.engine import choose_device

    model, device = setup.model, choose_device(setup.job.device).type
    told = {"sha256": model.sha256, "name": model.name, "options": model.options} if model else None
    return json.loads(json.dumps(recipe(setup.job, setup.source_files, told, setup.classes, device)))


def skipped(setup: Setup, window: Window, position: np.ndarray) -> list[dict[str, Any]]:
    """Bad samples of a window, why, and who stands in for them. position (w,): who is at each place."""
    entries = []
    for sample, by in zip(window.samples.tolist(), window.samples[position].tolist(), strict=True):
        if sample != by:
            path, index = setup.source.address(sample)
            reason = setup.reader.bad[sample]
            where = {"sample": sample, "window": window.index, "path": path, "index": index}
            entries.append({**where, "reason": reason, "stand_in": by})
    return entries


def accuracy(setup: Setup, records: Records) -> dict[str, Any]:
    """Of the checkpoint on the source, from the forward passes that gave saliency."""
    judged, correct = sum(r["judged"] for r in records.values()), sum(r["correct"] for r in records.values())
    known = setup.comparable and judged
    return {"accuracy": round(correct / judged, 6) if known else None, "judged": judged, "correct": correct}


OF_A_WINDOW = ("window", "first_row", "rows", "sha256", "files_sha256", "batch")  # of the journal, in the manifest


@dataclass(frozen=True)
class Story:
    """How a run went, apart from its windows."""

    recipe: dict[str, Any]
    started: str  # ISO 8601
    seconds: float
    resumed_windows: int
    device: str
    workers: int
    assignment: str | None  # the solver


def assemble(setup: Setup, records: Records, story: Story) -> dict[str, Any]:
    """The manifest of a finished run."""
    plan, in_order = setup.plan, [records[w.index] for w in setup.plan.windows]
    names = setup.source.class_names
    source = {
        "files": setup.source_files,
        "count": len(setup.source),
        "class_names": names and list(names),
        "soft_labels": setup.source.is_soft,
    }
    return {
        "schema": SCHEMA,
        "recipe": story.recipe,
        "command": setup.job.command,
        "rows": plan.rows,
        "mixes": plan.mixes,
        "samples": plan.samples,
        "draw_names": list(setup.traits.draw_names),
        "fields": describe_fields(setup.fields),
        "source": source,
        "checkpoint": describe_checkpoint(setup, records),
        "assignment": story.assignment,
        "windows": [{name: value for name, value in r.items() if name in OF_A_WINDOW} for r in in_order],
        "skipped": [entry for r in in_order for entry in r["skipped"]],
        "counts": {
            "uniform_saliency": sum(r["uniform_saliency"] for r in in_order),
            "pairing_fallback": sum(r["pairing_fallback"] for r in in_order),
        },
        "device": story.device,
        "workers": story.workers,
        "versions": versions(setup.job.encoding),
        "started": story.started,
        "seconds": story.seconds,
        "resumed_windows": story.resumed_windows,
    }


def describe_checkpoint(setup: Setup, records: Records) -> dict[str, Any] | None:
    """The model and how it did; None for a run without one."""
    model = setup.model
    if model is None:
        return None
    return {
        "path": str(Path(model.path).resolve()),
        "spec": setup.job.model,
        "sha256": model.sha256,
        "name": model.name,
        "options": model.options,
        "classes": model.classes,
        "trusted": model.trusted,
        "note": model.note,
        **accuracy(setup, records),
    }
