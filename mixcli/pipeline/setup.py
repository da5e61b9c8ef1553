"""What a job means for its files: source, model, classes, plan and recipe, all checked before any work."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixcli.errors import CheckpointError, MixError, UsageError
from mixcli.methods import FROM_A_MODEL, guided, kinds_of
from mixcli.pipeline.greedy import greedy_partners
from mixcli.pipeline.job import Job
from mixcli.pipeline.kinds.contract import Kind, Settled
from mixcli.pipeline.kinds.table import opened
from mixcli.pipeline.plan import Plan, Window
from mixcli.pipeline.report import Report
from mixcli.pipeline.rows import RowMaker
from mixcli.sources import fingerprint
from mixcli.sources.named_files import Root

if TYPE_CHECKING:
    from torch import Tensor

    from mixcli.models import Classifier

MOST_CLASSES = 1 << 20  # every row has a share for each


class Setup:
    """A job with its source and model open."""

    def __init__(self, job: Job, report: Report):
        job = with_pairing(job)
        self.traits = traits = job.method.traits
        self.kind = open_source(job)
        self.source = self.kind.source
        ckpt = [Path(job.ckpt)] if job.ckpt else []
        self.watched = fingerprint.Watched([*(path for part in self.source.parts for path in part.files), *ckpt])
        report.of(self.kind.one)
        job = self.kind.sized(job, report.note)
        self.model = load_model(job, self.kind) if traits.saliency in FROM_A_MODEL else None
        if self.model and self.model.rivals:
            others = " or ".join(f"--model {name}" for name in self.model.rivals)
            report.note(
                f"{self.model.path} is taken as {self.model.name}; its keys fit {others} as well: say so if it is"
            )
        self.job = job = self.kind.completed(job, self.model)
        self.classes = self._class_count(report)
        for note in self.kind.notes:
            report.note(note)
        if job.ckpt and not self.model:
            report.note(f"{traits.name} needs no checkpoint with these options: {job.ckpt} is not loaded")
        self.plan = Plan(
            self.source.labels,
            window=job.window,
            k=job.k,
            partners=job.partners,
            pairing=job.pairing or traits.pairing,
            fallback=job.pairing_fallback == "random",
            seed=job.seed,
            shard=job.shard,
            originals=job.include_originals,
        )
        if not self.plan.windows:
            cuts, (part, parts) = len(self.plan.cuts), job.shard
            windows = f"{cuts} window{'s' * (cuts != 1)}"
            report.note(f"only {windows}; shard {part}/{parts} has none of them: a smaller --window makes more")
        self.settled = Settled(job, self.model, self.classes)
        self.reader = self.kind.reader(self.settled, report.note)
        self.fields = self.kind.fields(self.settled)
        self.row_maker = RowMaker(self.source, self.classes, self.fields)

    def _class_count(self, report: Report) -> int:
        """Classes of the soft labels; a model of other classes must be asked for its own prediction."""
        source, model, asked = self.source, self.model, self.job.classes
        if asked and source.class_names and asked != len(source.class_names):
            raise UsageError(f"the source names {len(source.class_names)} classes", at=f"--classes {asked}")
        classes = asked or source.known_classes()
        if classes > MOST_CLASSES:
            raise MixError(
                f"its labels go up to {classes - 1:,}",
                at=source.paths[0],
                advice=f"number the classes below {MOST_CLASSES:,}",
            )
        if model and model.task == "segment":
            if classes > (model.classes or 0):
                raise CheckpointError(f"{model.path} tells {model.classes} categories apart, the source has {classes}")
            return classes
        if model and model.classes != classes:
            where = "those that it names" if source.class_names else "--classes" if asked else "its highest label"
            told = f"{model.path} tells {model.classes} classes apart, the source has {classes} ({where})"
            if self.job.saliency_target == "label":
                sure = source.class_names or asked
                other = "" if sure else f"--classes {model.classes} if the source has as many, or "
                how = f"pass {other}--saliency-target predicted to take saliency towards the model's own prediction"
                raise CheckpointError(told, advice=how)
            report.note(
                f"{told}: saliency is taken towards the model's own prediction, labels stay the source's, and the "
                "checkpoint's accuracy cannot be measured"
            )
        return classes

    @property
    def comparable(self) -> bool:
        """Whether the model's classes are the source's, so that its accuracy there means something."""
        if self.model and self.model.task == "segment":
            return self.source.has_seg
        return self.model is not None and self.model.classes == self.classes

    @property
    def chance(self) -> float:
        """Accuracy of a guess."""
        parts = self.model.parts if self.model and self.model.task == "segment" else None
        return 1 / (parts or self.classes)

    @cached_property
    def source_files(self) -> list[dict[str, Any]]:
        return [
            fingerprint.describe(part) | ({"names": list(part.names)} if isinstance(path, Root) else {})
            for part, path in zip(self.source.parts, self.source.paths, strict=True)
        ]

    def stand_ins(self, window: Window) -> np.ndarray:
        """Each position itself, or the next good one in the window, after it was read -> (w,) i64."""
        good = np.array([int(s) not in self.reader.bad for s in window.samples])
        if not good.all() and self.job.on_error == "raise":
            raise self.reader.error(int(window.samples[~good][0]))
        if good.sum() < min(self.traits.parents, 2):
            raise MixError(
                f"window {window.index} has {good.sum()} good samples of {len(window)}",
                advice=f"{self.traits.name} needs {min(self.traits.parents, 2)}",
            )
        following = np.flatnonzero(good)
        return following[np.searchsorted(following, np.arange(len(window))) % len(following)]

    def parents(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        """Positions of a and b in each round, stand-ins in place -> two (R,w) i64."""
        stand_in = self.stand_ins(window)
        if self.plan.pairing == "group":  # rows go group by group; whose parents they have, the mixes tell
            order = stand_in[np.stack([self.plan.members(window, r) for r in range(self.job.partners)])]
            return order, order
        if self.plan.pairing == "greedy":  # their partners are known when their maps are
            return np.broadcast_to(stand_in, (self.job.partners, len(stand_in))), None
        partner = np.stack([self.plan.pairs(window, r).partner for r in range(self.job.partners)])
        return np.broadcast_to(stand_in, partner.shape), stand_in[partner]

    def greedy(self, window: Window, saliency: np.ndarray) -> np.ndarray:
        """Positions of b in each round, from the maps (w,H,W) of all positions -> (R,w) i64."""
        stand_in = self.stand_ins(window)
        return stand_in[greedy_partners(saliency[stand_in], self.job.partners)]

    def fallbacks(self, window: Window) -> int:
        """Pairs of a window that no legal partner was left for."""
        if self.plan.pairing == "greedy":
            return 0
        return sum(self.plan.pairs(window, r).fallbacks for r in range(self.job.partners))


def open_source(job: Job) -> Kind:
    """The source, open; where it holds the other kind of data, the error says so."""
    traits = job.method.traits
    try:
        return opened(traits.writes or traits.data, job)
    except MixError:
        data, name = traits.data, traits.name
        other = "images" if data == "points" else "points"
        if not _holds(other, job):
            raise
    mixed = f"--on {other} mixes them" if other in kinds_of(type(job.method)) else f"{name} mixes {data}"
    raise UsageError(f"holds {other}", at=job.sources[0], advice=mixed)


def _holds(other: str, job: Job) -> bool:
    try:
        opened(other, job)
    except MixError:
        return False
    return True


def with_pairing(job: Job) -> Job:
    """The job with its pairing, and a method that takes the maps that were asked for or that the pairing needs."""
    traits = job.method.traits
    if traits.group and job.pairing not in (None, "group"):
        what = f"{traits.name} mixes groups, not pairs"
        raise UsageError(what, at=f"--pairing {job.pairing}", advice="leave it out")
    pairing = "group" if traits.group else "none" if traits.parents == 1 else job.pairing or traits.pairing
    if pairing == "greedy" and traits.data != "images":
        raise UsageError(f"is for images, and {traits.name} mixes {traits.data}", at="--pairing greedy")
    wanted = job.saliency or traits.saliency or ("spectral" if pairing == "greedy" else None)
    method = job.method if wanted in (None, traits.saliency) else guided(job.method, wanted)
    return replace(job, method=method, pairing=pairing)


def load_model(job: Job, kind: Kind) -> Classifier:
    """The network. One that is not mixcli's own has been tried on one sample, which tells its classes."""
    from mixcli.models import load
    from mixcli.models.programs import Program

    traits = job.method.traits
    model = load(job.ckpt, job.model, job.trust_ckpt, traits.data)
    if model.data != traits.data:
        what = f"is a classifier of {model.data} ({model.name})"
        raise CheckpointError(what, at=model.path, advice=f"{traits.name} mixes {traits.data}")
    if model.classes and not isinstance(model.net, Program):
        return model
    return replace(model, classes=_tried(model, kind.probe(job, model), traits.saliency == "gradient"))


def _tried(model: Classifier, sample: Tensor, differentiated: bool) -> int:
    """The classes that a network tells apart, and whether it does what will be asked of it. sample (1, ...)."""
    import torch

    from mixcli.models.fold import autograd_vjp
    from mixcli.models.pickles import wording

    with wording(model.path, f"the model fails on a sample {tuple(sample.shape)}"), torch.no_grad():
        out = model.net(sample)
    if not isinstance(out, torch.Tensor) or out.ndim != 2 or len(out) != 1:
        raise CheckpointError("for one sample the model must return logits (1, classes)", at=model.path)
    if differentiated:
        with wording(model.path, "its logits cannot be differentiated by its input, which saliency needs"):
            logits, pull = autograd_vjp(model.net, sample)
            pull(torch.ones_like(logits))
    return out.shape[1]
