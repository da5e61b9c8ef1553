"""mixup of images: one λ for all pixels of a mix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixcli.data.images import MixedImages

if TYPE_CHECKING:
    from torch import Tensor


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
