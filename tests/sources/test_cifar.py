"""CIFAR's batches: what is in them, and that nothing in them is carried out."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixcli.errors import MixError, UsageError
from mixcli.files.plain_pickle import Array, Refused, Span, read_plain
from mixcli.sources.images.cifar import cifar_file, cifar_folder
from mixcli.sources.images.decode import Fit

RNG = np.random.default_rng(0)
NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def counted(text):
    """A text as Python 2 pickles it, up to 255 bytes or up to 2 GB."""
    return b"U" + bytes([len(text)]) + text if len(text) < 256 else b"T" + len(text).to_bytes(4, "little") + text


def number(value):
    return b"K" + bytes([value]) if value < 256 else b"M" + value.to_bytes(2, "little")


def listed(items):
    return b"](" + b"".join(items) + b"e"


def array(values):
    """A numpy array as cPickle of Python 2 writes it: the form that the published files have."""
    dtype = (
        b"cnumpy\ndtype\n"
        + counted(b"u1")
        + b"K\0K\1\x87R(K\3"
        + counted(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    )
    shape = number(values.shape[0]) + number(values.shape[1]) + b"\x86"
    start = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85" + counted(b"b") + b"\x87R"
    return start + b"(K\1" + shape + dtype + b"\x89" + counted(values.tobytes()) + b"tb"


def published(**entries):
    """A dict of Python 2, protocol 2, with the memo that cPickle keeps."""
    body = b"".join(
        counted(key.encode()) + b"q" + bytes([at + 1]) + value for at, (key, value) in enumerate(entries.items())
    )
    return b"\x80\x02}q\0(" + body + b"u."


def batch(path, count, classes=10, kind="labels"):
    """A published batch; returns pictures (n,32,32,3) and labels."""
    pixels = RNG.integers(0, 256, (count, 3072), np.uint8)
    labels = RNG.integers(0, classes, count)
    more = {"coarse_labels": listed([number(i % 20) for i in range(count)])} if kind == "fine_labels" else {}
    path.write_bytes(published(
        batch_label=counted(b"training batch 1 of 5"),
        **more,
        **{kind: listed(map(number, labels.tolist()))},
        data=array(pixels),
        filenames=listed([counted(b"leptodactylus_s_%06d.png" % i) for i in range(count)]),
    ))  # fmt: skip
    return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels


@pytest.fixture
def ten(tmp_path):
    """CIFAR-10's folder with its five batches and the test batch."""
    meta = published(
        num_cases_per_batch=b"M\x10'", label_names=listed([counted(n.encode()) for n in NAMES]), num_vis=b"M\0\x0c"
    )
    (tmp_path / "batches.meta").write_bytes(meta)
    batches = [batch(tmp_path / f"data_batch_{i}", 30 + i) for i in range(1, 6)]
    return tmp_path, batches, batch(tmp_path / "test_batch", 7)


@pytest.fixture
def hundred(tmp_path):
    fine, coarse = (listed([counted(b"%s%d" % (w, i)) for i in range(n)]) for w, n in ((b"fine", 100), (b"coarse", 20)))
    (tmp_path / "meta").write_bytes(published(fine_label_names=fine, coarse_label_names=coarse))
    return tmp_path, batch(tmp_path / "train", 40, 100, "fine_labels"), batch(tmp_path / "test", 5, 100, "fine_labels")


def test_the_published_form_is_what_python_2_wrote(tmp_path):
    """Python 3 itself reads what these tests write."""
    pixels, labels = batch(tmp_path / "b", 3)
    found = pickle.loads((tmp_path / "b").read_bytes(), encoding="bytes")
    assert (found[b"data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1) == pixels).all()
    assert found[b"labels"] == labels.tolist() and found[b"filenames"][2] == b"leptodactylus_s_000002.png"


def test_cifar_10(ten):
    root, batches, _ = ten
    part = cifar_folder(root)
    pixels, labels = (np.concatenate(both) for both in zip(*batches, strict=True))
    assert (part.labels == labels).all() and part.class_names == tuple(NAMES) and part.size == (32, 32)
    rows = np.array([164, 0, 31, 0])
    assert all((a == pixels[row]).all() for a, row in zip(part.read(rows), rows, strict=True))
    assert [a.shape for a in part.read(rows, Fit(16, 16))] == [(16, 16, 3)] * 4
    assert part.address(31) == (str(root / "data_batch_2"), 0)
    assert part.files == [root / "batches.meta", *(root / f"data_batch_{i}" for i in range(1, 6))]
    assert part.notes[0].startswith(f"{root}: read 'data_batch_1', 'data_batch_2', 'data_batch_3' and 2 more of")


def test_splits(ten):
    root, _, (pixels, labels) = ten
    part = cifar_folder(root, "test")
    assert (part.labels == labels).all() and (part.read(np.array([6]))[0] == pixels[6]).all() and not part.notes
    assert len(cifar_folder(root, "all")) == sum(range(31, 36)) + 7
    with pytest.raises(UsageError, match="--split val"):
        cifar_folder(root, "val")


def test_cifar_100(hundred):
    root, (pixels, labels), _ = hundred
    part = cifar_folder(root)
    assert (part.labels == labels).all() and part.class_names[99] == "fine99" and len(part.class_names) == 100
    assert (part.read(np.array([39]))[0] == pixels[39]).all()
    coarse = cifar_folder(root, coarse=True)
    assert (coarse.labels == np.arange(40) % 20).all() and coarse.class_names[19] == "coarse19"


def test_the_folder_around_and_one_batch(ten):
    root, batches, _ = ten
    inner = root / "cifar-10-batches-py"
    inner.mkdir()
    for path in [*root.iterdir()]:
        if path.is_file():
            path.rename(inner / path.name)
    assert len(cifar_folder(root)) == sum(range(31, 36))
    part = cifar_file(inner / "data_batch_3")
    assert (part.labels == batches[2][1]).all() and part.path == inner / "data_batch_3"
    assert cifar_file(inner / "batches.meta") is None and cifar_folder(inner.parent.parent) is None


def test_a_missing_batch_is_said(ten):
    (ten[0] / "data_batch_2").unlink()
    with pytest.raises(MixError, match="no data_batch_2 beside data_batch_5"):
        cifar_folder(ten[0])


@pytest.mark.parametrize("protocol", range(2, 6))
def test_batches_that_python_3_saved_again(tmp_path, protocol):
    pixels, labels = RNG.integers(0, 256, (50, 3072), np.uint8), RNG.integers(0, 10, 50)
    for name, content in (
        ("data_batch_1", {b"data": pixels, "labels": labels.tolist(), "filenames": ["a"] * 50}),
        (
            "test_batch",
            {"data": pixels[::-1].copy(), "labels": labels.astype(">i4"), "label": None, "x": (True, 1 << 70)},
        ),
        ("batches.meta", {"label_names": NAMES}),
    ):
        (tmp_path / name).write_bytes(pickle.dumps(content, protocol))
    part = cifar_folder(tmp_path, "all")
    assert part.labels.tolist() == [*labels.tolist(), *labels.tolist()]
    both = np.concatenate([pixels, pixels[::-1]]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    assert all((a == b).all() for a, b in zip(part.read(np.arange(100)), both, strict=True))


class Attack:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(2, 6))
def test_nothing_is_carried_out(ten, protocol, tmp_path):
    import os
    import subprocess

    root, _, _ = ten
    for function, arguments in (
        (os.mkdir, (str(tmp_path / "made"),)),
        (subprocess.call, (["touch", "made"],)),
        (eval, ("1",)),
    ):
        content = {"data": Attack(function, arguments), "labels": [1]}
        (root / "data_batch_1").write_bytes(pickle.dumps(content, protocol))
        with pytest.raises(MixError, match="which no such file needs and may run code"):
            cifar_folder(root)
    assert not (tmp_path / "made").exists()


ONE, MANY = listed([number(1)]), array(np.zeros((1, 3072), np.uint8))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "the file is empty"),
        (b"\x80\x02}", "it is cut short"),
        (b"\x80\x02]." , "it holds no dict"),
        (b"\x80\x02}(U\x04dataK\x01U\x06labels]u.", "has no 'data' with 'labels' in it"),
        (published(labels=listed([]), data=b"T\xff\xff\xff\x7f"), "it is cut short"),
        (published(labels=listed([]), data=b"\x8e" + b"\xff" * 8), "it is cut short"),
        (published(labels=ONE, data=MANY.replace(b"M\x00\x0c", b"M\xff\xff")), "it declares an array"),
        (published(labels=ONE, data=array(np.zeros((1, 300), np.uint8))), r"expected \(pictures, 3072\) uint8"),
        (published(labels=listed([number(1)] * 2), data=MANY), "no list of 1 whole numbers"),
        (published(labels=listed([counted(b"1")]), data=MANY), "no list of 1 whole numbers"),
        (published(labels=listed([]), data=b"cnumpy\nndarray\n(K\x01tR"), "it calls 'numpy.ndarray'"),
        (published(labels=listed([]), data=b"I1\n"), "opcode b'I'"),
        (b"\x80\x02}(K\x01K\x02u.", "it is damaged"),
        (b"\x80\x02r\xff\xff\xff\xff.", "it is damaged"),
        (b"\x80\x02}()K\x01u.", "it is damaged"),
        (b"\x80\x02tb.", "it is damaged"),
        (published(labels=ONE, data=MANY.replace(b"tb", b"K\1tb")), "it is damaged"),
        (published(labels=ONE, data=MANY.replace(b"M\x00\x0c", b"NN")), "it is damaged"),
        (published(labels=ONE, data=MANY.replace(b"M\x00\x0c\x86", b"M\x00\x0c0")), "opcode b'0'"),
    ],
)  # fmt: skip
def test_other_pickles_are_refused(ten, data, says):
    root, _, _ = ten
    (root / "data_batch_1").write_bytes(data)
    with pytest.raises(MixError, match=f"data_batch_1: .*{says}"):
        cifar_folder(root)


def test_names_that_are_missing_are_said(ten):
    (ten[0] / "batches.meta").write_bytes(published(other=number(1)))
    with pytest.raises(MixError, match=r"batches.meta: has no names for the labels"):
        cifar_folder(ten[0])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 40), 1 << 40) | st.text(max_size=9) | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    | st.tuples(inner, inner) | st.tuples(inner, inner, inner, inner),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(VALUES, st.integers(3, 5))
def test_plain_values_are_those_that_python_reads(value, protocol):
    assert read_plain(pickle.dumps(value, protocol)) == value


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_pickles_end(tmp_path_factory, data):
    found = bytearray(published(labels=ONE, data=array(np.zeros((1, 9), np.uint8))))
    for _ in range(data.draw(st.integers(1, 6))):
        found[data.draw(st.integers(0, len(found) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("t") / "pickle"
    path.write_bytes(found)
    try:
        value = read_plain(bytes(found))
        if isinstance(value, dict) and isinstance(value.get(b"data"), Array):
            assert value[b"data"].load(path).nbytes < len(found)
    except Refused as e:
        assert str(e)


def test_long_texts_are_left_where_they_are():
    content = bytes(range(256)) * 300
    data = pickle.dumps({"data": content, "short": b"x"}, 4)
    found = read_plain(data)
    assert isinstance(found["data"], Span) and found["short"] == b"x"
    assert data[found["data"].start :][: found["data"].size] == content


def test_arrays_by_columns(tmp_path):
    values = np.asfortranarray(RNG.integers(0, 256, (4, 7), np.uint8))
    for protocol in (2, 3, 4, 5):
        found = read_plain(pickle.dumps(values, protocol))
        assert isinstance(found, Array) and (found.load(tmp_path) == values).all()
