"""KeepAugment: A Simple Information-Preserving Data Augmentation Approach (Gong et al., CVPR 2021), section 3.

No code of the authors is known; this is a reconstruction. As in the paper, the importance of a region is the sum of
the saliency in it (Eq. 1), its threshold is a quantile of the importance of all of an image's regions, and a region
is drawn uniformly from those below it, to be cut, or above it, to be kept. Drawn are the centres, as in Cutout: any
pixel, what lies beyond the border is left out.

The paper takes the gradient of the label's logit, and of each pixel's channels the largest; here it is the gradient
of the loss, by --norm. The threshold's 0.6 and the side of 16 are those of an unofficial implementation for CIFAR-10,
which compares 0.6 with means and maxima of a stretched map. The paper's cheaper maps, of images at half the size and
of an early head, are left out: here a map serves every view of its image. RandAugment's rotations, shears and
translations read between pixels and leave black, like AugMix's; its published code takes the nearest pixel and gray.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mixcli.algorithms.augment.policy import OPS, STRONGEST, randaugment_values
from mixcli.data.images import Images, MixedImages
from mixcli.methods import Method, method, option
from mixcli.methods.augmix import AugMix
from mixcli.methods.contract import Needs, heat
from mixcli.methods.cutmix import BOX, around, outside
from mixcli.methods.cutout import Cutout
from mixcli.methods.pointcutmix import point_uniforms

if TYPE_CHECKING:
    from torch import Tensor

FINEST = 2**30  # steps of a map up to its largest value: sums of whole numbers are exact in any order


@method(
    data="images",
    saliency="gradient",
    assignment=False,
    draws=1,
    draw_names=("importance", *BOX),
    query=False,
    keeps=(),
    parents=1,
    example="mixcli keepaugment --in cifar10/train --ckpt resnet18.pt --out mixed/ -k 4\n"
    "  mixcli keepaugment --in cifar10/train --saliency spectral --augment randaugment --out mixed/",
)
@dataclass(frozen=True)
class KeepAugment(Method[Images, None, MixedImages]):
    """Augments each image but for its salient region; its label stays (Gong et al., CVPR 2021).

    A reconstruction: no code of the authors is known. A hole is made where saliency is low, or all of the image is
    augmented and a salient region put back. Its gradient is that of the loss; --norm says how channels are joined.
    """

    augment: str = option(
        "cutout",
        "Selective-cut: a hole where saliency is low. Or selective-paste: all of the image is augmented, "
        "and a salient region put back.",
        choices=("cutout", "randaugment", "augmix"),
    )
    length: int = option(16, "Side of the region, pixels; CIFAR-10: 16.", above=1)
    tau: float = option(
        0.6, "Quantile of all regions' importance: a hole is below it, what is kept above.", above=0, most=1
    )
    fill: str = option("125.3,123.0,113.9", "Colour of the hole, R,G,B of 255: CIFAR-10's mean.")
    operations: int = option(2, "RandAugment's N, 1 to 10.", above=0, most=10)
    magnitude: float = option(9.0, "RandAugment's M, up to 30.", above=0, most=STRONGEST)

    def __post_init__(self) -> None:
        Cutout(length=self.length, fill=self.fill)

    def needs(self) -> Needs:
        more = 0
        names: tuple[str, ...] = ()
        if self.augment == "randaugment":
            more = 2 * self.operations
            names = tuple(f"{name}_{step}" for step in range(1, self.operations + 1) for name in ("op", "value"))
        elif self.augment == "augmix":
            more, names = AugMix().traits.draws, AugMix().traits.draw_names
        return {"draws": 1 + more, "draw_names": (*type(self).traits.draw_names, *names)}

    def mix(self, a: Images, b: Images | None, phi: None, u: Tensor) -> MixedImages:
        """A region for each view, and what is outside of it, or inside, augmented.

        a: (B,H,W,3) f32 with saliency (B,H,W); no b, no phi; u (B,draws) f64 uniforms for the region, and for the
        operations. mask is 1 where the image's own pixels are kept.
        """
        import torch

        share, boxes = self.regions(heat(a).cpu().numpy(), u[:, 0])
        kept, augmented, steps = self.changed(a, boxes, u[:, 1:])
        drawn = torch.from_numpy(np.column_stack([share, boxes])).to(u.device)
        return MixedImages(
            data=a.data.where(kept[..., None], augmented),
            weight=torch.ones(len(u), 1, dtype=torch.float64, device=u.device),
            mask=kept.float(),
            draw=torch.cat([drawn, steps], 1),
        )

    def changed(self, a: Images, boxes: np.ndarray, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Which pixels are kept, the augmented images, and what was drawn: (B,H,W) bool, (B,H,W,3) f32, (B,D) f64."""
        beside = outside(boxes, a.data)
        if self.augment == "cutout":
            return beside, a.data.new_tensor(Cutout(fill=self.fill).colour()), u[:, :0]
        if self.augment == "augmix":
            view = AugMix().mix(a, None, None, u)
            return ~beside, view.data, view.draw
        return ~beside, *self.randaugmented(a.data, u)

    def randaugmented(self, data: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """RandAugment (Cubuk et al., NeurIPS 2020): N operations, each any of its 14, at one magnitude.

        (B,H,W,3) f32, u (B,2N) f64 uniforms for operation and sign -> (B,H,W,3) f32, (B,2N) f64 operations and values.
        """
        import torch

        from mixcli.algorithms.augment import apply as augment

        which, side = np.moveaxis(u.cpu().numpy().reshape(len(u), -1, 2), 2, 0)
        op = (which * len(OPS)).astype(np.int64)
        value = randaugment_values(op, self.magnitude, np.where(side > 0.5, -1, 1), data.shape[1:3])
        images = augment.levels(data)
        for step in range(self.operations):
            images = augment.apply(images, op[:, step], value[:, step])
        drawn = np.stack([op.astype(float), value], -1).reshape(len(u), -1)
        return images.float(), torch.from_numpy(drawn).to(u.device)

    def regions(self, saliency: np.ndarray, u: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """A region of each map (B,H,W), drawn by u (B,) -> its share of the importance (B,) f64, boxes (B,4) i64.

        Where no region is below the threshold, or above it, since many share its importance, those that do are taken.
        Among the regions that fit the one with the lowest number is drawn, of random numbers that follow from u: so
        where a map differs in its last bits, the draw does not, unless it falls on a region at the threshold.
        """
        size, half = np.array(saliency.shape[1:]), self.length // 2
        value, total = importance(saliency, half)
        rank = int(self.tau * (value.shape[1] - 1))
        threshold = np.partition(value, rank, axis=1)[:, rank, None]
        fits = value < threshold if self.augment == "cutout" else value > threshold
        fits |= ~fits.any(1, keepdims=True) & (value == threshold)
        number = point_uniforms(u, value.shape[1]).cpu().numpy()
        chosen = np.where(fits, number, 2.0).argmin(1)
        share = value[np.arange(len(value)), chosen] / np.maximum(total, 1)
        return share, around(size, np.stack(np.divmod(chosen, size[1]), 1), half)


def importance(saliency: np.ndarray, half: int) -> tuple[np.ndarray, np.ndarray]:
    """Eq. 1 for the region around every pixel, from `half` before it to `half` after it, clipped at the border.

    (B,H,W) f32 -> (B,H·W) i64 in row-major order, and the sum of each map (B,) i64: in steps of the largest value.

    >>> value, total = importance(np.array([[[0.0, 1.0, 0.5, 0.0]]], np.float32), 1)
    >>> (value / FINEST).tolist(), (total / FINEST).tolist()
    ([[0.0, 1.0, 1.5, 0.5]], [1.5])
    """
    most = saliency.max((1, 2), keepdims=True).astype(np.float64)
    steps = np.rint(saliency / np.where(most > 0, most, 1) * FINEST).astype(np.int64)
    sums = np.pad(steps, ((0, 0), (1, 0), (1, 0))).cumsum(1).cumsum(2)
    (top, bottom), (left, right) = (_edges(side, half) for side in saliency.shape[1:])
    band = sums[:, bottom] - sums[:, top]
    return (band[:, :, right] - band[:, :, left]).reshape(len(sums), -1), sums[:, -1, -1]


def _edges(side: int, half: int) -> tuple[np.ndarray, np.ndarray]:
    at = np.arange(side)
    return np.maximum(at - half, 0), np.minimum(at + half, side)


METHOD = KeepAugment
