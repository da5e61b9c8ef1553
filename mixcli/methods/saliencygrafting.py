"""Saliency Grafting: Innocuous Attribution-Guided Mixup with Calibrated Label Mixing (Park et al., AAAI 2022).

Section 4. There is no published code, and the paper leaves its temperature, α and scales to an appendix. Raw maps
are as large as the network makes them (mean 47 in a ResNet-56), where a temperature of 1 would select one region or
two; of a map over its own maximum, 0.2 selects a quarter of the regions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mixcli.data.images import Images, MixedImages
from mixcli.errors import UsageError
from mixcli.methods import Method, method, option
from mixcli.methods.contract import Needs, heat
from mixcli.rng import logit_beta

if TYPE_CHECKING:
    from torch import Tensor

FINEST = 64  # regions a side: each region is a draw


@method(
    data="images",
    saliency="activation",
    assignment=False,
    draws=2,
    draw_names=("p", "regions"),
    query=False,
    keeps=("self-pair",),
    example="mixcli saliencygrafting --in cifar10/train --ckpt resnet18.pt --out mixed/ -k 4",
)
@dataclass(frozen=True)
class SaliencyGrafting(Method[Images, None, MixedImages]):
    """Some of the salient regions of one image on another, labelled by saliency (Park et al., AAAI 2022)."""

    temperature: float = option(0.2, "T of Eq. 3, for maps divided by their largest value.", above=0)
    alpha: float = option(1.0, "Beta(alpha, alpha) of p, the chance that a salient region is taken.", above=0)
    scale: str = option("4,8,16", "Regions along each side; of several numbers each mix draws one.")
    saliency: str = option(
        "activation",
        "Sum of the last feature maps (section 4.3), the loss's gradient, or the spectral residual.",
        choices=("activation", "gradient", "spectral"),
    )

    def __post_init__(self) -> None:
        self.grids()

    def grids(self) -> tuple[int, ...]:
        """`scale` as numbers."""
        parts = [part.strip() for part in self.scale.split(",")]
        if not all(part.isdecimal() and len(part) < 4 and 1 <= int(part) <= FINEST for part in parts):
            what = f"must be whole numbers from 1 to {FINEST}, as in 4,8,16"
            raise UsageError(what, at=f"--scale {self.scale}")
        return tuple(map(int, parts))

    def needs(self) -> Needs:
        return {"saliency": self.saliency, "draws": 2 + max(self.grids()) ** 2}

    def mix(self, a: Images, b: Images, phi: None, u: Tensor) -> MixedImages:
        """Regions of a on b, each mix with its own p, grid and choice of regions.

        a, b: (B,H,W,3) f32 with saliency (B,H,W); no phi; u (B,draws) f64 uniforms for p, the grid and its regions,
        row by row. An axis has no more regions than pixels.
        """
        import torch

        p = u.new_tensor(logit_beta(u[:, 0].cpu().numpy(), self.alpha)).sigmoid()
        grids = u.new_tensor(self.grids()).long()
        grid = grids[(u[:, 1] * len(grids)).long()]
        mask, share = torch.empty_like(heat(a)), torch.empty_like(p)
        for side in sorted(set(self.grids())):
            rows = (grid == side).nonzero()[:, 0]
            if len(rows):
                mask[rows], share[rows] = self.graft(heat(a)[rows], heat(b)[rows], side, p[rows], u[rows, 2:])
        return MixedImages(
            data=a.data.where(mask[..., None] > 0, b.data),
            weight=torch.stack([share, 1 - share], 1),
            mask=mask,
            draw=torch.stack([p, grid.to(p)], 1),
        )

    def graft(self, a: Tensor, b: Tensor, side: int, p: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """The mask M of Eq. 3 and 4 as (B,H,W) f32, and λ of Eq. 5 as (B,) f64, for maps a and b (B,H,W).

        A map without a region above the mean, since it is constant, has them all above it.
        """
        from mixcli.algorithms.cells import spread

        s_a, s_b = _regions(a, side), _regions(b, side)
        soft = ((s_a - 1) / self.temperature).exp()  # Eq. 3 but for its denominator, which Eq. 4 does not feel
        salient = soft > soft.mean((1, 2), keepdim=True)  # Eq. 4
        salient |= ~salient.any(2, keepdim=True).any(1, keepdim=True)
        taken = salient & (u[:, : s_a[0].numel()].view_as(s_a) < p[:, None, None])
        kept_a, kept_b = _importance(s_a, taken), _importance(s_b, ~taken)
        return spread(taken, a.shape[1:]).to(a), kept_a / (kept_a + kept_b)  # Eq. 5


def _regions(saliency: Tensor, side: int) -> Tensor:
    """Means over side x side regions, over the largest of them; 1 where all are zero. (B,H,W) f32 -> (B,h,w) f64."""
    import torch.nn.functional as F

    height, width = (min(side, pixels) for pixels in saliency.shape[1:])
    means = F.adaptive_avg_pool2d(saliency.double()[:, None], (height, width))[:, 0]
    most = means.amax((1, 2), keepdim=True)
    return (means + (most == 0)) / (most + (most == 0))


def _importance(s: Tensor, mask: Tensor) -> Tensor:
    """I(S, M) of section 4.2: the norm of what the mask leaves, over the norm of all. (B,h,w) ×2 -> (B,) f64."""
    return (s * mask).flatten(1).norm(dim=1) / s.flatten(1).norm(dim=1)


METHOD = SaliencyGrafting
