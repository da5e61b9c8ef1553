"""What the engine asks of a kind of data: what a model sees of its samples, and its mixes, as tensors on a device.

Nothing here knows files or where samples come from: their values arrive as arrays of one window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from mixcli.data.mix import Mix
from mixcli.methods import Method
from mixcli.models import Classifier


@dataclass(frozen=True)
class Feed:
    """What is done with samples on the way through a network: all that a kind needs to know of a run."""

    method: Method
    device: torch.device
    model: Classifier | None = None  # where a method asks for what a network tells; it is moved to the device
    target: str = "label"  # of the loss that saliency is taken from; or "predicted"
    normalize: str = "none"  # of images: a preset, or means and deviations
    norm: str = "l2"  # of an image's gradient over its channels
    layer: str | None = None  # whose maps or states are taken
    keep: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.model:
            self.model.net.to(self.device)

    @property
    def network(self) -> Classifier:
        """The model, of a method that asks for one."""
        if self.model is None:
            raise AssertionError(f"{self.method.traits.name} is run without a model")
        return self.model

    @property
    def net(self) -> nn.Module:
        """The model's network, on the device."""
        return self.network.net

    @property
    def grouped(self) -> bool:
        """Whether groups are mixed, whose members are all on one side, not pairs."""
        return self.method.traits.group > 0

    @property
    def towards_label(self) -> bool:
        """Whether saliency is of the label's loss, not of the model's own prediction."""
        return self.target == "label"

    def tensor(self, array: np.ndarray) -> Tensor:
        """On the device."""
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


@dataclass(frozen=True)
class Taken:
    """What was taken of each of some samples before any mix; None what the method does not ask for."""

    saliency: np.ndarray | None = None  # (r,N) or (r,H,W) f32
    states: np.ndarray | None = None  # (r,...) f32, what a layer makes of an image

    @property
    def maps(self) -> np.ndarray:
        """The saliency, where it is known to be there."""
        if self.saliency is None:
            raise AssertionError("no saliency was taken")
        return self.saliency

    @property
    def hidden(self) -> np.ndarray:
        """The states, where they are known to be there."""
        if self.states is None:
            raise AssertionError("no hidden states were taken")
        return self.states

    def __getitem__(self, rows: np.ndarray) -> Taken:
        return Taken(*(None if array is None else array[rows] for array in (self.saliency, self.states)))

    def put(self, rows: np.ndarray, part: Taken) -> None:
        """Fill in what was taken of the samples at these positions."""
        for whole, some in ((self.saliency, part.saliency), (self.states, part.states)):
            if whole is not None:
                whole[rows] = some


@dataclass(frozen=True)
class Seen:
    """What was taken of some samples, and how the model did on them."""

    taken: Taken
    uniform: np.ndarray  # (r,) bool: nothing was salient, so the map is uniform
    judged: np.ndarray  # (r,) i64 predictions that can be right or wrong: the class, or each point's part
    correct: np.ndarray  # (r,) i64 of those


@dataclass(frozen=True)
class Chunk:
    """Pairs of a window that are mixed in one call, or one group of it."""

    values: np.ndarray  # (w,...) of the window's samples
    taken: Taken  # of the window's samples
    a: np.ndarray  # (p,) positions of each pair's parent a, or of each member of the group
    b: np.ndarray  # (p,)
    phi: np.ndarray | None  # (p,N) i32, the point of b that each point of a is assigned to


class Tensors(Protocol):
    """One kind of data on a device, for one method."""

    cpu_batch: ClassVar[int]  # samples in one model call, unless the user chooses
    cuda_batch: ClassVar[int]

    @property
    def feed(self) -> Feed: ...

    def blank(self, values: np.ndarray) -> Taken:
        """Room for what `look` takes of the samples of a window."""

    def look(self, values: np.ndarray, labels: np.ndarray) -> Seen:
        """Samples through the model, or whatever else a method looks at. labels (r,) i64."""

    def mixes(self, chunk: Chunk, draws: Sequence[np.ndarray]) -> Sequence[Mix]:
        """A finished mix of each pair, or of each member of a group, for each array of uniforms (p,draws) f64."""

    def unmixed(self, values: np.ndarray, taken: Taken) -> dict[str, np.ndarray]:
        """What the samples themselves give to the fields of a dataset."""

    def hint(self, values: np.ndarray, labels: np.ndarray, batch: int) -> str:
        """What would be better than the way in which the model is fed, in words that end a sentence; or nothing."""
