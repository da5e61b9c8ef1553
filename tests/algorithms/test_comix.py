"""Co-Mixup's objective and its minimisation: by hand, by trying everything, and beside the recorded solutions."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixcli.algorithms.comix.cuts import relabelled
from mixcli.algorithms.comix.descent import descended
from mixcli.algorithms.comix.problem import Problem, counted, objective, penalty, shares
from mixcli.algorithms.comix.solve import alike, solve

GOLDEN = ["n8_b4", "n16_b4", "n16_b8", "n16_b4_soft"]
FORMS = ["hard", "soft", "published"]


def random_problem(seed, m=4, size=(2, 3), form="hard", beta=0.3, gamma=1.0, tau=0.4, omega=0.1):
    rng, blocks = np.random.default_rng(seed), size[0] * size[1]
    saliency = rng.random((m, *size)) ** 3
    distance = rng.integers(0, 9, (m, m)) * (1 - np.eye(m))
    A = (1 - omega) * np.eye(m) + omega * (distance + distance.T) / max(1, distance.sum())
    cost = -saliency / saliency.sum((1, 2), keepdims=True)
    return Problem(cost, A, beta / blocks, gamma / blocks, tau * blocks, form)


def random_labels(seed, m=4, size=(2, 3)):
    """Half of the blocks whole, half of them of two inputs, in flat blocks."""
    rng = np.random.default_rng(seed)
    pair = np.sort(rng.integers(0, m, (m, size[0] * size[1], 2)), -1)
    return np.where(rng.random(pair.shape[:2])[..., None] < 0.5, pair, pair[..., :1])


def value(problem, labels):
    m, height, width = problem.cost.shape
    return objective(problem, shares(labels.reshape(m, height, width, 2), m))


def plain(problem, z):
    """The objective, term by term as it is written."""
    J, height, width, m = z.shape
    total = 0.0
    for j, y, x in product(range(J), range(height), range(width)):
        total += problem.cost[:, y, x] @ z[j, y, x]
        for below, right in ((1, 0), (0, 1)):
            if y + below < height and x + right < width:
                total += problem.smoothness / 2 * ((z[j, y, x] - z[j, y + below, x + right]) ** 2).sum()
    for j in range(J):
        others = sum(z[k].sum((0, 1)) for k in range(J) if k != j)
        seen = problem.compatibility @ others
        for i in range(m):
            over = {
                "hard": seen[i] * (seen[i] > problem.limit),
                "soft": max(0.0, seen[i] - problem.limit),
                "published": ((seen > problem.limit) * problem.compatibility @ others)[i],
            }
            total += problem.diversity * over[problem.form] * z[j, ..., i].sum()
    return total


@pytest.mark.parametrize("form", FORMS)
def test_the_objective_as_it_is_written(form):
    for seed in range(5):
        problem, labels = random_problem(seed, form=form), random_labels(seed)
        z = shares(labels.reshape(4, 2, 3, 2), 4)
        assert objective(problem, z) == pytest.approx(plain(problem, z), abs=1e-12)


def test_an_objective_by_hand():
    """Two outputs of 1x2 blocks of inputs 0 and 1: (0, 01) and (0, 0), 01 being half of each; β = γ = 1, A = I.

    Saliency: -1 of a left block of 0, -1 of a right block of 1, 0 of the others: -1 - ½ - 1. Borders: |z - z'|² is
    ¼ + ¼ in the first output, none in the second: β/2·½. Of input 0 the first output has 1½ blocks, the second 2; of
    input 1 only the first one has ½. Each output sees the other's: 2·1½ + 1½·2 of input 0 over the limit of 1, and of
    input 1 the second sees ½, under the limit, and has none. Soft: (2 - 1)·1½ + (1½ - 1)·2.
    """
    cost = -np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    problem = Problem(cost, np.eye(2), smoothness=1.0, diversity=1.0, limit=1.0)
    z = shares(np.array([[[[0, 0], [0, 1]]], [[[0, 0], [0, 0]]]]), 2)
    assert objective(problem, z) == -2.5 + 0.25 + 6
    assert objective(replace(problem, form="soft"), z) == -2.5 + 0.25 + 2.5


def test_the_published_order_of_operations():
    """p = (3, 1), τ = 2: A p = (2.8, 1.2). By the paper (2.8, 0). Published: input 0 alone, 3 times its column of A."""
    A = np.array([[0.9, 0.1], [0.1, 0.9]])
    problem = Problem(np.zeros((2, 1, 1)), A, 0.0, 1.0, 2.0)
    assert penalty(problem, np.array([3.0, 1.0])).tolist() == pytest.approx([2.8, 0])
    assert penalty(replace(problem, form="soft"), np.array([3.0, 1.0])).tolist() == pytest.approx([0.8, 0])
    assert penalty(replace(problem, form="published"), np.array([3.0, 1.0])).tolist() == pytest.approx([2.7, 0.3])


def recorded(shared, name, form=None):
    golden = np.load(shared / "golden" / "images" / f"comix_{name}.npz")
    blocks = int(golden["m_block_num"]) ** 2
    beta, gamma, eta, thres = (float(golden[key]) for key in ("beta", "gamma", "eta", "thres"))
    prior = eta / blocks * np.log(golden["dirichlet"].astype(np.float64) + 1e-8)
    cost = golden["cost"].astype(np.float64) - prior[:, None, None]
    form = form or ("soft" if name.endswith("soft") else "hard")
    problem = Problem(cost, golden["A"].astype(np.float64), beta / blocks, gamma / blocks, thres * blocks, form)
    return problem, golden


@pytest.mark.parametrize("form", [None, "published"])
@pytest.mark.parametrize("name", GOLDEN)
def test_at_least_as_good_as_the_recorded_solutions(shared, name, form):
    """From the recorded start, with and without the distances between inputs."""
    problem, golden = recorded(shared, name, form)
    labels = solve(problem, golden["init_mask_idx"], int(golden["niter"]))
    z, theirs = shares(labels, len(labels)), golden["mask_onehot"].astype(np.float64)
    assert objective(problem, z) < objective(problem, theirs)
    alone = replace(problem, compatibility=np.eye(len(labels)))
    assert objective(alone, z) < objective(alone, theirs)
    assert not len(alike(z.any((1, 2))))


@pytest.mark.parametrize("name", GOLDEN[:2])
def test_from_other_starts_it_is_as_good(shared, name):
    """Not by luck: four starts of five end below the recorded solution, and all far below where they start."""
    problem, golden = recorded(shared, name)
    m, rng = len(problem.cost), np.random.default_rng(0)
    theirs = objective(problem, golden["mask_onehot"].astype(np.float64))
    starts = [rng.integers(0, m, golden["init_mask_idx"].shape) for _ in range(20)]
    ours = np.array([objective(problem, shares(solve(problem, start, 4), m)) for start in starts])
    assert (ours < theirs).mean() >= 0.8 and ours.max() < theirs / 2


def energy(price, choices, smoothness, lean, shape, label):
    z = shares(choices, price.shape[1])[label].reshape(*shape, -1)
    halves = (choices[label, 0] != choices[label, 1]).sum()
    borders = sum((np.diff(z, axis=axis) ** 2).sum() for axis in (0, 1))
    return (price * z.reshape(price.shape)).sum() - lean * halves + smoothness / 2 * borders


@pytest.mark.parametrize("seed", range(8))
def test_two_labels_are_cut_exactly(seed):
    """Of 2^9 labellings of 3x3 blocks the least."""
    rng = np.random.default_rng(seed)
    price, choices = rng.normal(size=(9, 2)), np.array([[0, 0], [1, 1]])
    found = relabelled(price, choices, 0.7, 0.0, 3)[:, 0]
    values = {label: energy(price, choices, 0.7, 0.0, (3, 3), np.array(label)) for label in product((0, 1), repeat=9)}
    assert values[tuple(found.tolist())] == pytest.approx(min(values.values()), abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_no_swap_of_two_labels_is_left(seed):
    """Three inputs and halves of them on 2x3 blocks: giving blocks of either of two labels the other never pays."""
    rng = np.random.default_rng(seed)
    price, choices = rng.normal(size=(6, 3)), np.array([[0, 0], [1, 1], [2, 2], [0, 1], [0, 2], [1, 2]])
    settings = (price, choices, 1.5, 0.01, (2, 3))
    found = relabelled(*settings[:4], 3)
    label = np.array([choices.tolist().index(block) for block in found.tolist()])
    least = energy(*settings, label)
    for a, b in product(range(6), repeat=2):
        places = np.flatnonzero((label == a) | (label == b))
        for chosen in product((a, b), repeat=len(places)):
            other = label.copy()
            other[places] = chosen
            assert energy(*settings, other) >= least - 1e-9


def test_halves_between_two_inputs():
    """In a row 0, ?, 1: the middle costs 1 of either input; whole, one border of 1; half and half, two of ¼."""
    price = np.array([[-9, 9], [1, 1], [9, -9.0]])
    choices = np.array([[0, 0], [1, 1], [0, 1]])
    assert relabelled(price, choices, 1.0, 0.0, 3).tolist() == [[0, 0], [0, 1], [1, 1]]
    assert relabelled(price, choices[:2], 1.0, 0.0, 3)[:, 0].tolist() in ([0, 0, 1], [0, 1, 1])


def with_extra(problem, extra, labels):
    return value(problem, labels) + (extra * counted(labels, 4)).sum()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tau", [0.2, 0.6, 9.0])
def test_descent_never_ends_higher(form, tau):
    for seed in range(5):
        problem, start = random_problem(seed, form=form, tau=tau), random_labels(seed)
        extra = np.random.default_rng(seed).random((4, 4)) / 9
        labels = descended(start, problem, extra)
        assert with_extra(problem, extra, labels) <= with_extra(problem, extra, start) + 1e-9


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tau", [0.2, 0.6, 9.0])
def test_descent_ends_where_no_block_gains(form, tau):
    """Every single block of every output, every input and every two that the output has; A is the identity."""
    for seed in range(3):
        problem, start = random_problem(seed, form=form, tau=tau, omega=0.0), random_labels(seed)
        extra = np.random.default_rng(seed).random((4, 4)) / 9
        labels = descended(start, problem, extra)
        least = with_extra(problem, extra, labels)
        for j, v in product(range(4), range(6)):
            has = np.flatnonzero(counted(labels[j : j + 1], 4)[0])
            for pair in [(i, i) for i in range(4)] + [(a, b) for a in has for b in has if a < b]:
                other = labels.copy()
                other[j, v] = pair
                assert with_extra(problem, extra, other) > least - 1e-8, (seed, j, v, pair)


def test_descent_undoes_what_many_outputs_have():
    """All outputs of one input, of no more saliency than the others: in the end none is above the threshold."""
    problem = replace(random_problem(0, m=4, size=(3, 3), tau=0.83), cost=np.zeros((4, 3, 3)))
    start = np.zeros((4, 9, 2), np.int64)
    assert value(problem, start) > 90
    assert value(problem, descended(start, problem, np.zeros((4, 4)))) < 1


def test_alike_is_of_the_same_inputs_but_for_one():
    has = np.array([[1, 1, 0], [0, 1, 1], [1, 1, 0], [1, 0, 0], [1, 0, 0], [1, 1, 0]], bool)
    assert alike(has).tolist() == [[0, 2], [0, 5], [2, 5]]


def twins():
    """Three inputs in a row of two blocks: 0 has the left one, 1 the right one, 2 is dull. τ out of reach."""
    cost = -np.array([[[0.6, 0.4]], [[0.4, 0.6]], [[0.5, 0.5]]])
    return Problem(cost, np.eye(3), smoothness=0.01, diversity=0.5, limit=99.0)


def test_outputs_of_the_same_inputs_are_resolved():
    """Without, every output is 0 beside 1, the most that there is."""
    start = np.zeros((3, 1, 2), np.int64)
    alone = solve(twins(), start, 4, resolve=False)
    assert (alone[:, 0] == [[0, 0], [1, 1]]).all()
    kept_apart = solve(twins(), start, 4)
    assert len(alike(counted(alone.reshape(3, 2, 2), 3) > 0)) == 3
    assert len(alike(counted(kept_apart.reshape(3, 2, 2), 3) > 0)) < 3


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**31),
    m=st.integers(2, 6),
    size=st.sampled_from([(1, 1), (1, 2), (2, 2), (3, 3)]),
    form=st.sampled_from(FORMS),
    beta=st.sampled_from([0.0, 0.32, 50.0]),
    gamma=st.sampled_from([0.0, 1.0, 1000.0]),
    tau=st.sampled_from([0.0, 0.3, 0.83]),
)
def test_of_any_problem(seed, m, size, form, beta, gamma, tau):
    """Inputs of the group, the lower first, no more of them in an output than blocks, and no worse than the start."""
    problem = random_problem(seed, m, size, form, beta, gamma, tau)
    start = np.random.default_rng(seed).integers(0, m, (m, *size))
    labels = solve(problem, start, 3, resolve=False)
    assert labels.shape == (m, *size, 2) and labels.dtype == np.int64
    assert labels.min() >= 0 and labels.max() < m and (labels[..., 0] <= labels[..., 1]).all()
    assert (np.count_nonzero(counted(labels.reshape(m, -1, 2), m), axis=1) <= size[0] * size[1]).all()
    assert (solve(problem, start, 3, resolve=False) == labels).all()


@pytest.mark.parametrize("form", FORMS)
def test_without_numba_it_is_the_same(form, monkeypatch):
    problem, start = random_problem(1, m=4, form=form), np.random.default_rng(1).integers(0, 4, (4, 2, 3))
    labels = solve(problem, start, 3)
    monkeypatch.setenv("MIXCLI_NO_NUMBA", "1")
    assert (solve(problem, start, 3) == labels).all()
