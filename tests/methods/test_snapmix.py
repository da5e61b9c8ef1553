import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats

import mixcli
from mixcli.data.images import Images
from mixcli.datasets.dataset import Dataset
from mixcli.errors import MixError, UsageError
from mixcli.methods.cutmix import box, outside
from mixcli.methods.snapmix import SnapMix, shares, stretched, used
from mixcli.rng import uniforms


def pictures(batch=16, size=(9, 14), seed=0):
    rng = np.random.default_rng(seed)
    data, maps = rng.uniform(0, 255, (2, batch, *size, 3)), rng.random((2, batch, *size)) ** 3
    return [Images(*(torch.from_numpy(x.astype(np.float32)) for x in one)) for one in zip(data, maps, strict=True)]


def draws(batch, seed=0):
    return torch.from_numpy(uniforms(seed, "mix", np.arange(batch), width=6))


def boxes_of(mixed):
    """Those of a and of b, (B,4) each."""
    return mixed.draw[:, 2:].reshape(-1, 2, 4).long().numpy().transpose(1, 0, 2)


def one_by_one(a, b, target, source):
    """As published, but each mix with its own boxes: torch resizes what is cut out."""
    found = a.clone()
    for i, ((top, left, bottom, right), (y0, x0, y1, x1)) in enumerate(zip(target, source, strict=True)):
        if bottom > top and right > left and y1 > y0 and x1 > x0:
            cut = b[i, y0:y1, x0:x1].permute(2, 0, 1)[None]
            cut = F.interpolate(cut, (int(bottom - top), int(right - left)), mode="bilinear", align_corners=True)
            found[i, top:bottom, left:right] = cut[0].permute(1, 2, 0)
    return found


def test_the_recorded_mixes(shared):
    """One pair of boxes a batch, recorded maps; the recorded shares of pairs of one class are each the sum of both."""
    golden = np.load(shared / "golden" / "images" / "snapmix.npz")
    x, spm = torch.from_numpy(golden["x"]).permute(0, 2, 3, 1).contiguous(), torch.from_numpy(golden["spm"])
    side, recorded = np.array([56, 56]), zip(golden["lam"], golden["lam1"], golden["centers"], strict=True)
    for k, (lam, lam_b, centre) in enumerate(recorded):
        partner = golden["rand_index"][k]
        both = [box(side, np.array([1 - lam]), centre[None, :2]), box(side, np.array([1 - lam_b]), centre[None, 2:])]
        target, source = used(np.hstack(both).repeat(6, 0))
        mixed = stretched(x[partner], source, x, target)
        assert np.abs(mixed.permute(0, 3, 1, 2).numpy() - golden["mixed_x"][k]).max() <= 1e-6
        kept, left = outside(target, x), outside(source, x)
        raw = shares(spm, spm[partner], kept, left, torch.zeros(6, 2, dtype=torch.float64)).numpy()
        same = golden["y"] == golden["y"][partner]
        raw[same] = raw[same].sum(1, keepdims=True)
        assert np.abs(raw - np.stack([golden["lam_a"][k], golden["lam_b"][k]], 1)).max() <= 1e-6


def test_hand_worked_example():
    """4 x 8 pixels, Beta(1, 1): u = 1/4 is λ = 1/4, so sides of √¾ · (4, 8), halved to 1 and 3; 1 - u₂ = 9/64 is a box
    of 3/8 of each side, so 1 and 3, halved to 0 and 1: empty. With u₂ = 1/4 as well, and the centres (2, 4) and (2, 7),
    a's box has rows 1 to 2, columns 1 to 6, b's has rows 1 to 2, columns 4 to 7: four columns become six.
    Of a's map of ones 20/32 are seen; b's map is all in column 7, of which half is in the box."""
    ramp = torch.arange(8.0)[None, None, :, None].expand(1, 4, 8, 3)
    map_b = torch.zeros(1, 4, 8)
    map_b[:, :, 7] = 3
    a, b = Images(torch.full((1, 4, 8, 3), 100.0), torch.ones(1, 4, 8)), Images(ramp, map_b)
    u = torch.tensor([[0.25, 0.25, 0.5, 0.5, 0.5, 0.99]], dtype=torch.float64)
    mixed = SnapMix(alpha=1.0).mix(a, b, None, u)
    expected = np.full((4, 8), 100.0)
    expected[1:3, 1:7] = 4 + 3 / 5 * np.arange(6)
    assert np.allclose(mixed.data[0, :, :, 1].numpy(), expected, atol=1e-6)
    assert mixed.draw[0].tolist() == pytest.approx([0.25, 0.25, 1, 1, 3, 7, 1, 4, 3, 8], abs=1e-12)
    assert mixed.weight_raw.tolist() == [[20 / 32, 0.5]]
    assert mixed.weight.tolist() == [[20 / 32 / (20 / 32 + 0.5), pytest.approx(0.5 / (20 / 32 + 0.5))]]
    u[0, 1] = 1 - 9 / 64
    empty = SnapMix(alpha=1.0).mix(a, b, None, u)
    assert torch.equal(empty.data, a.data) and empty.weight.tolist() == empty.weight_raw.tolist() == [[1, 0]]
    assert empty.draw[0, 6:].tolist() == [2, 6, 2, 8]


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 2), (9, 14), (33, 20)])
def test_every_box_is_resized_as_torch_does(size):
    a, b = pictures(64, size)
    mixed = SnapMix(alpha=1.0).mix(a, b, None, draws(64))
    target, source = boxes_of(mixed)
    assert (mixed.data - one_by_one(a.data, b.data, target, source)).abs().max() <= 1e-4
    assert torch.equal(mixed.mask == 1, outside(used(np.hstack([target, source]))[0], a.data))
    if min(size) > 8:
        assert len(np.unique(mixed.draw.numpy(), axis=0)) == 64, "each mix has its own boxes"


def test_a_box_of_one_colour_keeps_it_to_the_last_bit():
    a, b = pictures(32)
    plain = torch.full_like(b.data, 200.1)
    mixed = SnapMix().mix(a, Images(plain, b.saliency), None, draws(32))
    assert torch.equal(mixed.data, torch.where(mixed.mask[..., None] == 1, a.data, plain))


def test_shares_are_those_of_the_maps():
    a, b = pictures(64)
    mixed = SnapMix(alpha=1.0).mix(a, b, None, draws(64))
    for i, (target, source) in enumerate(zip(*boxes_of(mixed), strict=True)):
        cut_a, cut_b = (
            m[top:bottom, left:right].sum(dtype=torch.float64) / m.sum(dtype=torch.float64)
            for m, (top, left, bottom, right) in ((a.saliency[i], target), (b.saliency[i], source))
        )
        wanted = [1 - cut_a, cut_b] if cut_a > 0 and cut_b > 0 else [1, 0]
        assert mixed.weight_raw[i].tolist() == pytest.approx([float(w) for w in wanted], abs=1e-12)
    total = mixed.weight_raw.sum(1)
    assert total.min() < 0.9 and total.max() > 1.1, "they need not sum to 1"
    assert torch.allclose(mixed.weight, mixed.weight_raw / total[:, None], atol=1e-12)


def test_the_scale_of_a_map_does_not_matter():
    a, b = pictures(32)
    mixed = SnapMix().mix(a, b, None, draws(32))
    other = SnapMix().mix(Images(a.data, a.saliency * 4096), Images(b.data, b.saliency / 4096), None, draws(32))
    assert torch.equal(other.weight_raw, mixed.weight_raw)


def by_area(mixed):
    """The label as CutMix has it."""
    share = mixed.mask.double().mean((1, 2))
    return torch.stack([share, 1 - share], 1)


def test_a_map_of_zeros_gives_way_to_the_area():
    a, b = pictures(16)
    none = torch.zeros_like(a.saliency)
    area = by_area(SnapMix().mix(a, b, None, draws(16)))
    whole = SnapMix().mix(a, b, None, draws(16)).weight_raw
    of_b = SnapMix().mix(a, Images(b.data, none), None, draws(16)).weight_raw
    assert torch.equal(of_b, torch.stack([whole[:, 0], area[:, 1]], 1))
    both = SnapMix().mix(Images(a.data, none), Images(b.data, none), None, draws(16))
    assert torch.equal(both.weight_raw, area) and torch.allclose(both.weight, area, atol=1e-15)


def test_where_nothing_salient_is_seen_the_area_decides():
    """a's map is all inside its box, b's all outside of its own: both shares are 0."""
    a, b = pictures(64)
    boxes = SnapMix().mix(a, b, None, draws(64)).draw[:, 2:].long().numpy()
    target, source = used(boxes)
    seen = (target[:, 2] > target[:, 0]).nonzero()[0]
    kept, left = outside(target, a.data), outside(source, b.data)
    mixed = SnapMix().mix(Images(a.data, 1.0 * ~kept), Images(b.data, 1.0 * left), None, draws(64))
    area = by_area(mixed)
    assert len(seen) > 50 and (mixed.weight_raw[seen] == 0).all()
    assert torch.equal(mixed.weight[seen], area[seen])


def test_labels_as_published():
    """Each parent's own share is the label's, whatever they sum to."""
    a, b = pictures(16)
    published, ours = SnapMix(normalize_labels=False).mix(a, b, None, draws(16)), SnapMix().mix(a, b, None, draws(16))
    assert torch.equal(published.weight, ours.weight_raw) and torch.equal(published.weight_raw, ours.weight_raw)
    assert torch.equal(published.data, ours.data) and not torch.allclose(published.weight, ours.weight, atol=0.01)


def test_labels_that_do_not_sum_to_one_are_written_and_found_to_be_right(gallery):
    path = gallery.mix("snapmix", "mixed.h5", normalize_labels=False, include_originals=True).path
    rows = Dataset(path).require().read(0, 48)
    assert np.array_equal(rows["weight"], rows["weight_raw"]) and rows["soft_label"].sum(1).std() > 0.01
    assert np.allclose(rows["soft_label"].sum(1), rows["weight"].sum(1), atol=1e-6)
    assert mixcli.verify(path, replay=None)["faults"] == []
    with pytest.raises(MixError, match="is no distribution"):
        mixcli.mix("mixup", str(path), str(gallery.folder / "again.h5"), on="images")


@pytest.mark.parametrize("alpha", [5.0, 0.5])
def test_both_lambdas_and_centres_are_drawn_apart(alpha):
    a, b = pictures(2000, (8, 4))
    drawn = SnapMix(alpha=alpha).mix(a, b, None, draws(2000, seed=3)).draw.numpy()
    for lam in drawn[:, :2].T:
        assert stats.kstest(lam, stats.beta(alpha, alpha).cdf).pvalue > 1e-3
    assert abs(stats.pearsonr(*drawn[:, :2].T)[0]) < 0.08
    for lam, bottom in ((drawn[:, 0], drawn[:, 4]), (drawn[:, 1], drawn[:, 8])):
        small = bottom[(8 * np.sqrt(1 - lam)).astype(int) // 2 == 1]  # ends a row after the centre
        assert len(small) > 50 and stats.chisquare(np.bincount(small.astype(int), minlength=9)[1:]).pvalue > 1e-3


def test_what_pixels_carry_follows_them():
    a, b = pictures(16)
    mixed = SnapMix().mix(a, b, None, draws(16))
    grey = b.data[..., 0].contiguous()
    inside = mixed.mask == 0
    assert torch.equal(SnapMix().follow(grey, mixed.draw)[inside], mixed.data[..., 0][inside])


def test_lambda_one_gives_parent_a():
    a, b = pictures()
    u = draws(16)
    u[:, 0] = 1 - 2.0**-53
    mixed = SnapMix(alpha=0.05).mix(a, b, None, u)
    assert torch.equal(mixed.data, a.data) and (mixed.weight == torch.tensor([1.0, 0.0])).all()


def test_the_batch_does_not_matter():
    a, b = pictures()
    whole = SnapMix().mix(a, b, None, draws(16))
    part = SnapMix().mix(*(Images(p.data[3:5], p.saliency[3:5]) for p in (a, b)), None, draws(16)[3:5])
    assert torch.equal(part.data, whole.data[3:5]) and torch.equal(part.draw, whole.draw[3:5])
    assert torch.allclose(part.weight_raw, whole.weight_raw[3:5], atol=1e-15)


def test_options_out_of_range():
    with pytest.raises(UsageError, match="alpha"):
        SnapMix(alpha=0.0)


def test_a_run_keeps_the_shares_as_they_are(gallery):
    from click.testing import CliRunner

    from mixcli.cli.main import main

    result = gallery.mix("snapmix", "mixed.h5", keep=("mask",), k=2)
    rows = Dataset(result.path).require().read(0, result.rows)
    raw = rows["weight_raw"] / rows["weight_raw"].sum(1, keepdims=True)
    assert np.allclose(rows["weight"], raw, atol=1e-6) and np.allclose(rows["soft_label"].sum(1), 1, atol=1e-6)
    assert mixcli.verify(result.path, replay=None)["faults"] == []
    failed = CliRunner().invoke(main, ["snapmix", "--in", str(gallery.source), "--out", str(gallery.folder / "x.h5")])
    assert failed.exit_code == 2 and "--ckpt" in failed.output
