"""Images: their saliency, from a classifier or from the pixels alone, and what a mix of them holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mixcli.data.fields import Field, image_fields
from mixcli.data.images import Images, MixedImages
from mixcli.data.prepared_images import Pictures
from mixcli.errors import UsageError
from mixcli.pipeline.job import Job
from mixcli.pipeline.kinds import Heat
from mixcli.saliency import normalize
from mixcli.sources.image_reader import PictureReader, size_of
from mixcli.sources.image_source import PictureSource, open_picture_source

if TYPE_CHECKING:
    from torch import Tensor

    from mixcli.pipeline.engine import Engine, Work

CPU_BATCH, CUDA_BATCH = 16, 128  # images in one model call
HINT = "another --normalize, another --size, or another stem (--model NAME:stride=2)"
TRIED, CLEARLY = 64, 0.08  # images that the other presets are tried on; by how much another is better
ONE, NOT_FINITE = "image", "check --normalize and the checkpoint; --on-error does not skip it"


def open_source(job: Job) -> tuple[PictureSource, list[str]]:
    return open_picture_source(list(job.sources), job.reading)


def sized(job: Job, source: PictureSource, note: Callable[[str], None]) -> Job:
    """The job with the size that all images are brought to, and the mean and deviation of the network's images."""
    usual = "none" if job.method.traits.saliency == "spectral" else "imagenet"  # no network asks for colours weighed so
    return replace(job, size=size_of(source, job.size, note), points=None, normalize=job.normalize or usual)


def probe(job: Job, model: Any) -> Tensor:
    """An image to ask a program how many classes it knows. (1,3,H,W) f32."""
    import torch

    return torch.linspace(-1, 1, 3 * job.size[0] * job.size[1]).reshape(1, 3, *job.size)


def completed(job: Job, source: PictureSource, model: Any) -> Job:
    if other := set(job.keep) - {"mask", "saliency"}:  # saliency is kept for viewing only, in no field
        raise UsageError(f"{min(other)}: is for points, and images are mixed; leave it out")
    if "mask" in job.keep and not job.method.traits.mask:
        raise UsageError(f"--keep mask: {job.method.traits.name} has no share of each pixel; leave it out")
    job.method.fits(job.size)
    if job.layer is not None:
        from mixcli.models import hidden

        hidden.check(model.net, job.layer)
    return job


def reader(job: Job, source: PictureSource, classes: int, model: Any, note: Callable[[str], None]) -> PictureReader:
    normalize.parse(job.normalize)  # a wrong one is told before any work
    return PictureReader(source, classes, job.size, job.out.parent, note)


def fields(job: Job, source: PictureSource, classes: int, model: Any) -> tuple[Field, ...]:
    traits = job.method.traits
    draws = len(traits.draw_names)
    return image_fields(job.size, classes, traits.parents, draws, traits.query, job.keep, traits.raw)


def map_shape(engine: Engine, pictures: Pictures) -> tuple[int, ...]:
    return pictures.values.shape[1:3]


def heat(engine: Engine, pictures: Pictures, labels: np.ndarray) -> Heat:
    """Raw maps, of no particular sum. labels (r,) i64."""
    found = _maps(engine, pictures, labels)
    judged = np.zeros(len(labels), np.int64)
    correct = judged.copy()
    if found.logits is not None:
        judged, correct = judged + 1, (found.logits.argmax(1).cpu().numpy() == labels).astype(np.int64)
    return Heat(found.map.cpu().numpy(), found.uniform.cpu().numpy(), judged, correct)


def _maps(engine: Engine, pictures: Pictures, labels: np.ndarray) -> Any:
    import torch

    from mixcli.saliency import images as picture_saliency
    from mixcli.saliency import spectral, static

    how = engine.traits.saliency
    if how == "static":
        return picture_saliency.without_model(torch.from_numpy(static.saliency(pictures.values)))
    pixels = engine.tensor(pictures.values)
    if how == "spectral":
        return picture_saliency.without_model(spectral.saliency(pixels, *normalize.parse(engine.normalize)))
    x = normalised(pixels, normalize.parse(engine.normalize))
    if how == "activation":
        return picture_saliency.activation(engine.net, x, engine.layer)
    target = engine.tensor(labels) if engine.towards_label else None
    if how == "cam":
        return picture_saliency.cam(engine.net, x, target)
    return picture_saliency.gradient(engine.net, x, target, engine.norm)


def normalised(pixels: Tensor, normalization: tuple) -> Tensor:
    """What a network sees. (B,H,W,3) u8 -> (B,3,H,W) f32."""
    scaled = pixels.float() / 255
    mean, std = (scaled.new_tensor(values) for values in normalization)
    return ((scaled - mean) / std).permute(0, 3, 1, 2).contiguous()


def samples(engine: Engine, pictures: Pictures, rows: np.ndarray, saliency: np.ndarray | None) -> Images:
    """What a method sees of one side of some pairs. rows (B,) positions, saliency (B,H,W)."""
    heat = None if saliency is None else engine.tensor(saliency)
    return Images(engine.tensor(pictures.values[rows]).float(), heat)


def finished(
    engine: Engine, mix: MixedImages, pictures: Pictures, sides: list[np.ndarray], a: Images, b: Images
) -> MixedImages:
    """The mix in whole numbers: rounded once, half to even."""
    import torch

    data = mix.data.round().clamp(0, 255).to(torch.uint8)
    mask = None if mix.mask is None else (mix.mask * 255).round().to(torch.uint8)
    known = "saliency" in engine.keep and mix.mask is not None and b is not None and not engine.traits.moves
    saliency = _mixed_saliency(engine, mix, a, b) if known else None
    return replace(mix, data=data, mask=mask, saliency=saliency)


def _mixed_saliency(engine: Engine, mix: MixedImages, a: Images, b: Images) -> Tensor:
    """Maps of sum 1, mixed like the pixels: b's moved as its pixels were. (B,H,W) f32."""
    from mixcli.algorithms.best_offset import shifted
    from mixcli.saliency.blur import distribution

    own, other = distribution(a.saliency).float(), distribution(b.saliency).float()
    if mix.shift is not None:
        other = shifted(other, mix.shift)[0]
    other = engine.method.follow(other, mix.draw)
    return mix.mask * own + (1 - mix.mask) * other


def greedy_partners(saliency: np.ndarray, rounds: int) -> np.ndarray:
    """GuidedMixup's greedy pairing over the maps (w,H,W), blurred and of sum 1 -> (rounds,w) i64 positions."""
    import torch

    from mixcli.algorithms.greedy_pairing import cycles
    from mixcli.methods.guidedmixup import KERNEL, SIGMA
    from mixcli.saliency.blur import distribution, gaussian

    maps = distribution(gaussian(torch.from_numpy(saliency), KERNEL, SIGMA)).float().numpy()
    return cycles(maps, rounds)


def unmixed(pictures: Pictures, saliency: np.ndarray | None) -> dict[str, np.ndarray]:
    """What the samples themselves give to the fields."""
    return {"data": pictures.values, "mask": np.full(pictures.values.shape[:3], 255)}


def hint(engine: Engine, work: Work) -> str:
    """A preset that does clearly better on some of these samples than the one that was given, or nothing."""
    rows = np.flatnonzero(work.asked)[:TRIED]
    pixels, labels = engine.tensor(work.values.values[rows]), work.labels[rows]
    shares = {name: _accuracy(engine, normalised(pixels, preset), labels) for name, preset in normalize.PRESETS.items()}
    now = _accuracy(engine, normalised(pixels, normalize.parse(engine.normalize)), labels)
    best = max(shares, key=lambda name: shares[name])
    if shares[best] < now + CLEARLY:
        return ""
    told = f"{best} gives {shares[best]:.0%} of the first {len(rows)}, {engine.normalize} {now:.0%}"
    return f"another --normalize ({told})"


def _accuracy(engine: Engine, x: Tensor, labels: np.ndarray) -> float:
    import torch

    with torch.no_grad():
        found = [engine.net(part).argmax(1).cpu().numpy() for part in x.split(engine.batch)]
    return float((np.concatenate(found) == labels).mean())
