"""Networks of images whose last maps go through more than a pool and one linear layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from mixcli.errors import CheckpointError
from mixcli.models.images.layers import Layers
from mixcli.models.images.network import ImageNetwork, Plan, placed


class Headed(ImageNetwork):
    """Ends with linear layers of these names, with a ReLU between them. Dropout is left out."""

    def __init__(self, plan: Plan, layers: Layers, heads: Sequence[str]):
        super().__init__(plan, layers, heads[-1])
        self.heads = [_linear(placed(self, name)) for name in heads]

    def classify(self, maps: Tensor) -> Tensor:
        """Logits (B, classes) of what ``features`` gives."""
        first, *others = self.heads
        x = first(self._pooled(maps, first.in_features))
        for linear in others:
            x = linear(F.relu_(x))
        return x

    def evidence(self, maps: Tensor, label: Tensor) -> Tensor:
        """CheckpointError: what one place adds to a logit depends on all others here."""
        raise CheckpointError(
            f"the network ends with {len(self.heads)} linear layers, and class activation maps are of one",
            advice="use --saliency gradient",
        )


def _linear(layer: nn.Module) -> nn.Linear:
    if not isinstance(layer, nn.Linear):
        raise TypeError("a head has a layer that is not linear")
    return layer
