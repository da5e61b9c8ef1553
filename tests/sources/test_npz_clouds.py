"""Clouds in .npz, and files that lie about what they hold."""

import io
import zipfile

import numpy as np
import pytest

from mixcli.errors import MixError, UsageError
from mixcli.files.npz_arrays import Npz
from mixcli.sources.cloud_part import Wanted
from mixcli.sources.reading import Reading
from mixcli.sources.source import open_source


def clouds(channels=3, n=6, points=16, dtype=np.float32):
    return np.random.default_rng(0).uniform(-1, 1, (n, points, channels)).astype(dtype)


def read(path, **reading):
    return open_source([str(path)], Reading(**reading))


def header(shape, descr="<f4", order=False):
    """The head of an array that has no values."""
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": descr, "fortran_order": order, "shape": shape})
    return out.getvalue()


def handmade(shape):
    """The same, whatever stands for the shape."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def forged(path, packing=zipfile.ZIP_DEFLATED, **members):
    """An .npz of given bytes."""
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, raw in members.items():
            archive.writestr(f"{name}.npy", raw)
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("names", [("data", "label", "normal", "seg"), ("points", "labels", "normals", "pid")])
def test_both_sets_of_names(tmp_path, save, names):
    data, normal, seg = clouds(), clouds() / 2, np.arange(96).reshape(6, 16) % 5
    values = dict(zip(names, (data, np.arange(6)[:, None], normal, seg), strict=True))
    save(tmp_path / "a.npz", class_names=list("abcdef"), **values)
    source, notes = read(tmp_path / "a.npz")
    assert source.labels.tolist() == list(range(6)) and source.class_names == tuple("abcdef") and not notes
    assert source.points == 16 and source.has_normals and source.has_seg
    assert source.address(4) == (str(tmp_path / "a.npz"), 4)
    part = source.parts[0]
    assert (part.read(slice(1, 3), Wanted(8, True)) == data[1:3, :8]).all()
    found = part.read(np.array([0, 5]), Wanted(8, False, True, True))
    assert found.shape == (2, 16, 7) and found.dtype == np.float32
    assert (found == np.concatenate([data, normal, seg[:, :, None]], 2)[[0, 5]]).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_six_columns_of_any_type_and_order(tmp_path, dtype, order):
    data = clouds(6)
    data[..., 3:] /= np.linalg.norm(data[..., 3:], axis=2, keepdims=True)
    data = np.asarray(data.astype(dtype), order=order)
    np.savez(tmp_path / "a.npz", data=data, label=np.arange(6, dtype=np.uint8))
    part = read(tmp_path / "a.npz")[0].parts[0]
    assert part.has_normals and (part.read(slice(0, 6), Wanted(16, True, True)) == data).all()
    assert (part.read(slice(0, 6), Wanted(4, True)) == data[:, :4, :3]).all()


def test_the_train_rows_where_a_split_says_so(tmp_path):
    split = np.array(["train", "test", "train", "val", "test", "train"])
    np.savez(tmp_path / "a.npz", data=clouds(), label=np.arange(6), split=split)
    source, notes = read(tmp_path / "a.npz")
    assert source.labels.tolist() == [0, 2, 5] and "read the 3 of 6 clouds of split 'train'" in notes[0]
    assert source.address(1) == (str(tmp_path / "a.npz"), 2), "the row of the file"
    assert (source.parts[0].read(np.array([0, 2]), Wanted(16, True)) == clouds()[[0, 5]]).all()
    assert read(tmp_path / "a.npz", split="test")[0].labels.tolist() == [1, 4]
    assert len(read(tmp_path / "a.npz", split="all")[0]) == 6
    np.savez(tmp_path / "b.npz", data=clouds(), label=np.arange(6), split=split.astype("S"))
    assert read(tmp_path / "b.npz")[0].labels.tolist() == [0, 2, 5]


def test_a_folder_of_them(tmp_path):
    np.savez(tmp_path / "a.npz", data=clouds(), label=np.arange(6), split=["train"] * 4 + ["test"] * 2)
    assert len(read(tmp_path)[0]) == 4 and len(read(tmp_path, split="test")[0]) == 2
    np.savez(tmp_path / "a_test.npz", data=clouds(), label=np.arange(6))
    source, notes = read(tmp_path, split="test")
    assert [p.name for p in source.paths] == ["a_test.npz"] and "does not tell train from test" in notes[0]


def test_a_split_that_is_not_there(tmp_path):
    np.savez(tmp_path / "a.npz", data=clouds(), label=np.arange(6), split=["train"] * 6)
    with pytest.raises(UsageError, match="--split test: no cloud of"):
        read(tmp_path / "a.npz", split="test")
    np.savez(tmp_path / "a.npz", data=clouds(), label=np.arange(6), split=np.zeros(6))
    with pytest.raises(MixError, match=r"'split' is \(6,\) float64; expected 6 strings"):
        read(tmp_path / "a.npz")


def test_arrays_are_decoded_once(tmp_path, monkeypatch):
    import mixcli.files.npz_arrays as arrays

    opened = []
    original = arrays.Member.array
    monkeypatch.setattr(arrays.Member, "array", lambda self: opened.append(self.name) or original(self))
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", data=clouds(), label=np.arange(6))
        part = read(tmp_path / "a.npz")[0].parts[0]
        for row in range(6):
            part.read(np.array([row]), Wanted(16, True))
    assert opened == ["label", "data"] * 2


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"label": np.arange(6)}, r"no 'data' or 'points' in the file \(it holds 'label'\)"),
        ({"data": clouds()}, "no 'label' or 'labels'"),
        ({"data": clouds(2), "label": np.arange(6)}, r"'data' is \(6, 16, 2\) float32; expected"),
        ({"data": clouds()[0], "label": np.arange(6)}, r"'data' is \(16, 3\)"),
        ({"data": clouds().astype(int), "label": np.arange(6)}, "int64"),
        ({"data": clouds(), "label": np.arange(5)}, r"'label' is \(5,\) int64; expected 6 integers"),
        ({"data": clouds(), "label": np.arange(6) + 0.5}, "label 0.5 is no class number"),
        ({"data": clouds(), "label": np.arange(6), "pid": np.zeros((6, 15), int)}, r"'pid' is \(6, 15\)"),
        ({"data": clouds(), "label": np.full(6, 2**64 - 1, np.uint64)}, "is no class number"),
        ({}, "it holds no array"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, values, says):
    np.savez(tmp_path / "a.npz", **values)
    with pytest.raises(MixError, match=says):
        read(tmp_path / "a.npz")


def test_nothing_is_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    np.savez(tmp_path / "a.npz", data=clouds(), label=np.array([Trap()] * 6, object))
    with pytest.raises(MixError, match="'label' holds pickled objects, which are not read"):
        read(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", data=clouds(), label=np.arange(6), meta=np.array({"a": Trap()}, object))
    assert len(read(tmp_path / "a.npz")[0]) == 6, "what is not needed is not looked at"
    np.savez(tmp_path / "a.npz", data=np.zeros(6, "f4,f4"), label=np.arange(6))
    with pytest.raises(MixError, match="'data' holds records"):
        read(tmp_path / "a.npz")
    assert not (tmp_path / "sprung").exists()


LIES = {
    "larger than the file": (header((10**6, 2048, 3)), "it declares 24,576,000,000 bytes and holds 0"),
    "larger than memory": (header((2**40, 2**40, 3)) + bytes(100), "declares"),
    "a byte too many": (header((6, 16, 3)) + bytes(1153), "declares 1,152 bytes and holds 1,153"),
    "a long header": (b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(50), "its header declares 4,294,967,295 bytes"),
    "another version": (b"\x93NUMPY\x09\x00\x10\x00" + bytes(50), "it is no array"),
    "no array": (b"PK" + bytes(50), "it is no array"),
    "nothing": (b"", "it is no array"),
    "no shape": (header((6, 16, 3)).replace(b"shape", b"shade"), "its header is none of numpy's"),
    "digits without end": (handmade("(" + "1" * 9000 + "x)"), "its header is none of numpy's"),
    "a side without end": (handmade("(" + "1" * 9000 + ",)"), "its header is none of numpy's"),
    "a program": (handmade("(__import__('os').abort(),)"), "its header is none of numpy's"),
    "complex numbers": (header((6, 16, 3), "<c8") + bytes(2304), "'data' holds '<c8'"),
}


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("lie", LIES)
def test_headers_that_lie(tmp_path, packing, lie):
    data, says = LIES[lie]
    forged(tmp_path / "a.npz", packing, data=data, label=header((6,), "<i8") + bytes(48))
    with pytest.raises(MixError, match=rf"a\.npz: .*{says}"):
        read(tmp_path / "a.npz")


def test_a_bomb_is_refused_by_its_index(tmp_path):
    """The index promises a terabyte where the file has 1 kB."""
    path = forged(tmp_path / "a.npz", data=header((6, 16, 3)) + bytes(1152), label=header((6,), "<i8") + bytes(48))
    raw = bytearray(path.read_bytes())
    at = raw.index(b"PK\1\2")  # the index entry of 'data': its sizes are 4 bytes at 20 and 24
    raw[at + 24 : at + 28] = (2**32 - 2).to_bytes(4, "little")
    path.write_bytes(raw)
    with pytest.raises(MixError, match="'data' declares 4,294,967,294 bytes but holds"):
        read(path)
    raw[at + 20 : at + 24] = (2**32 - 2).to_bytes(4, "little")
    path.write_bytes(raw)
    with pytest.raises(MixError, match="'data' declares 4,294,967,294 bytes but holds"):
        read(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_torn_files(tmp_path, save):
    """Cut short anywhere, or with any byte turned over: a sentence, or the clouds; nothing else."""
    save(tmp_path / "whole.npz", data=clouds(n=2, points=4), label=np.arange(2), names=["a", "b"], split=["train"] * 2)
    whole = (tmp_path / "whole.npz").read_bytes()
    cases = [whole[:n] for n in range(0, len(whole), 37)]
    cases += [whole[:n] + bytes([whole[n] ^ 255]) + whole[n + 1 :] for n in range(0, len(whole), 3)]
    refused = 0
    for raw in cases:
        (tmp_path / "a.npz").write_bytes(raw)
        try:
            source, _ = read(tmp_path / "a.npz")
            found = source.parts[0].read(slice(0, len(source)), Wanted(4, True))
            assert found.shape == (len(source), 4, 3)
        except MixError as e:
            assert str(e).startswith((str(tmp_path / "a.npz"), "--split"))
            refused += 1
    assert refused > len(cases) / 3


def test_more_names_than_classes(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", data=clouds(), label=np.arange(6), names=np.full(10**6, "a"))
    with pytest.raises(MixError, match="'names' has 1,000,000 names of classes"):
        read(tmp_path / "a.npz")


def test_text_that_is_no_text(tmp_path):
    names = np.full(2, 0xFFFFFFFF, "<u4").view("<U1")
    np.savez(tmp_path / "a.npz", data=clouds(), label=np.arange(6), names=names)
    with pytest.raises(MixError, match="'names' holds what is no text"):
        read(tmp_path / "a.npz")


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_packings_are_refused(tmp_path, packing):
    with pytest.raises(MixError, match="packed in an unusual way"):
        read(forged(tmp_path / "a.npz", packing, data=header((6, 16, 3)) + bytes(1152)))


def test_every_simple_type_comes_back(tmp_path):
    values = {
        "a": np.arange(3, dtype="<i2"), "b": np.array(["x", "yz"]), "c": np.array([b"x"]), "d": np.array(True),
        "e": np.zeros((0, 4)), "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    }  # fmt: skip
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **values)
        arrays = Npz(tmp_path / "a.npz")
        found = {name: arrays.member(name).array() for name in arrays.names}
        assert found.keys() == values.keys()
        for name, value in values.items():
            assert found[name].dtype == value.dtype and found[name].shape == value.shape
            assert (found[name] == value).all()


def test_recorded_clouds(shared):
    path = shared / "data" / "pc_kaykit_cc0" / "pc_kaykit_cc0.npz"
    source, notes = read(path)
    values = np.load(path)
    train = values["split"] == "train"
    assert len(source) == 165 and "165 of 221" in notes[0] and source.class_names == tuple(values["names"])
    assert (source.labels == values["labels"][train]).all()
    assert (source.parts[0].read(slice(0, 165), Wanted(2048, True)) == values["points"][train]).all()
