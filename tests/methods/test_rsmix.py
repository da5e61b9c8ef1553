import numpy as np
import pytest
import torch
from scipy import stats

from mixcli.data.points import Samples, travel_normals
from mixcli.errors import UsageError
from mixcli.methods.rsmix import RSMix
from mixcli.rng import uniforms

GOLDEN = ["small_ball", "small_knn", "small_tinyrad", "small_normals", "1024_ball", "1024_ball_rad09"]


def pairs(batch=16, n=64, seed=0):
    rng = np.random.default_rng(seed)
    a, b = (torch.from_numpy(rng.uniform(-1, 1, (batch, n, 3)).astype(np.float32)) for _ in range(2))
    return Samples(a), Samples(b), None, torch.from_numpy(uniforms(seed, "mix", np.arange(batch), width=5))


def random_keys(batch, n):
    return torch.from_numpy(np.random.default_rng(3).uniform(size=(2, batch, n)))


@pytest.fixture(params=GOLDEN)
def golden(request, shared):
    return np.load(shared / "golden" / "points" / f"rsmix_{request.param}.npz")


def keys(golden):
    """Keys of points that lead to the recorded draws -> two (B,N) f64."""
    shape = golden["xyz"].shape[:2]
    key_a, key_b = np.full(shape, 0.9), np.full(shape, 0.9)
    for i, case in enumerate(golden["case"]):
        draw, added = golden["draw"][i], golden["add_idx_final"][i]
        erased = golden["erase_idx"][i, : golden["erase_n"][i]]
        draw, added = draw[draw >= 0], added[added >= 0]
        if case == 1:  # rows of a among the count of those kept
            key_a[i, erased] = (draw + 0.5) / (shape[1] - len(erased))
        if case == 3:  # repeats: the keys of the first points that are not in the part
            available = golden["add_avail_n"][i]
            outside = np.setdiff1d(np.arange(shape[1]), added[:available])
            key_b[i, outside[: len(draw)]] = (draw + 0.5) / available
        if case == 4:
            key_b[i, draw] = 0.1
    return torch.from_numpy(key_a), torch.from_numpy(key_b)


def replay(golden):
    xyz = torch.from_numpy(np.ascontiguousarray(golden["xyz"][:, :, :3]))
    neighbors = "knn" if golden["KNN"] else "ball"
    method = RSMix(nsample=int(golden["n_sample"]), neighbors=neighbors, as_published=True)
    radius = torch.full((len(xyz),), float(golden["cut_rad"]), dtype=torch.float64)
    queries = torch.from_numpy(golden["q1"]), torch.from_numpy(golden["q2"])
    return method.mix_at(xyz, xyz[golden["rand_index"]], radius, queries, keys(golden))


def test_published_form_gives_the_recorded_output(golden):
    """To the last bit: the sets, their sizes, which points are repeated or left out, the coordinates, the order."""
    mixed = replay(golden)
    assert np.array_equal(mixed.data.numpy(), golden["mixed_xyz"][:, :, :3])
    assert np.array_equal(mixed.weight[:, 1].numpy(), golden["lam"])
    for i, wanted in enumerate(golden["add_idx_final"]):
        other = mixed.index[i, :, 1]
        assert np.array_equal(other[other >= 0].numpy(), wanted[wanted >= 0])


def test_normals_travel_as_in_the_recorded_output(shared):
    golden = np.load(shared / "golden" / "points" / "rsmix_small_normals.npz")
    normals = torch.from_numpy(np.ascontiguousarray(golden["xyz"][:, :, 3:]))
    travelled = travel_normals(replay(golden), normals, normals[golden["rand_index"]])
    assert np.array_equal(travelled.numpy(), golden["mixed_xyz"][:, :, 3:])


def test_every_recorded_case_occurs(shared):
    cases = [np.load(shared / "golden" / "points" / f"rsmix_{name}.npz")["case"] for name in GOLDEN]
    assert set(np.concatenate(cases)) == {0, 1, 2, 3, 4}


def line(*x):
    return torch.tensor([[[float(v), 0.0, 0.0] for v in x]])


def at(value):
    return torch.tensor([value])


@pytest.fixture
def small():
    """a = 0 1 2 9, b = 20 21 30 40 on a line, keys of b that prefer its second point."""
    flat = torch.full((1, 4), 0.5, dtype=torch.float64)
    key_b = torch.tensor([[0.6, 0.3, 0.9, 0.2]], dtype=torch.float64)
    return line(0, 1, 2, 9), line(20, 21, 30, 40), flat, key_b


def radius(value):
    return torch.tensor([value], dtype=torch.float64)


def test_hand_worked_example(small):
    """Radius 1 around a3 = 9 is {9} and around b0 = 20 is {20, 21}; one of the two is wanted, b1 has the lower key.

    It moves by 9 - 20 = -11, to 10, in the row of a3. One point of four is b's: λ = 3/4.
    """
    a, b, key_a, key_b = small
    mixed = RSMix().mix_at(a, b, radius(1.0), (at(3), at(0)), (key_a, key_b))
    assert mixed.data[0, :, 0].tolist() == [0, 1, 2, 10]
    assert mixed.index[0].tolist() == [[0, -1], [1, -1], [2, -1], [-1, 1]]
    assert mixed.weight[0].tolist() == [0.75, 0.25]


def test_hand_worked_example_of_a_part_that_is_too_small(small):
    """Radius 1 around a1 = 1 is {0, 1, 2}, kept at three by nsample 3, and around b3 = 40 is {40}, so b3 three times.

    It moves by 1 - 40, to 1. One point of a is left: λ = 1/4.
    """
    a, b, key_a, key_b = small
    mixed = RSMix(nsample=3).mix_at(a, b, radius(1.0), (at(1), at(3)), (key_a, key_b))
    assert mixed.data[0, :, 0].tolist() == [1, 1, 1, 9]
    assert mixed.index[0, :, 1].tolist() == [3, 3, 3, -1]
    assert mixed.weight[0].tolist() == [0.25, 0.75]


def test_nearest_neighbours(small):
    """nsample 0 is half of four points; half of that at radius 1/2: the query point alone."""
    a, b, key_a, key_b = small
    mixed = RSMix(neighbors="knn").mix_at(a, b, radius(0.5), (at(0), at(2)), (key_a, key_b))
    assert mixed.index[0].tolist() == [[-1, 2], [1, -1], [2, -1], [3, -1]]
    assert mixed.data[0, :, 0].tolist() == [0, 1, 2, 9]


def test_published_form_takes_one_neighbour_more_and_puts_it_last(small):
    """k = 1, and all as near as the second nearest: {0, 1} of a; {30, 21} of b, which move by 0 - 30."""
    a, b, key_a, key_b = small
    mixed = RSMix(neighbors="knn", as_published=True).mix_at(a, b, radius(0.5), (at(0), at(2)), (key_a, key_b))
    assert mixed.data[0, :, 0].tolist() == [2, 9, -9, 0]
    assert mixed.index[0].tolist() == [[2, -1], [3, -1], [-1, 1], [-1, 2]]


def test_what_a_mix_is_made_of():
    """Kept points in their rows; added ones within the radius of q_β, moved rigidly into that of q_α."""
    a, b, phi, u = pairs(batch=64, n=128)
    mixed = RSMix().mix(a, b, phi, u)
    for i in range(64):
        row, reach = torch.arange(128), float(mixed.draw[i, 0])
        own, other = mixed.index[i].T
        kept = own >= 0
        assert torch.equal(own[kept], row[kept]) and torch.equal(mixed.data[i, kept], a.data[i, kept])
        q_a, q_b = a.data[i, mixed.query[i, 0]].double(), b.data[i, mixed.query[i, 1]].double()
        gone = (a.data[i].double() - q_a).norm(dim=1) <= reach
        assert gone[~kept].all() and (~kept).sum() == min(int(gone.sum()), 64)
        taken = b.data[i, other[~kept]].double()
        assert ((taken - q_b).norm(dim=1) <= reach).all()
        assert torch.equal(mixed.data[i, ~kept], (taken + (q_a - q_b)).float())


def test_no_point_of_b_is_repeated_while_there_are_others():
    a, b, phi, u = pairs(batch=128, n=64)
    mixed = RSMix().mix(a, b, phi, u)
    repeated = left = 0
    for i in range(128):
        other = mixed.index[i, :, 1]
        other = other[other >= 0]
        q_b = b.data[i, mixed.query[i, 1]].double()
        available = int(((b.data[i].double() - q_b).norm(dim=1) <= mixed.draw[i, 0]).sum())
        assert len(other.unique()) == min(len(other), available, 32)
        repeated, left = repeated + (len(other) > available), left + (len(other) < available)
    assert repeated > 20 and left > 20, "the test saw both"


def test_the_same_cloud_and_query_give_the_cloud():
    a, _, _, u = pairs(n=64)
    same = torch.arange(16)
    args = (u[:, 0], (same, same), random_keys(16, 64))
    mixed = RSMix(nsample=64).mix_at(a.data, a.data, *args)
    assert torch.equal(mixed.data, a.data) and (mixed.weight[:, 1] > 0).all()


def test_a_radius_of_everything_replaces_half():
    """More than half is within reach: a random half, no lower index more often than a higher one."""
    a, b, *_ = pairs(batch=400, n=64)
    far = torch.full((400,), 9.0, dtype=torch.float64)
    key_a, key_b = random_keys(400, 64)
    zero = torch.zeros(400, dtype=torch.int64)
    default, published = (RSMix(as_published=p) for p in (False, True))
    mixed = default.mix_at(a.data, b.data, far, (zero, zero), (key_a, key_b))
    assert (mixed.weight == 0.5).all()
    taken = torch.stack([torch.bincount(mixed.index[i, :, 1] + 1, minlength=65)[1:] for i in range(400)]).sum(0)
    erased = (mixed.index[:, :, 0] < 0).sum(0)
    for counts in (taken, erased):
        assert stats.chisquare(counts.numpy()).pvalue > 1e-3
    first = published.mix_at(a.data, b.data, far, (zero, zero), (key_a, key_b))
    assert (first.index[:, 32:, 1] == torch.arange(32)).all(), "as published: the lowest indices"


def test_repeats_are_drawn_evenly():
    """Two points of b for the 32 that are erased: 30 repeats, each of either."""
    a, _, _, _ = pairs(batch=200, n=64)
    b = torch.full((200, 64, 3), 50.0)
    b[:, 0], b[:, 1] = 0.0, 0.1
    zero = torch.zeros(200, dtype=torch.int64)
    key = random_keys(200, 64)
    other = RSMix().mix_at(a.data, b, torch.full((200,), 9.0).double(), (zero, zero), key).index[:, :, 1]
    firsts = (other == 0).sum(1) - 1
    assert ((other == 0).sum(1) + (other == 1).sum(1) == 32).all()
    assert stats.kstest(firsts.numpy() + key[0, :, 0].numpy(), _binomial_cdf).pvalue > 1e-3


def _binomial_cdf(x):
    """Of a Binomial(30, 1/2) with a uniform added, which makes it continuous."""
    whole = np.floor(x)
    return stats.binom.cdf(whole - 1, 30, 0.5) + (x - whole) * stats.binom.pmf(whole, 30, 0.5)


@pytest.mark.parametrize("beta", [1.0, 0.4])
def test_radius_and_queries_are_drawn_as_said(beta):
    n = 3000
    u = torch.from_numpy(uniforms(7, "mix", np.arange(n), width=5))
    cloud = Samples(pairs(batch=1, n=8)[0].data.expand(n, 8, 3))
    mixed = RSMix(beta=beta).mix(cloud, cloud, None, u)
    assert stats.kstest(mixed.draw[:, 0].numpy(), stats.beta(beta, beta).cdf).pvalue > 1e-3
    for query in mixed.query.T:
        assert stats.chisquare(torch.bincount(query, minlength=8).numpy()).pvalue > 1e-3
    assert abs(np.corrcoef([*mixed.query.T.numpy(), mixed.draw[:, 0].numpy()])[np.triu_indices(3, 1)]).max() < 0.08


def test_the_two_parts_are_sampled_apart():
    """Two halves of 64 points share 16 on average, not 32."""
    u = torch.from_numpy(uniforms(7, "mix", np.arange(100), width=5))
    u[:, 0] = 1 - 1e-9
    cloud = Samples(pairs(batch=1, n=64)[0].data.expand(100, 64, 3) / 9)
    mixed = RSMix().mix(cloud, cloud, None, u)
    shared = [len(np.intersect1d(other[other >= 0], np.flatnonzero(own < 0))) for own, other in mixed.index.mT.numpy()]
    assert np.mean(shared) == pytest.approx(16, abs=1)


def test_the_empty_part_as_published():
    """Rounding misses q_β: rows of a fill up, λ stays 1. The default form cannot miss it."""
    a, b, _, u = pairs(batch=200, n=64)
    tiny = torch.full((200,), 1e-9, dtype=torch.float64)
    args = (a.data, b.data, tiny, ((u[:, 1] * 64).long(), (u[:, 2] * 64).long()), random_keys(200, 64))
    published, default = (RSMix(as_published=p).mix_at(*args) for p in (True, False))
    empty = published.weight[:, 0] == 1
    assert 20 < empty.sum() < 180
    assert (published.index[empty][:, :, 1] == -1).all()
    assert torch.equal(default.weight[:, 1], torch.full((200,), 1 / 64, dtype=torch.float64))


def test_the_empty_part_as_published_by_hand():
    """a = 0 0 0 5, of which the first three go; rounding misses q_β. One is kept, so 0.9 · 1 rounds down to row 0."""
    missed = next(v for v in np.linspace(1, 2, 99, dtype=np.float32) if float(v * v) > float(v) ** 2)
    a, b, key = line(0, 0, 0, 5), line(missed, 9, 9, 9), torch.full((1, 4), 0.9, dtype=torch.float64)
    mixed = RSMix(nsample=4, as_published=True).mix_at(a, b, radius(1e-9), (at(0), at(0)), (key, key))
    assert mixed.index[0].tolist() == [[3, -1], [0, -1], [0, -1], [0, -1]]
    assert mixed.data[0, :, 0].tolist() == [5, 0, 0, 0] and mixed.weight[0].tolist() == [1, 0]


@pytest.mark.parametrize("option", [{"beta": 0.0}, {"nsample": -1}, {"nsample": 0.5}, {"neighbors": "near"}])
def test_options_out_of_range(option):
    with pytest.raises(UsageError, match=next(iter(option))):
        RSMix(**option)
