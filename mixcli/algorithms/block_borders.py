"""How much a picture jumps at the borders between blocks of two images: the smoothness of data in PuzzleMix."""

from __future__ import annotations

from torch import Tensor

from mixcli.algorithms.cells import nearest_divisor


def smoothness(a: Tensor, b: Tensor, blocks: int, near: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What a block of a costs, what one of b, and what a change from one to the other adds at a border.

    Together they are the jump at each border, whichever images meet there, but for a constant. A jump is the mean
    difference of both sides, for images of range 1. a, b: (B,H,W,3) f32, 0..255; blocks along each side; near: of so
    many pixels on either side means are taken first, but of a divisor of a block's side, the nearest.
    -> (B,b,b) f64 ×2; (B,b-1,b) f64 down, (B,b,b-1) f64 right.
    """
    a, b = (_averaged(x, *(nearest_divisor(side // blocks, near) for side in x.shape[1:3])) for x in (a, b))
    down = _jumps(a, b, blocks)
    right = [jump.transpose(1, 2) for jump in _jumps(a.transpose(1, 2), b.transpose(1, 2), blocks)]
    of_a, of_b = (a.new_zeros(len(a), blocks, blocks) for _ in range(2))
    for (aa, ab, ba, bb), dim in ((down, 1), (right, 2)):
        before, after = ((slice(None),) * dim + (part,) for part in (slice(None, -1), slice(1, None)))
        of_a[before] += (aa + ab) / 2
        of_a[after] += (aa + ba) / 2
        of_b[before] += (bb + ba) / 2
        of_b[after] += (bb + ab) / 2
    return of_a, of_b, _change(*down), _change(*right)


def _averaged(x: Tensor, high: int, wide: int) -> Tensor:
    """Means of high x wide pixels, 0 to 1: (B,H,W,3) f32 -> (B,H/high,W/wide,3) f64, from sums of whole numbers."""
    return x.unflatten(1, (-1, high)).sum(2).unflatten(2, (-1, wide)).sum(3).double() / (255 * high * wide)


def _jumps(a: Tensor, b: Tensor, blocks: int) -> list[Tensor]:
    """Across the borders below blocks, where the upper and the lower are of a, a; a, b; b, a; b, b: (B,b-1,b) each."""
    (upper_a, lower_a), (upper_b, lower_b) = (_sides(x, blocks) for x in (a, b))
    pairs = (upper_a, lower_a), (upper_a, lower_b), (upper_b, lower_a), (upper_b, lower_b)
    return [(upper - lower).abs().mean(3).unflatten(2, (blocks, -1)).mean(3) for upper, lower in pairs]


def _sides(x: Tensor, blocks: int) -> tuple[Tensor, Tensor]:
    """What lies above and below each border: (B,h,w,3) -> (B,b-1,w,3) ×2."""
    rows = x.unflatten(1, (blocks, -1))
    return rows[:, :-1, -1], rows[:, 1:, 0]


def _change(aa: Tensor, ab: Tensor, ba: Tensor, bb: Tensor) -> Tensor:
    return (ab + ba - aa - bb) / 2
