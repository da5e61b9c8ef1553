import numpy as np

from mixcli.inspection import bars, inspect, render


def test_the_facts_add_up(tiny):
    found = inspect(tiny.mix("mixed.h5", k=2, partners=2, include_originals=True).path)
    assert (found["mixes"], found["originals"], found["rows"]) == (120, 30, 150)
    assert sum(found["lam"]["histogram"]) == 120
    assert abs(sum(c["mass"] for c in found["classes"]) - 150) < 1e-3
    assert found["parents"] == {
        "used": 30, "of": 30, "most_often": 8, "least_often": 8, "self_pairs": 0,
        "same_class_mixes": found["parents"]["same_class_mixes"],
    }  # fmt: skip
    assert found["geometry"]["max_radius"] <= np.sqrt(3)
    assert sum(f["bytes"] for f in found["fields"]) < found["bytes"]


def test_an_empty_shard(tiny):
    found = inspect(tiny.mix("mixed.h5", shard=(5, 6)).path)
    assert found["rows"] == 0 and "no mixes" in render(found)


def test_text_in_either_alphabet(tiny):
    found = inspect(tiny.mix("mixed.h5", k=3).path)
    assert render(found, unicode=False).isascii()
    assert "█" in render(found, unicode=True)


def test_bars():
    assert bars([0, 1, 100], unicode=False) == " .@"


def test_many_classes_are_cut_to_the_largest_and_smallest(tiny):
    (tiny.folder / "shape_names.txt").write_text("\n".join(f"class{i}" for i in range(20)))
    found = inspect(tiny.mix("mixed.h5", saliency_target="predicted").path)
    assert "10 more" in render(found) and len(found["classes"]) == 20
