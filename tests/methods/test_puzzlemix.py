import numpy as np
import pytest
import torch
from test_grid_labels import energy

from mixcli.algorithms.grid_labels import labels
from mixcli.data.images import Images
from mixcli.errors import UsageError
from mixcli.methods.puzzlemix import PuzzleMix, rarity
from mixcli.rng import uniforms

GOLDEN = ["b2", "b4", "b4_2label", "b8", "b8_notrans", "b8_tm1", "b16", "b16_lam95"]


def pairs(batch=24, size=(16, 16), seed=0):
    """Whole levels, as images have, and peaked maps."""
    rng = np.random.default_rng(seed)
    data, maps = rng.integers(0, 256, (2, batch, *size, 3)), rng.random((2, batch, *size)) ** 6
    parts = [torch.from_numpy(part.astype(np.float32)) for part in (*data, *maps)]
    u = torch.from_numpy(uniforms(seed, "mix", np.arange(batch), width=2))
    return Images(parts[0], parts[2]), Images(parts[1], parts[3]), u


def mixed(options=None, **parents):
    a, b, u = pairs(**parents)
    return PuzzleMix(**(options or {})).mix(a, b, None, u)


class Recorded:
    """A recorded batch: its method, both parents as pixels and as networks saw them, maps of cells."""

    def __init__(self, path):
        self.arrays = dict(np.load(path))
        self.blocks, self.count = int(self["block_num"]), int(self["n_labels"])
        self.method = PuzzleMix(
            n_labels=self.count, transport=bool(self["transport"]),
            **{name: int(self[name]) for name in ("t_size", "neigh_size")},
            **{name: float(self[name]) for name in ("t_eps", "beta", "gamma", "eta")},
        )  # fmt: skip
        x = torch.from_numpy(self["x"]).permute(0, 2, 3, 1)
        partner, heat = torch.from_numpy(self["indices"]), torch.from_numpy(self["grad"])
        pixels = 255 * (x * torch.from_numpy(self["std"]) + torch.from_numpy(self["mean"]))
        self.seen, self.pixels = (x, x[partner]), (pixels, pixels[partner])
        self.maps = self.method.maps(heat, self.blocks), self.method.maps(heat[partner], self.blocks)
        self.logit = torch.logit(torch.full((len(x),), float(self["lam"]), dtype=torch.float64))
        self.labels = np.rint((1 - self["gc_mask"]) * (self.count - 1)).astype(np.int64)

    def __getitem__(self, name):
        return self.arrays[name]


@pytest.fixture(params=GOLDEN)
def golden(request, shared):
    return Recorded(shared / "golden" / "images" / f"puzzle_{request.param}.npz")


def test_the_recorded_costs(golden):
    found = [part.numpy() for part in golden.method.unary(*golden.pixels, golden.maps, golden.blocks)]
    beta = golden.method.beta / golden.blocks / 16
    recorded = golden["gc_unary1"], golden["gc_unary2"], golden["gc_pwx"] + beta, golden["gc_pwy"] + beta
    for x, y in zip(found, recorded, strict=True):
        assert x.shape == y.shape and np.abs(x - y).max() <= 1e-6


def test_energies_are_never_above_the_recorded(golden):
    costs = golden.method.costs(*golden.pixels, golden.maps, golden.blocks, golden.logit)
    costs = [cost.numpy() for cost in costs]
    best = energy(*costs, labels(*costs))
    assert (best <= energy(*costs, golden.labels) + 1e-9).all()


def test_nor_in_the_whole_numbers_that_the_release_cut_them_to(golden):
    """1000 b² of each cost, with 1e-8 in every logarithm, rounded towards zero."""
    lam, b, count = float(golden["lam"]), golden.blocks, golden.count
    shares = {2: [lam, 1 - lam], 3: [lam**2, 2 * lam * (1 - lam), (1 - lam) ** 2]}[count]
    level = np.linspace(0, 1, count)[:, None, None]
    unary = (1 - level) * golden["gc_unary1"][:, None] + level * golden["gc_unary2"][:, None]
    unary = unary - golden.method.eta * np.log(np.array(shares) + 1e-8)[:, None, None] / b**2
    beta = golden.method.beta / b / 16
    whole = [np.trunc(1000 * b**2 * x) for x in (unary, golden["gc_pwx"] + beta, golden["gc_pwy"] + beta)]
    assert (energy(*whole, labels(*whole)) <= energy(*whole, golden.labels)).all()


def test_the_recorded_pixels_for_the_recorded_masks(golden):
    mask = torch.from_numpy(golden["gc_mask"])
    data, pixels = golden.method.mix_at(*golden.seen, golden.maps, mask)
    assert np.abs(data.permute(0, 3, 1, 2).numpy() - golden["mixed_x"]).max() <= 1e-6
    ratio = pixels.mean((1, 2)).numpy()
    assert np.abs(ratio - golden["ratio"]).max() <= 1e-6
    labels_of, ratio = np.eye(10)[golden["y"]], ratio[:, None]
    target = ratio * labels_of + (1 - ratio) * labels_of[golden["indices"]]
    assert np.abs(target - golden["target"]).max() <= 1e-6


def by_hand(**options):
    """Two by two pixels, white and black, of two by two blocks; λ is 1/2."""
    method = PuzzleMix(blocks="2", **options)
    s_a, s_b = torch.tensor([[[0.5, 0.5], [0.0, 0.0]]]), torch.tensor([[[0.0, 0.25], [0.7, 0.05]]])
    a, b = torch.full((1, 2, 2, 3), 255.0), torch.tensor([0.0, 1.0, 2.0, 3.0]).view(1, 2, 2, 1).expand(-1, -1, -1, 3)
    return method.mix(Images(a, s_a), Images(b, s_b), None, torch.tensor([[0.5, 0.5]], dtype=torch.float64))


def test_hand_worked_example():
    """β/b/16 is 0.0375. Where the image changes there is a jump of about 1, which costs γ of it, so that such a border
    costs 0.05625 in all, while a border's jumps cost each block the same. Blocks of a cost the saliency of b, 0, .25,
    .7 and .05, blocks of b that of a, .5, .5, 0 and 0. Two levels: a above b costs .25 and two borders, .3625; with a
    in the last block too .4125; with a in the first block alone .6125.

    Three levels: one half everywhere saves η/b² log 2 = .0347 a block, too little for the saliency of the first three.
    It costs the last .025 of saliency, and each of its borders a quarter of .05625 instead of one 0 and one whole.
    """
    assert by_hand(n_labels=2, transport=False).mask.tolist() == [[[1, 1], [0, 0]]]
    found = by_hand()
    assert found.mask.tolist() == [[[1, 1], [0, 0.5]]]
    assert found.weight.tolist() == [[0.625, 0.375]] and found.draw.tolist() == [[0.5, 2]]
    assert found.data[0, ..., 1].tolist() == [[255, 255], [2, 129]]


def test_hand_worked_transport():
    """The upper right pixel of b, 1, is not seen, and worth more below, .25 - .1, than what is there, .05. That would
    go left, where .05 - .1 is less than nothing."""
    assert by_hand(t_eps=0.1).data[0, ..., 1].tolist() == [[255, 255], [2, 128]]
    assert by_hand(t_eps=0.1, transport=False).data[0, ..., 1].tolist() == [[255, 255], [2, 129]]


@pytest.mark.parametrize("size", [(16, 16), (28, 28), (24, 20), (2, 2), (8, 64), (96, 80)])
@pytest.mark.parametrize("options", [{}, {"n_labels": 2}, {"n_labels": 4, "t_size": -1}, {"transport": False}], ids=str)
def test_masks_and_shares(size, options):
    found = mixed(options, size=size)
    levels = torch.arange(options.get("n_labels", 3)) / (options.get("n_labels", 3) - 1)
    assert (found.mask[..., None] - levels).abs().amin(-1).max() < 1e-6
    assert torch.allclose(found.weight[:, 0], found.mask.double().mean((1, 2)), atol=1e-7, rtol=0)
    for mask, block in zip(found.mask, found.draw[:, 1].int().tolist(), strict=True):
        cells = mask.unflatten(1, (block, -1)).unflatten(0, (block, -1))
        assert (cells == cells[:, :1, :, :1]).all()


def test_pixels_come_from_the_parent_that_the_mask_names():
    a, b, u = pairs()
    found = PuzzleMix(n_labels=2).mix(a, b, None, u)
    for data, mask, own, other in zip(found.data, found.mask, a.data, b.data, strict=True):
        for parent, seen in ((own, mask == 1), (other, mask == 0)):
            pixels = {tuple(p) for p in parent.flatten(0, 1).tolist()}
            assert {tuple(p) for p in data[seen].tolist()} <= pixels


def test_salient_cells_are_moved_into_sight():
    a, b, u = pairs(batch=64)
    moved, stays = (PuzzleMix(transport=t, t_eps=0.05).mix(a, b, None, u) for t in (True, False))
    assert torch.equal(moved.mask, stays.mask) and torch.equal(moved.weight, stays.weight)
    assert not torch.equal(moved.data, stays.data)
    assert torch.equal(stays.data, b.data.lerp(a.data, stays.mask[..., None]))


def test_numbers_of_blocks_are_those_that_divide_both_sides():
    draw = mixed(size=(28, 28), batch=200).draw[:, 1]
    assert sorted(set(draw.tolist())) == [2, 4] and 60 < (draw == 2).sum() < 140
    assert set(mixed(size=(16, 24)).draw[:, 1].tolist()) == {2, 4, 8}
    assert set(mixed({"blocks": "3, 5"}, size=(15, 30)).draw[:, 1].tolist()) == {3, 5}


def test_the_mask_follows_lambda():
    a, b, _ = pairs(batch=64)
    shares = []
    for lam in (0.05, 0.5, 0.95):
        u = torch.tensor([[lam, 0.5]], dtype=torch.float64).expand(64, -1)
        found = PuzzleMix().mix(a, b, None, u)
        assert torch.allclose(found.draw[:, 0], u[:, 0])
        shares.append(found.weight[:, 0].mean().item())
    assert shares[0] < 0.4 < shares[1] < 0.6 < shares[2]


def test_weights_of_the_objective():
    """No prior: λ does not matter. Much of it: the mask is one level. Much smoothness: the same."""
    a, b, u = pairs()
    other = u.clone()
    other[:, 0] = 1 - u[:, 0]
    without = [PuzzleMix(eta=0.0).mix(a, b, None, v).mask for v in (u, other)]
    assert torch.equal(*without)
    for options in ({"eta": 1e4}, {"beta": 1e4}):
        mask = PuzzleMix(**options).mix(a, b, None, u).mask
        assert (mask.flatten(1).amax(1) == mask.flatten(1).amin(1)).all()


def test_a_prior_is_a_binomial():
    lam = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    expected = torch.stack([lam**2, 2 * lam * (1 - lam), (1 - lam) ** 2], 1)
    assert torch.allclose(rarity(lam.logit(), 3), -expected.log())
    assert torch.allclose((-rarity(lam.logit(), 4)).exp().sum(1), torch.ones(3, dtype=torch.float64))
    assert rarity(torch.tensor([1000.0], dtype=torch.float64), 2).tolist() == [[0, 1000]]


def test_maps_of_zeros_are_even():
    a, b, u = pairs()
    zero, even = torch.zeros_like(a.saliency), torch.ones_like(a.saliency)
    found, expected = (PuzzleMix().mix(Images(a.data, s), b, None, u) for s in (zero, even))
    assert torch.equal(found.data, expected.data) and torch.equal(found.mask, expected.mask)


@pytest.mark.parametrize("factor", [1e-30, 2.0, 1e30])
def test_the_scale_of_a_map_does_not_matter(factor):
    a, b, u = pairs()
    found, scaled = (PuzzleMix().mix(Images(a.data, f * a.saliency), b, None, u) for f in (1, factor))
    assert torch.equal(found.mask, scaled.mask) and torch.equal(found.data, scaled.data)


def test_swapped_parents_swap_the_mask():
    a, b, u = pairs(size=(16, 8))
    swapped = torch.stack([1 - u[:, 0], u[:, 1]], 1)
    there, back = PuzzleMix().mix(a, b, None, u), PuzzleMix().mix(b, a, None, swapped)
    assert torch.equal(there.mask, 1 - back.mask) and (there.data - back.data).abs().max() < 1e-3


def test_turned_images_give_turned_mixes():
    """Rows and columns are treated alike; ways of one length are tried from the top, so that these may differ."""
    a, b, u = pairs(size=(16, 8))
    found = PuzzleMix(transport=False).mix(a, b, None, u)
    turned = [Images(x.data.transpose(1, 2).contiguous(), x.saliency.transpose(1, 2).contiguous()) for x in (a, b)]
    assert torch.equal(PuzzleMix(transport=False).mix(*turned, None, u).data, found.data.transpose(1, 2))


def test_without_numba(monkeypatch):
    found = mixed()
    monkeypatch.setenv("MIXCLI_NO_NUMBA", "1")
    again = mixed()
    assert torch.equal(found.data, again.data) and torch.equal(found.mask, again.mask)


@pytest.mark.parametrize(
    ("size", "blocks", "t_size", "cell"),
    [
        ((32, 32), 4, 0, (4, 4)),
        ((32, 32), 16, 0, (2, 2)),
        ((32, 32), 4, -1, (8, 8)),
        ((64, 64), 2, 0, (4, 4)),
        ((224, 224), 8, 0, (28, 28)),
        ((224, 224), 8, 4, (4, 4)),
        ((28, 20), 4, 0, (7, 5)),
        ((60, 60), 2, 8, (10, 10)),
    ],
)
def test_cells(size, blocks, t_size, cell):
    """The published ones where they divide a block, else the nearest that do."""
    assert PuzzleMix(t_size=t_size).cell(size, blocks) == cell


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_self_pair_gives_itself(count):
    """Of one image no block is better than another: the mask has one level, and no cell is out of sight."""
    a, _, u = pairs()
    found = PuzzleMix(n_labels=count, t_eps=1e-3).mix(a, a, None, u)
    assert torch.equal(found.data, a.data)
    assert (found.mask.flatten(1).amax(1) == found.mask.flatten(1).amin(1)).all() and len(found.mask.unique()) == count


def test_what_fits():
    PuzzleMix().fits((224, 224))
    PuzzleMix(blocks="3").fits((27, 33))
    with pytest.raises(UsageError, match=r"--blocks 2,4,8,16: none divides both .* images of 33x45.* --size 32x44"):
        PuzzleMix().fits((33, 45))
    with pytest.raises(UsageError, match=r"--blocks 16.* --size 16x32"):
        PuzzleMix(blocks="16").fits((8, 36))
    with pytest.raises(UsageError, match="images of 7x8"):
        mixed(size=(7, 8))
    with pytest.raises(UsageError, match="--t-size 1: cuts images of 512x512 into over 256 cells a side; -1"):
        PuzzleMix(t_size=1).fits((512, 512))


@pytest.mark.parametrize(
    "options",
    [
        {"blocks": "1"}, {"blocks": "2,x"}, {"blocks": ""}, {"blocks": "65"}, {"n_labels": 1}, {"n_labels": 5},
        {"gamma": 1.1}, {"gamma": -0.1}, {"beta": -1.0}, {"eta": float("nan")}, {"t_size": -2}, {"t_eps": 0.0},
        {"neigh_size": 0}, {"alpha": 0.0}, {"n_labels": 3.0},
    ],
    ids=str,
)  # fmt: skip
def test_options_out_of_range(options):
    flag = "--" + next(iter(options)).replace("_", "-")
    with pytest.raises(UsageError, match=flag):
        PuzzleMix(**options)
