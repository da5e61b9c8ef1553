"""What networks of images are put together from, beside plain layers: branches, gates, shuffles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixcli.models.fold import Linear
from mixcli.models.images.folding import Part, Scale, Step, folded
from mixcli.models.images.network import run

FRESH = nn.ReLU()  # for where its input is used again
RELU6 = nn.ReLU6(inplace=True)
SWISH = nn.SiLU(inplace=True)


@dataclass(frozen=True)
class Chain(Part):
    """Steps in turn."""

    steps: Sequence[Step]
    name: str = ""  # what the keys of its layers begin with

    def __call__(self, x: Tensor) -> Tensor:
        return run(self.steps, x)

    def folded(self) -> Chain:
        return replace(self, steps=folded(self.steps))


@dataclass(frozen=True)
class Branches(Part):
    """Several chains of one input; what they give is laid side by side, or added, and goes through ``after``.

    A chain without steps gives the input itself, so no other may begin with a step that works in place.
    """

    chains: Sequence[Sequence[Step]]
    after: Sequence[Step] = ()
    summed: bool = False
    name: str = ""

    def __call__(self, x: Tensor) -> Tensor:
        parts = [run(chain, x) for chain in self.chains]
        return run(self.after, reduce(add, parts) if self.summed else torch.cat(parts, 1))

    def folded(self) -> Branches:
        """A BatchNorm of a sum goes into the chains, if all end with a convolution; one of them takes its shift."""
        chains, after = [[*chain] for chain in self.chains], [*self.after]
        norm = after[0] if self.summed and after else None
        if isinstance(norm, nn.BatchNorm2d) and all(map(_linear, chains)):
            chains = [[*chain, _unshifted(norm) if i else norm] for i, chain in enumerate(chains)]
            del after[0]
        return replace(self, chains=[folded(chain) for chain in chains], after=folded(after))


def _linear(chain: Sequence[Step]) -> bool:
    """Whether a chain ends with a convolution, at most multiplied by a number."""
    last = [step for step in chain if not isinstance(step, Scale)][-1:]
    return bool(last) and isinstance(last[0], nn.Conv2d)


def _unshifted(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    """A BatchNorm of the same scale that maps 0 to 0."""
    found = nn.BatchNorm2d(norm.num_features, norm.eps).to(norm.weight).eval()
    found.weight.data, found.running_var = norm.weight.detach(), norm.running_var
    return found


@dataclass(frozen=True)
class Trail(Part):
    """Chains of which each goes on from what the one before gave: the input and all that they give, side by side."""

    chains: Sequence[Sequence[Step]]

    def __call__(self, x: Tensor) -> Tensor:
        parts = [x]
        for chain in self.chains:
            parts.append(run(chain, parts[-1]))
        return torch.cat(parts, 1)

    def folded(self) -> Trail:
        return Trail([folded(chain) for chain in self.chains])


@dataclass(frozen=True)
class Gate(Part):
    """Squeeze and excitation (Hu et al., CVPR 2018): each channel times a share that two layers make of all means."""

    squeeze: Linear  # linear layers, or 1x1 convolutions in their place
    excite: Linear
    act: Step = F.relu
    share: Step = torch.sigmoid

    def __call__(self, x: Tensor) -> Tensor:
        hidden = self.act(affine(self.squeeze, x.mean((2, 3))))
        return x * self.share(affine(self.excite, hidden))[:, :, None, None]

    def folded(self) -> Gate:
        return self


def affine(layer: Linear, x: Tensor) -> Tensor:
    """A linear layer, or a 1x1 convolution in its place, on x (B, in) -> (B, out)."""
    return F.linear(x, layer.weight.flatten(1), layer.bias)


@dataclass(frozen=True)
class Halves(Part):
    """The first half of the channels as it is, beside what a chain makes of the second."""

    chain: Sequence[Step]

    def __call__(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, 1)
        return torch.cat([first, run(self.chain, second)], 1)

    def folded(self) -> Halves:
        return Halves(folded(self.chain))


@dataclass(frozen=True)
class Shuffle:
    """The first channel of each group, then the second of each, and so on (Zhang et al., CVPR 2018).

    >>> Shuffle(2)(torch.arange(6.0).view(1, 6, 1, 1)).flatten().tolist()
    [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]
    """

    groups: int

    def __call__(self, x: Tensor) -> Tensor:
        if self.groups == 1:
            return x
        last = x.permute(0, 2, 3, 1)  # of (B, h, w, C) no layout of memory is lost
        return last.unflatten(3, (self.groups, -1)).transpose(3, 4).flatten(3).permute(0, 3, 1, 2)
