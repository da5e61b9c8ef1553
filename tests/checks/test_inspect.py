import numpy as np
import pytest

import mixcli
from mixcli.checks.inspect import bars, inspect, render
from mixcli.errors import UsageError
from mixcli.pipeline.part_output import PartOutput


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


@pytest.mark.parametrize("out", ["mixed.h5", "mixed.npz", "mixed"])
def test_an_unfinished_dataset_is_called_so(tiny, monkeypatch, out):
    finish, path = PartOutput.finish_window, tiny.folder / out

    def stop_after_one(self, record):
        finish(self, record)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(PartOutput, "finish_window", stop_after_one)
        tiny.mix(out)
    part = path.with_name(path.name + ".part")
    for look in (inspect, mixcli.verify, mixcli.open_dataset):
        with pytest.raises(UsageError, match=rf"{out}: unfinished \(.*{out}\.part\); .*--resume goes on with it"):
            look(path)
        with pytest.raises(UsageError, match=rf"{out}\.part: unfinished; .*--resume goes on with it"):
            look(part)
    journal = part.with_name(part.name + ".journal")
    journal.write_bytes(b"")
    with pytest.raises(UsageError, match=rf"{out}\.part: unfinished; .*or run it again"):
        inspect(part)
    tiny.mix(out, overwrite=True)
    assert inspect(path)["rows"] == 30
    with pytest.raises(UsageError, match=r"other: no such dataset"):
        inspect(tiny.folder / "other")


def test_an_empty_shard(tiny):
    found = inspect(tiny.mix("mixed.h5", shard=(5, 6)).path)
    assert found["rows"] == 0 and "no mixes" in render(found)


def test_text_in_either_alphabet(tiny):
    found = inspect(tiny.mix("mixed.h5", k=3).path)
    assert render(found, unicode=False).isascii()
    assert "█" in render(found, unicode=True)


def test_what_others_have_of_a_group_and_which_maps_were_looked_at(gallery):
    found = inspect(gallery.mix("comixup", "mixed.h5", keep=("mask",), group=4).path)
    told = render(found)
    assert "pure A" in told and "% others" in told and "pure B" not in told
    assert f"looked at      gradient maps, --normalize {found['recipe']['normalize']}" in told
    activation = render(inspect(gallery.mix("attentivecutmix", "cut.h5", layer="layer3").path))
    assert "activation maps of --layer layer3" in activation
    assert "looked at" not in render(inspect(gallery.mix("cutmix", "plain.h5").path))


def test_bars():
    assert bars([0, 1, 100], unicode=False) == " .@"


def test_many_classes_are_cut_to_the_largest_and_smallest(tiny):
    (tiny.folder / "shape_names.txt").write_text("\n".join(f"class{i}" for i in range(20)))
    found = inspect(tiny.mix("mixed.h5", saliency_target="predicted").path)
    assert "10 more" in render(found) and len(found["classes"]) == 20
