"""Jumps at the borders between blocks, against a loop over them."""

import numpy as np
import pytest
import torch

from mixcli.algorithms.block_borders import smoothness


def pictures(height, width, batch=3, seed=0):
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(rng.integers(0, 256, (batch, height, width, 3)).astype(np.float32)) for _ in range(2)]


def total(parts, chosen):
    """What a mask of whole blocks costs; chosen (b,b) of 1 for a, 0 for b; of the first pair."""
    of_a, of_b, down, right = (part[0].numpy() for part in parts)
    changes = (down * np.abs(np.diff(chosen, axis=0))).sum() + (right * np.abs(np.diff(chosen, axis=1))).sum()
    return (of_a * chosen).sum() + (of_b * (1 - chosen)).sum() + changes


def jumps(a, b, chosen, near):
    """The sum of the jumps at all borders of the picture that is put together. (H,W,3) ×2."""
    blocks = len(chosen)
    high, wide = (side // blocks for side in a.shape[:2])
    found = 0.0
    for axis in (0, 1):
        pictures, choice, size = [a, b], chosen, (high, wide)
        if axis:
            pictures, choice, size = [x.transpose(1, 0, 2) for x in (a, b)], chosen.T, (wide, high)
        near_y, near_x = (min(near, side) for side in size)
        for i in range(blocks - 1):
            for j in range(blocks):
                at, columns = (i + 1) * size[0], slice(j * size[1], (j + 1) * size[1])
                above = pictures[1 - choice[i, j]][at - near_y : at, columns].mean(0)
                below = pictures[1 - choice[i + 1, j]][at : at + near_y, columns].mean(0)
                difference = (above - below).reshape(-1, near_x, 3).mean(1)
                found += np.abs(difference).mean() / 255
    return found


@pytest.mark.parametrize(
    ("height", "width", "blocks", "near"), [(8, 8, 4, 2), (16, 8, 2, 4), (6, 9, 3, 1), (4, 4, 4, 4)]
)
def test_together_they_are_the_jumps_but_for_a_constant(height, width, blocks, near):
    a, b = pictures(height, width)
    parts = smoothness(a, b, blocks, near)
    rng, first = np.random.default_rng(1), (a[0].numpy(), b[0].numpy())
    masks = [rng.integers(0, 2, (blocks, blocks)) for _ in range(6)]
    difference = [total(parts, mask) - jumps(*first, mask, near) for mask in masks]
    assert np.ptp(difference) < 1e-6


def test_hand_worked_example():
    """Two pixels each way. a is white, b black, so that every change of image is a jump of 1 and nothing else is. A
    block has two borders, at each of which the mean over both images beyond it is 1/2.
    """
    a, b = torch.full((1, 2, 2, 3), 255.0), torch.zeros(1, 2, 2, 3)
    of_a, of_b, down, right = smoothness(a, b, 2, 4)
    assert (of_a == 1).all() and (of_b == 1).all()
    assert down.tolist() == [[[1, 1]]] and right.tolist() == [[[1], [1]]]


def test_one_image_has_no_seams():
    a, _ = pictures(8, 8)
    of_a, of_b, down, right = smoothness(a, a, 4, 2)
    assert torch.equal(of_a, of_b) and (down == 0).all() and (right == 0).all()
    assert of_a.shape == (3, 4, 4) and down.shape == (3, 3, 4) and right.shape == (3, 4, 3)


def test_a_change_adds_at_most_a_whole_jump():
    """So that a weight of 1 on top of it keeps every sum above zero: the cut asks for that."""
    a, b = pictures(12, 12, 40)
    for change in smoothness(a, b, 6, 2)[2:]:
        assert change.abs().max() <= 1
