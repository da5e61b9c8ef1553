"""SnapMix: Semantically Proportional Mixing for Augmenting Fine-grained Data (Huang et al., AAAI 2021).

A box of b, stretched to the size of another box, on a; each parent's share of the label is what its class activation
map has in the part that is seen. The two shares need not sum to 1. Where both parents are of one class, the published
code gives each the sum of both; `weight_raw` holds each parent's own share, whatever the classes. The code draws the
boxes once for a whole batch; there is no batch here, and each mix has its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mixcli.data.images import Images, MixedImages
from mixcli.methods import Method, method, option
from mixcli.methods.contract import Needs, heat
from mixcli.methods.cutmix import BOX, box, drawn_area, outside

if TYPE_CHECKING:
    from torch import Tensor


@method(
    data="images",
    saliency="cam",
    assignment=False,
    draws=6,
    draw_names=("lam_a", "lam_b", *(f"{side}_a" for side in BOX), *(f"{side}_b" for side in BOX)),
    query=False,
    keeps=("lam-one",),
    example="mixcli snapmix --in cub200/train --ckpt resnet50.pt --out mixed/ -k 4",
    raw=True,
)
@dataclass(frozen=True)
class SnapMix(Method[Images, None, MixedImages]):
    """A box of one image stretched into one of another, labelled by class activation (Huang et al., AAAI 2021)."""

    alpha: float = option(5.0, "Beta(alpha, alpha) of both lambdas, the shares outside of the two boxes.", above=0)
    normalize_labels: bool = option(
        True, "The published shares over their sum, so that labels are distributions; weight_raw has them raw."
    )

    def needs(self) -> Needs:
        return {"sums": self.normalize_labels}

    def mix(self, a: Images, b: Images, phi: None, u: Tensor) -> MixedImages:
        """A box of b, at a place and of a size of its own, in a box of a.

        a, b: (B,H,W,3) f32 with class activation maps (B,H,W); no phi; u (B,6) f64 uniforms for λ of a's and b's box,
        then for the row and column of either centre. Where either box is empty a stays as it is.
        """
        import torch

        lam, boxes = self.drawn(u, a.data.shape[1:3])
        target, source = used(boxes)
        mask = outside(target, a.data)
        share = mask.mean((1, 2), dtype=torch.float64)
        area = torch.stack([share, 1 - share], 1)
        raw = shares(heat(a), heat(b), mask, outside(source, b.data), area)
        return MixedImages(
            data=stretched(b.data, source, a.data, target),
            weight=_normalised(raw, area) if self.normalize_labels else raw,
            mask=mask.float(),
            draw=torch.from_numpy(np.hstack([lam, boxes])).to(u.device),
            weight_raw=raw,
        )

    def drawn(self, u: Tensor, size: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """λ of the two boxes, (B,2) f64, and the boxes of a and b as named in BOX, (B,8) i64."""
        sides, centres = np.array(size), u[:, 2:].cpu().numpy().reshape(-1, 2, 2)
        lam, cut = zip(*(drawn_area(u[:, i : i + 1], self.alpha) for i in range(2)), strict=True)
        return np.stack(lam, 1), np.hstack([box(sides, cut[i], centres[:, i] * sides) for i in range(2)])

    def follow(self, values: Tensor, draw: Tensor) -> Tensor:
        """What b's pixels carry, moved as they were. (B,H,W), and `draw` of the mix -> (B,H,W)."""
        boxes = draw[:, 2:].cpu().numpy().astype(np.int64)
        target, source = used(boxes)
        return stretched(values[..., None], source, values[..., None], target)[..., 0]


def used(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The boxes of a and of b, both empty where either is: what has no area cannot be stretched. (B,8) -> (B,4) ×2."""
    pair = boxes.reshape(-1, 2, 4)
    full = (pair[:, :, 2:] > pair[:, :, :2]).all((1, 2), keepdims=True)
    pair = pair * full
    return pair[:, 0], pair[:, 1]


def shares(map_a: Tensor, map_b: Tensor, kept: Tensor, left: Tensor, area: Tensor) -> Tensor:
    """ρ of the paper: the share of a's map that is kept, and of b's map that is in its box -> (B,2) f64.

    map_a, map_b (B,H,W); kept, left (B,H,W) bool: where a is seen, and where b is left out; area (B,2) f64 the shares
    of pixels, which stand in for those of a map that is zero everywhere, as published.
    """
    import torch

    seen = torch.stack([_part(map_a, kept), _part(map_b, ~left)], 1)
    return seen.where(seen.isfinite(), area)


def _part(saliency: Tensor, where: Tensor) -> Tensor:
    """The share of a map at some places; NaN where all of it is zero. (B,H,W), (B,H,W) bool -> (B,) f64."""
    import torch

    there, total = (x.sum((1, 2), dtype=torch.float64) for x in (saliency * where, saliency))
    return there / total


def _normalised(raw: Tensor, area: Tensor) -> Tensor:
    """Shares of sum 1; those of the area where neither parent's map has anything that is seen. (B,2) f64 ×2."""
    import torch

    share = raw[:, 0] / raw.sum(1)
    share = share.where(share.isfinite(), area[:, 0])
    return torch.stack([share, 1 - share], 1)


def stretched(values: Tensor, source: np.ndarray, onto: Tensor, target: np.ndarray) -> Tensor:
    """`onto` with the source box of `values` in its target box: bilinear, corners on corners.

    values, onto (B,H,W,C) f32; source, target (B,4) as named in BOX, both empty or neither. Rows before columns: whole
    rows are quickly gathered.
    """
    import torch

    inside = ~outside(target, onto)
    pair, y = inside.any(2).nonzero(as_tuple=True)  # (R,) rows that a box reaches
    above, below, down = (torch.from_numpy(row).to(onto.device)[pair, y] for row in _lines(source, target, 0, onto))
    row = values[pair, above].lerp(values[pair, below], down[:, None, None])  # (R,W,C)
    left, right, along = (
        torch.from_numpy(column).to(onto.device)[pair][:, :, None] for column in _lines(source, target, 1, onto)
    )
    new = row.gather(1, left.expand_as(row)).lerp(row.gather(1, right.expand_as(row)), along)
    data = onto.clone()
    data[pair, y] = new.where(inside[pair, y][:, :, None], onto[pair, y])
    return data


def _lines(
    source: np.ndarray, target: np.ndarray, axis: int, like: Tensor
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of n rows (axis 0) or columns (axis 1): the two of the source between which it lies, and how far along.

    source, target (B,4); like (B,H,W,C) -> (B,n) i64 ×2 and f32, of use inside the target only. In float32, as the
    published code computes it.
    """
    (first, last), (begin, end) = (boxes[:, axis::2, None].transpose(1, 0, 2) for boxes in (source, target))
    most, steps = np.maximum(last - first - 1, 0), np.maximum(end - begin - 1, 0)
    scale = most.astype(np.float32) / np.maximum(steps, 1).astype(np.float32)
    at = scale * np.clip(np.arange(like.shape[axis + 1]) - begin, 0, steps).astype(np.float32)
    low = np.minimum(at.astype(np.int64), most)
    return first + low, first + np.minimum(low + 1, most), at - low.astype(np.float32)


METHOD = SnapMix
