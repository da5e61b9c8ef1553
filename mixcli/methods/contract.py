"""What a method is to the rest of the program: its traits, its `mix`, and the hooks that a few methods fill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Generic, TypedDict, TypeVar

from mixcli.data.images import Images
from mixcli.data.points import Samples

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


class Needs(TypedDict, total=False):
    """Traits that may follow from the options."""

    data: str
    saliency: str | None
    assignment: bool
    draws: int
    draw_names: tuple[str, ...]
    query: bool
    keeps: tuple[str, ...]
    parents: int
    group: int
    moves: bool
    sums: bool


Parent = TypeVar("Parent")  # what one side of some pairs is: Samples, Images
Match = TypeVar("Match")  # how b's points are assigned: a Tensor, or None
Mix = TypeVar("Mix")  # what comes out: Mixed, MixedImages


class Method(Generic[Parent, Match, Mix]):
    """A mixing method with its options. Each is a frozen dataclass of options that derives from this class.

    class SageMix(Method[Samples, "Tensor", Mixed]): ...
    class CutMix(Method[Images, None, MixedImages]): ...
    """

    traits: ClassVar[Traits]  # an instance whose options decide what is needed has its own, see `needs`

    def mix(self, a: Parent, b: Parent, phi: Match, u: Tensor) -> Mix:
        """One mix of each pair, or the mixes of a group, which has no b.

        a, b: B parents, with saliency where the traits ask for it; phi (B,N) i64, the point of b that each point of a
        is assigned to, where they ask for that; u (B,draws) f64 uniforms in (0, 1).
        """
        raise NotImplementedError

    def needs(self) -> Needs:
        """Traits that follow from the options, in place of those that were declared."""
        return {}

    def fits(self, size: Sequence[int]) -> None:
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


def heat(parent: Samples | Images) -> Tensor:
    """The saliency of a parent, which whoever calls `mix` gives where the traits ask for it. ValueError without."""
    if parent.saliency is None:
        raise ValueError("the method goes by saliency, and a parent came without; see its traits")
    return parent.saliency
