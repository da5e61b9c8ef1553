"""Networks of images: layers under the names that published code saves them by, run in the order it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import isqrt
from typing import Protocol, Self

import torch.nn.functional as F
from torch import Tensor, nn

from mixcli.errors import CheckpointError, UsageError
from mixcli.models.fold import Folded
from mixcli.models.images.folding import folded
from mixcli.models.images.layers import Layers

Step = Callable[[Tensor], Tensor]


class Block(Protocol):
    """A part of a network that ``cuts`` names, unless its name is empty."""

    @property
    def name(self) -> str: ...

    def __call__(self, x: Tensor) -> Tensor: ...

    def folded(self) -> Block: ...


@dataclass(frozen=True)
class Residual:
    """Layers, and a shortcut that leaves after the first ``tap`` of them and is added to what they give.

    A shortcut without convolution is the block's own input, whatever ``tap``; where it has too few channels they are
    made up with zeros, all after its own or, with ``centred``, half of them before.
    """

    body: Sequence[Step]
    shortcut: Sequence[Step] = ()
    tap: int = 0
    centred: bool = False
    relu: bool = False  # after the sum
    name: str = ""  # what the keys of its layers begin with

    def __call__(self, x: Tensor) -> Tensor:
        start = run(self.body[: self.tap], x)
        side = run(self.shortcut, start if self.shortcut else x)
        out = run(self.body[self.tap :], start)
        out = out + filled(side, out.shape[1], self.centred)
        return F.relu_(out) if self.relu else out

    def folded(self) -> Residual:
        """The same block with its BatchNorms folded away where they can be."""
        before, after = folded(self.body[: self.tap]), folded(self.body[self.tap :])
        return replace(self, body=before + after, tap=len(before), shortcut=folded(self.shortcut))


@dataclass(frozen=True)
class Plan:
    """What a network does to images before it pools."""

    stem: Sequence[Step]
    blocks: Sequence[Block]
    tail: Sequence[Step] = ()

    def folded(self) -> Plan:
        """The same plan with its BatchNorms folded away where they can be."""
        return Plan(folded(self.stem), [block.folded() for block in self.blocks], folded(self.tail))


def run(steps: Sequence[Step], x: Tensor) -> Tensor:
    """Each step in turn."""
    for step in steps:
        x = step(x)
    return x


def filled(x: Tensor, channels: int, centred: bool) -> Tensor:
    """x (B, C, h, w) with channels of zeros to make (B, channels, h, w)."""
    missing = channels - x.shape[1]
    before = missing // 2 if centred else 0
    return F.pad(x, (0, 0, 0, 0, before, missing - before)) if missing else x


class ImageNetwork(Folded[Plan]):
    """A classifier of normalised images of any size: (B, 3, H, W) f32 -> logits (B, classes).

    ``layers`` are all layers that have weights by the names that they are saved under, ``head`` the name of the linear
    one, or of a 1x1 convolution in its place. ``window`` is the side of the last average pool; 0 takes the whole map,
    or as many equal parts of it as the linear layer has inputs for. Dropout is left out: in eval mode it does nothing.
    """

    data, tells_evidence = "images", True

    def __init__(self, plan: Plan, layers: Layers, head: str, window: int = 0):
        super().__init__()
        self.plan, self.head, self.window = plan, head, window
        for name, layer in layers.items():
            put(self, name, layer)
        for key, table in layers.tables.items():
            put_table(self, key, table)
        self.classes = len(self._linear().weight)
        names = {id(layer): name for name, layer in layers.items()}
        begun = [(names[id(step)], i + 1) for i, step in enumerate(plan.stem) if id(step) in names]
        self.entry, self.entered = begun[0] if begun else ("", 0)  # without a stem the first layer is a block's
        self._frozen = False
        self.least, self.only = 1, 0  # the side of the smallest images that it takes, and of the only ones; 0: any

    def _linear(self) -> nn.Linear | nn.Conv2d:
        """The last layer. TypeError where the one of that name is another kind."""
        layer = placed(self, self.head)
        if not isinstance(layer, nn.Linear | nn.Conv2d):
            raise TypeError(f"{self.head} is no linear layer")
        return layer

    def at_least(self, side: int) -> Self:
        """The same network, which from now on refuses images of a smaller side."""
        self.least = side
        return self

    def for_only(self, side: int) -> Self:
        """The same network, which from now on refuses images of any other side; 0: none."""
        self.only = side
        return self

    def freeze(self) -> Self:
        """Eval mode, no parameter gradients, BatchNorm folded: from now on ``features`` takes the fast path."""
        self._frozen = True
        return super().freeze()

    def fold(self) -> Plan:
        """What ``features`` runs once the network is frozen."""
        return self.plan.folded()

    def running(self) -> Plan:
        """The plan that is run: once frozen the folded one, but with the statistics of the batch in training mode."""
        return self.weights() if self._frozen and not self.training else self.plan

    def features(self, x: Tensor) -> Tensor:
        """The map (B, C, h, w) that is pooled: what the last block gives, normalised where the network does so."""
        self._require_size(x)
        plan = self.running()
        return run([*plan.stem, *plan.blocks, *plan.tail], x)

    def _require_size(self, x: Tensor) -> None:
        high, wide = x.shape[2:]
        if self.only and (high, wide) != (self.only, self.only):
            wanted, side = f"only images of {self.only} x {self.only} pixels", self.only
        elif min(high, wide) < self.least:
            wanted, side = f"images of {self.least} x {self.least} pixels and more", self.least
        else:
            return
        raise CheckpointError(
            f"the network takes {wanted}, and gets {high} x {wide}", advice=f"--size {side}x{side} brings them to it"
        )

    def classify(self, maps: Tensor) -> Tensor:
        """Logits (B, classes) of what ``features`` gives."""
        linear = self._linear()
        weight = linear.weight.flatten(1)
        return F.linear(self._pooled(maps, weight.shape[1]), weight, linear.bias)

    def evidence(self, maps: Tensor, label: Tensor) -> Tensor:
        """The class activation map (Zhou et al., CVPR 2016) of what ``features`` gives, for the classes label (B,).

        (B, C, h, w) -> (B, h, w), whose mean is the class's logit: each place through the linear layer, with the
        weights of its own window where that layer has several.
        """
        linear = self._linear()
        side = isqrt(linear.weight.shape[1] // maps.shape[1])
        weight = linear.weight[label].view(*maps.shape[:2], side, side) * side**2
        if side > 1:
            weight = F.interpolate(weight, maps.shape[2:])  # the nearest
        heat = (maps * weight).sum(1)
        return heat if linear.bias is None else heat + linear.bias[label][:, None, None]

    def layers(self) -> tuple[str, ...]:
        """Names of the hidden layers in forward order, as the keys of a checkpoint name them."""
        return tuple(self._cuts())

    def _cuts(self) -> dict[str, int]:
        """The hidden layers, in the order in which they begin, and how many steps of the plan have then been run.

        They have the names that a checkpoint's keys give to the first convolution, to each block, and to whatever holds
        several of these, which ends with the last of them.
        """
        steps_to = dict.fromkeys(holders(self.entry), len(self.plan.stem)) if self.entry else {}
        steps_to |= {self.entry: self.entered} if self.entry else {}
        for steps, block in enumerate(self.plan.blocks, len(self.plan.stem) + 1):
            steps_to |= dict.fromkeys([*holders(block.name), block.name] if block.name else (), steps)
        return steps_to

    def hidden(self, x: Tensor, layer: str) -> Tensor:
        """What a layer gives for normalised images (B, 3, H, W): (B, C, h, w)."""
        return run(self._parted(layer)[0], x)

    def both(self, x: Tensor, layer: str) -> tuple[Tensor, Tensor]:
        """What a layer gives, and the logits (B, classes) that it leads to, in one pass."""
        maps = self.hidden(x, layer)
        return maps, self.rest(maps, layer)

    def rest(self, maps: Tensor, layer: str) -> Tensor:
        """Logits (B, classes) of what ``hidden`` gives."""
        return self.classify(run(self._parted(layer)[1], maps))

    def _parted(self, layer: str) -> tuple[list[Step], list[Step]]:
        """The steps up to a layer and those behind it; a BatchNorm behind the first convolution is not yet folded."""
        steps, plan, plain = self._cuts()[layer], self.running(), self.plan.stem
        if steps < len(plain):
            return [*plain[:steps]], [*plain[steps:], *plan.blocks, *plan.tail]
        done = steps - len(plain)
        return [*plan.stem, *plan.blocks[:done]], [*plan.blocks[done:], *plan.tail]

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of normalised images (B, 3, H, W)."""
        return self.classify(self.features(x))

    def _pooled(self, maps: Tensor, wanted: int) -> Tensor:
        """Means of windows of maps (B, C, h, w), side by side: (B, wanted)."""
        channels, *sides = maps.shape[1:]
        if not self.window:
            return F.adaptive_avg_pool2d(maps, isqrt(wanted // channels)).flatten(1)
        high, wide = (side // self.window for side in sides)
        if channels * high * wide != wanted:
            raise UsageError(
                f"window={self.window} makes {high} x {wide} windows of a map of {sides[0]} x {sides[1]}, "
                f"where the network's linear layer takes {wanted // channels}",
                at="--model",
                advice="leave window out",
            )
        return F.avg_pool2d(maps, self.window).flatten(1)


def holders(name: str) -> list[str]:
    """The modules that a module lies in, the outermost first.

    >>> holders("block1.layer.0")
    ['block1', 'block1.layer']
    """
    return [*accumulate(name.split("."), "{}.{}".format)][:-1]


def put(module: nn.Module, name: str, layer: nn.Module) -> None:
    """Register a layer under a dotted name, which may begin like a method of the module: only its state is named."""
    *path, last = name.split(".")
    for part in path:
        holder = module._modules.get(part)
        if holder is None:
            holder = module._modules[part] = nn.Module()
        module = holder
    module._modules[last] = layer


def put_table(module: nn.Module, key: str, table: nn.Parameter) -> None:
    """Register a parameter that is no layer's under a dotted key."""
    *path, last = key.split(".")
    for part in path:
        holder = module._modules.get(part)
        if holder is None:
            holder = module._modules[part] = nn.Module()
        module = holder
    module._parameters[last] = table


def placed(module: nn.Module, name: str) -> nn.Module:
    """The layer that ``put`` registered under a dotted name. KeyError where there is none."""
    for part in name.split("."):
        layer = module._modules[part]
        if layer is None:
            raise KeyError(name)
        module = layer
    return module
