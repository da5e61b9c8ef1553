"""Networks of images whose last maps go through more than a pool and one linear layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from mixcli.errors import CheckpointError, UsageError
from mixcli.models.images.layers import Layers
from mixcli.models.images.network import ImageNetwork, Plan, placed


class Headed(ImageNetwork):
    """Ends with linear layers, with a ReLU between them. Dropout is left out.

    ``heads`` are their names. ``image`` is the side of the only images that the first of them takes, whose maps are
    then not pooled; 0 where maps are pooled to what it takes.
    """

    def __init__(self, plan: Plan, layers: Layers, heads: Sequence[str], image: int = 0):
        super().__init__(plan, layers, heads[-1])
        self.heads, self.image = [_linear(placed(self, name)) for name in heads], image

    def classify(self, maps: Tensor) -> Tensor:
        """Logits (B, classes) of what ``features`` gives."""
        first, *others = self.heads
        x = first(self._whole(maps, first.in_features) if self.image else self._pooled(maps, first.in_features))
        for linear in others:
            x = linear(F.relu_(x))
        return x

    def evidence(self, maps: Tensor, label: Tensor) -> Tensor:
        """CheckpointError: what one place adds to a logit depends on all others here."""
        raise CheckpointError(
            f"the network ends with {len(self.heads)} linear layers, and class activation maps are of one",
            advice="use --saliency gradient",
        )

    def _whole(self, maps: Tensor, wanted: int) -> Tensor:
        """All places of maps (B, C, h, w), which must be as many as the first linear layer takes: (B, wanted)."""
        channels, high, wide = maps.shape[1:]
        if channels * high * wide != wanted:
            raise UsageError(
                f"the network's linear layer takes {wanted // channels} places of a map and gets {high} x {wide}",
                at="--model",
                advice=f"--size {self.image}x{self.image} brings images to the size that it was made for",
            )
        return maps.flatten(1)


def _linear(layer: nn.Module) -> nn.Linear:
    if not isinstance(layer, nn.Linear):
        raise TypeError("a head has a layer that is not linear")
    return layer
