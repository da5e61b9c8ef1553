"""Hidden states of an image network on a device: what a layer makes of each image is what is mixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import nn

from mixcli.data.images import Images, MixedImages
from mixcli.models.hidden import both, hidden
from mixcli.pipeline.kinds.images_tensors import ImageTensors
from mixcli.pipeline.kinds.tensors import Chunk, Seen, Taken
from mixcli.saliency.points import NonFinite


@dataclass(frozen=True)
class HiddenTensors(ImageTensors):
    """See Tensors. Values are (w,H,W,3) u8, and a window holds the states of its samples, 4 bytes a number."""

    @property
    def layer(self) -> str:
        if self.feed.layer is None:
            raise AssertionError("hidden states are of a layer")
        return self.feed.layer

    def blank(self, values: np.ndarray) -> Taken:
        """See Tensors."""
        height, width = values.shape[1:3]
        shape = shape_of(self.feed.net, self.layer, (height, width), self.feed.device)
        return Taken(states=np.zeros((len(values), *shape), np.float32))

    def look(self, values: np.ndarray, labels: np.ndarray) -> Seen:
        """The layer's output for each image, and how the rest of the network judges it. labels (r,) i64."""
        with torch.no_grad():
            state, logits = both(self.feed.net, self.normalised(values), self.layer)
        if not (finite := state.isfinite().flatten(1).all(1)).all():
            raise NonFinite((~finite).nonzero().flatten().tolist())
        correct = (logits.argmax(1).cpu().numpy() == labels).astype(np.int64)
        none = np.zeros(len(labels), bool)
        return Seen(Taken(states=state.float().cpu().numpy()), none, np.ones(len(labels), np.int64), correct)

    def mixes(self, chunk: Chunk, draws: Sequence[np.ndarray]) -> list[MixedImages]:
        """See Tensors."""
        feed, states = self.feed, chunk.taken.hidden
        a = Images(feed.tensor(states[chunk.a]))
        b = None if feed.grouped else Images(feed.tensor(states[chunk.b]))
        with torch.no_grad():
            mixes: list[MixedImages] = [feed.method.mix(a, b, None, feed.tensor(u)) for u in draws]
            return [replace(mix, data=mix.data.float()) for mix in mixes]

    def unmixed(self, values: np.ndarray, taken: Taken) -> dict[str, np.ndarray]:
        """See Tensors."""
        return {"data": taken.hidden}


@lru_cache(4)
def shape_of(net: nn.Module, layer: str, size: tuple[int, int], device: torch.device) -> tuple[int, ...]:
    """Of one image's hidden state. size: H, W of the image."""
    with torch.no_grad():
        return tuple(hidden(net, torch.zeros(1, 3, *size, device=device), layer).shape[1:])
