"""Puzzle Mix: Exploiting Saliency and Local Statistics for Optimal Mixup (Kim, Choo and Song, ICML 2020).

Both images are cut into b x b blocks. A mask of few levels says how much of each is seen in a block: it keeps what is
salient, changes where the images do not show it, and holds about the share λ of a. Then each image moves its salient
cells to where it is seen. The mask is the exact optimum, where the released code takes an alpha-beta swap over costs
cut to whole numbers; and that draws b and λ for a whole batch, where here each mix has its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, log
from typing import TYPE_CHECKING

from mixcli.data.images import Images, MixedImages
from mixcli.errors import UsageError
from mixcli.methods import Method, method, option
from mixcli.methods.contract import Needs, heat
from mixcli.rng import logit_beta

if TYPE_CHECKING:
    from torch import Tensor

FINEST, CELLS = 64, 256  # blocks a side; cells a side
SMALL, CELL = 64, 4  # pixels: of images up to this side the release moves cells of 4, of larger ones blocks


@method(
    data="images",
    saliency="gradient",
    assignment=False,
    draws=2,
    draw_names=("lam", "block"),
    query=False,
    keeps=("self-pair", "lam-one"),
    moves=True,
    example="mixcli puzzlemix --in cifar10/train --ckpt resnet18.pt --out mixed/ -k 4",
)
@dataclass(frozen=True)
class PuzzleMix(Method[Images, None, MixedImages]):
    """Blocks of two images by saliency and smoothness, moved to where they are seen (Kim et al., ICML 2020)."""

    alpha: float = option(1.0, "Beta(alpha, alpha) of lambda, the share of A that the mask is to hold.", above=0)
    blocks: str = option("2,4,8,16", "Blocks along each side; of the numbers that divide both, each mix draws one.")
    n_labels: int = option(3, "Levels of the mask: 2, 3 or 4.")
    beta: float = option(1.2, "Weight of a smooth mask.", least=0, most=1e9)
    gamma: float = option(0.5, "Weight of a smooth picture, in parts of beta.", least=0, most=1)
    eta: float = option(0.2, "Weight of the prior, by which the mask holds about lambda of A.", least=0, most=1e9)
    neigh_size: int = option(4, "Pixels on either side of a border that are averaged to see whether it jumps.", above=0)
    transport: bool = option(True, "Move cells of both images to where they are seen.")
    t_size: int = option(0, "A cell's side in pixels, or what fits best; -1: a block; 0: 4 up to 64 px, else -1.")
    t_eps: float = option(0.8, "Price of moving a cell across the image, for a map of sum 1.", above=0)

    def __post_init__(self) -> None:
        self.numbers()
        if not 2 <= self.n_labels <= 4:
            raise UsageError("must be 2, 3 or 4", at=f"--n-labels {self.n_labels}")
        if self.t_size < -1:
            raise UsageError("must be a number of pixels, 0 or -1", at=f"--t-size {self.t_size}")

    def needs(self) -> Needs:
        return {"moves": self.transport}

    def numbers(self) -> tuple[int, ...]:
        """`blocks` as numbers."""
        parts = [part.strip() for part in self.blocks.split(",")]
        if not all(part.isdecimal() and len(part) < 4 and 2 <= int(part) <= FINEST for part in parts):
            what = f"must be whole numbers from 2 to {FINEST}, as in 2,4,8,16"
            raise UsageError(what, at=f"--blocks {self.blocks}")
        return tuple(map(int, parts))

    def fits(self, size: Sequence[int]) -> None:
        """UsageError where none of the numbers divides height and width, or cells would be too many."""
        self.dividing(size)

    def dividing(self, size: Sequence[int]) -> tuple[int, ...]:
        """Those of the numbers that divide height and width. Raises as `fits`."""
        fitting = tuple(number for number in self.numbers() if not any(side % number for side in size))
        told = f"images of {size[0]}x{size[1]}"
        if not fitting:
            least = min(self.numbers())
            near = "x".join(str(max(1, round(side / least)) * least) for side in size)
            raise UsageError(
                f"none divides both sides of {told}",
                at=f"--blocks {self.blocks}",
                advice=f"pass a number that does, or --size {near}",
            )
        if any(pixels > CELLS * cell for n in fitting for pixels, cell in zip(size, self.cell(size, n), strict=True)):
            what = f"cuts {told} into over {CELLS} cells a side"
            raise UsageError(what, at=f"--t-size {self.t_size}", advice="-1 moves blocks")
        return fitting

    def mix(self, a: Images, b: Images, phi: None, u: Tensor) -> MixedImages:
        """One mix of each pair, with λ and a number of blocks of its own; the label follows from the mask.

        a, b: (B,H,W,3) f32 with raw saliency (B,H,W); no phi; u (B,2) f64 uniforms for λ and for the number. Raises
        UsageError as `fits` does.
        """
        import torch

        numbers = u.new_tensor(self.dividing(a.data.shape[1:3]))
        number = numbers[(u[:, 1] * len(numbers)).long()]
        logit = u.new_tensor(logit_beta(u[:, 0].cpu().numpy(), self.alpha))
        data, mask = torch.empty_like(a.data), torch.empty_like(heat(a))
        for blocks in sorted({int(n) for n in number.tolist()}):
            rows = (number == blocks).nonzero()[:, 0]
            some_a, some_b = (Images(x.data[rows], heat(x)[rows]) for x in (a, b))
            data[rows], mask[rows] = self.mix_blocks(some_a, some_b, blocks, logit[rows])
        share = mask.double().mean((1, 2))
        return MixedImages(
            data=data,
            weight=torch.stack([share, 1 - share], 1),
            mask=mask,
            draw=torch.stack([logit.sigmoid(), number], 1),
        )

    def mix_blocks(self, a: Images, b: Images, blocks: int, logit: Tensor) -> tuple[Tensor, Tensor]:
        """The same for one number of blocks and λ given as its logit (B,) f64 -> (B,H,W,3) f32, masks (B,H,W) f32."""
        import torch

        from mixcli.algorithms.grid_labels import labels

        maps = self.maps(heat(a), blocks), self.maps(heat(b), blocks)
        unary, down, right = (cost.cpu().numpy() for cost in self.costs(a.data, b.data, maps, blocks, logit))
        mask = 1 - torch.from_numpy(labels(unary, down, right)).to(logit) / (self.n_labels - 1)
        return self.mix_at(a.data, b.data, maps, mask)

    def maps(self, saliency: Tensor, blocks: int) -> Tensor:
        """s of the paper: what the cells hold of a map, (B,H,W) -> (B,h,w) f64 of sum 1; uniform where all is zero."""
        from mixcli.algorithms.cells import summed
        from mixcli.saliency.blur import distribution

        high, wide = self.cell(saliency.shape[1:], blocks)
        return distribution(summed(saliency, (saliency.shape[1] // high, saliency.shape[2] // wide)))

    def cell(self, size: Sequence[int], blocks: int) -> tuple[int, int]:
        """Height and width, in pixels, of what is moved: divisors of a block's, whose mask is one value."""
        from mixcli.algorithms.cells import nearest_divisor

        side = self.t_size or (CELL if max(size) <= SMALL else -1)
        block = size[0] // blocks, size[1] // blocks
        if side == -1 or not self.transport:
            return block
        return nearest_divisor(block[0], side), nearest_divisor(block[1], side)

    def costs(
        self, a: Tensor, b: Tensor, maps: tuple[Tensor, Tensor], blocks: int, logit: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The objective of the mask, section 4.1: of label k in a block, where the mask is 1 - k / (L - 1), and of
        neighbours whose masks differ by 1, times the square of the difference.

        Images (B,H,W,3), maps of cells (B,h,w), logit (B,) of λ -> (B,L,b,b), (B,b-1,b) down, (B,b,b-1) right, f64.
        """
        import torch

        unary_a, unary_b, down, right = self.unary(a, b, maps, blocks)
        share = torch.linspace(0, 1, self.n_labels, dtype=torch.float64, device=a.device)[:, None, None]
        prior = self.eta / blocks**2 * rarity(logit, self.n_labels)
        costs = (1 - share) * unary_a[:, None] + share * unary_b[:, None] + prior[:, :, None, None]
        return costs, down, right

    def unary(self, a: Tensor, b: Tensor, maps: tuple[Tensor, Tensor], blocks: int) -> tuple[Tensor, ...]:
        """What a block of a costs, and a block of b: the saliency of the other that is not seen, and the jumps at its
        borders; and what neighbours do that differ. As `costs`."""
        from mixcli.algorithms.block_borders import smoothness
        from mixcli.algorithms.cells import summed

        beta = self.beta / blocks / 16  # of the published scale
        saliency_a, saliency_b = (summed(cells, (blocks, blocks)) for cells in maps)
        of_a, of_b, down, right = (beta * self.gamma * jumps for jumps in smoothness(a, b, blocks, self.neigh_size))
        return saliency_b + of_a, saliency_a + of_b, down + beta, right + beta

    def mix_at(self, a: Tensor, b: Tensor, maps: tuple[Tensor, Tensor], mask: Tensor) -> tuple[Tensor, Tensor]:
        """The mix for given masks (B,b,b): images (B,H,W,3) f32, maps of cells (B,h,w) -> images, masks (B,H,W) f32."""
        from mixcli.algorithms.cells import spread

        cells = spread(mask, maps[0].shape[1:])
        if self.transport:
            a, b = self.seen_through(a, maps[0], cells > 0), self.seen_through(b, maps[1], cells < 1)
        pixels = spread(cells.to(a), a.shape[1:3])
        return b.lerp(a, pixels[..., None]), pixels

    def seen_through(self, image: Tensor, cells: Tensor, seen: Tensor) -> Tensor:
        """Images (B,H,W,3) with cells moved to where they are seen (B,h,w), for maps of these (B,h,w): section 4.2."""
        import torch

        from mixcli.algorithms.cell_transport import moved, sources

        cell = image.shape[1] // cells.shape[1], image.shape[2] // cells.shape[2]
        source = sources(cells.cpu().numpy(), seen.cpu().numpy(), cell, self.t_eps)
        return moved(image, torch.from_numpy(source).to(image.device))


def rarity(logit: Tensor, labels: int) -> Tensor:
    """-log p(k) of the prior, Binomial(L - 1, 1 - λ): (B,) f64 logits of λ -> (B,L) f64, exact where λ rounds to 1.

    >>> import torch
    >>> rarity(torch.zeros(1, dtype=torch.float64), 3).exp().tolist()  # λ = 1/2: shares of 1/4, 1/2, 1/4
    [[4.0, 2.0, 4.0]]
    """
    import torch
    from torch.nn.functional import logsigmoid

    of_a, of_b, last = -logsigmoid(logit), -logsigmoid(-logit), labels - 1  # -log λ and -log(1 - λ)
    return torch.stack([(last - k) * of_a + k * of_b - log(comb(last, k)) for k in range(labels)], 1)


METHOD = PuzzleMix
