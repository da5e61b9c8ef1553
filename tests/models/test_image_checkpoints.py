"""Published image checkpoints through the command line, on real images where the recordings hold some."""

import re

import numpy as np
import pytest
from click.testing import CliRunner

from mixcli.cli.main import main


def call(*arguments):
    """Run in process -> exit code, stdout, stderr."""
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(scope="module")
def cifar(shared, tmp_path_factory):
    """Test images of CIFAR-10, which went through JPEG: 24 of them, with their labels."""
    golden = [np.load(shared / "golden/images" / f"{name}.npz") for name in ("sage_saliency_resnet20", "guided_sr32")]
    path = tmp_path_factory.mktemp("cifar") / "recorded.npz"
    np.savez(path, **{name: np.concatenate([part[key] for part in golden]) for name, key in
                      (("images", "u8"), ("labels", "labels"))})  # fmt: skip
    return path


@pytest.fixture(scope="module")
def resnet20(shared):
    return shared / "data/ckpt_images/resnet20-12fca82f.th"


@pytest.mark.parametrize("method", ["sage", "guidedmixup"])
def test_a_trained_network_on_real_images(cifar, resnet20, tmp_path, method):
    """It labels 18 rightly; of all such test images 81 %."""
    given = (method, "--in", cifar, "--ckpt", resnet20, "--saliency", "gradient", "--normalize", "imagenet")
    code, out, told = call(*given, "--out", tmp_path / "mixed.h5")
    assert (code, out) == (0, f"{tmp_path / 'mixed.h5'}\n")
    assert "24 rows from 24 samples" in told and "75.0% of them rightly" in told and "warning" not in told
    code, _, told = call("verify", tmp_path / "mixed.h5", "--replay", "all")
    assert code == 0 and "0 faults" in told


def test_a_wrong_normalisation_names_a_better_one(cifar, resnet20, tmp_path):
    given = ("sage", "--in", cifar, "--ckpt", resnet20, "--normalize", "0,0,0/0.05,0.05,0.05")
    code, _, told = call(*given, "--out", tmp_path / "mixed.h5")
    assert code == 0 and "warning: the checkpoint labels only" in told
    better = re.search(r"another --normalize \((\w+) gives (\d+)% of the first 24, 0,0,0/.* 21%\)", told)
    assert better[1] in ("cifar10", "cifar100", "imagenet", "half") and int(better[2]) >= 75


WRAPPED = ("kuangliu_style.pth", "lightning_style.ckpt", "plain_state_dict.pt", "puzzlemix_style.pth.tar",
           "timm_style.pth.tar", "torchvision_ref_style.pth")  # fmt: skip


@pytest.mark.parametrize("name", WRAPPED)
def test_published_wrappers(shared, sample, tmp_path, name):
    """Each holds the same network, of ten classes as the sample images have."""
    ckpt = shared / "data/ckpt_images/wrappers" / name
    given = ("sage", "--in", sample / "images/train", "--ckpt", ckpt, "--out", tmp_path / "mixed.h5", "--dry-run")
    code, out, told = call(*given)
    assert code == 0 and "preact_resnet" in out, told


def test_a_whole_module_is_refused_by_name(shared, sample, tmp_path):
    ckpt = shared / "data/ckpt_images/wrappers/whole_module.pt"
    code, out, told = call("sage", "--in", sample / "images/train", "--ckpt", ckpt, "--out", tmp_path / "mixed.h5")
    assert (code, out) == (4, "") and not list(tmp_path.iterdir())
    assert "whole_module.pt: is a whole pickled module of class preresnet.PreActResNet, and loading one runs" in told
