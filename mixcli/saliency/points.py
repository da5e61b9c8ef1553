"""How much each point matters to a trained network: SageMix (Lee et al., NeurIPS 2022), section 3.1, Eq. 4."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mixcli.errors import CheckpointError, MixError
from mixcli.models.network import Network, adapted


@dataclass(frozen=True)
class Saliency:
    """Saliency maps of a batch, and the logits that the same pass gave."""

    map: Tensor  # (B, N) f32, not negative, rows sum to 1
    logits: Tensor  # (B, classes) f32; (B, N, parts) of a segmentation network
    uniform: Tensor  # (B,) bool: the gradient was zero at every point, so the map is 1/N everywhere


class NonFinite(MixError):
    """A cloud, its logits or its gradient is NaN or infinite; ``rows`` are the places in the batch."""

    def __init__(self, rows: list[int]):
        self.rows = rows
        super().__init__(f"NaN or infinity in the points, logits or gradient at rows {rows} of the batch")


def gradient(net: nn.Module, x: Tensor, label: Tensor | None = None, seg: Tensor | None = None) -> Saliency:
    """The norm of the loss's gradient at each point, as a distribution over the points (SageMix, Eq. 4).

    ``net`` maps clouds to logits (B, classes), in eval mode and on the device of ``x`` (B, N, C), whose channels
    0..2 are the position; the norm is over those. ``label`` (B,) holds the classes that the cross-entropy is taken
    towards; None stands for the model's own prediction. Raises ``NonFinite``.

    A segmentation network (its task is "segment") maps clouds and their category, which is ``label`` (B,) and
    wanted, to logits (B, N, parts). The loss is the sum of the points' cross-entropies towards their parts ``seg``
    (B, N) i64, numbered as in the dataset; -1 leaves a point out, None stands for each point's own prediction. Other
    networks do not look at ``seg``. Raises ``CheckpointError`` for categories and parts that the network has not.

    Mixcli's own networks have a pass for this: on a CPU no map depends on its batch, and a batch of one is as fast as
    any.
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
    network = adapted(net)
    if network.task == "segment":
        logits, pull = network.vjp(x, _category(network, x, label))
        label = _parts(network, logits, seg)
    else:
        logits, pull = network.vjp(x)
        label = logits.argmax(1) if label is None else label
    g = pull(cotangent(logits, label).to(logits))
    finite = torch.stack([part.isfinite().flatten(1).all(1) for part in (x, logits, g)]).all(0)
    if not finite.all():
        raise NonFinite((~finite).nonzero().flatten().tolist())
    heat, zero = _normalise(g[..., :3])
    return Saliency(heat, logits.float(), zero)


def _category(net: Network, x: Tensor, label: Tensor | None) -> Tensor:
    """What a segmentation network takes beside the clouds, (B,); CheckpointError where it has no such category."""
    if label is None or label.shape != x.shape[:1]:
        raise ValueError(f"a segmentation network takes the category of each cloud: label ({len(x)},)")
    if net.classes is None:
        return label
    wrong = label[(label < 0) | (label >= net.classes)]
    if len(wrong):
        raise CheckpointError(
            f"label {wrong[0]} is none of the network's {net.classes} categories, 0 to {net.classes - 1}",
            advice="pass a checkpoint that was trained on the categories of this source",
        )
    return label


def _parts(net: Network, logits: Tensor, seg: Tensor | None) -> Tensor:
    """The output that each point's cross-entropy is taken towards, (B, N) i64; -1: the point has no part."""
    if seg is None:
        return logits.argmax(2)
    if seg.shape != logits.shape[:2]:
        raise ValueError(f"seg is {tuple(seg.shape)}, but there are {tuple(logits.shape[:2])} points")
    first, parts = net.first, logits.shape[2]
    wrong = seg[(seg != -1) & ((seg < first) | (seg >= first + parts))]
    if len(wrong):
        raise CheckpointError(
            f"part {wrong[0]} is none of the network's parts, {first} to {first + parts - 1}",
            advice="pass a checkpoint that was trained on the parts of this source, or the part that its output 0 "
            "stands for: --model dgcnn_partseg:first=12",
        )
    return (seg - first).where(seg >= 0, -1)


def cotangent(logits: Tensor, label: Tensor) -> Tensor:
    """softmax(z) - onehot(label), the gradient of the cross-entropy, with largest entry ±1 in each cloud.

    logits (B, classes) and label (B,), or of points (B, N, parts) and (B, N), which share one scale in a cloud, so
    each keeps its share of the loss's gradient; a label of -1 leaves zeros. In float64, with the label's own entry as
    minus the sum of the others, which does not cancel: the direction holds to margins of 745, where float32 is left
    with nothing beyond 17. A map is normalised for each cloud, so the scale is free. Like logits, f64 on the CPU.
    """
    g = logits.cpu().double().log_softmax(-1).exp()
    label = label.cpu().long()[..., None]
    own = label.clamp(min=0)
    g = g.scatter(-1, own, 0)
    loss = g.sum(-1, keepdim=True)  # no other entry exceeds it
    g = g.scatter(-1, own, -loss).masked_fill(label < 0, 0)
    most = loss.masked_fill(label < 0, 0).flatten(1).amax(1).view(-1, *(1,) * (g.ndim - 1))
    return g / most.where(most > 0, torch.ones_like(most))


def _normalise(g: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients (B, N, 3) -> their norms over each row's sum (B, N) f32, and which rows were zero (B,)."""
    most = g.abs().amax((1, 2))  # (B,)
    zero = most == 0
    g = g / most.masked_fill(zero, 1)[:, None, None]  # so that no square underflows
    norm = g.square().sum(2).sqrt().masked_fill(zero[:, None], 1)
    return (norm / norm.sum(1, keepdim=True)).float(), zero
