import numpy as np
import torch

from mixcli.data.points import Mixed, matched_points, travel_normals, travel_saliency, travel_seg


def mix_of(point_weight, index):
    """A mix of one pair of which only weights and sources matter."""
    lam, index = torch.tensor([point_weight]), torch.tensor([index])
    share = lam.double().mean(1)
    return Mixed(torch.zeros(1, lam.shape[1], 3), torch.stack([share, 1 - share], 1), lam, share[:, None], index)


X, Y, Z = (torch.eye(3)[i] for i in range(3))


def normals_of(*rows):
    return torch.stack(rows)[None]


def test_matched_points():
    assert matched_points(torch.tensor([[2, 0, 1]])).tolist() == [[[0, 2], [1, 0], [2, 1]]]


def test_normals_are_mixed_and_of_unit_length():
    """By hand: 3/4 x + 1/4 y has length √10/4, so (3, 1, 0)/√10; half x and half z is (1, 0, 1)/√2."""
    mixed = mix_of([0.75, 0.5], [[0, 1], [1, 0]])
    found = travel_normals(mixed, normals_of(X, X), normals_of(Z, Y))[0]
    assert np.allclose(found, [np.array([3, 1, 0]) / 10**0.5, np.array([1, 0, 1]) / 2**0.5], atol=1e-7)


def test_normals_of_one_parent_alone_are_kept_bit_for_bit():
    """Also those that are not of unit length; by index -1 or by a weight of 0 or 1."""
    odd = torch.tensor([0.3, 0.1, 0.7])
    mixed = mix_of([1.0, 0.0, 1.0, 0.0], [[1, -1], [-1, 0], [1, 1], [0, 0]])
    found = travel_normals(mixed, normals_of(Z, odd), normals_of(odd * 3, Y))[0]
    assert torch.equal(found, torch.stack([odd, odd * 3, odd, odd * 3]))


def test_normals_that_cancel():
    """Parent a's is kept; so it is where both are nothing. No NaN, and one that says nothing does not count."""
    none = torch.zeros(3)
    mixed = mix_of([0.5, 0.5, 0.5], [[0, 0], [1, 1], [2, 2]])
    found = travel_normals(mixed, normals_of(X, none, none), normals_of(-X, none, Y))[0]
    assert torch.equal(found, torch.stack([X, none, Y]))


def test_normals_that_nearly_cancel_have_no_direction():
    mixed = mix_of([0.5], [[0, 0]])
    found = travel_normals(mixed, normals_of(X), normals_of(-X + 1e-7 * Y))[0]
    assert torch.equal(found, X[None])


def test_normals_of_a_self_pair():
    normals = torch.nn.functional.normalize(torch.from_numpy(np.random.default_rng(0).normal(size=(1, 99, 3))), dim=2)
    own = torch.arange(99).expand(1, 99)
    lam = torch.linspace(0, 1, 99)[None]
    mixed = Mixed(torch.zeros(1, 99, 3), torch.zeros(1, 2), lam, torch.zeros(1, 1), matched_points(own))
    assert (travel_normals(mixed, normals.float(), normals.float()) - normals).abs().max() < 2e-7


def test_parts_keep_both_labels():
    mixed = mix_of([0.75, 1.0, 0.0], [[0, 2], [1, -1], [-1, 0]])
    found = travel_seg(mixed, torch.tensor([[5, 6, 7]]), torch.tensor([[30, 31, 32]]))
    assert found.tolist() == [[[5, 32], [6, -1], [-1, 30]]] and found.dtype == torch.int64


def test_an_unlabelled_point_stays_unlabelled():
    mixed = mix_of([0.5], [[0, 0]])
    assert travel_seg(mixed, torch.tensor([[-1]]), torch.tensor([[3]])).tolist() == [[[-1, 3]]]


def test_saliency_is_mixed_like_the_points():
    mixed = mix_of([0.75, 0.0], [[1, 0], [-1, 1]])
    found = travel_saliency(mixed, torch.tensor([[0.2, 0.4]]), torch.tensor([[0.8, 0.1]]))
    assert np.allclose(found, [[0.75 * 0.4 + 0.25 * 0.8, 0.1]])


def test_each_pair_travels_by_its_own_index():
    rng = np.random.default_rng(0)
    index = torch.from_numpy(rng.integers(0, 7, (5, 9, 2)))
    lam = torch.from_numpy(rng.uniform(0.1, 0.9, (5, 9)).astype(np.float32))
    mixed = Mixed(torch.zeros(5, 9, 3), torch.zeros(5, 2), lam, torch.zeros(5, 1), index)
    a, b = (torch.from_numpy(rng.normal(size=(5, 7, 3)).astype(np.float32)) for _ in range(2))
    seg = torch.from_numpy(rng.integers(0, 50, (2, 5, 7)))
    normals, parts = travel_normals(mixed, a, b), travel_seg(mixed, *seg)
    for i in range(5):
        for j in range(9):
            of_a, of_b = index[i, j]
            total = lam[i, j] * a[i, of_a] + (1 - lam[i, j]) * b[i, of_b]
            assert torch.allclose(normals[i, j], total / total.norm(), atol=1e-6)
            assert parts[i, j].tolist() == [seg[0, i, of_a], seg[1, i, of_b]]
