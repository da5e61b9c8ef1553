"""What a method is to the rest of the program: its traits, its `mix`, and the hooks that a few methods fill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@dataclass(frozen=True)
class Traits:
    """What a method needs, and which identities it keeps."""

    name: str
    data: str  # "points" or "images"
    saliency: str | None  # a kind of map of `picture_saliency`, "gradient" of clouds, "hidden" states, or none at all
    assignment: bool  # whether b comes with the optimal bijection phi
    draws: int  # uniforms that one mix needs
    draw_names: tuple[str, ...]  # columns of `draw`
    query: bool  # whether a mix has query points
    keeps: tuple[str, ...]  # identities: "self-pair" gives itself, "lam-one" gives parent a
    example: str
    parents: int = 2  # P, source samples of one row
    pairing: str = "random"  # unless the user chooses another
    group: int = 0  # samples that are mixed with each other, as many mixes as samples; 0: pairs
    mask: bool = True  # whether a mix of images has one
    writes: str = ""  # what a row's data is, where it is not of the kind of the source: "hidden"
    moves: bool = False  # whether pixels come from elsewhere in their parent, and no `shift` or `follow` says where
    sums: bool = True  # whether a row's label shares sum to 1
    raw: bool = False  # whether the published label shares need not sum to 1, and are kept as `weight_raw`


class Method:
    """A mixing method with its options. Each is a frozen dataclass of options that derives from this class.

    `mix(a, b, phi, u)` differs by what is mixed, so its signature stands in each method's own file: `Samples` to
    `Mixed`, or `Images` to `MixedImages`. `pipeline.kinds` calls it with what the traits ask for.
    """

    traits: ClassVar[Traits]  # an instance whose options decide what is needed has its own, see `needs`
    mix: ClassVar[Callable[..., Any]]

    def needs(self) -> dict[str, Any]:
        """Traits that follow from the options, in place of those that were declared."""
        return {}

    def fits(self, size: tuple[int, int]) -> None:
        """UsageError where images of this height and width cannot be mixed with these options."""

    @property
    def poses(self) -> bool:
        """Whether clouds are turned, by `pose` and `posed`, before they are assigned to each other."""
        return False

    def pose(self, cloud: np.ndarray) -> float:
        """What `posed` needs to know of a cloud (N,3) f32."""
        raise NotImplementedError

    def posed(self, b: np.ndarray, pose_a: float, pose_b: float) -> np.ndarray:
        """b (N,3) f32 as the assignment sees it, turned into the pose of a."""
        raise NotImplementedError

    def follow(self, heat: Tensor, draw: Tensor) -> Tensor:
        """A map of b (B,H,W) moved as the mix moves b's pixels, where its `shift` does not tell. draw (B,D)."""
        return heat
