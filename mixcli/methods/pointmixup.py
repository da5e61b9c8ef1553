"""PointMixup: Augmentation for Point Clouds (Chen et al., ECCV 2020): interpolation along the optimal assignment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mixcli.data.points import Mixed, Samples, taken
from mixcli.methods import Method, method, option
from mixcli.methods.mixup import interpolated
from mixcli.rng import logit_beta

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@method(
    data="points",
    saliency=None,
    assignment=True,
    draws=1,
    draw_names=("lam", "logit_lam"),
    query=False,
    keeps=("self-pair", "lam-one"),
    example="mixcli pointmixup --in modelnet40.h5 --out mixed.h5 -k 4",
)
@dataclass(frozen=True)
class PointMixup(Method[Samples, "Tensor", Mixed]):
    """Interpolation of two clouds along their optimal assignment (Chen et al., ECCV 2020)."""

    alpha: float = option(
        0.4,
        "Beta(alpha, alpha) of parent A's share lambda; the published setting for pre-aligned clouds is 1.0.",
        above=0,
    )
    minor: bool = option(False, "Fold lambda to 1/2 or more, as published: parent B is always the minor one.")
    align: bool = option(False, "Assign A to B turned until their vertical mirror planes agree; mix B unturned.")
    up: str = option("y", "Up axis of --align.", choices=("x", "y", "z"))

    def mix(self, a: Samples, b: Samples, phi: Tensor, u: Tensor) -> Mixed:
        """One mix of each pair, with its own λ.

        a, b: (B,N,3) f32; phi (B,N) i64, the point of b that each point of a is assigned to; u (B,1) f64 for λ.
        """
        logit = u.new_tensor(logit_beta(u[:, 0].cpu().numpy(), self.alpha))
        return self.mix_at(a.data, b.data, phi, logit)

    def mix_at(self, a: Tensor, b: Tensor, phi: Tensor, logit: Tensor) -> Mixed:
        """x_i = λ a_i + (1 - λ) b_φ(i) for a drawn λ, given as its logit (B,) f64."""
        return interpolated(a, taken(b, phi), phi, logit.abs() if self.minor else logit)

    @property
    def poses(self) -> bool:
        """With --align."""
        return self.align

    def pose(self, cloud: np.ndarray) -> float:
        """What --align needs to know of a cloud: the angle of its mirror plane. (N,3) f32 -> radians."""
        from mixcli.algorithms.mirror import mirror_angle

        return mirror_angle(cloud, self.up)

    def posed(self, b: np.ndarray, pose_a: float, pose_b: float) -> np.ndarray:
        """b as the assignment sees it, turned into the pose of a. (N,3) f32, radians of each -> (N,3) f32."""
        from mixcli.algorithms.mirror import turned

        return turned(b, pose_a, pose_b, self.up)


METHOD = PointMixup
