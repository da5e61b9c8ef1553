"""GuidedMixup's greedy pairing of a window's samples, by their maps."""

from __future__ import annotations

import numpy as np


def greedy_partners(saliency: np.ndarray, rounds: int) -> np.ndarray:
    """Over the maps (w,H,W) f32, which are blurred and made to sum to 1 -> (rounds,w) i64 positions."""
    import torch

    from mixcli.algorithms.greedy_pairing import cycles
    from mixcli.methods.guidedmixup import KERNEL, SIGMA
    from mixcli.saliency.blur import distribution, gaussian

    maps = distribution(gaussian(torch.from_numpy(saliency), KERNEL, SIGMA)).float().numpy()
    return cycles(maps, rounds)
