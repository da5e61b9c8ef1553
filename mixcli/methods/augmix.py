"""AugMix: A Simple Data Processing Method to Improve Robustness and Uncertainty (Hendrycks et al., ICLR 2020).

Its operations are Pillow's, on whole levels, in `algorithms.augment.apply`. The published code shears and translates
in a frame of 32 pixels for CIFAR and 224 for ImageNet, the size of its images; here each image is its own frame, so
that a translation reaches a third of its width or height at level 10. The random crop and flip that come before the
operations there are left to the training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mixcli.algorithms.augment.policy import AUGMIX, AUGMIX_ALL, augmix_values
from mixcli.data.images import Images, MixedImages
from mixcli.errors import UsageError
from mixcli.methods import Method, method, option
from mixcli.methods.contract import Needs
from mixcli.rng import logit_beta

if TYPE_CHECKING:
    from torch import Tensor

DEEPEST = 3  # operations of a chain whose depth is drawn
RARE = 1e-30  # below it, a gamma variate is known by its logarithm alone


@dataclass(frozen=True)
class Chains:
    """What each view of an image is made of."""

    m: np.ndarray  # (B,) f64, share of the chains beside the image itself
    w: np.ndarray  # (B,width) f64, shares of the chains; rows sum to 1
    op: np.ndarray  # (B,width,depth) i64 numbers in `augment_policy.OPS`, -1 behind a chain's end
    value: np.ndarray  # (B,width,depth) f64, what the operation is given; 0 where it takes nothing


@method(
    data="images",
    saliency=None,
    assignment=False,
    draws=1,
    draw_names=(),
    query=False,
    keeps=(),
    parents=1,
    mask=False,
    example="mixcli augmix --in cifar10/train --out views/ -k 2",
)
@dataclass(frozen=True)
class AugMix(Method[Images, None, MixedImages]):
    """Views of each image, blends of it and of augmented copies; its label stays (Hendrycks et al., ICLR 2020).

    -k is the number of views; those of one image stand in neighbouring rows. The published training takes three of
    an image, itself and two of these, and adds a Jensen-Shannon loss among them: -k 2 beside the source, or -k 3.
    """

    width: int = option(3, "Chains of operations that are blended, 1 to 10.", above=0, most=10)
    depth: int = option(-1, "Operations of a chain, 1 to 10; -1: 1 to 3, drawn for each chain.")
    severity: int = option(3, "Upper end of the operations' level, 1 to 10.", above=0, most=10)
    alpha: float = option(1.0, "Dirichlet(alpha) of the chains' shares, Beta(alpha, alpha) of all of them.", above=0)
    all_ops: bool = option(False, "Colour, contrast, brightness and sharpness too, which ImageNet-C tests.")

    def __post_init__(self) -> None:
        if self.depth not in range(1, 11) and self.depth != -1:
            raise UsageError("must be from 1 to 10, or -1", at=f"--depth {self.depth}")

    def needs(self) -> Needs:
        places = [f"{chain}_{step}" for chain in range(1, self.width + 1) for step in range(1, self.deepest + 1)]
        names = [f"w_{chain}" for chain in range(1, self.width + 1)]
        names += [f"{name}_{place}" for place in places for name in ("op", "value")]
        return {"draws": 1 + self.width * (2 + 3 * self.deepest), "draw_names": ("m", *names)}

    @property
    def deepest(self) -> int:
        return self.depth if self.depth > 0 else DEEPEST

    def mix(self, a: Images, b: Images | None, phi: None, u: Tensor) -> MixedImages:
        """(1 - m) x + m Σ w_i chain_i(x), each view with its own draws (Algorithm 1).

        a: (B,H,W,3) f32; no b, no phi; u (B,draws) f64 uniforms for m, then for each chain its share, its depth, and
        each step's operation, level and sign.
        """
        import torch

        drawn = self.drawn(u.cpu().numpy(), a.data.shape[1:3])
        share = torch.from_numpy(drawn.m[:, None] * drawn.w).float().to(a.data.device)
        mixed = a.data * torch.from_numpy(1 - drawn.m).float().to(a.data.device)[:, None, None, None]
        for chain, part in enumerate(self.chained(a.data, drawn).unbind(1)):
            mixed += part.float().mul_(share[:, chain, None, None, None])
        steps = np.stack([drawn.op.astype(float), drawn.value], -1).reshape(len(u), -1)
        return MixedImages(
            data=mixed.clamp_(0, 255),  # shares in float32 may sum to a little more than 1
            weight=torch.ones(len(u), 1, dtype=torch.float64, device=u.device),
            mask=None,
            draw=torch.from_numpy(np.column_stack([drawn.m, drawn.w, steps])).to(u.device),
        )

    def drawn(self, u: np.ndarray, size: Sequence[int]) -> Chains:
        """Inverse CDFs of the uniforms (B,draws) f64, for images of this height and width."""
        from scipy.special import expit

        chains = u[:, 1:].reshape(len(u), self.width, -1)
        step = chains[:, :, 2:].reshape(len(u), self.width, self.deepest, 3)
        op = (step[..., 0] * (AUGMIX_ALL if self.all_ops else AUGMIX)).astype(np.int64)
        level = 0.1 + step[..., 1] * (self.severity - 0.1)
        value = augmix_values(op, level, np.where(step[..., 2] > 0.5, -1, 1), size)
        depth = self.depth if self.depth > 0 else 1 + (chains[:, :, 1:2] * DEEPEST).astype(np.int64)
        ended = np.arange(self.deepest) >= depth
        return Chains(
            m=expit(logit_beta(u[:, 0], self.alpha)),
            w=dirichlet(chains[:, :, 0], self.alpha),
            op=np.where(ended, -1, op),
            value=np.where(ended, 0.0, value),
        )

    def chained(self, data: Tensor, drawn: Chains) -> Tensor:
        """What the chains make of each image: (B,H,W,3) f32 -> (B,width,H,W,3) u8."""
        from mixcli.algorithms.augment import apply as augment

        images = augment.levels(data).repeat_interleave(self.width, 0)
        for step in range(self.deepest):
            images = augment.apply(images, drawn.op[:, :, step].ravel(), drawn.value[:, :, step].ravel())
        return images.unflatten(0, (-1, self.width))


def dirichlet(u: np.ndarray, alpha: float) -> np.ndarray:
    """Dirichlet(alpha, ..., alpha), from gamma variates over their sum. (B,n) f64 -> (B,n) f64, rows sum to 1.

    Far down, where a variate x underflows, its CDF x^α / Γ(α + 1) is solved for log x.

    >>> dirichlet(np.array([[0.5, 0.5], [0.5, 0.75]]), 1.0).round(6).tolist()  # -log(1 - u), over their sum
    [[0.5, 0.5], [0.333333, 0.666667]]
    """
    from scipy.special import gammaincinv, gammaln, softmax

    x = gammaincinv(alpha, u)
    tail = (np.log(u) + gammaln(alpha + 1)) / alpha
    return softmax(np.where(x < RARE, tail, np.log(np.maximum(x, RARE))), axis=-1)


METHOD = AugMix
