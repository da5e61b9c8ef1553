"""Every kind of damage is found and named."""

import json

import h5py
import numpy as np
import pytest
from conftest import write_h5

import mixcli
from mixcli.checks.verify import Faults
from mixcli.errors import MixError


@pytest.fixture
def mixed(tiny):
    return tiny, tiny.mix("mixed.h5", k=2, include_originals=True).path


def edit(path, change):
    with h5py.File(path, "r+") as file:
        change(file)


def rewrite(name, index, value):
    def change(file):
        file[name][index] = value

    return change


def manifest(**entries):
    def change(file):
        file.attrs["mixcli"] = json.dumps({**json.loads(file.attrs["mixcli"]), **entries})

    return change


def replace(name, make):
    def change(file):
        array = make(file[name][()])
        del file[name]
        file[name] = array

    return change


def delete(name):
    def change(file):
        del file[name]

    return change


def set_attribute(text):
    def change(file):
        file.attrs["mixcli"] = text

    return change


DAMAGE = {
    "a coordinate": (rewrite("data", (5, 3), 9.0), "digests", "SHA-256 differs"),
    "a coordinate of an original": (rewrite("data", (65, 3), 9.0), "digests", "SHA-256 differs"),
    "NaN in a cloud": (rewrite("data", (5, 3), np.nan), "finite", "'data' has values that are not finite"),
    "infinite draw": (rewrite("draw", 5, np.inf), "finite", "'draw' has values"),
    "soft label of zeros": (rewrite("soft_label", 5, 0.0), "shares", "'soft_label' does not sum to 1"),
    "negative share": (rewrite("soft_label", 5, [-0.5, 1.5, 0, 0]), "shares", "outside 0..1"),
    "weights above 1": (rewrite("weight", 5, [0.9, 0.9]), "shares", "'weight' does not sum to 1"),
    "soft label of another class": (rewrite("soft_label", 60, [0, 1, 0, 0]), "labels", "not the parents' classes"),
    "hard label": (rewrite("label", 60, 3), "labels", "'label' is not the largest"),
    "parent label outside": (rewrite("parent_label", 5, 77), "labels", "outside the 4 classes"),
    "parent label of another": (rewrite("parent_label", 5, [0, 0]), "parents", "not the parent's label in the source"),
    "parent outside": (rewrite("parent", 5, [3, 900]), "parents", "outside the source's 30 samples"),
    "no parent a": (rewrite("parent", 5, [-1, 3]), "parents", "there is no parent a"),
    "another parent of the same class": (rewrite("parent", 5, [0, 4]), "pairs", "not the pair that the seed gives"),
    "query outside": (rewrite("query", 5, [3, 64]), "points", "'query' is no place"),
    "point weight above 1": (rewrite("point_weight", (5, 3), 1.5), "points", "'point_weight' is outside 0..1"),
    "point weights of another mix": (rewrite("point_weight", 5, 0.123), "points", "not the mean of 'point_weight'"),
    "a field is missing": (delete("weight"), "structure", "weight"),
    "an extra field": (lambda f: f.__setitem__("more", np.zeros(3)), "structure", "'more' is in the file but not"),
    "a field of another type": (replace("label", lambda a: a.astype(np.int32)), "structure", "'label' is (90,) int32"),
    "fewer rows": (replace("data", lambda a: a[:-1]), "structure", "'data' is (89, 64, 3)"),
    "a link elsewhere": (
        lambda f: (f.__delitem__("label"), f.__setitem__("label", h5py.ExternalLink("/etc/passwd", "x"))),
        "structure",
        "links to other files are not followed",
    ),
    "no manifest": (lambda f: f.attrs.__delitem__("mixcli"), "manifest", "no manifest"),
    "a manifest cut short": (set_attribute('{"schema": "mixcli.man'), "manifest", "does not parse"),
    "another manifest": (set_attribute("[1, 2]"), "manifest", "not one of mixcli's"),
    "a manifest without windows": (manifest(windows=None), "manifest", "'windows' is not a list"),
    "windows that leave rows out": (manifest(mixes=61), "structure", "the windows end at row 60"),
    "more mixes than rows": (manifest(mixes=91), "manifest", "contradicts itself"),
    "negative rows": (manifest(rows=-1), "manifest", "'rows' is not a count"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found(mixed, name):
    change, check, says = DAMAGE[name]
    edit(mixed[1], change)
    faults = mixcli.verify(mixed[1])["faults"]
    assert any(f["check"] == check and says in f["message"] for f in faults), faults
    assert all(f["message"].startswith(str(mixed[1])) for f in faults)


def test_the_row_is_named_and_the_rest_counted(mixed):
    edit(mixed[1], rewrite("soft_label", slice(7, 10), 0.0))
    messages = [f["message"] for f in mixcli.verify(mixed[1])["faults"]]
    assert any(m.startswith(f"{mixed[1]}[7]: 'soft_label' does not sum to 1 (and 2 more rows)") for m in messages)


def test_a_truncated_file(mixed):
    whole = mixed[1].read_bytes()
    mixed[1].write_bytes(whole[: len(whole) // 3])
    (fault,) = mixcli.verify(mixed[1])["faults"]
    assert fault["check"] == "manifest" and "cut short" in fault["message"]


def test_consistent_forgery_is_found_by_replay(mixed):
    """Digests made to fit: only making the row again shows it."""
    from mixcli.datasets.dataset import Dataset

    edit(mixed[1], rewrite("data", (5, 3), 0.25))
    dataset = Dataset(mixed[1])
    digests = [dataset.digest(w) for w in dataset.windows]
    windows = [{**w, "sha256": d} for w, d in zip(dataset.manifest["windows"], digests, strict=True)]
    dataset.close()
    edit(mixed[1], manifest(windows=windows))
    assert mixcli.verify(mixed[1])["faults"] == []
    (fault,) = mixcli.verify(mixed[1], replay=None)["faults"]
    assert fault["row"] == 5 and "made again, 'data' comes out otherwise" in fault["message"]


def test_a_moved_source(mixed, tmp_path):
    tiny, path = mixed
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    tiny.source.rename(moved / "train0.h5")
    (tmp_path / "shape_names.txt").rename(moved / "shape_names.txt")
    found = mixcli.verify(path)
    assert found["faults"] == [] and "--source says where it is" in found["notes"][0]
    assert mixcli.verify(path, replay=3)["faults"][0]["check"] == "replay"
    assert mixcli.verify(path, replay=3, source=[str(moved / "train0.h5")])["faults"] == []


def test_another_source(mixed):
    tiny, path = mixed
    write_h5(tiny.source, np.zeros((30, 96, 3), np.float32), np.zeros(30, int))
    (fault,) = mixcli.verify(path)["faults"]
    assert fault["check"] == "source" and "not the source that the manifest names" in fault["message"]


def test_another_checkpoint(mixed):
    tiny, path = mixed
    other = tiny.folder / "other.pt"
    other.write_bytes(tiny.ckpt.read_bytes()[:1000])
    with pytest.raises(mixcli.errors.MixError):
        mixcli.verify(path, replay=3, ckpt=str(other))


def test_class_names_in_another_order(mixed):
    """Each label would mean another class."""
    _, path = mixed
    edit(path, lambda file: file.attrs.__setitem__("class_names", json.dumps(["table", "mug", "lamp", "chair"])))
    assert [fault["check"] for fault in mixcli.verify(path)["faults"]] == ["source"]


def test_the_address_of_the_dataset_is_named_once(tmp_path):
    faults = Faults(tmp_path / "mixed.h5")
    faults.add_error("manifest", MixError("no manifest in it", at=tmp_path / "mixed.h5", advice="make it again"))
    faults.add_error("structure", MixError("is missing", at="00000/000000.ply"))
    assert [fault["what"] for fault in faults.list()] == [
        "no manifest in it; make it again", "00000/000000.ply: is missing"
    ]  # fmt: skip
    assert [fault["message"] for fault in faults.list()] == [
        f"{tmp_path}/mixed.h5: no manifest in it; make it again", f"{tmp_path}/mixed.h5: 00000/000000.ply: is missing"
    ]  # fmt: skip


def test_rows_of_one_kind_are_one_fault(tmp_path):
    faults = Faults(tmp_path)
    faults.rows("labels", "is wrong", 8, np.array([False, True, True]))
    faults.rows("labels", "is wrong", 16, np.array([True]))
    faults.add("digests", "is another")
    first, second = faults.list()
    assert (first["row"], first["count"], first["message"]) == (9, 3, f"{tmp_path}[9]: is wrong (and 2 more rows)")
    assert (second["row"], second["count"], second["message"]) == (None, 1, f"{tmp_path}: is another")
