"""What to say of weights that fit no network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mixcli.errors import CheckpointError
from mixcli.models.registry import layouts

if TYPE_CHECKING:
    from mixcli.models.layout import Layout, Shapes


class _Guess(dict[str, tuple[int, ...]]):
    """Shapes in which a missing key has one too, so that a network can be built and compared."""

    def __missing__(self, key: str) -> tuple[int, ...]:
        return (1, 1, 1, 1)


def mismatch(model: Layout | None, have: Shapes, known: Iterable[Layout] | None = None) -> str:
    """Which network the weights are nearest to and the first keys that differ, or that they are near to none.

    ``known`` are the networks that they may be, where these are few.
    """
    from mixcli.models.refusals import difference

    models = [model] if model else (known or layouts())
    expected = {layout.name: _expected(layout, have) for layout in models}
    likeness = {name: len(want.keys() & have) / len(want.keys() | have) for name, want in expected.items()}
    nearest = max(likeness, key=lambda name: likeness[name])
    if model or likeness[nearest] >= 0.5:
        kind = "is not quite a" if likeness[nearest] >= 0.5 else "is no"
        return f"{kind} {nearest}: {difference(expected[nearest], have) or 'its shapes do not fit together'}"
    keys = ", ".join(list(have)[:5]) + (", ..." if len(have) > 5 else "")
    return f"is none of the networks that mixcli knows ({', '.join(expected)}); its keys are {keys}"


def _expected(layout: Layout, have: Shapes) -> Shapes:
    """The keys and shapes of this network at the sizes that the given ones show; none if there are none."""
    import torch

    from mixcli.models.checkpoint import shapes
    from mixcli.models.pickles import wording

    try:
        with wording(layout.name, "has no such sizes"), torch.device("meta"):
            return shapes(layout.build(_Guess(have)).state_dict())
    except CheckpointError:
        return {}
