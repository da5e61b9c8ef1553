"""Files that anyone could have made: the weights come out, and nothing else happens."""

from __future__ import annotations

import argparse
import collections
import io
import os
import pathlib
import pickle
import struct
import types
import warnings
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mixcli.errors import CheckpointError
from mixcli.models import checkpoint, pickles, refusals

FORMATS = {"zip": True, "legacy": False}
STATE = {"conv.weight": torch.arange(6.0).reshape(2, 3), "bn.num_batches_tracked": torch.tensor(7)}


@pytest.fixture(params=FORMATS, ids=list(FORMATS))
def save(request, tmp_path):
    """Save an object in one of the two formats of torch.save; gives the path."""

    def saved(content, **options):
        path = tmp_path / "model.pth"
        torch.save(content, path, _use_new_zipfile_serialization=FORMATS[request.param], **options)
        return path

    return saved


def assert_same(state, other):
    assert list(state) == list(other)
    for key, value in state.items():
        assert torch.equal(value, other[key]), key


def refused(path):
    """The sentence with which a file is refused: one line that names the file and is not torch's advice."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(CheckpointError) as caught:
            checkpoint.read(path)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path}: ") and "\n" not in sentence and "weights_only" not in sentence
    return sentence


def rewritten(path, change, compress=zipfile.ZIP_STORED):
    """The same zip archive with each entry's (name, bytes) passed through ``change``."""
    with zipfile.ZipFile(path) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w", compress) as archive:
        for name, data in entries:
            archive.writestr(name, change(name, data))


# Weights come out


@pytest.mark.parametrize("wrapper", ["", *checkpoint.WRAPPERS])
@pytest.mark.parametrize("prefix", ["", *checkpoint.PREFIXES, "module._orig_mod.", "model.backbone."])
def test_every_wrapper_and_prefix(save, wrapper, prefix):
    state = {prefix + key: value for key, value in STATE.items()}
    content = {"epoch": 3, wrapper: state, "rng": torch.ones(2)} if wrapper else state
    found, note = checkpoint.read(save(content))
    assert_same(found, STATE)
    assert (f"'{wrapper}'" in note) == bool(wrapper) and (f"'{prefix}'" in note) == bool(prefix)


def test_wrapped_twice_and_under_a_name_of_its_own(save):
    assert checkpoint.read(save({"model": {"state_dict": STATE}}))[1] == "found under 'model' › 'state_dict'"
    assert checkpoint.read(save({"best": STATE, "epoch": 1}))[1] == "found under 'best'"


def test_weights_come_before_their_moving_average(save):
    ema = {"n_averaged": torch.tensor(1), **{f"module.{key}": value + 1 for key, value in STATE.items()}}
    assert_same(checkpoint.read(save({"model_ema": ema, "model": STATE}))[0], STATE)
    assert_same(checkpoint.read(save({"model_ema": ema}))[0], {key: value + 1 for key, value in STATE.items()})


def test_safetensors(tmp_path):
    save_file(STATE, tmp_path / "model.bin")  # the content tells, not the name
    found, note = checkpoint.read(tmp_path / "model.bin")
    assert_same(dict(sorted(found.items())), dict(sorted(STATE.items())))
    assert not note


class RecorderMeter:
    """As the training logs that published checkpoints carry."""

    def __init__(self):
        self.losses = np.zeros((3, 2))


def test_harmless_company_is_loaded_as_nothing(save):
    company = {
        "acc": np.float64(0.9),
        "hist": np.arange(3),
        "args": argparse.Namespace(lr=0.1, out=pathlib.Path("x")),
        "config": types.SimpleNamespace(a=1),
        "log": RecorderMeter(),
        "queue": collections.deque([1], maxlen=3),
        "counts": collections.defaultdict(int, a=1),
        "steps": collections.Counter([3]),
        "names": {"a", "b"},
        "optimizer": torch.optim.Adam([torch.nn.Parameter(torch.ones(2))]).state_dict(),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(checkpoint.read(save({"state_dict": STATE, **company}))[0], STATE)


@pytest.mark.parametrize("old", [True, False])
def test_numpy_scalars_under_the_names_of_both_versions(save, old):
    path = save({"net": STATE, "acc": np.float32(1)})
    names = (b"cnumpy.core.multiarray\n", b"cnumpy._core.multiarray\n")
    data = path.read_bytes()
    if data.startswith(b"PK"):
        rewritten(path, lambda _, entry: entry.replace(names[old], names[not old]))
    else:
        path.write_bytes(data.replace(names[old], names[not old]))
    assert_same(checkpoint.read(path)[0], STATE)


def test_loading_leaves_nothing_registered(save):
    before = set(torch.serialization.get_safe_globals())
    checkpoint.read(save({"net": STATE, "args": argparse.Namespace()}))
    assert set(torch.serialization.get_safe_globals()) == before


def test_published_wrappers_give_the_same_net(shared):
    folder = shared / "data" / "ckpt_images" / "wrappers"
    paths = sorted(path for path in folder.iterdir() if path.name != "whole_module.pt")
    states = [checkpoint.read(path)[0] for path in paths]
    for state in states[1:]:
        assert state.keys() == states[0].keys()
        assert all(state[key].shape == states[0][key].shape for key in state)
    assert "whole pickled module of class preresnet.PreActResNet" in refused(folder / "whole_module.pt")


# Code does not run


class Runs:
    """Pickles as a call."""

    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize("nested", ["alone", "beside", "inside"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_calls_are_refused_by_name(save, tmp_path, nested, protocol):
    marker = tmp_path / "marker"
    evil = Runs(os.system, f"touch {marker}")
    contents = {"alone": evil, "beside": {"net": STATE, "log": evil}, "inside": {**STATE, "conv.bias": evil}}
    assert "posix.system" in refused(save(contents[nested], pickle_protocol=protocol))
    assert not marker.exists()


@pytest.mark.parametrize(
    ("call", "name"),
    [(eval, "builtins.eval"), (getattr, "builtins.getattr"), (bytearray, "builtins.bytearray")],
)
def test_other_calls_too(save, call, name):
    assert name in refused(save({**STATE, "x": Runs(call, "open('marker', 'w')", "utf8")}))


def test_names_in_the_first_pickles_of_the_older_format_count(tmp_path):
    path = tmp_path / "model.t7"
    torch.save(STATE, path, _use_new_zipfile_serialization=False)
    version = pickle.dumps(1001, 2)
    evil = pickle.dumps(Runs(os.system, f"touch {tmp_path / 'marker'}"), 2)
    path.write_bytes(path.read_bytes().replace(version, evil, 1))
    assert "posix.system" in refused(path)
    assert not (tmp_path / "marker").exists()


class AverageMeter:
    """Has the name of a training log, and does something when it is made."""

    def __init__(self, marker):
        pathlib.Path(marker).touch()
        self.marker = marker

    def __reduce__(self):
        return AverageMeter, (self.marker,)


def test_a_class_known_by_its_name_alone_is_not_made(save, tmp_path):
    path = save({"net": STATE, "log": AverageMeter(tmp_path / "marker")})
    (tmp_path / "marker").unlink()
    assert_same(checkpoint.read(path)[0], STATE)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("wrap", [lambda net: net, lambda net: {"model": net, "epoch": 1}, torch.nn.DataParallel])
def test_a_whole_module_has_its_own_sentence(save, wrap):
    assert "is a whole pickled module of class torch.nn." in refused(save(wrap(torch.nn.Linear(2, 2))))


def test_pickle_protocol_4(save):
    assert "protocol 4" in refused(save(STATE, pickle_protocol=4))


# Files that lie about their size


def test_storage_larger_than_its_bytes(save):
    path = save({"a": torch.zeros(4)})
    grow = lambda data: data.replace(b"K\x04", b"J\xff\xff\xff\x7f")  # noqa: E731
    if path.read_bytes().startswith(b"PK"):
        rewritten(path, lambda name, data: grow(data) if name.endswith(".pkl") else data)
    else:
        path.write_bytes(grow(path.read_bytes()))
    assert "declares 8,589,934,5" in refused(path)


def test_a_shape_larger_than_the_file(save):
    assert "claim" in refused(save({"a": torch.zeros(1).expand(10**6, 10**6)}))


def test_compressed_zip(tmp_path):
    torch.save({"a": torch.zeros(10**6)}, tmp_path / "m.pt")
    rewritten(tmp_path / "m.pt", lambda _, data: data, zipfile.ZIP_DEFLATED)
    assert "compressed" in refused(tmp_path / "m.pt")


def test_zip_after_something_else_or_with_an_entry_twice(tmp_path):
    torch.save(STATE, tmp_path / "m.pt")
    data = (tmp_path / "m.pt").read_bytes()
    (tmp_path / "m.pt").write_bytes(data[:30] + data)
    assert "damaged" in refused(tmp_path / "m.pt")
    (tmp_path / "m.pt").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "m.pt", "a") as archive:
        archive.writestr("m/DATA/0", b"x")
    assert "does not fit its content" in refused(tmp_path / "m.pt")


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02}r\xff\xff\xff\x7f.",  # a memo of two thousand million slots
        b"\x80\x02]\x82\x01.",  # copyreg extension
        b"\x80\x02X\xff\xff\xff\x7fabc.",  # a string of two thousand million letters
        b"\x80\x02((((((.",
        b"hello",
        b"",
    ],
)
def test_malformed_pickles_are_an_error_and_no_more(data):
    with pytest.raises(Exception):  # noqa: B017  (what it is matters to nobody: load() words it)
        pickles.scan(io.BytesIO(data))


# Files that are something else


def test_cut_short_at_any_length(save, tmp_path):
    data = save({"state_dict": STATE, "epoch": 3}).read_bytes()
    for length in [*range(0, 200, 7), *range(200, len(data), 97), len(data) - 1]:
        (tmp_path / "cut").write_bytes(data[:length])
        sentence = refused(tmp_path / "cut")
        assert any(words in sentence for words in ("cut short", "is empty", "and holds")), (length, sentence)


def test_a_flipped_byte_is_an_error_or_harmless(save, tmp_path):
    data = save({"state_dict": STATE}).read_bytes()
    for i in range(0, len(data), 11):
        (tmp_path / "flipped").write_bytes(data[:i] + bytes([data[i] ^ 0x41]) + data[i + 1 :])
        try:
            checkpoint.read(tmp_path / "flipped")
        except CheckpointError:
            continue


def test_safetensors_that_lie(tmp_path):
    path = tmp_path / "m.safetensors"
    save_file(STATE, path)
    data = path.read_bytes()
    path.write_bytes(data[:-3])
    assert "cut short" in refused(path)
    path.write_bytes(data.replace(b"[2,3]", b"[9,9]"))
    assert "damaged" in refused(path)
    path.write_bytes(struct.pack("<Q", 2**40) + data[8:])
    assert "not a checkpoint" in refused(path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><title>404</title>", "web page"),
        (b"\x1f\x8b\x08" + bytes(99), "gzip"),
        (b"once upon a time there was a text file\n" * 9, "not a checkpoint"),
        (bytes(999), "not a checkpoint"),
        (pickle.dumps({"a": 1}), "plain pickle"),
        (b"\x93NUMPY" + bytes(99), "NumPy array"),
    ],
)
def test_other_files_are_named(tmp_path, data, words):
    (tmp_path / "m.pt").write_bytes(data)
    assert words in refused(tmp_path / "m.pt")


def test_npz_folder_and_nothing(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.zeros(3))
    assert "zip archive" in refused(tmp_path / "a.npz")
    assert "not a file" in refused(tmp_path)
    assert "no such file" in refused(tmp_path / "absent.pt")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_or_device_is_not_opened(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(pathlib.Path, "open", lambda *_: pytest.fail("was opened"))
    for path in (tmp_path / "pipe", "/dev/zero"):
        assert "is a pipe or a device, not a file" in refused(path)


def test_no_weights(save):
    assert "holds the keys 'epoch', 'args'" in refused(save({"epoch": 1, "args": argparse.Namespace()}))
    assert "holds a list" in refused(save([1, 2]))
    assert "holds an empty dict" in refused(save({}))
    assert "holds a Tensor" in refused(save(torch.ones(3)))


def test_names_cannot_write_on_the_terminal(save):
    assert "unlikely name" in refused(save({"conv\x1b[2J\n.weight": torch.ones(1)}))
    assert "\x1b" not in refused(save({"\x1b[2J\n": 1}))


def test_nan_is_named():
    state = {"fc.weight": torch.tensor([1.0, float("nan")]), "n": torch.tensor(1)}
    with pytest.raises(CheckpointError, match=r"m\.pt: 1 of the 2 values of fc\.weight"):
        refusals.refuse_nan("m.pt", state)
