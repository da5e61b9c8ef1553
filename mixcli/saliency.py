"""How much each point matters to a trained classifier: SageMix (Lee et al., NeurIPS 2022), section 3.1, Eq. 4."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .errors import MixError
from .models.fold import autograd_vjp


@dataclass(frozen=True)
class Saliency:
    """Saliency maps of a batch, and the logits that the same pass gave."""

    map: Tensor  # (B, N) f32, not negative, rows sum to 1
    logits: Tensor  # (B, classes) f32
    uniform: Tensor  # (B,) bool: the gradient was zero at every point, so the map is 1/N everywhere


class NonFinite(MixError):
    """A cloud, its logits or its gradient is NaN or infinite; ``rows`` are the places in the batch."""

    def __init__(self, rows: list[int]):
        self.rows = rows
        super().__init__(f"NaN or infinity in the points, logits or gradient at rows {rows} of the batch")


def gradient(net: nn.Module, x: Tensor, label: Tensor | None = None) -> Saliency:
    """The norm of the loss's gradient at each point, as a distribution over the points (SageMix, Eq. 4).

    ``net`` maps clouds to logits (B, classes), in eval mode and on the device of ``x`` (B, N, C), whose channels
    0..2 are the position; the norm is over those. ``label`` (B,) holds the classes that the cross-entropy is taken
    towards; None stands for the model's own prediction. Raises ``NonFinite``.

    A network with a ``vjp`` uses that: on a CPU no map then depends on its batch, and a batch of one is as fast as any.
    With logits 3·y₀ + 4·z₀ + 15·x₁ and 0, the norms are 5 and 15 times the same factor, whatever the class:

    >>> class Tiny(nn.Module):
    ...     def forward(self, x):
    ...         z = 3 * x[:, 0, 1] + 4 * x[:, 0, 2] + 15 * x[:, 1, 0]
    ...         return torch.stack([z, 0 * z], 1)
    >>> gradient(Tiny().eval(), torch.zeros(1, 2, 3)).map
    tensor([[0.2500, 0.7500]])
    """
    if net.training:
        raise ValueError("saliency is taken in eval mode: in training mode a map depends on its batch")
    logits, pull = net.vjp(x) if hasattr(net, "vjp") else autograd_vjp(net, x)
    label = logits.argmax(1) if label is None else label
    g = pull(cotangent(logits, label).to(logits))
    finite = torch.stack([part.isfinite().flatten(1).all(1) for part in (x, logits, g)]).all(0)
    if not finite.all():
        raise NonFinite((~finite).nonzero().flatten().tolist())
    heat, zero = _normalise(g[..., :3])
    return Saliency(heat, logits.float(), zero)


def cotangent(logits: Tensor, label: Tensor) -> Tensor:
    """softmax(z) - onehot(label), the gradient of the cross-entropy at logits (B, classes), with largest entry ±1.

    In float64, with the label's own entry as minus the sum of the others, which does not cancel: the direction
    holds to margins of 745, where float32 is left with nothing beyond 17. A map is normalised for each cloud,
    so the scale is free. (B, classes) f64 on the CPU.
    """
    g = logits.cpu().double().log_softmax(1).exp()
    own = label.cpu().long()[:, None]
    g = g.scatter(1, own, 0)
    most = g.sum(1, keepdim=True)  # no other entry exceeds it
    g = g.scatter(1, own, -most)
    return g / most.where(most > 0, torch.ones_like(most))


def _normalise(g: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients (B, N, 3) -> their norms over each row's sum (B, N) f32, and which rows were zero (B,)."""
    most = g.abs().amax((1, 2))  # (B,)
    zero = most == 0
    g = g / most.masked_fill(zero, 1)[:, None, None]  # so that no square underflows
    norm = g.square().sum(2).sqrt().masked_fill(zero[:, None], 1)
    return (norm / norm.sum(1, keepdim=True)).float(), zero
