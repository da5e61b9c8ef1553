"""Attentive CutMix: An Enhanced Data Augmentation Approach for Deep Learning Based Image Classification (Walawalkar et
al., ICASSP 2020).

The paper's grid is the last feature map of a ResNet-50 at 224 pixels, 7 x 7; its channels are averaged. Here they are
summed as |A|, the same order where a network ends with a ReLU. The published code takes the last channel alone, of a
network left in training mode and fed pixels that are not normalised; that is not offered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from mixcli.data.images import Images, MixedImages
from mixcli.errors import UsageError
from mixcli.methods import Method, method, option
from mixcli.methods.contract import heat

if TYPE_CHECKING:
    from torch import Tensor

MOST_CELLS = 64  # a side


@method(
    data="images",
    saliency="activation",
    assignment=False,
    draws=0,
    draw_names=(),
    query=False,
    keeps=("self-pair",),
    example="mixcli attentivecutmix --in cifar10/train --ckpt resnet18.pt --out mixed/ --partners 4",
)
@dataclass(frozen=True)
class AttentiveCutMix(Method[Images, None, MixedImages]):
    """The most attentive cells of one image on another, at their places (Walawalkar et al., ICASSP 2020)."""

    patches: int = option(6, "Cells of A that are pasted on B; the paper tries 1 to 15.", above=0)
    grid: int = option(7, "Cells along each side.", above=0, most=MOST_CELLS)

    def __post_init__(self) -> None:
        if self.patches > self.grid**2:
            what = f"a grid of {self.grid} x {self.grid} has only {self.grid**2}"
            raise UsageError(what, at=f"--patches {self.patches}")

    def fits(self, size: Sequence[int]) -> None:
        """UsageError for images that have fewer pixels than cells along a side."""
        if min(size) < self.grid:
            raise UsageError(
                f"an image of {size[0]} x {size[1]} pixels has no {self.grid} x {self.grid} cells",
                at=f"--grid {self.grid}",
                advice="give a smaller grid, or larger images with --size",
            )

    def mix(self, a: Images, b: Images, phi: None, u: Tensor) -> MixedImages:
        """Cells of a on b. a, b: (B,H,W,3) f32, a with saliency (B,H,W); no phi; u is (B,0), nothing is drawn.

        Of equally attentive cells the first are taken, row by row. Where the grid does not divide the image, cells
        differ by a pixel, and the label follows the pixels.
        """
        import torch

        from mixcli.algorithms.cells import spread

        cells = cells_of(heat(a), self.grid).flatten(1)
        order = cells.argsort(dim=1, descending=True, stable=True)[:, : self.patches]
        taken = torch.zeros_like(cells, dtype=torch.bool).scatter_(1, order, True)
        mask = spread(taken.unflatten(1, (self.grid, self.grid)), a.data.shape[1:3])
        share = mask.mean((1, 2), dtype=torch.float64)
        return MixedImages(
            data=a.data.where(mask[..., None], b.data),
            weight=torch.stack([share, 1 - share], 1),
            mask=mask.float(),
            draw=share.new_zeros(len(share), 0),
        )


def cells_of(saliency: Tensor, grid: int) -> Tensor:
    """The map of grid x grid cells that enlarged is nearest to these maps, by least squares. (B,H,W) -> (B,g,g) f32.

    Saliency has been enlarged from a network's last maps; where these have as many cells, it is they that come back.
    Means over the cells would be smoothed, and choose other cells for every second image. Rounded to f32, so that cells
    are equal whose sums differ in their last bits.
    """
    import torch

    rows, columns = (torch.from_numpy(_reduction(grid, n)).to(saliency.device) for n in saliency.shape[1:])
    return (rows @ saliency.double() @ columns.T).float()


@cache
def _reduction(cells: int, pixels: int) -> np.ndarray:
    """The pseudo-inverse of bilinear enlargement along one side, corners not aligned: (cells,pixels) f64."""
    at = np.clip((np.arange(pixels) + 0.5) * cells / pixels - 0.5, 0, cells - 1)
    return np.linalg.pinv(np.maximum(1 - np.abs(at[:, None] - np.arange(cells)), 0))


METHOD = AttentiveCutMix
