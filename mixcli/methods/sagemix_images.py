"""SageMix on images. The paper reports it (section 4.3) and leaves its settings to an appendix that is not public, nor
is there code: this is a reconstruction.

Pixels are points, and each is assigned to the one at its own place. Coordinates are those of pixel centres where the
longer side of the image spans [-1, 1]: kernels are then round whatever its proportions, and σ is that of clouds in the
unit ball. Raw gradient maps give the queries. Since both queries lie in one grid, the logit of Eq. 9 is linear in
a pixel's place: the mask is a ramp from one query to the other, the steeper the further they are apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixcli.data.images import Images, MixedImages

if TYPE_CHECKING:
    from torch import Tensor

    from mixcli.methods.sagemix import SageMix


def queries(method: SageMix, a: Images, b: Images, u_a: Tensor, u_b: Tensor) -> tuple[Tensor, Tensor]:
    """Query pixels y·W + x of each parent: Eq. 4 and 5 over saliency (B,H,W). (B,) f64 uniforms -> two (B,) i64."""
    size = a.saliency.shape[1:]

    def distance(query: Tensor) -> Tensor:
        return squared_distance(query, size).sqrt().flatten(1)

    return method.drawn(a.saliency.flatten(1), b.saliency.flatten(1), distance, u_a, u_b)


def mix_at(method: SageMix, a: Tensor, b: Tensor, logit: Tensor, query_a: Tensor, query_b: Tensor) -> MixedImages:
    """Eq. 6 to 9 for given π (as its logit, (B,) f64) and query pixels (B,) i64. a, b: (B,H,W,3) f32."""
    import torch

    far_a, far_b = (squared_distance(query, a.shape[1:3]) for query in (query_a, query_b))
    mask = method.shares(far_a, far_b, logit[:, None, None])
    share = mask.mean((1, 2))  # Eq. 8
    return MixedImages(
        data=b.lerp(a, mask.float()[..., None]),  # Eq. 8
        weight=torch.stack([share, 1 - share], 1),
        mask=mask.float(),
        draw=torch.stack([logit.sigmoid(), logit], 1),
        query=torch.stack([query_a, query_b], 1),
    )


def squared_distance(pixel: Tensor, size: tuple[int, int]) -> Tensor:
    """Of each pixel's centre from that of one, where the longer side is 2. (B,) i64, height and width -> (B,H,W) f64.

    >>> import torch
    >>> squared_distance(torch.tensor([4]), (2, 4)).tolist()  # the first of the second row; steps of 2 / 4
    [[[0.25, 0.5, 1.25, 2.5], [0.0, 0.25, 1.0, 2.25]]]
    """
    import torch

    step, width = 2 / max(size), size[1]
    y, x = (torch.arange(side, dtype=torch.float64, device=pixel.device) for side in size)
    down, right = (y - (pixel // width)[:, None]) * step, (x - (pixel % width)[:, None]) * step
    return (down**2)[:, :, None] + (right**2)[:, None]
