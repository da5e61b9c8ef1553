import numpy as np
import pytest
import torch

from mixcli.algorithms.cells import nearest_divisor, spread, summed


@pytest.mark.parametrize("grid", [(1, 1), (2, 5), (6, 10)])
def test_sums_of_cells(grid):
    maps = np.random.default_rng(0).random((3, 6, 10)).astype(np.float32)
    found = summed(torch.from_numpy(maps), grid)
    rows, columns = (np.split(np.arange(side), n) for side, n in zip((6, 10), grid, strict=True))
    expected = [[maps[:, r][:, :, c].sum((1, 2), dtype=np.float64) for c in columns] for r in rows]
    assert found.dtype == torch.float64
    assert np.allclose(found.numpy(), np.moveaxis(expected, 2, 0), rtol=1e-12)


def test_values_spread_over_their_pixels():
    cells = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    assert spread(cells, (2, 4)).tolist() == [[[1, 1, 2, 2], [3, 3, 4, 4]]]
    assert torch.equal(summed(spread(cells, (6, 10)), (2, 2)), cells.double() * 15)


@pytest.mark.parametrize("number", [1, 2, 7, 12, 14, 36])
@pytest.mark.parametrize("wanted", [1, 4, 5, 100])
def test_divisors(number, wanted):
    found = nearest_divisor(number, wanted)
    assert number % found == 0
    assert all(abs(found - wanted) <= abs(d - wanted) for d in range(1, number + 1) if number % d == 0)
