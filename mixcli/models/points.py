"""Networks of clouds with a pass of their own, on one cloud at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from mixcli.models import kernels
from mixcli.models.fold import Folded, W
from mixcli.models.network import Pull


class PointNetwork(Folded[W]):
    """A classifier of clouds whose logits and transpose come from its folded weights, without autograd."""

    def cloud_vjp(self, weights: W, x: Tensor) -> tuple[Tensor, Pull]:
        """Logits (B, classes) of x (B, N, channels), and their transpose: (B, classes) -> (B, N, channels)."""
        raise NotImplementedError

    @torch.no_grad()
    def vjp(self, x: Tensor, category: Tensor | None = None) -> tuple[Tensor, Pull]:
        """Logits (B, classes) of x (B, N, channels), and their transpose: (B, classes) -> (B, N, channels)."""
        weights = self.weights()
        return kernels.per_cloud(lambda x: self.cloud_vjp(weights, x), x)

    def logits(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of x (B, N, channels), by the same pass."""
        return self.vjp(x)[0]
