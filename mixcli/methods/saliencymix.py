"""SaliencyMix: A Saliency Guided Data Augmentation Strategy (Uddin et al., ICLR 2021).

CutMix with the box around the most salient pixel of the image it is cut from. The released code takes one box for a
whole batch, from the first image's map, and computes that map on the raw bytes of normalised floats, so that its
place has nothing to do with what is in the image; there is no batch here, and each mix has the box of its own b.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mixcli.data.images import Images, MixedImages
from mixcli.methods import Method, method, option
from mixcli.methods.contract import heat
from mixcli.methods.cutmix import BOX, box, drawn_area, paste

if TYPE_CHECKING:
    from torch import Tensor


@method(
    data="images",
    saliency="static",
    assignment=False,
    draws=1,
    draw_names=("lam", *BOX),
    query=True,
    keeps=("self-pair", "lam-one"),
    example="mixcli saliencymix --in cifar10/train --out mixed/ -k 4",
)
@dataclass(frozen=True)
class SaliencyMix(Method[Images, None, MixedImages]):
    """The box around the most salient pixel of one image on another (Uddin et al., ICLR 2021)."""

    alpha: float = option(1.0, "Beta(alpha, alpha) of lambda, parent a's share before the box is clipped.", above=0)

    def mix(self, a: Images, b: Images, phi: None, u: Tensor) -> MixedImages:
        """A box of b around the peak of b's saliency, at the same place on a; its λ is drawn for each mix.

        a, b: (B,H,W,3) f32, b with saliency (B,H,W), whose first largest value is the peak; no phi; u (B,1) f64
        uniforms for λ.
        """
        import torch

        size = np.array(a.data.shape[1:3])
        peak = heat(b).flatten(1).argmax(1)
        lam, cut = drawn_area(u, self.alpha)
        centre = np.stack(np.divmod(peak.cpu().numpy(), size[1]), 1)
        return paste(a, b, lam, box(size, cut, centre), query=torch.stack([peak, peak], 1))


METHOD = SaliencyMix
