import click
import numpy as np
import pytest
from click.testing import CliRunner

import mixcli
from mixcli.cli.applicable import command_options
from mixcli.cli.main import main
from mixcli.cli.options import click_option
from mixcli.errors import UsageError
from mixcli.methods import get, kinds_of
from mixcli.methods.offered import check_given
from mixcli.option import options
from mixcli.settings.run import Settings

BOTH = ("points", "images")


@pytest.fixture
def pictures(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (8, 6, 5, 3), np.uint8)
    np.savez(tmp_path / "pictures.npz", images=values, labels=np.arange(8) % 2)
    return tmp_path / "pictures.npz"


def call(*arguments):
    done = CliRunner().invoke(main, list(map(str, arguments)))
    return done.exit_code, done.stderr


def offered(method):
    """What click has of each option, by name."""
    return {one.name: click_option(one) for one in command_options(get(method))}


def test_which_kinds_a_method_mixes():
    assert kinds_of(get("sagemix")) == kinds_of(get("mixup")) == BOTH
    assert kinds_of(get("rsmix")) == ("points",) and kinds_of(get("sage")) == ("images",)


@pytest.mark.parametrize(("method", "kind"), [("rsmix", "points"), ("sage", "images")])
def test_of_one_kind_they_are_as_they_stand(method, kind):
    names = [name for name in offered(method) if name in options(Settings)]
    assert names == [name for name, one in options(Settings).items() if one.is_for(kind)]


def test_of_both_kinds_each_stands_once():
    names = [one.name for one in command_options(get("mixup"))]
    assert len(set(names)) == len(names)
    assert set(names) >= set(options(Settings))
    found = offered("mixup")
    assert tuple(found["pairing"].type.choices) == ("random", "different-class", "same-class", "greedy")
    assert tuple(found["keep"].type.choices) == ("point_source", "saliency", "mask") and found["keep"].multiple
    assert not isinstance(found["normalize"].type, click.Choice) and options(Settings)["normalize"].default is None


@pytest.mark.parametrize(
    ("data", "given", "says"),
    [
        ("points", {"size": (8, 8)}, "--size: is for images.*pass --on images"),
        ("images", {"points": 64}, "--points: is for points.*pass --on points"),
        ("images", {"point_weight": False}, "--no-point-weight: is for points"),
        ("points", {"keep": ("saliency", "mask")}, "--keep mask: for points must be one of point_source, saliency"),
        ("images", {"keep": ("saliency",)}, "--keep saliency: for images must be one of mask"),
        ("points", {"pairing": "greedy"}, "--pairing greedy: for points must be one of random"),
        ("points", {"normalize": "cifar10"}, "--normalize cifar10: for points must be one of none, unit-sphere"),
    ],
)
def test_what_does_not_fit(data, given, says):
    with pytest.raises(UsageError, match=says):
        check_given(options(Settings), given, get("mixup")(on=data))
    with pytest.raises(UsageError, match=says):
        mixcli.mix("mixup", "in.h5", "out.h5", on=data, **given)


def test_what_fits():
    fits = {"keep": ("mask",), "pairing": "greedy", "normalize": "cifar10", "size": (8, 8)}
    check_given(options(Settings), fits, get("mixup")(on="images"))
    fits = {"keep": ("saliency",), "points": 64, "normalize": "unit-sphere", "k": 3}
    check_given(options(Settings), fits, get("mixup")())


def test_the_other_kind_is_named_where_none_was_asked_for():
    with pytest.raises(UsageError, match=r"none, unit-sphere; images are mixed with --on images$"):
        check_given(options(Settings), {"normalize": "half"}, get("mixup")(), asked=False)
    with pytest.raises(UsageError, match=r"none, unit-sphere$"):
        check_given(options(Settings), {"normalize": "half"}, get("rsmix")(), asked=False)


def test_the_command_says_so(pictures, tmp_path):
    told = ["--in", pictures, "--out", tmp_path / "m.h5", "--normalize", "half"]
    assert "; images are mixed with --on images" in call("sagemix", *told)[1]
    assert "; images are mixed" not in call("sagemix", "--on", "points", *told)[1]


@pytest.mark.parametrize("method", ["cutout", "augmix"])
def test_what_needs_no_network_is_offered_none(method):
    none = {"ckpt", "model", "saliency", "layer", "norm", "saliency_target", "pairing", "partners"}
    assert not none & set(offered(method)) and {"sources", "out", "format"} < set(offered(method))
    assert offered(method)["k"].help == "Mixes of each image."
    assert ("keep" in offered(method)) == (method == "cutout"), "augmix has no mask"


def test_what_may_need_a_network_is_offered_one():
    for method in ("keepaugment", "comixup", "cutmix", "pointcutmix"):
        assert {"ckpt", "model", "saliency_target"} < set(offered(method)), method


def test_hidden_states_are_no_pictures():
    found = offered("manifoldmixup")
    none = {"format", "keep", "quality", "png_level", "manifest", "saliency", "norm"}
    assert not none & set(found) and {"ckpt", "layer"} < set(found)
    assert tuple(found["pairing"].type.choices) == ("random", "different-class", "same-class")
    assert "manifoldmixup" not in offered("sage")["layer"].help and "mixed" in found["layer"].help


def test_one_command_for_both(pictures, tiny):
    """Typed options are held against the kind that is mixed, defaults are not."""
    out = tiny.folder / "m.npz"
    assert call("mixup", "--on", "images", "--in", pictures, "--out", out, "--keep", "mask", "-q") == (0, "")
    assert mixcli.verify(out, replay=None)["faults"] == []
    clouds = ["--in", tiny.source, "--points", 64, "--out", tiny.folder / "m.h5"]
    assert call("mixup", *clouds, "-q") == (0, "")
    code, said = call("mixup", "--on", "images", *clouds)
    assert code == 2 and "--points: is for points" in said
    code, said = call("mixup", *clouds[:2], *clouds[4:], "--norm", "l2")
    assert code == 2 and "--norm: is for images" in said


def test_a_source_of_the_other_kind(pictures, tiny):
    out = ["--out", tiny.folder / "m.h5"]
    code, said = call("mixup", "--in", pictures, *out)
    assert code == 2 and said == f"mixcli: {pictures}: holds images; --on images mixes them\n"
    code, said = call("mixup", "--on", "images", "--in", tiny.source, *out)
    assert code == 2 and said == f"mixcli: {tiny.source}: holds points; --on points mixes them\n"
    code, said = call("cutmix", "--in", tiny.source, *out)
    assert code == 2 and said == f"mixcli: {tiny.source}: holds points; cutmix mixes images\n"
    code, said = call("mixup", "--in", tiny.folder / "none.h5", *out)
    assert code == 2 and "none.h5: no such file" in said


def test_clouds_have_no_greedy_pairing(tiny):
    with pytest.raises(UsageError, match=r"--pairing greedy: for points must be one of random.*--on images"):
        tiny.mix("m.h5", pairing="greedy")
