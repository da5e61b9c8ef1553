"""What the user types and sees: messages, streams, exit codes."""

import json
import os
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import write_h5

import mixcli
from mixcli.cli.main import main


def call(*arguments):
    """Run in process -> exit code, stdout, stderr."""
    done = CliRunner().invoke(main, [str(a) for a in arguments])
    return done.exit_code, done.stdout, done.stderr


def refused(code, *arguments, says):
    """The command fails with this code and one line on stderr that says all of `says`; stdout stays empty."""
    got, out, err = call(*arguments)
    assert got == code, err
    assert out == ""
    last = err.strip().splitlines()[-1]
    assert "Traceback" not in err and "internal error" not in err
    for words in [says] if isinstance(says, str) else says:
        assert words in last, last


def test_the_main_job(tiny):
    code, out, err = call(*tiny.arguments("mixed.h5", "-k", "2"))
    assert (code, out) == (0, f"{tiny.folder / 'mixed.h5'}\n")
    assert "60 rows from 30 samples" in err
    code, out, err = call("inspect", tiny.folder / "mixed.h5")
    assert code == 0 and "60 mixed point clouds" in out and "sigma=0.3" in out and err == ""
    code, out, err = call("verify", tiny.folder / "mixed.h5", "--replay", "all")
    assert (code, out) == (0, "") and "0 faults" in err


def test_quiet_is_quiet(tiny):
    code, out, err = call(*tiny.arguments("mixed.h5", "-q"))
    assert (code, out.strip(), err) == (0, str(tiny.folder / "mixed.h5"), "")


def test_json(tiny):
    call(*tiny.arguments("mixed.h5"))
    found = json.loads(call("inspect", tiny.folder / "mixed.h5", "--json")[1])
    assert found["schema"] == "mixcli.inspect/1" and found["rows"] == 30
    assert sum(found["lam"]["histogram"]) == 30
    assert sum(c["mass"] for c in found["classes"]) == pytest.approx(30, abs=1e-3)
    found = json.loads(call("verify", tiny.folder / "mixed.h5", "--json")[1])
    assert found["schema"] == "mixcli.verify/1" and found["faults"] == []


def test_skipped_samples_are_exit_code_3(tiny):
    with h5py.File(tiny.source, "r+") as file:
        file["data"][4, 2] = np.nan
    refused(1, *tiny.arguments("mixed.h5"), says=["train0.h5[4]: NaN in 'data'", "--on-error skip"])
    code, out, err = call(*tiny.arguments("mixed.h5", "--on-error", "skip"))
    assert code == 3 and out and "1 skipped" in err and "train0.h5[4]: NaN" in err


def test_faults_are_exit_code_5(tiny):
    call(*tiny.arguments("mixed.h5"))
    with h5py.File(tiny.folder / "mixed.h5", "r+") as file:
        file["soft_label"][3] = 0
    code, out, _ = call("verify", tiny.folder / "mixed.h5")
    assert code == 5
    assert all("mixed.h5[" in line for line in out.splitlines()) and "'soft_label' does not sum to 1" in out


@pytest.mark.parametrize("command", ["sagemix", "merge", "inspect", "verify"])
def test_every_command_has_help_with_an_example(command):
    code, out, _ = call(command, "--help")
    assert code == 0 and "Example:" in out and f"mixcli {command}" in out


def test_mistyped_commands_and_options():
    refused(2, "sagemx", says="did you mean 'sagemix'?")
    assert call("sagemix", "--sgima", "1")[0] == 2
    assert call()[0] in (0, 2)


def test_inputs_that_are_not_there(tiny):
    args = tiny.arguments("mixed.h5")
    refused(2, *args[:2], tiny.folder / "none.h5", *args[3:], says="none.h5: no such file")
    refused(4, *args[:4], tiny.folder / "none.pt", *args[5:], says="none.pt: no such file")
    refused(2, *args[:6], tiny.folder / "no" / "mixed.h5", *args[7:], says=["does not exist", "mkdir -p"])
    refused(2, *args[:6], tiny.folder / "mixed.xyz", *args[7:], says=".h5")
    refused(2, *args[:6], tiny.source, *args[7:], says=["which is read", "choose another name"])
    refused(2, *args[:3], *args[5:], says="give the trained classifier with --ckpt")
    refused(2, "inspect", tiny.folder / "none.h5", says="no such dataset")
    refused(2, "verify", tiny.folder / "none.h5", says="no such dataset")


@pytest.mark.parametrize(
    ("option", "says"),
    [
        (["--sigma", "0"], "--sigma 0.0: must be a finite number above 0"),
        (["--shard", "3/3"], "numbered 0/3 to 2/3"),
        (["--shard", "1-3"], "not i/n"),
        (["--points", "97"], "clouds of 96 points"),
        (["--window", "1"], "--window"),
        (["--batch-size", "0"], "neither auto nor a count"),
        (["--device", "gpu"], "must be auto, cpu, cuda"),
        (["--pairing", "same-class", "--window", "2", "--partners", "3"], "no legal partner"),
        (["--resume", "--overwrite"], "choose one"),
        (["--model", "dgcn"], "did you mean"),
        (["--model", "dgcnn:j=3"], "k=20"),
        (["--classes", "7"], "the source names 4 classes"),
    ],
)
def test_options_that_do_not_fit(tiny, option, says):
    code, out, err = call(*tiny.arguments("mixed.h5", *option))
    assert code == 2 and out == "" and says in err, err
    assert not list(tiny.folder.glob("mixed*"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_no_cuda_device(tiny):
    refused(2, *tiny.arguments("mixed.h5", "--device", "cuda:0"), says="finds no CUDA device")


def spoiled(tiny, **arrays):
    """Rewrite the source with other arrays."""
    with h5py.File(tiny.source) as file:
        kept = {name: file[name][()] for name in file}
    tiny.source.unlink()
    with h5py.File(tiny.source, "w") as file:
        for name, array in {**kept, **arrays}.items():
            if array is not None:
                file[name] = array


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"data": None}, "no 'data' in the file"),
        ({"label": None}, "no 'label' in the file"),
        ({"data": np.zeros((30, 96))}, "expected (clouds, points, 3) floats"),
        ({"data": np.zeros((30, 96, 3), int)}, "expected (clouds, points, 3) floats"),
        ({"label": np.zeros(29, int)}, "expected 30 integers"),
        ({"label": np.full(30, 0.5)}, "label 0.5 is no class number"),
    ],
)
def test_files_of_another_layout(tiny, arrays, says):
    spoiled(tiny, **arrays)
    refused(1, *tiny.arguments("mixed.h5"), says=["train0.h5", says])


def test_damaged_sources(tiny):
    whole = tiny.source.read_bytes()
    tiny.source.write_bytes(whole[: len(whole) // 2])
    refused(1, *tiny.arguments("mixed.h5"), says=["train0.h5", "cut short"])
    tiny.source.write_bytes(b"not at all")
    refused(1, *tiny.arguments("mixed.h5"), says=["train0.h5", "not a readable HDF5 file"])


def test_one_sample_is_too_few(tiny):
    spoiled(tiny, data=np.zeros((1, 96, 3), np.float32), label=np.zeros(1, int))
    refused(2, *tiny.arguments("mixed.h5"), says="at least 2")


def test_links_to_other_files_are_not_followed(tiny):
    secret = write_h5(tiny.folder / "secret.hdf", np.zeros((30, 96, 3), np.float32), np.zeros(30, int))
    with h5py.File(tiny.source, "r+") as file:
        del file["data"]
        file["data"] = h5py.ExternalLink(str(secret), "data")
    refused(1, *tiny.arguments("mixed.h5"), says="links to other files are not followed")


def test_a_header_that_promises_a_terabyte(tiny):
    with h5py.File(tiny.source, "w") as file:
        file.create_dataset("data", (30_000_000, 2048, 3), np.float32, chunks=(1, 2048, 3))
        file.create_dataset("label", (30_000_000,), np.uint8, chunks=(1000,))
    refused(1, *tiny.arguments("mixed.h5"), says=["declares", "incomplete"])


def test_dry_run_writes_nothing(tiny):
    code, out, _ = call(*tiny.arguments("mixed.h5", "-k", "3", "--dry-run"))
    assert code == 0 and "rows      90" in out and "seconds" in out and "MB" in out
    assert not list(tiny.folder.glob("mixed*"))


def start(*arguments):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-m", "mixcli", *map(str, arguments)], **pipes)


def signalled(tiny, sign, *more):
    """A run that got a signal once its first window was in the journal."""
    process = start(*tiny.arguments("mixed.h5", "--window", "2", "--workers", "1", *more))
    journal = tiny.folder / "mixed.h5.part.journal"
    while process.poll() is None and not (journal.exists() and journal.read_bytes().count(b"\n") > 1):
        time.sleep(0.001)
    process.send_signal(sign)
    return process


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_leave_a_resumable_part(tiny, sign, code):
    process = signalled(tiny, sign, "-k", "200")
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "windows are kept in" in err and "--resume" in err and "Traceback" not in err
    assert not (tiny.folder / "mixed.h5").exists()
    assert (tiny.folder / "mixed.h5.part").exists()


def test_a_job_in_the_background_does_not_hear_ctrl_c(tiny):
    """A shell has what it starts with & ignore SIGINT, so that a Ctrl-C is for what runs in the foreground alone."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = signalled(tiny, signal.SIGINT, "-k", "20")
    finally:
        signal.signal(signal.SIGINT, before)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert mixcli.verify(tiny.folder / "mixed.h5")["faults"] == []


def test_a_closed_pipe_is_no_error_message(tiny):
    mixcli.mix("sagemix", str(tiny.source), str(tiny.folder / "m.h5"), ckpt=str(tiny.ckpt), points=64)
    process = start("inspect", tiny.folder / "m.h5")
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait() == 141 and err == ""


def test_progress_is_silent_where_there_is_no_terminal(tiny):
    done = subprocess.run([sys.executable, "-m", "mixcli", *tiny.arguments("mixed.h5")], capture_output=True, text=True)
    assert "it/s" not in done.stderr and "cloud/s" not in done.stderr and "\r" not in done.stderr


def test_verbose_shows_where(tiny):
    code, _, err = call(*tiny.arguments("mixed.h5", "--points", "97", "-v"))
    assert code == 2 and "Traceback" in err and "clouds of 96 points" in err.splitlines()[-1]


def test_an_unwritable_folder(tiny):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    locked = tiny.folder / "locked"
    locked.mkdir(mode=0o500)
    args = tiny.arguments("locked/mixed.h5")
    refused(1, *args, says="Permission denied")


def test_view_writes_what_its_suffix_says(tiny):
    call(*tiny.arguments("mixed.h5", "-k", "2"))
    path = tiny.folder / "mixed.h5"
    for name in ("sheet.png", "gallery.html"):
        code, out, _ = call("view", path, "-o", tiny.folder / name, "-n", "4")
        assert (code, out) == (0, f"{tiny.folder / name}\n") and (tiny.folder / name).stat().st_size > 10_000
        refused(2, "view", path, "-o", tiny.folder / name, says="exists; --overwrite replaces it")
    refused(2, "view", path, "-o", "sheet.gif", says="must end in .png")
    refused(2, "view", path, "-o", "a.png", "--serve", says="choose one")
    code, out, _ = call("view", tiny.source, "-o", tiny.folder / "source.png")
    assert code == 0 and out


def test_view_in_a_pipe_is_a_table(tiny):
    call(*tiny.arguments("mixed.h5"))
    code, out, _ = call("view", tiny.folder / "mixed.h5", "--rows", "3,7-9")
    assert code == 0 and len(out.splitlines()) == 5 and "\x1b" not in out and "sagemix" in out


def test_gui_without_a_display_is_refused_before_anything_is_opened(tiny, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    refused(2, "view", tiny.folder / "none.h5", "--gui", says="no display; use -o")


def test_score(tiny):
    call(*tiny.arguments("mixed.h5", "-k", "2"))
    code, out, _ = call("inspect", tiny.folder / "mixed.h5", "--score", "--json")
    assert code == 0 and json.loads(out)["schema"] == "mixcli.scores/1"
    code, out, _ = call("view", tiny.folder / "mixed.h5", "--worst", "-n", "2")
    assert code == 0 and len(out.splitlines()) == 3


def test_escape_sequences_in_names_do_not_reach_the_terminal(tiny):
    (tiny.folder / "shape_names.txt").write_text("chair\x1b[31m\nlamp\x07\nmug\ntable\n")
    call(*tiny.arguments("mixed.h5"))
    for arguments in (["inspect", "mixed.h5"], ["view", "mixed.h5"], ["verify", "mixed.h5"]):
        _, out, err = call(arguments[0], tiny.folder / arguments[1])
        assert "\x1b" not in out + err and "\x07" not in out + err
    assert "\x1b" not in call("inspect", tiny.folder / "\x1b[2Jmixed.h5")[2]
