"""CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features (Yun et al., ICCV 2019).

The published arithmetic: sides cut to whole pixels, halved to whole pixels, clipped at the border; λ is then what
is left of parent a. Its boxes are also those of SaliencyMix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mixcli.data.images import Images, MixedImages
from mixcli.methods import Method, method, option
from mixcli.rng import logit_beta

if TYPE_CHECKING:
    from torch import Tensor

BOX = ("top", "left", "bottom", "right")  # pixels; bottom and right are the first ones outside


@method(
    data="images",
    saliency=None,
    assignment=False,
    draws=3,
    draw_names=("lam", *BOX),
    query=False,
    keeps=("self-pair", "lam-one"),
    example="mixcli cutmix --in cifar10/train --out mixed/ -k 4",
)
@dataclass(frozen=True)
class CutMix(Method[Images, None, MixedImages]):
    """A random box of one image on another (Yun et al., ICCV 2019)."""

    alpha: float = option(1.0, "Beta(alpha, alpha) of lambda, parent a's share before the box is clipped.", above=0)

    def mix(self, a: Images, b: Images, phi: None, u: Tensor) -> MixedImages:
        """A box of b on a, its λ and its centre drawn for each mix.

        a, b: (B,H,W,3) f32; no phi; u (B,3) f64 uniforms for λ and for the centre's row and column.
        """
        size = np.array(a.data.shape[1:3])
        lam, cut = drawn_area(u, self.alpha)
        return paste(a, b, lam, box(size, cut, u[:, 1:3].cpu().numpy() * size))


def drawn_area(u: Tensor, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """λ ~ Beta(α, α) from the first uniform, and 1 - λ. (B,D) f64 -> two (B,) f64."""
    from scipy.special import expit

    logit = logit_beta(u[:, 0].cpu().numpy(), alpha)
    return expit(logit), expit(-logit)


def box(size: np.ndarray, cut: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Boxes in the image's proportions, of the share `cut` of its area before they are clipped.

    size (2,) height and width; cut (B,) f64 from 0 to 1; centre (B,2) row and column -> (B,4) i64 as named in BOX.

    >>> box(np.array([32, 32]), np.array([0.25, 0.25]), np.array([[16, 16], [0, 30]])).tolist()
    [[8, 8, 24, 24], [0, 22, 8, 32]]
    """
    return around(size, centre, (size * np.sqrt(cut)[:, None]).astype(np.int64) // 2)


def around(size: np.ndarray, centre: np.ndarray, half: np.ndarray | int) -> np.ndarray:
    """From `half` before the centre (B,2) to `half` after it, clipped to the size (2,) -> (B,4) i64."""
    centre = centre.astype(np.int64)
    return np.concatenate([np.clip(centre - half, 0, size), np.clip(centre + half, 0, size)], axis=1)


def outside(boxes: np.ndarray, like: Tensor) -> Tensor:
    """Which pixels lie in no box. (B,4), an image batch (B,H,W,3) -> (B,H,W) bool."""
    import torch

    top, left, bottom, right = torch.from_numpy(boxes).to(like.device)[:, :, None].unbind(1)
    y, x = (torch.arange(side, device=like.device) for side in like.shape[1:3])
    return ~(((top <= y) & (y < bottom))[:, :, None] & ((left <= x) & (x < right))[:, None])


def paste(a: Images, b: Images, lam: np.ndarray, boxes: np.ndarray, query: Tensor | None = None) -> MixedImages:
    """b inside the boxes (B,4), a outside; the label follows the pixels. lam (B,) is recorded as drawn."""
    import torch

    mask, (height, width) = outside(boxes, a.data), a.data.shape[1:3]
    covered = (boxes[:, 2:] - boxes[:, :2]).prod(1) / (height * width)
    return MixedImages(
        data=a.data.where(mask[..., None], b.data),
        weight=torch.from_numpy(np.stack([1 - covered, covered], 1)).to(a.data.device),
        mask=mask.float(),
        draw=torch.from_numpy(np.column_stack([lam, boxes])).to(a.data.device),
        query=query,
    )


METHOD = CutMix
