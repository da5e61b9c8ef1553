"""Manifests whose recipe holds what no run can have recorded: `verify` finds it, names the key, and ends with 5."""

import json
from contextlib import contextmanager

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import Tiny, write_h5
from picture_files import Gallery
from wrong_values import Wrong, right_value, wrong_values

import mixcli
from mixcli.cli.main import main
from mixcli.datasets.schema import RECORDED, wrong
from mixcli.methods import get, methods
from mixcli.methods.offered import kinds_mixed
from mixcli.option import options

JSON = (int, float, str, bool, list, tuple, type(None))


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """One of each kind of data, small, and its manifest."""
    folder = tmp_path_factory.mktemp("recipes")
    rng = np.random.default_rng(0)
    source = write_h5(folder / "in.h5", rng.uniform(-1, 1, (8, 24, 3)).astype(np.float32), np.arange(8) % 2)
    clouds = Tiny(folder, source, folder / "none.pt").mix("clouds.h5", "mixup", ckpt=None, points=16, window=4)
    gallery = Gallery(folder)
    images = gallery.mix("mixup", "images.h5", on="images", ckpt=None, normalize=None)
    hidden = gallery.mix("manifoldmixup", "hidden.h5", layer="layer1")
    return {kind: made.path for kind, made in (("points", clouds), ("images", images), ("hidden", hidden))}


def manifest_of(path):
    with h5py.File(path) as file:
        return json.loads(file.attrs["mixcli"])


@contextmanager
def edited(path, **recipe):
    """The dataset with another recipe; it is put right again."""
    whole = manifest_of(path)
    write_manifest(path, {**whole, "recipe": {**whole["recipe"], **recipe}})
    try:
        yield
    finally:
        write_manifest(path, whole)


def write_manifest(path, manifest):
    with h5py.File(path, "r+") as file:
        file.attrs["mixcli"] = json.dumps(manifest)


def faults(path, **recipe):
    """What verify says if the recipe is otherwise, and how the command ends that makes rows again."""
    with edited(path, **recipe):
        found = [f["what"] for f in mixcli.verify(path)["faults"]]
        done = CliRunner().invoke(main, ["verify", str(path), "--replay=2", "-q"])
        return found, (done.exit_code, done.stdout)


def refused(path, at, **recipe):
    (found,), ended = faults(path, **recipe)
    assert f"'{at}" in found and len(found) < 400, (recipe, found)
    assert ended == (5, f"{path}: {found}\n"), recipe


def in_json(wrong: Wrong):
    """Whether a recipe can hold it."""
    return isinstance(wrong.value, JSON) and wrong.how != "not finite"


def test_what_was_written_is_right(datasets):
    for path in datasets.values():
        assert faults(path) == ([], (0, ""))


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name, one in RECORDED.items() for kind in ("points", "images", "hidden")]
)
def test_recorded_options(datasets, name, kind):
    """Wrong values of each option that is for this kind of data, and right ones of each that is for another."""
    one, path = RECORDED[name], datasets[kind]
    if not one.is_for(kind):
        refused(path, f"recipe.{name}' is", **{name: right_value(one, one.kinds[0])[0]})
        return
    for value in [w.value for w in wrong_values(one, kind) if in_json(w)]:
        refused(path, f"recipe.{name}", **{name: value})
    if not one.optional or one.settled:
        refused(path, f"recipe.{name}", **{name: None})


@pytest.mark.parametrize("method", methods())
def test_options_of_methods(datasets, method):
    """Of each method, as if it had made the dataset of its kind."""
    cls = get(method)
    kind = kinds_mixed(cls)[0]
    own = {name: one.default for name, one in options(cls).items()}
    for name, one in options(cls).items():
        for value in [w.value for w in wrong_values(one) if in_json(w)]:
            refused(datasets[kind], f"recipe.options.{name}", method=method, options={**own, name: value})
    more = {**own, "more": 1}
    refused(datasets[kind], 'recipe.options\' has "more", which is no option of', method=method, options=more)


def test_older_manifests_lack_what_came_later(datasets):
    for path in datasets.values():
        recipe = manifest_of(path)["recipe"]
        for name, one in RECORDED.items():
            lacking = {**manifest_of(path), "recipe": {key: value for key, value in recipe.items() if key != name}}
            assert list(wrong(lacking)) == ([] if one.later else [f"'recipe.{name}' is missing"])


@pytest.mark.parametrize(
    ("kind", "recipe", "says"),
    [
        ("points", {"options": {"on": "images"}}, "'recipe.points' is 16, which is for points, and images"),
        ("images", {"options": {"on": "points"}}, "'recipe.size' is [20, 20], which is for images, and points"),
        ("points", {"pairing": "group"}, "--pairing group: must be one of random"),
        ("points", {"keep": ["saliency"]}, "--keep saliency: mixup takes no saliency"),
        ("hidden", {"layer": None}, "needs --layer"),
        ("hidden", {"layer": "layer9"}, "layer9"),
        ("points", {"method": "nobodys"}, "no method 'nobodys'"),
    ],
)
def test_values_that_do_not_go_together(datasets, kind, recipe, says):
    """Some of them are seen only when rows are made again, from source and network."""
    _, (code, told) = faults(datasets[kind], **recipe)
    assert code == 5 and says in told, told


def test_a_method_that_is_not_here(datasets):
    """It may be of a package that this machine does not have: that is no fault, and not passed over in silence."""
    with edited(datasets["points"], method="nobodys"):
        found = mixcli.verify(datasets["points"])
    assert found["faults"] == [] and "options of nobodys were not checked" in found["notes"][0]


def test_json_is_told_shortly(datasets):
    found, *_ = faults(datasets["points"], subsample="x" * 10**5)
    assert len(found[0]) < 300 and "'recipe.subsample'" in found[0]
