"""SageMix: Saliency-Guided Mixup for Point Clouds (Lee et al., NeurIPS 2022), section 3 and Algorithm 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mixcli.methods import method, option
from mixcli.rng import categorical, logit_beta
from mixcli.samples import Mixed, Samples, matched_points

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
    example="mixcli sagemix --in modelnet40.h5 --ckpt dgcnn.pt --out mixed.h5 -k 4",
)
@dataclass(frozen=True)
class SageMix:
    """Saliency-guided mixing of two clouds around one query point in each (Lee et al., NeurIPS 2022)."""

    sigma: float = option(0.3, "Bandwidth of the RBF kernel, in the units of the cloud.", above=0)
    theta: float = option(0.2, "Beta(theta, theta) of the prior factor pi.", above=0)
    query: str = option(
        "sagemix",
        "How query points are taken: the four columns of the paper's Table 4.",
        choices=("sagemix", "saliency", "uniform", "max"),
    )
    as_published: bool = option(False, "Add the published code's floor of 1e-16 to both weights of Eq. 9.")

    def needs(self) -> dict[str, Any]:
        return {"keeps": ("self-pair",)} if self.as_published else {}  # its floor keeps λ_i below 1

    def mix(self, a: Samples, b: Samples, phi: Tensor, u: Tensor) -> Mixed:
        """One mix of each pair, with its own π, q_α and q_β.

        a, b: (B,N,3) f32 with saliency (B,N); phi (B,N) i64, the point of b that each point of a is assigned to;
        u (B,3) f64 uniforms for π, q_α and q_β. b is in its own order, so q_β does not depend on the assignment.
        """
        logit = u.new_tensor(logit_beta(u[:, 0].cpu().numpy(), self.theta))
        query_a, query_b = self.queries(a, b, u[:, 1], u[:, 2])
        return self.mix_at(a.data, b.data, phi, logit, query_a, query_b)

    def queries(self, a: Samples, b: Samples, u_a: Tensor, u_b: Tensor) -> tuple[Tensor, Tensor]:
        """Query points, as indices into each parent: Eq. 4 and 5. (B,) f64 uniforms -> two (B,) i64.

        Where Eq. 5 is zero everywhere (all of b's saliency is on q_α itself), b's saliency alone decides.
        """
        if self.query == "max":
            return a.saliency.argmax(1), b.saliency.argmax(1)
        s_a, s_b = a.saliency.double(), b.saliency.double()
        if self.query == "uniform":
            s_a, s_b = s_a.new_ones(s_a.shape), s_b.new_ones(s_b.shape)
        query_a = categorical(u_a, s_a)  # Eq. 4
        if self.query == "sagemix":
            far = _distance(b.data, _points(a.data, query_a)) * s_b  # Eq. 5
            s_b = far.where(far.sum(1, keepdim=True) > 0, s_b)
        return query_a, categorical(u_b, s_b)

    def mix_at(
        self, a: Tensor, b: Tensor, phi: Tensor, logit: Tensor, query_a: Tensor, query_b: Tensor
    ) -> Mixed:
        """Eq. 6 to 9 for given π (as its logit, (B,) f64) and query points (B,) i64 into each parent.

        λ_i in float64: it is a sigmoid of a difference that grows as 1/σ².
        """
        import torch

        matched = b.gather(1, phi[:, :, None].expand(-1, -1, 3))
        d_a = _distance(a, _points(a, query_a))
        d_b = _distance(matched, _points(b, query_b))
        if self.as_published:
            pi = logit.sigmoid()[:, None]
            w_a = pi * (-0.5 * (d_a / self.sigma) ** 2).exp() + FLOOR
            w_b = (-logit).sigmoid()[:, None] * (-0.5 * (d_b / self.sigma) ** 2).exp() + FLOOR
            lam = w_a / (w_a + w_b)
        else:
            # Eq. 9 with Eq. 6 in it, both sides divided by (1 - π) w_β: nothing underflows.
            lam = ((d_b**2 - d_a**2) / (2 * self.sigma**2) + logit[:, None]).sigmoid()
        share = lam.mean(1)  # Eq. 8
        return Mixed(
            data=matched.lerp(a, lam.float()[:, :, None]),  # Eq. 8
            weight=torch.stack([share, 1 - share], 1),
            point_weight=lam.float(),
            draw=torch.stack([logit.sigmoid(), logit], 1),
            index=matched_points(phi),
            query=torch.stack([query_a, query_b], 1),
        )


def _points(cloud: Tensor, index: Tensor) -> Tensor:
    """One point of each cloud. (B,N,3), (B,) -> (B,1,3)."""
    return cloud.gather(1, index[:, None, None].expand(-1, 1, 3))


def _distance(cloud: Tensor, point: Tensor) -> Tensor:
    """Euclidean distance of each point to one point. (B,N,3), (B,1,3) f32 -> (B,N) f64."""
    import torch

    # By differences: the matrix-multiplication form cancels.
    return torch.cdist(cloud.double(), point.double(), compute_mode="donot_use_mm_for_euclid_dist")[:, :, 0]


METHOD = SageMix
