"""Mixup: Beyond Empirical Risk Minimization (Zhang et al., ICLR 2018), on samples as they come.

The order of a cloud's points means nothing, so on clouds it is the baseline that an assignment improves on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mixcli.data.images import Images, MixedImages
from mixcli.data.points import Mixed, Samples, matched_points
from mixcli.methods import Method, method, option
from mixcli.methods.contract import Needs
from mixcli.rng import logit_beta

if TYPE_CHECKING:
    from torch import Tensor


@method(
    data="points",
    saliency=None,
    assignment=False,
    draws=1,
    draw_names=("lam", "logit_lam"),
    query=False,
    keeps=("self-pair", "lam-one"),
    example="mixcli mixup --in modelnet40.h5 --out mixed.h5 -k 4\n"
    "  mixcli mixup --on images --in cifar10/train --out mixed/ -k 4",
)
@dataclass(frozen=True)
class Mixup(Method[Samples | Images, None, Mixed | MixedImages]):
    """Straight interpolation, point by point or pixel by pixel (Zhang et al., ICLR 2018)."""

    alpha: float = option(1.0, "Beta(alpha, alpha) of parent A's share lambda.", above=0)
    on: str = option("points", "What is mixed.", choices=("points", "images"))

    def needs(self) -> Needs:
        return {"data": self.on}

    def mix(self, a: Samples | Images, b: Samples | Images, phi: None, u: Tensor) -> Mixed | MixedImages:
        """One mix of each pair, with its own λ.

        a, b: (B,N,3) f32, or (B,H,W,3) f32, 0..255; no phi; u (B,1) f64 uniforms for λ.
        """
        import torch

        logit = u.new_tensor(logit_beta(u[:, 0].cpu().numpy(), self.alpha))
        if isinstance(a, Images):
            return blended(a.data, b.data, logit)
        own = torch.arange(a.data.shape[1], device=u.device).expand(a.data.shape[:2])
        return interpolated(a.data, b.data, own, logit)


def interpolated(a: Tensor, matched: Tensor, phi: Tensor, logit: Tensor) -> Mixed:
    """λ a + (1 - λ) b∘φ with one λ a pair, given as its logit. (B,N,3) f32 ×2, (B,N) i64, (B,) f64 -> Mixed.

    `matched` is b in the order of φ. By hand, λ = 3/4, so a logit of log 3: a point at 0 and one at 4 meet at 1.

    >>> import torch
    >>> a, matched, phi = torch.zeros(1, 1, 3), torch.full((1, 1, 3), 4.0), torch.zeros(1, 1, dtype=torch.int64)
    >>> mixed = interpolated(a, matched, phi, torch.tensor([3.0]).double().log())
    >>> mixed.data.tolist(), mixed.weight.tolist()
    ([[[1.0, 1.0, 1.0]]], [[0.75, 0.25]])
    """
    import torch

    lam, rest = logit.sigmoid(), (-logit).sigmoid()
    share = rest.float()[:, None, None]
    mixed = a * (1 - share) + matched * share  # in float32 and in this order: to the last bit as published
    return Mixed(
        data=mixed.where(matched != a, a),  # rounding would move a point that both have
        weight=torch.stack([lam, rest], 1),
        point_weight=lam.float()[:, None].expand(phi.shape),
        draw=torch.stack([lam, logit], 1),
        index=matched_points(phi),
    )


def blended(a: Tensor, b: Tensor, logit: Tensor) -> MixedImages:
    """λ a + (1 - λ) b with one λ a pair, given as its logit. (B,H,W,3) f32 ×2, (B,) f64 -> MixedImages.

    By hand, λ = 3/4, so a logit of log 3: black and a grey of 100 meet at 25.

    >>> import torch
    >>> a, b = torch.zeros(1, 1, 1, 3), torch.full((1, 1, 1, 3), 100.0)
    >>> mixed = blended(a, b, torch.tensor([3.0]).double().log())
    >>> mixed.data.tolist(), mixed.mask.tolist(), mixed.weight.tolist()
    ([[[[25.0, 25.0, 25.0]]]], [[[0.75]]], [[0.75, 0.25]])
    """
    import torch

    lam = logit.sigmoid()
    mask = lam.float()[:, None, None].expand(a.shape[:3])
    return MixedImages(
        data=b.lerp(a, mask[..., None]),  # exact where both pixels are equal
        weight=torch.stack([lam, (-logit).sigmoid()], 1),
        mask=mask,
        draw=torch.stack([lam, logit], 1),
    )


METHOD = Mixup
