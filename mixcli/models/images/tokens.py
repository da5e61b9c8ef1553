"""Networks of tokens: an image cut into square patches, each a vector, and other vectors beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixcli.errors import CheckpointError
from mixcli.models.images.folding import Part, Step
from mixcli.models.images.network import ImageNetwork, Plan, run
from mixcli.models.images.sized import Sized


@dataclass(frozen=True)
class Tokens(Part):
    """Maps (B, C, h, w) -> tokens (B, N, C): first those that stand for the whole image, then each place's.

    ``positions`` (1, N, C) are added; those of places may be stretched to maps of another size, where the network does
    that. ``late`` tokens come in behind the first after that, and have no position.
    """

    extra: Sequence[Tensor]  # (1, 1, C) each
    positions: Tensor | None
    stretched: bool = False
    late: Tensor | None = None  # (1, n, C)
    name: str = ""

    def __call__(self, x: Tensor) -> Tensor:
        high, wide = x.shape[2:]
        tokens = torch.cat([*(token.expand(len(x), -1, -1) for token in self.extra), x.flatten(2).transpose(1, 2)], 1)
        if self.positions is not None:
            tokens = tokens + (self._stretched(high, wide) if self.stretched else self.positions)
        if self.late is not None:
            one = len(self.extra)
            tokens = torch.cat([tokens[:, :one], self.late.expand(len(x), -1, -1), tokens[:, one:]], 1)
        return tokens

    def _stretched(self, high: int, wide: int) -> Tensor:
        """The positions of a map of this size, as DINOv2 makes them."""
        positions = self.positions
        if positions is None:
            raise ValueError("there are no positions to stretch")
        first, places = positions[:, : len(self.extra)], positions[:, len(self.extra) :]
        side = isqrt(places.shape[1])
        if (high, wide) == (side, side):
            return positions
        grid = places.unflatten(1, (side, side)).permute(0, 3, 1, 2)
        grid = F.interpolate(grid.float(), (high, wide), mode="bicubic", align_corners=False).to(places.dtype)
        return torch.cat([first, grid.flatten(2).transpose(1, 2)], 1)

    def folded(self) -> Tokens:
        """Itself."""
        return self


class First(nn.Module):
    """Tokens (B, N, C) -> the first of each image (B, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0]


class Mean(nn.Module):
    """Tokens (B, N, C) -> the mean over those of the places (B, C), which follow ``skipped`` others."""

    def __init__(self, skipped: int):
        super().__init__()
        self.skipped = skipped

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.skipped :].mean(1)


class FirstAndMean(nn.Module):
    """Both, side by side (B, 2C): the mean follows ``skipped`` tokens."""

    def __init__(self, skipped: int):
        super().__init__()
        self.skipped = skipped

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, 0], x[:, self.skipped :].mean(1)], 1)


@dataclass(frozen=True)
class TwoHeads:
    """Tokens (B, N, C) -> logits (B, classes): the mean of those of the first token and of the second."""

    first: Step
    second: Step

    def __call__(self, x: Tensor) -> Tensor:
        return (self.first(x[:, 0]) + self.second(x[:, 1])) / 2


class TokenNetwork(ImageNetwork):
    """A classifier of normalised images (B, 3, H, W) f32 -> logits (B, classes), by tokens.

    ``top`` makes the logits of the last tokens (B, N, C).
    """

    tells_evidence = False

    def __init__(self, plan: Plan, layers: Sized, top: Sequence[Step], head: str):
        super().__init__(plan, layers, head)
        self.top = list(top)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of normalised images (B, 3, H, W)."""
        self._require_size(x)
        plan = self.running()
        return self.classify(run([*plan.stem, *plan.blocks, *plan.tail], x))

    def classify(self, maps: Tensor) -> Tensor:
        """Logits (B, classes) of the last tokens (B, N, C)."""
        return run(self.top, maps)

    def hidden(self, x: Tensor, layer: str) -> Tensor:
        """What a layer gives for normalised images (B, 3, H, W): tokens (B, N, C)."""
        self._require_size(x)
        return super().hidden(x, layer)

    def features(self, x: Tensor) -> Tensor:
        """There are none."""
        raise CheckpointError("the network has tokens where others have maps", advice="use --saliency gradient")


def image_side(positions: int, extra: int, patch: int) -> int:
    """The side of the images whose patches have so many positions, ``extra`` of which are no patch's.

    >>> image_side(197, 1, 16)
    224
    """
    side = isqrt(positions - extra)
    if side * side != positions - extra:
        raise ValueError(f"{positions - extra} patches make no square")
    return side * patch
