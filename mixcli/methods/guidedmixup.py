"""GuidedMixup: An Efficient Mixup Strategy Guided by Saliency Maps (Kang and Kim, AAAI 2023), section 4.

Its greedy pairing is in `mixcli.algorithms.greedy_pairing`, over the same maps as the mix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mixcli.algorithms.greedy_pairing import KERNEL, SIGMA
from mixcli.data.images import Images, MixedImages
from mixcli.methods import Method, method, option
from mixcli.methods.contract import Needs, heat

if TYPE_CHECKING:
    from torch import Tensor


@method(
    data="images",
    saliency="spectral",
    assignment=False,
    draws=0,
    draw_names=(),
    query=False,
    keeps=("self-pair",),
    example="mixcli guidedmixup --in cifar10/train --out mixed/ --partners 4",
    pairing="greedy",
)
@dataclass(frozen=True)
class GuidedMixup(Method[Images, None, MixedImages]):
    """Each pixel from both images, by their saliency there (Kang and Kim, AAAI 2023)."""

    saliency: str = option(
        "spectral",
        "Maps of the spectral residual (Guided-SR), or of a trained model's gradient (Guided-AP).",
        choices=("spectral", "gradient"),
    )

    def needs(self) -> Needs:
        return {"saliency": self.saliency}

    def maps(self, saliency: Tensor) -> Tensor:
        """z of section 4.1: blurred, of sum 1; uniform where all is zero. (B,H,W) f32 -> (B,H,W) f32."""
        from mixcli.saliency.blur import distribution, gaussian

        return distribution(gaussian(saliency, KERNEL, SIGMA)).float()

    def mix(self, a: Images, b: Images, phi: None, u: Tensor) -> MixedImages:
        """Eq. 2 and 3. a, b: (B,H,W,3) f32 with saliency (B,H,W); no phi; u is (B,0), nothing is drawn.

        Half of each where neither map has anything, which the published code leaves at 0/0.
        """
        import torch

        z_a, z_b = self.maps(heat(a)), self.maps(heat(b))
        total = z_a + z_b
        mask = torch.where(total > 0, z_a / total, 0.5)
        share = mask.double().mean((1, 2))  # Eq. 3
        return MixedImages(
            data=b.data.lerp(a.data, mask[..., None]),  # Eq. 2
            weight=torch.stack([share, 1 - share], 1),
            mask=mask,
            draw=share.new_zeros(len(share), 0),
        )


METHOD = GuidedMixup
