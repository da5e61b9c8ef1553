"""What a job means for its files: source, model, classes, plan and recipe, all checked before any work."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from mixcli import fields as fields_
from mixcli import manifest as manifest_
from mixcli.errors import CheckpointError, MixError, UsageError
from mixcli.formats.sources import open_source
from mixcli.job import Job
from mixcli.plan import Plan, Window
from mixcli.reading import Reader
from mixcli.report import Report


class Setup:
    """A job with its source and model open."""

    def __init__(self, job: Job, report: Report):
        self.job, self.traits = job, job.method.traits
        self.source, notes = open_source(list(job.sources))
        self.model = load_model(job) if self.traits.saliency == "gradient" else None
        self.classes = self._class_count(report)
        for note in notes:
            report.note(note)
        fallback = job.pairing_fallback == "random"
        self.plan = Plan(
            self.source.labels, job.window, job.k, job.partners, job.pairing, fallback, job.seed, job.shard,
            job.include_originals,
        )  # fmt: skip
        self.reader = Reader(
            self.source, self.classes, job.points, job.subsample, job.normalize, job.seed,
            normals=self.model is not None and self.model.channels == 6, spool=job.out.parent,
        )  # fmt: skip
        self.fields = fields_.fields(
            job.points, self.classes, 2, len(self.traits.draw_names), self.traits.query, job.point_weight
        )

    def _class_count(self, report: Report) -> int:
        """Classes of the soft labels; a model of other classes must be asked for its own prediction."""
        source, model, asked = self.source, self.model, self.job.classes
        if asked and source.class_names and asked != len(source.class_names):
            raise UsageError(f"--classes {asked}: the source's shape_names.txt has {len(source.class_names)} names")
        classes = asked or source.known_classes()
        if model and model.classes != classes:
            where = "shape_names.txt" if source.class_names else "--classes" if asked else "its highest label"
            told = f"{model.path} tells {model.classes} classes apart, the source has {classes} ({where})"
            if self.job.saliency_target == "label":
                sure = source.class_names or asked
                other = "" if sure else f"--classes {model.classes} if the source has as many, or "
                how = f"pass {other}--saliency-target predicted to take saliency towards the model's own prediction"
                raise CheckpointError(f"{told}; {how}")
            report.note(
                f"{told}: saliency is taken towards the model's own prediction, labels stay the source's, and the "
                "checkpoint's accuracy cannot be measured"
            )
        return classes

    @property
    def comparable(self) -> bool:
        """Whether the model's classes are the source's, so that its accuracy there means something."""
        return self.model is not None and self.model.classes == self.classes

    @cached_property
    def source_files(self) -> list[dict[str, Any]]:
        return manifest_.describe_files(self.source.paths, list(map(len, self.source.parts)))

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """See `manifest.recipe`; as JSON gives it back."""
        from mixcli.engine import choose_device

        names = ("sha256", "name", "options")
        model = {name: getattr(self.model, name) for name in names} if self.model else None
        device = choose_device(self.job.device).type
        return json.loads(json.dumps(manifest_.recipe(self.job, self.source_files, model, self.classes, device)))

    def stand_ins(self, window: Window) -> np.ndarray:
        """Each position itself, or the next good one in the window, after it was read -> (w,) i64."""
        good = np.array([int(s) not in self.reader.bad for s in window.samples])
        if not good.all() and self.job.on_error == "raise":
            raise self.reader.error(int(window.samples[~good][0]))
        if good.sum() < 2:
            raise MixError(f"window {window.index} has {good.sum()} good samples of {len(window)}; mixing needs 2")
        following = np.flatnonzero(good)
        return following[np.searchsorted(following, np.arange(len(window))) % len(following)]

    def parents(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Positions of a and b in each round, stand-ins in place -> two (R,w) i64."""
        stand_in = self.stand_ins(window)
        partner = np.stack([self.plan.pairs(window, r).partner for r in range(self.job.partners)])
        return np.broadcast_to(stand_in, partner.shape), stand_in[partner]

    def targets(self, window: Window) -> np.ndarray | None:
        """Classes that saliency is taken towards; None: the model's own prediction."""
        return self.source.labels[window.samples] if self.job.saliency_target == "label" else None


def load_model(job: Job) -> Any:
    """The classifier, its class count known: a program is asked by one forward pass."""
    from mixcli.models import load

    model = load(job.ckpt, job.model, job.trust_ckpt)
    return model if model.classes else replace(model, classes=_count_outputs(model, job.points))


def _count_outputs(model: Any, points: int) -> int:
    import torch

    cloud = torch.linspace(-1, 1, points * model.channels).reshape(1, points, model.channels)
    try:
        with torch.no_grad():
            out = model.net(cloud)
    except Exception as e:  # somebody's program: anything can come out of it
        raise CheckpointError(f"{model.path}: the model fails on a cloud {tuple(cloud.shape)} ({e})") from e
    if not isinstance(out, torch.Tensor) or out.ndim != 2 or len(out) != 1:
        raise CheckpointError(f"{model.path}: for one cloud the model must return logits (1, classes)")
    return out.shape[1]
