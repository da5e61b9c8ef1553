"""SAGE: Saliency-Guided Mixup with Optimal Rearrangements (Ma et al., BMVC 2022), section 3.

The paper's reading is the default: τ* over all offsets, both maps of the same weight, M of Eq. 2. The published code
tries one offset in a hundred and weighs the maps by a Beta draw: `--offsets 0.01 --alpha 1 --upper-lambda 0.6
--as-published`. It blurs with a kernel of 5 and σ = 1; the paper names neither these nor ζ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mixcli.data.images import Images, MixedImages
from mixcli.errors import UsageError
from mixcli.methods import Method, method, option
from mixcli.methods.contract import Needs, heat
from mixcli.rng import logit_beta, uniforms

if TYPE_CHECKING:
    from torch import Tensor

FLOOR = 1e-16  # of the published code: below it, it divides by this instead; and the default ζ
LEAST = 1e-12  # of either map's weight, published
WIDEST = 999  # pixels of the blur: far beyond it a map is flat


@method(
    data="images",
    saliency="gradient",
    assignment=False,
    draws=0,
    draw_names=("tau_y", "tau_x", "alpha", "total_saliency"),
    query=False,
    keeps=(),
    example="mixcli sage --in cifar10/train --ckpt resnet18.pt --out mixed/ --partners 4",
)
@dataclass(frozen=True)
class Sage(Method[Images, None, MixedImages]):
    """Image B is moved to where most saliency of both remains, then mixed pixel by pixel (Ma et al., BMVC 2022)."""

    offsets: float = option(1.0, "Share of all offsets that a mix tries, drawn; published: 0.01.", above=0, most=1)
    alpha: float = option(
        0.0, "Beta(alpha, alpha) of the weight of A's map; published: 1. At 0 both weigh the same.", least=0, most=1e9
    )
    upper_lambda: float = option(1.0, "Factor on the weight of A's map; published: 0.5 to 0.7.", above=0, most=1)
    kernel: int = option(5, "Width of the Gaussian that smooths the maps, an odd number of pixels.", above=0)
    sigma: float = option(1.0, "Standard deviation of that Gaussian, in pixels.", above=0)
    zeta: float = option(FLOOR, "Zeta of Eq. 2, for maps of sum 1; the paper gives no value.", least=0, most=1.0)
    as_published: bool = option(
        False, "Where both maps vanish show B, or black outside of it, and count it as B; zeta is a floor of 1e-16."
    )

    def __post_init__(self) -> None:
        if self.kernel % 2 != 1 or self.kernel > WIDEST:
            raise UsageError(f"must be an odd number up to {WIDEST}", at=f"--kernel {self.kernel}")

    def needs(self) -> Needs:
        return {"draws": (self.alpha > 0) + (self.offsets < 1)}

    def mix(self, a: Images, b: Images, phi: None, u: Tensor) -> MixedImages:
        """One mix of each pair, b moved to its own best offset.

        a, b: (B,H,W,3) f32 with raw saliency (B,H,W); u (B,D) f64 uniforms, for α where `alpha` is not 0, then for
        the offsets where they are fewer than all; phi is not used. Where either raw map is constant it says nothing
        of where to go, and b stays in place (but not in the published code).
        """
        alpha = self.drawn_alpha(u)
        s_a, s_b = self.maps(heat(a), alpha), self.maps(heat(b), 1 - alpha)
        tau = self.rearrange(s_a, s_b, self.drawn_offsets(u, *s_a.shape[1:]))
        if not self.as_published:
            tau = tau.masked_fill((_constant(heat(a)) | _constant(heat(b)))[:, None], 0)
        return self.mix_at(a.data, b.data, (s_a, s_b), tau, alpha)

    def drawn_alpha(self, u: Tensor) -> Tensor:
        """The published weight of a's map, b's is 1 - α: (B,D) f64 -> (B,) f64; 1/2 unless options say otherwise."""
        if self.alpha == 0:
            return u.new_full((len(u),), 0.5 * self.upper_lambda)
        return u.new_tensor(logit_beta(u[:, 0].cpu().numpy(), self.alpha)).sigmoid() * self.upper_lambda

    def maps(self, saliency: Tensor, weight: Tensor) -> Tensor:
        """s̃ of Eq. 2: smoothed, of sum 1, times twice its weight (B,). (B,H,W) -> (B,H,W) f64."""
        from mixcli.saliency.blur import distribution, gaussian

        smooth = gaussian(saliency.double(), self.kernel, self.sigma)
        return distribution(smooth) * (2 * weight.clamp(min=LEAST))[:, None, None]

    def drawn_offsets(self, u: Tensor, height: int, width: int) -> Tensor | None:
        """Which offsets each mix tries, (B,2H-1,2W-1) bool; None for all of them."""
        if self.offsets == 1:
            return None
        import torch

        rows, columns = 2 * height - 1, 2 * width - 1
        drawn = subsets(u[:, -1].cpu().numpy(), rows * columns, int(rows * columns * self.offsets))
        return torch.from_numpy(drawn.reshape(-1, rows, columns)).to(u.device)

    def rearrange(self, s_a: Tensor, s_b: Tensor, allowed: Tensor | None) -> Tensor:
        """τ* = argmax v(τ) over all or the allowed offsets. (B,H,W), (B,H,W) f64 -> (B,2) i64, rows and columns."""
        import torch

        from mixcli.algorithms.best_offset import best_offsets, prepare

        pair = torch.arange(len(s_a), device=s_a.device)
        zeta = 0.0 if self.as_published else self.zeta
        # Nothing is kept: within a batch of pairs hardly a map comes twice.
        return best_offsets(prepare(torch.cat([s_a, s_b]), keep=0), pair, pair + len(s_a), zeta, allowed)[0]

    def mix_at(self, a: Tensor, b: Tensor, maps: tuple[Tensor, Tensor], tau: Tensor, alpha: Tensor) -> MixedImages:
        """Eq. 2 and 3 for given offsets. (B,H,W,3) f32 ×2, (B,H,W) f64 of each, (B,2) i64; α (B,) is only recorded."""
        import torch

        from mixcli.algorithms.best_offset import shifted

        s_a, s_b = maps
        (image, inside), saliency = shifted(b, tau), shifted(s_b, tau)[0]
        saliency = saliency * inside
        mask = self.mask(s_a, saliency, inside)
        total = (mask * s_a + (1 - mask) * saliency).sum((1, 2))  # Eq. 3
        share = mask.mean((1, 2))
        if self.as_published:
            image = image * inside[..., None]
        return MixedImages(
            data=image.lerp(a, mask.float()[..., None]),  # Eq. 2
            weight=torch.stack([share, 1 - share], 1),
            mask=mask.float(),
            draw=torch.cat([tau, alpha[:, None], total[:, None]], 1),
            shift=tau,
        )

    def mask(self, s_a: Tensor, s_b: Tensor, inside: Tensor) -> Tensor:
        """M of Eq. 2: 1 outside the overlap, 1/2 inside it where both maps vanish. (B,H,W) f64 ×2, bool -> f64."""
        below = s_a + s_b
        if self.as_published:
            return s_a / below.clamp(min=FLOOR)
        mask = (s_a / (below + self.zeta)).masked_fill(below == 0, 0.5)  # 0/0 at ζ = 0
        return mask.masked_fill(~inside, 1.0)


def _constant(maps: Tensor) -> Tensor:
    """(B,H,W) -> (B,) bool."""
    return maps.amax((1, 2)) == maps.amin((1, 2))


def subsets(u: np.ndarray, size: int, count: int) -> np.ndarray:
    """A random subset of range(size) for each uniform, of `count` members, at least one. (B,) f64 -> (B,size) bool.

    Floyd's sampling: its t-th draw is from range(size - count + t + 1), and one that is taken already gives way to
    the last. A subset needs more bits than a uniform has; its 52 are the counter of as many more as there are draws.
    """
    count = max(1, count)
    u = uniforms(0, "offsets", (u * 2.0**52).astype(np.uint64), width=count)
    taken, row = np.zeros((len(u), size), bool), np.arange(len(u))
    for draw, last in zip(u.T, range(size - count, size), strict=True):
        pick = (draw * (last + 1)).astype(np.int64)
        taken[row, np.where(taken[row, pick], last, pick)] = True
    return taken


METHOD = Sage
