"""Manifold Mixup: Better Representations by Interpolating Hidden States (Verma et al., ICML 2019), offline.

The published method draws a layer for each batch and trains the whole network. Written to a file, the layer is one
and what lies before it stays as it is: the dataset holds the mixed hidden states of a trained checkpoint, and what is
trained on them is the rest of the network (`mixcli.models.hidden.rest`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mixcli.data.images import Images, MixedImages
from mixcli.methods import Method, method, option
from mixcli.rng import logit_beta

if TYPE_CHECKING:
    from torch import Tensor


@method(
    data="images",
    saliency="hidden",
    assignment=False,
    draws=1,
    draw_names=("lam", "logit_lam"),
    query=False,
    keeps=("self-pair", "lam-one"),
    mask=False,
    writes="hidden",
    example="mixcli manifoldmixup --in cifar10/train --ckpt resnet18.pt --layer layer2 --out hidden.h5 -k 4",
)
@dataclass(frozen=True)
class ManifoldMixup(Method[Images, None, MixedImages]):
    """Hidden states of a network's --layer, interpolated (Verma et al., ICML 2019); written as .h5 or .npz."""

    alpha: float = option(2.0, "Beta(alpha, alpha) of lambda, parent a's share.", above=0)

    def mix(self, a: Images, b: Images, phi: None, u: Tensor) -> MixedImages:
        """λ h_a + (1 - λ) h_b (Eq. 1), one λ a pair. a, b: data (B,...) f32 hidden states; u (B,1) f64.

        By hand: at u = 1/2, λ is 1/2 whatever α, so 1 and 4 meet at 2.5.

        >>> import torch
        >>> a, b = (Images(torch.full((1, 2, 1, 1), value)) for value in (1.0, 4.0))
        >>> mixed = ManifoldMixup().mix(a, b, None, torch.tensor([[0.5]]).double())
        >>> mixed.data.flatten().tolist(), mixed.weight.tolist()
        ([2.5, 2.5], [[0.5, 0.5]])
        """
        import torch

        logit = torch.from_numpy(logit_beta(u[:, 0].cpu().numpy(), self.alpha)).to(u.device)
        lam = logit.sigmoid()
        share = lam.float().view(-1, *[1] * (a.data.ndim - 1))
        return MixedImages(
            data=b.data.lerp(a.data, share),  # exact where both are equal
            weight=torch.stack([lam, (-logit).sigmoid()], 1),
            mask=None,
            draw=torch.stack([lam, logit], 1),
        )


METHOD = ManifoldMixup
