"""What the rest of mixcli asks of a network. All of it is declared here, so nobody looks whether a member is there.

Mixcli's own networks derive from `Network` and fill in what they can do. Those of others (programs, packages, a plain
module) are wrapped once by `adapted`, and answer in words where they cannot do what is asked of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self, TypeVar

import torch
from torch import Tensor, nn

from mixcli.errors import CheckpointError
from mixcli.models.hooks import hooked

Pull = Callable[[Tensor], Tensor]  # like the logits -> like the samples: the transpose of a network at one input


def autograd_vjp(net: nn.Module, x: Tensor, *rest: Tensor) -> tuple[Tensor, Pull]:
    """The logits of any network and their transpose in x, like the logits -> like x, by autograd, for one call.

    Only what requires a gradient costs one: freeze the parameters first.
    """
    with torch.enable_grad():
        x = x.detach().clone().requires_grad_()
        logits = net(x, *rest)
    return logits.detach(), lambda g: torch.autograd.grad(logits, x, g)[0]


class Network(nn.Module):
    """A classifier: clouds (B, N, channels) or normalised images (B, 3, H, W) -> logits (B, classes).

    With task "segment" it takes the category (B,) i64 of each cloud beside it, one of ``classes``, and gives logits
    (B, N, parts), whose output 0 stands for the part ``first`` of the dataset.
    """

    data: str = "points"  # what it is fed, or "images"
    task: str = "classify"  # or "segment"
    classes: int | None = None  # None: only a call tells
    channels: int = 3  # of a cloud; 6 with normals
    parts: int | None = None
    first: int = 0
    tells_evidence: bool = False  # whether its head is known to be a pool and a linear layer
    needs_trial: bool = False  # whether only a call tells that it works at all

    def freeze(self) -> Self:
        """Eval mode and no parameter gradients: ready for inference, in many threads."""
        return self.eval().requires_grad_(False)

    def vjp(self, x: Tensor, category: Tensor | None = None) -> tuple[Tensor, Pull]:
        """The logits of x and their transpose in x, by the fastest way that the network has.

        ``category`` (B,) is for segmentation networks alone. CheckpointError, or whatever torch raises, where the
        logits cannot be differentiated.
        """
        return autograd_vjp(self, x) if category is None else autograd_vjp(self, x, category)

    def logits(self, x: Tensor) -> Tensor:
        """The logits (B, classes) of x alone, by the fastest way that the network has."""
        return self(x)

    # The last maps of a network of images, which is called as classify(features(x))

    def features(self, x: Tensor) -> Tensor:
        """The last feature maps (B, C, h, w) of images (B, 3, H, W)."""
        raise CheckpointError(
            "a network that is a program has no last feature maps by name",
            advice="--layer names one of its layers, or use --saliency gradient",
        )

    def classify(self, maps: Tensor) -> Tensor:
        """Logits (B, classes) of what ``features`` gives, which is left as it is."""
        raise NotImplementedError

    def evidence(self, maps: Tensor, label: Tensor) -> Tensor:
        """What each place of the last maps (B, C, h, w) adds to the logits of the classes label (B,): (B, h, w).

        Only where the network ``tells_evidence``.
        """
        raise NotImplementedError

    # Hidden layers; callers go through `models.hidden`, which says what is wrong with a name

    def inside(self) -> dict[str, nn.Module]:
        """All modules by name, in the order in which they are declared, as whoever wrote the network names them."""
        return dict(self.named_modules())

    def layers(self) -> tuple[str, ...]:
        """Names of the hidden layers in forward order, or in the order in which they are declared."""
        return tuple(name for name in self.inside() if name)

    def hidden(self, x: Tensor, layer: str) -> Tensor:
        """What a layer gives for a batch."""
        return self.both(x, layer)[0]

    def both(self, x: Tensor, layer: str) -> tuple[Tensor, Tensor]:
        """What a layer gives, and the logits (B, classes) that it leads to, in one pass."""
        return hooked(self, x, layer, self.inside())

    def rest(self, maps: Tensor, layer: str) -> Tensor:
        """Logits (B, classes) of what ``hidden`` gives, which is left as it is."""
        raise CheckpointError(
            "only mixcli's own networks can be run from a layer on",
            at=f"--layer {layer}",
            advice="pass a checkpoint of one of them",
        )


class Foreign(Network):
    """A network that somebody else wrote: it is called, and its layers are seen by hooks."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net
        self.training = net.training
        self.classes = told(net, "classes", int)

    def forward(self, x: Tensor, *category: Tensor) -> Tensor:
        """As the network itself."""
        return self.net(x, *category)

    def inside(self) -> dict[str, nn.Module]:
        """Those of the network that is wrapped."""
        return dict(self.net.named_modules())


def adapted(net: nn.Module) -> Network:
    """The network itself, or one that does what it can and says of itself what the network's attributes say."""
    if isinstance(net, Network):
        return net
    wrapped = Foreign(net)
    wrapped.data, wrapped.task = told(net, "data", str) or "points", told(net, "task", str) or "classify"
    wrapped.channels, wrapped.parts = told(net, "channels", int) or 3, told(net, "parts", int)
    wrapped.first = told(net, "first", int) or 0
    return wrapped


Told = TypeVar("Told")


def told(net: nn.Module, name: str, kind: type[Told]) -> Told | None:
    """What an attribute of somebody else's network says, where it is there and of this type: a layer may be called so.

    Only they are asked in this way; mixcli's own declare what they are.
    """
    value = getattr(net, name, None)
    return value if isinstance(value, kind) else None
