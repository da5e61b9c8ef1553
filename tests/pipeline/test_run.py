"""The whole pipeline: repeatable whatever the workers, shards and kills."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from conftest import rows_of, write_h5

import mixcli
from mixcli.datasets.dataset import Dataset
from mixcli.errors import BadSample, CheckpointError, MixError, UsageError
from mixcli.pipeline.merge import merge
from mixcli.pipeline.report import Report


def test_a_run_writes_every_field(tiny):
    result = tiny.mix("mixed.h5", k=2, partners=3, include_originals=True)
    assert result.rows == 30 * 2 * 3 + 30
    with h5py.File(result.path) as file:
        assert {name: file[name].shape for name in file} == {
            "data": (210, 64, 3), "label": (210,), "soft_label": (210, 4), "parent": (210, 2), "parent_label": (210, 2),
            "weight": (210, 2), "draw": (210, 2), "query": (210, 2), "point_weight": (210, 64),
        }  # fmt: skip
        assert json.loads(file.attrs["class_names"]) == ["chair", "lamp", "mug", "table"]
        assert json.loads(file.attrs["mixcli"])["schema"] == "mixcli.manifest/1"
        source = h5py.File(tiny.source)["data"][:, :64]
        assert (file["data"][180:] == source).all(), "originals follow in source order"
        assert (file["parent"][180:] == np.stack([np.arange(30), np.full(30, -1)], 1)).all()
        assert (file["weight"][180:] == [1, 0]).all()
    assert mixcli.verify(result.path, replay=None)["faults"] == []
    assert not list(tiny.folder.glob("*.part*"))


def test_equal_arguments_give_equal_bytes_whatever_the_workers(tiny):
    first = rows_of(tiny.mix("a.h5", k=2, workers=1).path)
    assert rows_of(tiny.mix("b.h5", k=2, workers=2).path) == first
    assert rows_of(tiny.mix("c.h5", k=2, workers=5).path) == first
    assert rows_of(tiny.mix("d.h5", k=2, seed=1).path) != first


def test_more_copies_and_partners_contain_fewer(tiny):
    few, many, rounds = (tiny.mix(f"{i}.h5", k=k, partners=r).path for i, (k, r) in enumerate([(2, 1), (4, 1), (2, 3)]))
    few, many, rounds = (h5py.File(p)["data"][()] for p in (few, many, rounds))
    assert (many.reshape(30, 4, 64, 3)[:, :2] == few.reshape(30, 2, 64, 3)).all()
    start = 0
    for size in (8, 8, 8, 6):  # the windows: their first round comes first
        assert (rounds[start * 3 : start * 3 + size * 2] == few[start : start + size * 2]).all()
        start += size * 2


@pytest.mark.parametrize("out", ["whole.npz", "whole"])
def test_every_container_holds_the_same(tiny, out):
    """Digests are of the decoded rows, so they are the same as well."""
    arguments = {"k": 2, "include_originals": True}
    expected, found = tiny.mix("mixed.h5", **arguments), tiny.mix(out, **arguments)
    assert rows_of(found.path) == rows_of(expected.path)
    assert found.manifest["windows"] == expected.manifest["windows"]
    shards = [tiny.mix(f"s{i}", shard=(i, 2), **arguments).path for i in range(2)]
    merge(shards, tiny.folder / f"merged-{out}")
    assert rows_of(tiny.folder / f"merged-{out}") == rows_of(expected.path)


@pytest.mark.parametrize("arguments", [{}, {"include_originals": True, "k": 2}, {"pairing": "different-class"}])
def test_shards_merge_into_the_whole(tiny, arguments):
    whole = tiny.mix("whole.h5", **arguments)
    shards = [tiny.mix(f"s{i}.h5", shard=(i, 3), **arguments).path for i in range(3)]
    for shard in shards:
        assert mixcli.verify(shard, replay=4)["faults"] == []
    merge(shards[::-1], tiny.folder / "merged.h5")
    assert rows_of(tiny.folder / "merged.h5") == rows_of(whole.path)
    manifest = json.loads(h5py.File(tiny.folder / "merged.h5").attrs["mixcli"])
    for fact in ("recipe", "rows", "windows", "checkpoint", "counts"):
        assert manifest[fact] == whole.manifest[fact], fact
    assert mixcli.verify(tiny.folder / "merged.h5", replay=4)["faults"] == []


def test_more_shards_than_windows(tiny):
    shards = [tiny.mix(f"s{i}.h5", shard=(i, 6)) for i in range(6)]
    assert [s.rows for s in shards] == [8, 8, 8, 6, 0, 0]
    assert mixcli.verify(shards[5].path)["faults"] == []
    merge([s.path for s in shards], tiny.folder / "merged.h5")
    assert rows_of(tiny.folder / "merged.h5") == rows_of(tiny.mix("whole.h5").path)


def test_merge_refuses_what_is_no_family(tiny):
    a, b, other = (tiny.mix(f"{i}.h5", shard=(i % 2, 2), seed=i // 2).path for i in range(3))
    with pytest.raises(UsageError, match="shard 1/2 is missing"):
        merge([a], tiny.folder / "m.h5")
    with pytest.raises(UsageError, match="seed 0 is not 1"):
        merge([a, other], tiny.folder / "m.h5")
    with pytest.raises(UsageError, match="given twice"):
        merge([a, b, a], tiny.folder / "m.h5")
    with h5py.File(b, "r+") as file:
        file["data"][3] += 1
    with pytest.raises(MixError, match=r"1\.h5: window \d+ .* is damaged"):
        merge([a, b], tiny.folder / "m.h5")
    assert not list(tiny.folder.glob("m.h5*"))


def kill_at_random(tiny, out, sign, seed):
    """Start the job again and again, each killed a little after it finished one more window, until one lives."""
    rng = random.Random(seed)
    command = [sys.executable, "-m", "mixcli", *tiny.arguments(out, "-k", "3", "--resume", "--workers", "1")]
    for attempt in range(8):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        journal = tiny.folder / f"{out}.part.journal"
        before = journal.read_bytes().count(b"\n") if journal.exists() else 1
        while process.poll() is None and not (journal.exists() and journal.read_bytes().count(b"\n") > before):
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.04))
        process.send_signal(sign)
        error = process.communicate()[1]
        assert process.returncode in (0, -sign, 128 + sign), error
        if (tiny.folder / out).exists():  # whole, or it would not have this name; perhaps killed just after
            assert attempt > 0, "never killed"
            subprocess.run(command, check=True, capture_output=True)
            return
    raise AssertionError("never finished")


@pytest.mark.parametrize("out", ["killed.h5", "killed.npz", "killed"])
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_killed_and_resumed(tiny, sign, out):
    kill_at_random(tiny, out, sign, seed=sign)
    expected = tiny.mix("whole.h5", k=3)
    assert rows_of(tiny.folder / out) == rows_of(expected.path)
    manifest = Dataset(tiny.folder / out).manifest
    assert manifest["windows"] == expected.manifest["windows"]
    assert manifest["checkpoint"] == expected.manifest["checkpoint"], "accuracy counts the finished windows too"
    assert sorted(p.name for p in tiny.folder.glob("killed*")) == [out]
    assert mixcli.verify(tiny.folder / out, replay=3)["faults"] == []


class Stop(BaseException):
    """Stands for a Ctrl-C at a chosen place."""


def stop_after(windows, monkeypatch):
    """Make the run stop as Ctrl-C would once so many windows are in the journal."""
    from mixcli.pipeline.part_output import PartOutput

    finish, count = PartOutput.finish_window, iter(range(windows))

    def finish_window(self, record):
        finish(self, record)
        if next(count, None) == windows - 1:
            raise Stop

    monkeypatch.setattr(PartOutput, "finish_window", finish_window)


def interrupted(tiny, monkeypatch, windows=2, out="mixed.h5"):
    with monkeypatch.context() as patch, pytest.raises(Stop):
        stop_after(windows, patch)
        tiny.mix(out)
    return tiny.folder / f"{out}.part"


def test_an_interrupted_run_asks_and_resumes(tiny, monkeypatch):
    interrupted(tiny, monkeypatch)
    with pytest.raises(UsageError, match=r"holds 2 windows.*--resume.*--overwrite"):
        tiny.mix("mixed.h5")
    result = tiny.mix("mixed.h5", resume=True)
    assert result.manifest["resumed_windows"] == 2
    assert rows_of(result.path) == rows_of(tiny.mix("whole.h5").path)


def test_a_damaged_window_is_made_again(tiny, monkeypatch):
    part = interrupted(tiny, monkeypatch)
    with h5py.File(part, "r+") as file:
        file["data"][3] += 1
    result = tiny.mix("mixed.h5", resume=True)
    assert result.manifest["resumed_windows"] == 1
    assert rows_of(result.path) == rows_of(tiny.mix("whole.h5").path)


def test_a_torn_header_is_laid_out_again(tiny, monkeypatch):
    """A kill while the last attributes were written leaves metadata that HDF5 refuses; the rows are still there."""
    part = interrupted(tiny, monkeypatch)
    with open(part, "r+b") as file:
        file.write(b"\0" * 96)
    result = tiny.mix("mixed.h5", resume=True)
    assert result.manifest["resumed_windows"] == 2
    assert rows_of(result.path) == rows_of(tiny.mix("whole.h5").path)


def test_a_cut_line_of_the_journal_is_no_line(tiny, monkeypatch):
    part = interrupted(tiny, monkeypatch)
    journal = part.with_name(part.name + ".journal")
    journal.write_bytes(journal.read_bytes()[:-20])
    assert tiny.mix("mixed.h5", resume=True).manifest["resumed_windows"] == 1


def test_resume_refuses_another_job(tiny, monkeypatch):
    interrupted(tiny, monkeypatch)
    with pytest.raises(UsageError, match="seed 5 is not 0"):
        tiny.mix("mixed.h5", resume=True, seed=5)
    with pytest.raises(UsageError, match="sigma"):
        tiny.mix("mixed.h5", resume=True, sigma=0.5)


def test_a_second_run_at_the_same_time_is_refused(tiny, monkeypatch):
    from mixcli.datasets.journal import Journal

    interrupted(tiny, monkeypatch)
    held = Journal(tiny.folder / "mixed.h5.part.journal")
    with pytest.raises(UsageError, match="another mixcli run"):
        tiny.mix("mixed.h5", resume=True)
    held.close()


def test_an_existing_output_is_kept(tiny):
    first = tiny.mix("mixed.h5")
    with pytest.raises(UsageError, match=r"mixed\.h5 exists; --overwrite.*--resume"):
        tiny.mix("mixed.h5")
    again = tiny.mix("mixed.h5", resume=True)
    assert again.manifest == first.manifest, "nothing was done"
    with pytest.raises(UsageError, match="seed"):
        tiny.mix("mixed.h5", resume=True, seed=3)
    assert tiny.mix("mixed.h5", overwrite=True, seed=3).manifest["recipe"]["seed"] == 3


def test_a_failure_before_the_first_window_leaves_nothing(tiny):
    clouds = np.full((30, 96, 3), np.nan, np.float32)
    write_h5(tiny.source, clouds, np.arange(30) % 4)
    with pytest.raises(BadSample):
        tiny.mix("mixed.h5")
    assert not list(tiny.folder.glob("mixed*"))


def spoil(tiny, *indices, what=np.nan):
    with h5py.File(tiny.source, "r+") as file:
        for i in indices:
            file["data"][i, 5] = what


def test_a_bad_sample_stops_or_is_left_out(tiny):
    good = tiny.mix("good.h5", k=2, include_originals=True)
    spoil(tiny, 7, what=np.nan)
    spoil(tiny, 12, what=np.inf)
    told = r"train0\.h5\[7\]: NaN in 'data'; --drop-nan-points leaves such points out; or --on-error skip"
    with pytest.raises(BadSample, match=told):
        tiny.mix("mixed.h5")
    result = tiny.mix("mixed.h5", k=2, include_originals=True, on_error="skip")
    assert [(s["index"], s["reason"]) for s in sorted(result.manifest["skipped"], key=lambda s: s["index"])] == [
        (7, "NaN in 'data'; --drop-nan-points leaves such points out"), (12, "an infinite value in 'data'"),
    ]  # fmt: skip
    with h5py.File(result.path) as new, h5py.File(good.path) as old:
        assert not np.isin(new["parent"][()], [7, 12]).any()
        kept = ~np.isin(old["parent"][()], [7, 12]).any(1)
        assert 0 < kept.sum() < len(kept)
        for name in old:
            assert np.array_equal(new[name][()][kept], old[name][()][kept], equal_nan=True), f"{name}: other rows moved"
    assert mixcli.verify(result.path, replay=None)["faults"] == []


def test_skipping_after_an_interruption(tiny, monkeypatch):
    """--on-error is no part of the recipe: a night's work is not lost to one bad cloud."""
    spoil(tiny, 3)
    with monkeypatch.context() as patch, pytest.raises(Stop):
        stop_after(1, patch)
        tiny.mix("mixed.h5", on_error="skip")
    resumed = tiny.mix("mixed.h5", on_error="skip", resume=True)
    assert rows_of(resumed.path) == rows_of(tiny.mix("whole.h5", on_error="skip").path)
    assert [s["index"] for s in resumed.manifest["skipped"]] == [3]


def test_skipped_samples_survive_shards(tiny):
    spoil(tiny, 3, 4, 20)
    whole = tiny.mix("whole.h5", include_originals=True, on_error="skip")
    shards = [tiny.mix(f"s{i}.h5", shard=(i, 2), include_originals=True, on_error="skip").path for i in range(2)]
    merge(shards, tiny.folder / "merged.h5")
    assert rows_of(tiny.folder / "merged.h5") == rows_of(whole.path)
    assert mixcli.verify(tiny.folder / "merged.h5", replay=None)["faults"] == []


def test_a_window_without_two_good_samples(tiny):
    spoil(tiny, *range(30))
    with pytest.raises(MixError, match="has 0 good samples of 8; sagemix needs 2"):
        tiny.mix("mixed.h5", on_error="skip")


def test_labels_outside_the_classes(tiny):
    with h5py.File(tiny.source, "r+") as file:
        file["label"][9] = 200
    with pytest.raises(BadSample, match=r"\[9\]: label 200 is outside the 4 classes"):
        tiny.mix("mixed.h5")
    assert tiny.mix("mixed.h5", on_error="skip").manifest["skipped"][0]["index"] == 9


def test_an_argument_that_nobody_knows(tiny):
    with pytest.raises(UsageError, match=r"sagemix has no option 'sigm'; did you mean 'sigma'\?"):
        tiny.mix("mixed.h5", sigm=2)
    with pytest.raises(UsageError, match="no option 'zzzz'; mixcli sagemix --help lists them"):
        tiny.mix("mixed.h5", zzzz=2)
    with pytest.raises(UsageError, match=r"no option 'sources'; did you mean 'source'\?"):
        tiny.mix("mixed.h5", sources=2)


def test_a_shard_without_windows_says_so(tiny):
    told = []
    assert tiny.mix("mixed.h5", shard=(5, 6), window=64, report=Report(note=told.append)).rows == 0
    assert "only 1 window; shard 5/6 has none of them: a smaller --window makes more" in told


def test_public_names_alone():
    assert {"mix", "verify", "view", "open_dataset", "METHODS"} < set(dir(mixcli)) == set(mixcli.__all__)


def test_other_classes_than_the_checkpoints(tiny):
    (tiny.folder / "shape_names.txt").write_text("a\nb\nc\nd\ne\n")
    with pytest.raises(CheckpointError, match=r"4 classes apart, the source has 5 .*--saliency-target predicted"):
        tiny.mix("mixed.h5")
    result = tiny.mix("mixed.h5", saliency_target="predicted")
    assert result.manifest["checkpoint"]["accuracy"] is None
    (tiny.folder / "shape_names.txt").unlink()
    with h5py.File(tiny.source, "r+") as file:
        file["label"][...] = 0
    with pytest.raises(CheckpointError, match=r"its highest label.*--classes 4 if"):
        tiny.mix("other.h5")
    assert tiny.mix("other.h5", classes=4).manifest["recipe"]["classes"] == 4


def test_accuracy_is_measured_and_a_poor_one_warned_of(tiny):
    notes = []
    from mixcli.pipeline.report import Report

    result = tiny.mix("mixed.h5", report=Report(note=notes.append))
    told = result.manifest["checkpoint"]
    assert told["judged"] == 30 and told["accuracy"] == round(told["correct"] / 30, 6)
    assert any("warning: the checkpoint labels only" in n and "dgcnn:k=40" in n for n in notes)


def test_draws_do_not_depend_on_the_batch(tiny):
    """Another batch moves last bits of saliency, never a uniform or a pair."""
    one, four = (h5py.File(tiny.mix(f"{n}.h5", batch_size=n).path) for n in (1, 4))
    assert (one["draw"][()] == four["draw"][()]).all() and (one["parent"][()] == four["parent"][()]).all()


def test_resume_takes_the_journals_batch(tiny, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Stop):
        stop_after(1, patch)
        tiny.mix("mixed.h5", batch_size=4)
    result = tiny.mix("mixed.h5", resume=True)
    assert {w["batch"] for w in result.manifest["windows"]} == {4}


def test_no_point_weight(tiny):
    result = tiny.mix("mixed.h5", point_weight=False)
    assert "point_weight" not in h5py.File(result.path)
    assert mixcli.verify(result.path, replay=3)["faults"] == []


def test_a_full_disk_shows_at_once(tiny):
    """A file system of one megabyte."""
    small = tiny.folder / "small"
    small.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", small]).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        with pytest.raises(MixError, match=r"needs [\d.]+ MB and [\d.]+ MB are free.*nothing was written"):
            tiny.mix("small/mixed.h5", k=100)
        assert not list(small.iterdir())
    finally:
        subprocess.run(["umount", small], check=True)


def test_the_callers_torch_is_left_as_it_was(tiny):
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    tiny.mix("mixed.h5")
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


def test_a_journal_of_another_kind(tiny, monkeypatch):
    part = interrupted(tiny, monkeypatch)
    journal = part.with_name(part.name + ".journal")
    header, first, _ = journal.read_text().splitlines()
    journal.write_text("\n".join([header, first, '{"window": "1"}']) + "\n")
    assert tiny.mix("mixed.h5", resume=True).manifest["resumed_windows"] == 1
    part = interrupted(tiny, monkeypatch) if not (tiny.folder / "mixed.h5").unlink() else part
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([json.dumps({**json.loads(lines[0]), "layout": {"data": "x"}}), *lines[1:]]) + "\n")
    with pytest.raises(MixError, match=r"belongs to a run that wrote .*; --overwrite starts again"):
        tiny.mix("mixed.h5", resume=True)
