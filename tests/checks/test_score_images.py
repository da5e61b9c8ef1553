"""Scores of mixed images whose goodness is known, and the same numbers counted another way."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from picture_files import small_net

import mixcli
from mixcli import models
from mixcli.checks.scores import images as scoring_images
from mixcli.checks.scores.image_window import kept
from mixcli.checks.scores.images import _why_unknown
from mixcli.checks.scores.score import cross_entropy, render, score
from mixcli.cli.main import main
from mixcli.data.images import MixedImages
from mixcli.datasets.dataset import Dataset
from mixcli.errors import UsageError
from mixcli.methods import get
from mixcli.pipeline.kinds.images import normalised
from mixcli.pipeline.report import Report
from mixcli.saliency import images as picture_saliency
from mixcli.saliency.normalize import PRESETS
from mixcli.sources.image_reader import PictureReader
from mixcli.sources.image_source import open_picture_source
from mixcli.sources.reading import Reading


class Photos:
    """Four sample pictures of each of the ten classes, and the checkpoint that knows them."""

    def __init__(self, folder, sample):
        self.folder, self.source, self.ckpt = folder, folder / "photos", folder / "net.pt"
        for picture in sorted((sample / "images" / "train").glob("*/00[0-3].png")):
            (self.source / picture.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(picture, self.source / picture.parent.name)
        shutil.copy(sample / "preact_resnet.pt", self.ckpt)

    def mix(self, method, **arguments):
        if method in ("sage", "saliencygrafting"):
            arguments = {"ckpt": str(self.ckpt), "normalize": "half", **arguments}
        return mixcli.mix(method, str(self.source), str(self.folder / f"{method}.h5"), overwrite=True, **arguments).path

    def score(self, path, **arguments):
        """With the checkpoint given, as for a dataset that was made without one."""
        return score(path, str(self.ckpt), normalize="half", **arguments)


@pytest.fixture
def photos(tmp_path, sample):
    return Photos(tmp_path, sample)


def test_scores_of_a_run(photos):
    path = photos.mix("sage", partners=2)
    found = score(path)
    assert (found["schema"], found["data"]) == ("mixcli.scores/1", "images")
    assert found["rows"] == found["rows_scored"] == 80
    assert found["parents_top1"] > 0.9 and 0.3 < found["top1"] < found["parents_top1"]
    assert 0 < found["top2"] < 1 and 0 < found["kl_mean"] < found["cross_entropy_mean"]
    assert found["saliency_kept"]["both"] > 1.1
    assert found["diversity"] is None and found["parent_distance"] > 2
    kl = [entry["kl"] for entry in found["worst"]]
    assert len(kl) == 50 and kl == sorted(kl, reverse=True)
    assert json.loads(path.with_name("sage.h5.scores.json").read_text()) == json.loads(json.dumps(found))
    text = render(found)
    assert "as the class of a parent" in text and "first guesses" in text and "of B's is kept" in text


def test_the_same_counted_by_hand(photos):
    """CutMix with its masks kept: predictions and saliency straight from the network, row by row."""
    path = photos.mix("cutmix", k=2, keep=("mask",))
    rows = Dataset(path).require().read(0, 80)
    source, _ = open_picture_source([str(photos.source)], Reading())
    pictures = PictureReader(source, 10, (64, 64)).read(np.arange(40))
    net = models.load(photos.ckpt).net
    heat = picture_saliency.gradient(net, seen(pictures.values), torch.from_numpy(source.labels)).map.double().numpy()
    heat /= heat.sum((1, 2), keepdims=True)
    with torch.no_grad():
        log_p = net(seen(rows["data"])).double().log_softmax(1).numpy()
    share, (a, b) = rows["mask"] / 255, rows["parent"].T
    away = np.abs(rows["data"][:, None].astype(int) - pictures.values[rows["parent"]]).mean((2, 3, 4))
    loss = -(rows["soft_label"] * log_p).sum(1).mean()

    found = photos.score(path)
    assert found["saliency_kept"]["a"] == pytest.approx((share * heat[a]).sum((1, 2)).mean(), abs=1e-5)
    assert found["saliency_kept"]["b"] == pytest.approx(((1 - share) * heat[b]).sum((1, 2)).mean(), abs=1e-5)
    assert found["top1"] == np.mean([row.argmax() in of for row, of in zip(log_p, rows["parent_label"], strict=True)])
    assert found["cross_entropy_mean"] == pytest.approx(loss, abs=1e-5)
    assert found["parent_distance"] == pytest.approx(away.min(1).mean())
    apart = np.abs(rows["data"][::2].astype(int) - rows["data"][1::2]).mean()
    assert found["diversity"] == pytest.approx(apart)


def seen(images):
    """What the network sees. (m,64,64,3) u8 -> (m,3,64,64) f32."""
    return normalised(torch.from_numpy(images), PRESETS["half"])


def test_a_tiny_hole_changes_nothing(photos):
    """One parent, and at most 2 x 2 of its 64 x 64 pixels gone."""
    found = photos.score(photos.mix("cutout", k=3, length=2))
    assert found["near_copies"] == 1 and found["parent_distance"] < 0.2
    assert found["top1"] == pytest.approx(found["parents_top1"], abs=0.02)
    assert found["top2"] is None and found["saliency_kept"]["b"] is None
    assert found["saliency_kept"]["a"] == found["saliency_kept"]["both"] > 0.99
    assert found["kl_mean"] == pytest.approx(found["cross_entropy_mean"])
    assert "99% of A's is kept" in render(found) or "100% of A's is kept" in render(found)


def test_a_larger_hole_costs_more(photos):
    small, large = (photos.score(photos.mix("cutout", k=2, length=length)) for length in (8, 48))
    assert large["saliency_kept"]["a"] < small["saliency_kept"]["a"] and large["kl_mean"] > small["kl_mean"]
    assert large["near_copies"] < small["near_copies"]


def test_kept_by_hand():
    """A mask 1 1 0 over three pixels. b's map 3 1 0, moved right by one, is · 3 1: of it 1 lies where b shows."""
    maps = [np.array([[1.0, 2.0, 5.0]], np.float32), np.array([[3.0, 1.0, 0.0]], np.float32)]
    images = [grey(10, 20, 30), grey(40, 50, 60)]

    def share(*shown, shift=((0, 1),), parents=2):
        mask = torch.tensor([[[255, 255, 0]]], dtype=torch.uint8)
        mix = MixedImages(torch.from_numpy(grey(*shown))[None], None, mask, None, shift=shift and torch.tensor(shift))
        return [None if np.isnan(part) else part for part in kept(mix, maps[:parents], images[:parents])]

    assert share(10, 20, 50) == [3 / 8, 1 / 4]
    assert share(10, 20, 60, shift=None) == [3 / 8, 0]
    assert share(10, 20, 40) == [3 / 8, None], "what is shown of b is another piece"
    assert share(10, 10, 50) == [None, None], "what is shown of a is another piece"
    assert share(10, 20, 0, parents=1) == [3 / 8, None]
    assert np.isnan(kept(MixedImages(None, None, None, None), maps, images)).all()


def grey(*levels):
    """A row of pixels (1,w,3) u8."""
    return np.array([[[level] * 3 for level in levels]], np.uint8)


def test_cross_entropy_by_hand():
    assert cross_entropy(np.array([[0.5, 0.5]]), np.log([[0.25, 0.75]])) == pytest.approx(0.836988, abs=1e-6)


def test_files_that_lose_something_are_scored_as_well(photos):
    path = photos.folder / "jpgs"
    mixcli.mix("cutmix", str(photos.source), str(path), format="jpg", k=2)
    found = photos.score(path)
    assert 0.9 < found["saliency_kept"]["both"] < 1.1 and found["rows_scored"] == 80
    assert (photos.folder / "jpgs.scores.json").is_file()


def test_a_sample_of_whole_pairs_from_some_windows(photos, monkeypatch):
    dataset = Dataset(photos.mix("cutmix", k=2, window=4, partners=2)).require()
    monkeypatch.setattr(scoring_images, "PAIRS", 12)
    windows = list(scoring_images.rows_by_window(dataset, full=False))
    rows = np.concatenate(windows)
    assert len(rows) == 24 and len(windows) <= 8 and (rows[1::2] == rows[::2] + 1).all() and (rows[::2] % 2 == 0).all()
    assert [len(set((part // 16).tolist())) for part in windows] == [1] * len(windows)
    assert np.concatenate(list(scoring_images.rows_by_window(dataset, full=True))).tolist() == list(range(160))
    assert photos.score(dataset.path)["rows_scored"] == 24


def test_another_checkpoint_judges_and_the_own_one_makes_again(photos):
    """Where the one that made the mixes is gone, they cannot be made again with another: no saliency then."""
    path = photos.mix("sage")
    other = photos.folder / "other.pt"
    state = torch.load(photos.ckpt, weights_only=True)["state_dict"]
    torch.save({name: v * 1.01 if name.endswith("conv1.weight") else v for name, v in state.items()}, other)
    judged = score(path, str(other))
    assert judged["checkpoint"] == str(other) and judged["saliency_kept"]["both"] > 1
    photos.ckpt.unlink()
    blind = score(path, str(other))
    assert blind["saliency_kept"] is None and blind["kl_mean"] == judged["kl_mean"]
    assert "made again, too few of the mixes come out as they are stored" in render(blind)


def test_a_checkpoint_of_other_classes_measures_no_fit(photos):
    torch.save({"state_dict": small_net().state_dict()}, photos.folder / "three.pt")
    found = score(photos.mix("cutmix"), str(photos.folder / "three.pt"), normalize="half")
    assert found["top1"] is found["parents_top1"] is found["kl_mean"] is None and found["worst"] == []
    assert 0.9 < found["saliency_kept"]["both"] < 1.1 and "not measured" in render(found)


def test_what_is_missing_or_wrong_is_said(photos):
    path = photos.mix("cutmix")
    with pytest.raises(UsageError, match=r"was made without a checkpoint; --ckpt gives one .*--normalize"):
        score(path)
    with pytest.raises(UsageError, match="did you mean half"):
        score(path, str(photos.ckpt), normalize="hafl")
    with pytest.raises(UsageError, match="holds no mixes"):
        score(mixcli.convert(str(photos.source), str(photos.folder / "plain.h5")).path, str(photos.ckpt))
    with pytest.raises(UsageError, match="holds no mixes"):
        score(photos.mix("cutmix", shard=(1, 2)), str(photos.ckpt))
    path = photos.mix("cutmix")
    notes = []
    poor = score(path, str(photos.ckpt), normalize="1,1,1/0.1,0.1,0.1", report=Report(note=notes.append))
    assert poor["parents_top1"] < 0.3
    assert len(notes) == 1 and "--normalize (half gives" in notes[0], "a preset that does better is named"
    shutil.move(photos.source, photos.folder / "elsewhere")
    with pytest.raises(UsageError, match="scores need the source"):
        score(path, str(photos.ckpt))


def test_the_command(photos):
    path = photos.mix("cutmix")
    arguments = ["inspect", str(path), "--score", "--ckpt", str(photos.ckpt), "--normalize", "half"]
    done = CliRunner().invoke(main, [*arguments, "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)["top1"] > 0
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0 and done.stdout.startswith("scored     40 of 40 mixes")


@pytest.mark.parametrize(
    ("method", "again", "says"),
    [
        ("puzzlemix", 1.0, "puzzlemix moves pieces, so no mask tells whose saliency a pixel carries"),
        ("augmix", 1.0, "augmix has no mask that tells where a parent is"),
        ("puzzlemix", 0.5, "made again, too few of the mixes come out as they are stored"),
        ("comixup", 1.0, "the masks do not tell where the parents are"),
    ],
)
def test_why_kept_saliency_is_unknown(method, again, says):
    setup = SimpleNamespace(traits=get(method).traits)
    assert _why_unknown(setup, np.arange(10) < 10 * again) == says


def test_a_poor_checkpoint_is_told_of_with_causes(gallery):
    """Where no other preset does better, the usual causes are named."""
    told = []
    other = gallery.folder / "poor.pt"
    state = torch.load(gallery.ckpt)
    torch.save({name: torch.zeros_like(x) if "linear" in name else x for name, x in state.items()}, other)
    path = gallery.mix("cutmix", "mixed.h5").path
    score(path, str(other), report=Report(note=told.append))
    warned = [sentence for sentence in told if "likely causes" in sentence]
    assert all("another class order, another --normalize" in sentence for sentence in warned) and warned


def test_clouds_have_no_preset(tiny):
    with pytest.raises(UsageError, match="--normalize: is for images"):
        score(tiny.mix("mixed.h5").path, normalize="half")
