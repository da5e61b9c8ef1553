import click
import numpy as np
import pytest
from click.testing import CliRunner

import mixcli
from mixcli.cli.applicable import check_given, command_options, name_of, options_for
from mixcli.cli.main import main
from mixcli.cli.options import OPTIONS
from mixcli.errors import UsageError
from mixcli.methods import get, kinds_of

BOTH = ("points", "images")


@pytest.fixture
def pictures(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (8, 6, 5, 3), np.uint8)
    np.savez(tmp_path / "pictures.npz", images=values, labels=np.arange(8) % 2)
    return tmp_path / "pictures.npz"


def call(*arguments):
    done = CliRunner().invoke(main, list(map(str, arguments)))
    return done.exit_code, done.stderr


def test_which_kinds_a_method_mixes():
    assert kinds_of(get("sagemix")) == kinds_of(get("mixup")) == BOTH
    assert kinds_of(get("rsmix")) == ("points",) and kinds_of(get("sage")) == ("images",)


@pytest.mark.parametrize("kind", BOTH)
def test_of_one_kind_they_are_as_they_stand(kind):
    assert options_for([kind]) == OPTIONS[kind]


def test_of_both_kinds_each_stands_once():
    names = [name_of(option) for option in options_for(BOTH)]
    assert len(set(names)) == len(names)
    assert set(names) == {name_of(option) for kind in BOTH for option in OPTIONS[kind]}
    found = {name_of(option): option[1] for option in options_for(BOTH)}
    assert tuple(found["pairing"]["type"].choices) == ("random", "different-class", "same-class", "greedy")
    assert tuple(found["keep"]["type"].choices) == ("point_source", "saliency", "mask") and found["keep"]["multiple"]
    assert not isinstance(found["normalize"]["type"], click.Choice) and "default" not in found["normalize"]


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
        check_given(given, data, BOTH)


def test_what_fits():
    check_given({"keep": ("mask",), "pairing": "greedy", "normalize": "cifar10", "size": (8, 8)}, "images", BOTH)
    check_given({"keep": ("saliency",), "points": 64, "normalize": "unit-sphere", "k": 3}, "points", BOTH)


def test_the_other_kind_is_named_where_none_was_asked_for():
    with pytest.raises(UsageError, match=r"none, unit-sphere; images are mixed with --on images$"):
        check_given({"normalize": "half"}, "points", BOTH, asked=False)
    with pytest.raises(UsageError, match=r"none, unit-sphere$"):
        check_given({"normalize": "half"}, "points", ("points",), asked=False)


def test_the_command_says_so(pictures, tmp_path):
    told = ["--in", pictures, "--out", tmp_path / "m.h5", "--normalize", "half"]
    assert "; images are mixed with --on images" in call("sagemix", *told)[1]
    assert "; images are mixed" not in call("sagemix", "--on", "points", *told)[1]


def offered(method):
    return {name_of(option): option[1] for option in command_options(get(method))}


@pytest.mark.parametrize("method", ["cutout", "augmix"])
def test_what_needs_no_network_is_offered_none(method):
    none = {"ckpt", "model", "saliency", "layer", "norm", "saliency_target", "pairing", "partners"}
    assert not none & set(offered(method)) and {"sources", "out", "format"} < set(offered(method))
    assert offered(method)["k"]["help"] == "Mixes of each image."
    assert ("keep" in offered(method)) == (method == "cutout"), "augmix has no mask"


def test_what_may_need_a_network_is_offered_one():
    for method in ("keepaugment", "comixup", "cutmix", "pointcutmix"):
        assert {"ckpt", "model", "saliency_target"} < set(offered(method)), method


def test_hidden_states_are_no_pictures():
    found = offered("manifoldmixup")
    none = {"format", "keep", "quality", "png_level", "manifest", "saliency", "norm"}
    assert not none & set(found) and {"ckpt", "layer"} < set(found)
    assert tuple(found["pairing"]["type"].choices) == ("random", "different-class", "same-class")
    assert "manifoldmixup" not in offered("sage")["layer"]["help"] and "mixed" in found["layer"]["help"]


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
    with pytest.raises(UsageError, match="--pairing greedy: is for images, and sagemix mixes points"):
        tiny.mix("m.h5", pairing="greedy")
