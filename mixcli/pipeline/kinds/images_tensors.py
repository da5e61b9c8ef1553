"""Images on a device: the pass through a classifier, maps of several kinds, and mixes in whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from mixcli.algorithms.best_offset import shifted
from mixcli.data.images import Images, MixedImages
from mixcli.methods.contract import heat
from mixcli.pipeline.kinds.tensors import Chunk, Feed, Seen, Taken
from mixcli.saliency import images as image_saliency
from mixcli.saliency import spectral, static
from mixcli.saliency.blur import distribution
from mixcli.settings import normalize

CLEARLY = 0.08  # by how much another preset is better, as a share of the samples that it is tried on


@dataclass(frozen=True)
class ImageTensors:
    """See Tensors. Values are (w,H,W,3) u8."""

    feed: Feed

    cpu_batch: ClassVar[int] = 16
    cuda_batch: ClassVar[int] = 128

    def blank(self, values: np.ndarray) -> Taken:
        """See Tensors."""
        return Taken(saliency=np.zeros(values.shape[:3], np.float32))

    def look(self, values: np.ndarray, labels: np.ndarray) -> Seen:
        """Raw maps, of no particular sum. labels (r,) i64."""
        maps = self._maps(values, labels)
        judged = np.zeros(len(labels), np.int64)
        correct = judged.copy()
        if maps.logits is not None:
            judged, correct = judged + 1, (maps.logits.argmax(1).cpu().numpy() == labels).astype(np.int64)
        return Seen(Taken(saliency=maps.map.cpu().numpy()), maps.uniform.cpu().numpy(), judged, correct)

    def _maps(self, values: np.ndarray, labels: np.ndarray) -> image_saliency.Maps:
        feed, how = self.feed, self.feed.method.traits.saliency
        if how == "static":
            return image_saliency.without_model(torch.from_numpy(static.saliency(values)))
        if how == "spectral":
            maps = spectral.saliency(feed.tensor(values), *normalize.parse(feed.normalize))
            return image_saliency.without_model(maps)
        x = self.normalised(values)
        if how == "activation":
            return image_saliency.activation(feed.net, x, feed.layer)
        target = feed.tensor(labels) if feed.towards_label else None
        if how == "cam":
            return image_saliency.cam(feed.net, x, target)
        return image_saliency.gradient(feed.net, x, target, feed.norm)

    def normalised(self, values: np.ndarray, preset: str | None = None) -> Tensor:
        """What the network sees. (B,H,W,3) u8 -> (B,3,H,W) f32. preset: in place of the run's own."""
        return normalised(self.feed.tensor(values), normalize.parse(preset or self.feed.normalize))

    def logits(self, x: Tensor) -> Tensor:
        """Of images as the network sees them. (B,3,H,W) f32 -> (B,classes)."""
        with torch.no_grad():
            logits: Tensor = self.feed.net(x)
        return logits

    def mixes(self, chunk: Chunk, draws: Sequence[np.ndarray]) -> list[MixedImages]:
        """See Tensors: rounded once. A group is one side."""
        feed = self.feed
        a = self._images(chunk, chunk.a)
        b = None if feed.grouped else self._images(chunk, chunk.b)
        with torch.no_grad():
            mixes = [feed.method.mix(a, b, None, feed.tensor(u)) for u in draws]
            return [self._finished(mix, a, b) for mix in mixes]

    def _images(self, chunk: Chunk, rows: np.ndarray) -> Images:
        """What a method sees of one side of some pairs. rows (p,) positions."""
        saliency = chunk.taken.saliency
        maps = None if saliency is None else self.feed.tensor(saliency[rows])
        return Images(self.feed.tensor(chunk.values[rows]).float(), maps)

    def _finished(self, mix: MixedImages, a: Images, b: Images | None) -> MixedImages:
        """The mix in whole numbers: rounded once, half to even."""
        data = mix.data.round().clamp(0, 255).to(torch.uint8)
        if mix.mask is None:
            return replace(mix, data=data, saliency=None)
        mask = (mix.mask * 255).round().to(torch.uint8)
        saliency = None
        if "saliency" in self.feed.keep and b is not None and not self.feed.method.traits.moves:
            saliency = self._mixed_saliency(mix, mix.mask, a, b)
        return replace(mix, data=data, mask=mask, saliency=saliency)

    def _mixed_saliency(self, mix: MixedImages, mask: Tensor, a: Images, b: Images) -> Tensor:
        """Maps of sum 1, mixed like the pixels: b's moved as its pixels were. (B,H,W) f32."""
        own, other = distribution(heat(a)).float(), distribution(heat(b)).float()
        if mix.shift is not None:
            other = shifted(other, mix.shift)[0]
        other = self.feed.method.follow(other, mix.draw)
        return mask * own + (1 - mask) * other

    def unmixed(self, values: np.ndarray, taken: Taken) -> dict[str, np.ndarray]:
        """See Tensors."""
        return {"data": values, "mask": np.full(values.shape[:3], 255)}

    def hint(self, values: np.ndarray, labels: np.ndarray, batch: int) -> str:
        """A preset that does clearly better on these samples than the one that was given, or nothing."""
        shares = {name: self._accuracy(values, labels, batch, name) for name in normalize.PRESETS}
        now = self._accuracy(values, labels, batch, self.feed.normalize)
        best = max(shares, key=lambda name: shares[name])
        if shares[best] < now + CLEARLY:
            return ""
        told = f"{best} gives {shares[best]:.0%} of the first {len(labels)}, {self.feed.normalize} {now:.0%}"
        return f"another --normalize ({told})"

    def _accuracy(self, values: np.ndarray, labels: np.ndarray, batch: int, preset: str) -> float:
        x = self.normalised(values, preset)
        guesses = [self.logits(part).argmax(1).cpu().numpy() for part in x.split(batch)]
        return float((np.concatenate(guesses) == labels).mean())


def normalised(pixels: Tensor, normalization: normalize.Normalization) -> Tensor:
    """What a network sees. (B,H,W,3) u8 -> (B,3,H,W) f32."""
    scaled = pixels.float() / 255
    mean, std = (scaled.new_tensor(values) for values in normalization)
    return ((scaled - mean) / std).permute(0, 3, 1, 2).contiguous()
