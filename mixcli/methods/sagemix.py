"""SageMix: Saliency-Guided Mixup for Point Clouds (Lee et al., NeurIPS 2022), section 3 and Algorithm 1.

On images it is a reconstruction: the paper reports it (section 4.3) and leaves its settings to an appendix that is
not public, nor is there code. Pixels are points, and each is assigned to the one at its own place. Coordinates are
those of pixel centres where the longer side of the image spans [-1, 1]: kernels are then round whatever its
proportions, and σ is that of clouds in the unit ball. Raw gradient maps give the queries. Since both queries lie in
one grid, the logit of Eq. 9 is linear in a pixel's place: the mask is a ramp from one query to the other, the steeper
the further they are apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mixcli.data.images import Images, MixedImages
from mixcli.data.points import Mixed, Samples, matched_points
from mixcli.methods import Method, method, option
from mixcli.methods.contract import Needs, heat
from mixcli.rng import categorical, logit_beta

if TYPE_CHECKING:
    from torch import Tensor

FLOOR = 1e-16  # what the published code adds to both weights before it normalises them; not in the paper


@method(
    data="points",
    saliency="gradient",
    assignment=True,
    draws=3,
    draw_names=("pi", "logit_pi"),
    query=True,
    keeps=("self-pair", "lam-one"),
    example="mixcli sagemix --in modelnet40.h5 --ckpt dgcnn.pt --out mixed.h5 -k 4\n"
    "  mixcli sagemix --on images --in cifar10/train --ckpt resnet18.pt --out mixed/ -k 4",
)
@dataclass(frozen=True)
class SageMix(Method[Samples | Images, "Tensor | None", Mixed | MixedImages]):
    """Saliency-guided mixing of two clouds or images around one query point in each (Lee et al., NeurIPS 2022)."""

    sigma: float = option(0.3, "Bandwidth of the RBF kernel, in the units of the cloud; an image is 2 long.", above=0)
    theta: float = option(0.2, "Beta(theta, theta) of the prior factor pi.", above=0)
    query: str = option(
        "sagemix",
        "How query points are taken: the four columns of the paper's Table 4.",
        choices=("sagemix", "saliency", "uniform", "max"),
    )
    as_published: bool = option(False, "Add the published code's floor of 1e-16 to both weights of Eq. 9.")
    on: str = option(
        "points",
        "What is mixed. On images, pixel by pixel, it is a reconstruction: neither code nor settings are public.",
        choices=("points", "images"),
    )

    def needs(self) -> Needs:
        needs: Needs = {"keeps": ("self-pair",)} if self.as_published else {}  # its floor keeps λ_i below 1
        return needs | {"data": "images", "assignment": False} if self.on == "images" else needs

    def mix(self, a: Samples | Images, b: Samples | Images, phi: Tensor | None, u: Tensor) -> Mixed | MixedImages:
        """One mix of each pair, with its own π, q_α and q_β.

        a, b: (B,N,3) f32 with saliency (B,N); phi (B,N) i64, the point of b that each point of a is assigned to;
        or (B,H,W,3) f32, 0..255, with raw saliency (B,H,W), and no phi; u (B,3) f64 uniforms for π, q_α and q_β.
        b is in its own order, so q_β does not depend on the assignment.
        """
        logit = u.new_tensor(logit_beta(u[:, 0].cpu().numpy(), self.theta))
        if isinstance(a, Images):
            return self.mix_images_at(a.data, b.data, logit, self.query_pixels(a, b, u[:, 1], u[:, 2]))
        if phi is None:
            raise ValueError("clouds are mixed along an assignment phi")
        return self.mix_at(a.data, b.data, phi, logit, self.queries(a, b, u[:, 1], u[:, 2]))

    def queries(self, a: Samples, b: Samples | Images, u_a: Tensor, u_b: Tensor) -> tuple[Tensor, Tensor]:
        """Query points, as indices into each parent: Eq. 4 and 5. (B,) f64 uniforms -> two (B,) i64."""

        def distance(query: Tensor) -> Tensor:
            return _distance(b.data, _points(a.data, query))

        return self.drawn(heat(a), heat(b), distance, u_a, u_b)

    def query_pixels(self, a: Images, b: Samples | Images, u_a: Tensor, u_b: Tensor) -> tuple[Tensor, Tensor]:
        """The same for images: pixels y·W + x of each parent, over saliency (B,H,W)."""

        def distance(query: Tensor) -> Tensor:
            return squared_distance(query, a.data.shape[1:3]).sqrt().flatten(1)

        return self.drawn(heat(a).flatten(1), heat(b).flatten(1), distance, u_a, u_b)

    def drawn(
        self, s_a: Tensor, s_b: Tensor, distance: Callable[[Tensor], Tensor], u_a: Tensor, u_b: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Eq. 4 and 5 for saliency (B,N) of each parent, of any sum; `distance` is that of all places of b from one
        of a, (B,) i64 -> (B,N) f64.

        Where Eq. 5 is zero everywhere (all of b's saliency is on q_α itself), b's saliency alone decides; where that
        is zero everywhere too, all places are alike.
        """
        if self.query == "max":
            return s_a.argmax(1), s_b.argmax(1)
        s_a, s_b = (s.double().where(s.sum(1, keepdim=True) > 0, 1.0) for s in (s_a, s_b))
        if self.query == "uniform":
            s_a, s_b = s_a.new_ones(s_a.shape), s_b.new_ones(s_b.shape)
        query_a = categorical(u_a, s_a)  # Eq. 4
        if self.query == "sagemix":
            far = distance(query_a) * s_b  # Eq. 5
            s_b = far.where(far.sum(1, keepdim=True) > 0, s_b)
        return query_a, categorical(u_b, s_b)

    def mix_at(self, a: Tensor, b: Tensor, phi: Tensor, logit: Tensor, queries: tuple[Tensor, Tensor]) -> Mixed:
        """Eq. 6 to 9 for given π (as its logit, (B,) f64) and query points (B,) i64 into each parent."""
        import torch

        query_a, query_b = queries
        matched = b.gather(1, phi[:, :, None].expand(-1, -1, 3))
        far_a, far_b = _distance(a, _points(a, query_a)) ** 2, _distance(matched, _points(b, query_b)) ** 2
        lam = self.shares(far_a, far_b, logit[:, None])
        share = lam.mean(1)  # Eq. 8
        return Mixed(
            data=matched.lerp(a, lam.float()[:, :, None]),  # Eq. 8
            weight=torch.stack([share, 1 - share], 1),
            point_weight=lam.float(),
            draw=torch.stack([logit.sigmoid(), logit], 1),
            index=matched_points(phi),
            query=torch.stack([query_a, query_b], 1),
        )

    def mix_images_at(self, a: Tensor, b: Tensor, logit: Tensor, queries: tuple[Tensor, Tensor]) -> MixedImages:
        """The same for images (B,H,W,3) f32 and query pixels (B,) i64 of each."""
        import torch

        far_a, far_b = (squared_distance(query, a.shape[1:3]) for query in queries)
        mask = self.shares(far_a, far_b, logit[:, None, None])
        share = mask.mean((1, 2))  # Eq. 8
        return MixedImages(
            data=b.lerp(a, mask.float()[..., None]),  # Eq. 8
            weight=torch.stack([share, 1 - share], 1),
            mask=mask.float(),
            draw=torch.stack([logit.sigmoid(), logit], 1),
            query=torch.stack(queries, 1),
        )

    def shares(self, far_a: Tensor, far_b: Tensor, logit: Tensor) -> Tensor:
        """λ_i of Eq. 9, with Eq. 6 in it, from squared distances to the two queries (B,...) and π as its logit.

        All in float64: it is a sigmoid of a difference that grows as 1/σ².
        """
        if self.as_published:
            w_a = logit.sigmoid() * self.kernel(far_a) + FLOOR
            return w_a / (w_a + (-logit).sigmoid() * self.kernel(far_b) + FLOOR)
        # Both sides divided by (1 - π) w_β: nothing underflows.
        return ((far_b - far_a) / self.sigma / self.sigma / 2 + logit).sigmoid()

    def kernel(self, far: Tensor) -> Tensor:
        """Eq. 6, from squared distances."""
        return (-far / self.sigma / self.sigma / 2).exp()


def _points(cloud: Tensor, index: Tensor) -> Tensor:
    """One point of each cloud. (B,N,3), (B,) -> (B,1,3)."""
    return cloud.gather(1, index[:, None, None].expand(-1, 1, 3))


def _distance(cloud: Tensor, point: Tensor) -> Tensor:
    """Euclidean distance of each point to one point. (B,N,3), (B,1,3) f32 -> (B,N) f64."""
    import torch

    # By differences: the matrix-multiplication form cancels.
    return torch.cdist(cloud.double(), point.double(), compute_mode="donot_use_mm_for_euclid_dist")[:, :, 0]


def squared_distance(pixel: Tensor, size: Sequence[int]) -> Tensor:
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


METHOD = SageMix
