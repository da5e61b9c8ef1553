"""Point clouds on a device: saliency from a classifier or a segmentation network, and what travels with points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch

from mixcli.data.points import Mixed, Samples, travel_normals, travel_saliency, travel_seg
from mixcli.data.prepared_clouds import Clouds
from mixcli.methods.contract import heat
from mixcli.pipeline.kinds.tensors import Chunk, Feed, Seen, Taken
from mixcli.saliency.points import gradient


@dataclass(frozen=True)
class PointTensors:
    """See Tensors. Values are (w,N,C) f32: x y z, then the normal, then the part label, where clouds have them."""

    feed: Feed
    has_normals: bool = False
    has_seg: bool = False

    cpu_batch: ClassVar[int] = 1
    cuda_batch: ClassVar[int] = 32

    def blank(self, values: np.ndarray) -> Taken:
        """See Tensors."""
        return Taken(saliency=np.zeros(values.shape[:2], np.float32))

    def look(self, values: np.ndarray, labels: np.ndarray) -> Seen:
        """The gradient's norm at each point, as a distribution. labels (r,) i64."""
        feed, clouds = self.feed, self._clouds(values)
        x = feed.tensor(values[:, :, : feed.network.channels])
        if feed.network.task == "segment":
            seg = feed.tensor(clouds.seg) if feed.towards_label and clouds.seg is not None else None
            seen = gradient(feed.net, x, feed.tensor(labels), seg)
        else:
            seen = gradient(feed.net, x, feed.tensor(labels) if feed.towards_label else None)
        judged, correct = self._judged(clouds, labels, seen.logits.argmax(-1).cpu().numpy())
        return Seen(Taken(saliency=seen.map.cpu().numpy()), seen.uniform.cpu().numpy(), judged, correct)

    def _judged(self, clouds: Clouds, labels: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Predictions that count, and right ones: of classes (r,), or of each point's part (r,N)."""
        if self.feed.network.task != "segment":
            return np.ones(len(labels), np.int64), (predicted == labels).astype(np.int64)
        parts = clouds.seg
        if parts is None:
            return np.zeros(len(labels), np.int64), np.zeros(len(labels), np.int64)
        known, right = parts >= 0, np.equal(predicted + self.feed.network.options.get("first", 0), parts)
        return known.sum(1), (right & known).sum(1)

    def mixes(self, chunk: Chunk, draws: Sequence[np.ndarray]) -> list[Mixed]:
        """See Tensors: with what their points carry."""
        feed = self.feed
        a = self._samples(chunk, chunk.a)
        b = None if feed.grouped else self._samples(chunk, chunk.b)
        phi = None if chunk.phi is None else feed.tensor(chunk.phi.astype(np.int64))
        with torch.no_grad():
            mixes = [feed.method.mix(a, b, phi, feed.tensor(u)) for u in draws]
            return [self._finished(mix, chunk, a, b) for mix in mixes]

    def _samples(self, chunk: Chunk, rows: np.ndarray) -> Samples:
        """What a method sees of one side of some pairs. rows (p,) positions."""
        saliency = chunk.taken.saliency
        maps = None if saliency is None else self.feed.tensor(saliency[rows])
        return Samples(self.feed.tensor(chunk.values[rows, :, :3]), maps)

    def _finished(self, mix: Mixed, chunk: Chunk, a: Samples, b: Samples | None) -> Mixed:
        tensor, values, sides = self.feed.tensor, chunk.values, (chunk.a, chunk.b)
        if self.has_normals:
            of_a, of_b = (tensor(values[rows, :, 3:6]) for rows in sides)
            mix = replace(mix, normal=travel_normals(mix, of_a, of_b))
        if self.has_seg:
            of_a, of_b = (tensor(values[rows, :, -1].astype(np.int64)) for rows in sides)
            mix = replace(mix, seg=travel_seg(mix, of_a, of_b))
        if "saliency" in self.feed.keep and b is not None:
            mix = replace(mix, saliency=travel_saliency(mix, heat(a), heat(b)))
        return mix

    def unmixed(self, values: np.ndarray, taken: Taken) -> dict[str, np.ndarray]:
        """See Tensors."""
        clouds = self._clouds(values)
        told = {
            "data": clouds.xyz,
            "point_weight": np.ones(values.shape[:2]),
            "point_source": np.broadcast_to(np.arange(values.shape[1]), values.shape[:2]),
        }
        more = {"normal": clouds.normals, "seg": clouds.seg, "saliency": taken.saliency}
        return told | {name: array for name, array in more.items() if array is not None}

    def hint(self, values: np.ndarray, labels: np.ndarray, batch: int) -> str:
        """Nothing that clouds tell of how the model is fed."""
        return ""

    def _clouds(self, values: np.ndarray) -> Clouds:
        return Clouds(values, self.has_normals, self.has_seg)
