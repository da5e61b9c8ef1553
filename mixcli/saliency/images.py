"""How much each pixel matters: to a trained classifier by its gradient or its last feature maps, or by itself."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixcli.errors import CheckpointError
from mixcli.models.hidden import both
from mixcli.models.network import Network, adapted
from mixcli.saliency.points import NonFinite, cotangent

NORMS = ("l2", "l1", "rms")


@dataclass(frozen=True)
class Maps:
    """Saliency of a batch of images, and the logits that the same pass gave."""

    map: Tensor  # (B,H,W) f32, not negative, of no particular sum
    logits: Tensor | None  # (B,classes) f32; None where no model was asked
    uniform: Tensor  # (B,) bool: zero everywhere, so the map is 1 everywhere


def gradient(net: nn.Module, x: Tensor, label: Tensor | None = None, norm: str = "l2") -> Maps:
    """The norm over channels of the loss's gradient at each pixel. x (B,3,H,W) f32, normalised; label (B,) or None.

    None stands for the model's own prediction. A map's scale is that of a gradient whose largest entry is 1: the
    factor that the loss gives it says how sure the model is, not where it looks. Raises `NonFinite`.

    With logits 3·r₀ + 4·g₀ + 15·b₁ and 0 of two pixels, the norms are 5 and 15 times the same factor:

    >>> class Tiny(nn.Module):
    ...     def forward(self, x):
    ...         z = 3 * x[:, 0, 0, 0] + 4 * x[:, 1, 0, 0] + 15 * x[:, 2, 0, 1]
    ...         return torch.stack([z, 0 * z], 1)
    >>> gradient(Tiny().eval(), torch.zeros(1, 3, 1, 2)).map.mul(15).tolist()
    [[[5.0, 15.0]]]
    """
    logits, pull = adapted(net).vjp(x)
    label = logits.argmax(1) if label is None else label
    g = pull(cotangent(logits, label).to(logits))
    _require_finite(x, logits, g)
    most = g.abs().amax((1, 2, 3))
    g = g / most.where(most > 0, torch.ones_like(most))[:, None, None, None]  # so that no square underflows
    return _maps(_norm(g, norm), logits)


def activation(net: nn.Module, x: Tensor, layer: str | None = None) -> Maps:
    """The sum over channels of |A| of the last feature maps, brought to the size of x. (B,3,H,W) f32, normalised.

    `layer` names another layer, as in `mixcli.models.hidden`. Raises `NonFinite`, and CheckpointError where a network
    has no such maps.
    """
    with torch.no_grad():
        features, logits = _last(adapted(net), x) if layer is None else both(net, x, layer)
    if features.ndim != 4:
        what = f"gives shape {tuple(features.shape)}, no maps of an image's places"
        raise CheckpointError(what, at=f"--layer {layer}")
    _require_finite(x, logits, features)
    return _maps(_enlarged(features.abs().sum(1), x), logits)


def cam(net: nn.Module, x: Tensor, label: Tensor | None = None) -> Maps:
    """Class activation maps as SnapMix takes them (Huang et al., AAAI 2021), before they are made to sum to 1.

    What each place of the rectified last feature maps adds to the logit of `label` (B,), brought to the size of
    x (B,3,H,W) f32, less its least value. None stands for the model's own prediction. Networks that end with a ReLU are
    rectified already; for others this follows the published code. Raises `NonFinite`, and CheckpointError where the
    network's head is not known to be a pool and a linear layer.
    """
    network = adapted(net)
    if not network.tells_evidence:
        raise CheckpointError(
            "the network does not tell its pool and linear layer, which class activation maps need: it is a program, "
            "or it ends in another way",
            advice="use --saliency gradient, or pass a checkpoint of weights with such a head",
        )
    with torch.no_grad():
        features, logits = _last(network, x)
        evidence = network.evidence(features.relu(), logits.argmax(1) if label is None else label)
    _require_finite(x, logits, features)
    heat = _enlarged(evidence, x)
    return _maps(heat - heat.amin((1, 2), keepdim=True), logits)


def _last(net: Network, x: Tensor) -> tuple[Tensor, Tensor]:
    """The last feature maps and the logits."""
    features = net.features(x)
    return features, net.classify(features)


def _enlarged(heat: Tensor, x: Tensor) -> Tensor:
    """(B,h,w) -> (B,H,W)."""
    return F.interpolate(heat[:, None], x.shape[2:], mode="bilinear", align_corners=False)[:, 0]


def without_model(maps: Tensor) -> Maps:
    """Maps (B,H,W) that an image has by itself."""
    return _maps(maps, None)


def _norm(g: Tensor, norm: str) -> Tensor:
    if norm == "l1":
        return g.abs().sum(1)
    square = g.square()
    return (square.mean(1) if norm == "rms" else square.sum(1)).sqrt()


def _maps(heat: Tensor, logits: Tensor | None) -> Maps:
    zero = heat.amax((1, 2)) <= 0
    heat = heat.float().masked_fill(zero[:, None, None], 1)
    return Maps(heat, None if logits is None else logits.float(), zero)


def _require_finite(*parts: Tensor) -> None:
    finite = torch.stack([part.isfinite().flatten(1).all(1) for part in parts]).all(0)
    if not finite.all():
        raise NonFinite((~finite).nonzero().flatten().tolist())
