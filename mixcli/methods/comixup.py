"""Co-Mixup: Saliency Guided Joint Mixup with Supermodular Diversity (Kim, Choo, Jeong and Song, ICLR 2021).

As many mixes as images are made of a group at once; what each block of each mix is taken from is decided together
(`algorithms.comix.solve`). Default options are the published ones, and the compatibility of images is the distance
between the places of their most salient windows of 8x8 pixels, as there. Other than there, every label has the borders
of the objective, and no library of labellings is used; maps that are zero everywhere are uniform; and where all windows
coincide there are no distances, instead of 0/0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mixcli.algorithms.comix.problem import Problem, counted
from mixcli.algorithms.comix.solve import solve
from mixcli.data.images import Images, MixedImages
from mixcli.errors import UsageError
from mixcli.methods import Method, method, option
from mixcli.methods.contract import Needs, heat

if TYPE_CHECKING:
    from torch import Tensor

WINDOW = 8  # pixels a side of the window with most saliency, published
FLOOR = 1e-8  # added to a prior before its logarithm, published
MOST_IMAGES, FINEST = 128, 16  # of a group; blocks along a side, each of which is a draw
MOST_ROUNDS = 100  # published are 4


@method(
    data="images",
    saliency="gradient",
    assignment=False,
    draws=17,
    draw_names=("prior",),
    query=False,
    keeps=(),
    example="mixcli comixup --in cifar10/train --ckpt resnet18.pt --out mixed/",
    parents=16,
    group=20,
)
@dataclass(frozen=True)
class CoMixup(Method[Images, None, MixedImages]):
    """Salient blocks of several images, chosen for a whole group so that its mixes differ (Kim et al., ICLR 2021)."""

    group: int = option(
        20, "Images that are mixed with each other, as many mixes as images.", above=2, most=MOST_IMAGES
    )
    block_num: int = option(4, "Blocks along each side of an image.", above=0, most=FINEST)
    alpha: float = option(2.0, "Dirichlet(alpha, ..., alpha) of the prior of each image of a group.", above=0)
    beta: float = option(
        0.32, "Weight of smoothness: of borders between blocks of different images.", least=0, most=1e3
    )
    gamma: float = option(1.0, "Weight of diversity: of images that many mixes have.", least=0, most=1e3)
    eta: float = option(0.05, "Weight of the prior.", least=0, most=1e3)
    tau: float = option(
        0.83, "Share of a mix from which on an image in the other mixes is penalised.", least=0, most=1e3
    )
    tau_type: str = option(
        "hard", "Penalise all of what is above tau, or only how far it is above (soft).", choices=("hard", "soft")
    )
    omega: float = option(
        0.001, "Weight of the distance between images' most salient windows, from 0 to 1.", least=0, most=1.0
    )
    rounds: int = option(4, "Times that each mix is labelled anew while the others stay.", above=0, most=MOST_ROUNDS)
    resolve: bool = option(True, "Keep mixes from having the same images.")
    as_published: bool = option(
        False, "Apply a hard tau before images' compatibilities come in, rather than to the product with them."
    )

    def needs(self) -> Needs:
        blocks = self.block_num**2
        return {"group": self.group, "parents": min(self.group, blocks), "draws": 1 + blocks}

    def fits(self, size: Sequence[int]) -> None:
        """UsageError where blocks of whole pixels do not fill images of this height and width."""
        if any(side % self.block_num for side in size):
            height, width = size
            what = f"--block-num {self.block_num} does not divide images of {height}x{width} pixels"
            raise UsageError(what, advice="choose another, or another --size")

    def mix(self, a: Images, b: Images | None, phi: None, u: Tensor) -> MixedImages:
        """The n mixes of one group of n images, from 2 up to `group`.

        a: (n,H,W,3) f32 with raw saliency (n,H,W); no b, no phi; u (n,draws) f64 uniforms, of row i the first for the
        prior of image i, the others for where the blocks of mix i start from. Raises UsageError, see `fits`.
        """
        self.fits(a.data.shape[1:3])
        drawn = u.cpu().numpy()
        prior = dirichlet(drawn[:, 0], self.alpha)
        start = (drawn[:, 1:] * len(drawn)).astype(np.int64).reshape(-1, self.block_num, self.block_num)
        labels = solve(self.problem(heat(a), prior), start, self.rounds, self.resolve)
        return self.mix_at(a.data, labels, prior)

    def problem(self, saliency: Tensor, prior: np.ndarray) -> Problem:
        """What decides the labels. Raw saliency (n,H,W), prior (n,) f64 of sum 1."""
        from mixcli.saliency.blur import distribution

        saliency = saliency.cpu().double()
        n, side, blocks = len(saliency), self.block_num, self.block_num**2
        height, width = saliency.shape[1:]
        pooled = saliency.view(n, side, height // side, side, width // side).mean((2, 4))
        salient = distribution(pooled).numpy()
        form = "soft" if self.tau_type == "soft" else "published" if self.as_published else "hard"
        return Problem(
            cost=-salient - self.eta / blocks * np.log(prior + FLOOR)[:, None, None],
            compatibility=compatibility(saliency, self.omega),
            smoothness=self.beta / blocks,
            diversity=self.gamma / blocks,
            limit=self.tau * blocks,
            form=form,
        )

    def mix_at(self, data: Tensor, labels: np.ndarray, prior: np.ndarray) -> MixedImages:
        """The mixes of given labels (n,b,b,2) i64, the inputs of each block's two halves. data (n,H,W,3) f32."""
        import torch

        n, blocks = len(labels), labels[0, ..., 0].size
        weight, members = by_share(counted(labels.reshape(n, blocks, 2), n) / blocks, self.traits.parents)
        top = (labels == members[:, 0, None, None, None]).mean(-1)
        tall, wide = (side // labels.shape[1] for side in data.shape[1:3])
        return MixedImages(
            data=composed(data, torch.from_numpy(labels).to(data.device)),
            weight=torch.from_numpy(weight).to(data.device),
            mask=torch.from_numpy(top.repeat(tall, 1).repeat(wide, 2)).float().to(data.device),
            draw=torch.from_numpy(prior[:, None]).to(data.device),
            members=torch.from_numpy(members).to(data.device),
        )


def dirichlet(u: np.ndarray, alpha: float) -> np.ndarray:
    """Shares ~ Dirichlet(α, ..., α): inverse CDFs of Gamma(α, 1), over their sum. (n,) f64 uniforms -> (n,) f64.

    By their logarithms, as at a small α the numbers underflow; P(X <= x) is x^α / Γ(α + 1) there.

    >>> dirichlet(1 - np.exp([-1.0, -3.0]), 1.0).round(6).tolist()  # Gamma(1, 1) is the exponential distribution
    [0.25, 0.75]
    """
    from scipy.special import gammaincinv, gammaln

    low = (np.log(u) + gammaln(alpha + 1)) / alpha
    log = np.where(low < -40, low, np.log(np.where(low < -40, 1.0, gammaincinv(alpha, u))))
    gamma = np.exp(log - log.max())
    return gamma / gamma.sum()


def compatibility(saliency: Tensor, omega: float) -> np.ndarray:
    """A = (1 - ω) I + ω n D / sum(D), D the l1 distance between most salient windows. (n,H,W) f64 -> (n,n) f64."""
    import torch.nn.functional as F

    n, size = len(saliency), saliency.shape[1:]
    sums = F.avg_pool2d(saliency[:, None], [min(WINDOW, side) for side in size], stride=1)[:, 0].numpy()
    place = np.stack(np.unravel_index(sums.reshape(n, -1).argmax(1), sums.shape[1:]), 1)
    distance = np.abs(place[:, None] - place).sum(-1).astype(np.float64)
    return (1 - omega) * np.eye(n) + omega * n * distance / max(distance.sum(), 1.0)


def by_share(share: np.ndarray, parents: int) -> tuple[np.ndarray, np.ndarray]:
    """Shares (n,n) f64 by falling size, and whose they are: (n,P) f64, (n,P) i64, -1 where there are no more.

    >>> by_share(np.array([[0.25, 0.75], [0.0, 1.0]]), 3)[1].tolist()
    [[1, 0, -1], [1, -1, -1]]
    """
    wide = np.pad(share, ((0, 0), (0, max(0, parents - share.shape[1]))))
    members = np.argsort(-wide, axis=1, kind="stable")[:, :parents]
    weight = np.take_along_axis(wide, members, 1)
    return weight, np.where(weight > 0, members, -1)


def composed(data: Tensor, labels: Tensor) -> Tensor:
    """Each block the mean of those of two images at its place. (n,H,W,3) f32, (n,b,b,2) i64 -> (n,H,W,3) f32."""
    import torch

    side = labels.shape[1]
    blocks = data.unflatten(1, (side, -1)).unflatten(3, (side, -1)).transpose(2, 3)  # (n,row,column,y,x,3)
    row, column = torch.arange(side, device=data.device)[:, None], torch.arange(side, device=data.device)
    first, second = (blocks[half, row, column] for half in labels.unbind(-1))
    return first.lerp(second, 0.5).transpose(2, 3).reshape(data.shape)


METHOD = CoMixup
