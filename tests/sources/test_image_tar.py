"""WebDataset: samples of tar archives by their keys, read where they lie; and archives that lie themselves."""

import io
import json
import os
import subprocess
import tarfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_decode import saved

from mixcli.errors import MixError
from mixcli.files.tar_index import members
from mixcli.sources.images.decode import Fit
from mixcli.sources.images.tar import Tars, samples

RNG = np.random.default_rng(0)


def png(seed=0):
    return saved(np.random.default_rng(seed).integers(0, 256, (4, 6, 3), np.uint8))


def tar(path, contents, kind=tarfile.PAX_FORMAT):
    """An archive of (name, bytes), or of TarInfo for what is no file."""
    with tarfile.open(path, "w", format=kind) as archive:
        for entry in contents:
            if isinstance(entry, tarfile.TarInfo):
                archive.addfile(entry)
            else:
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                archive.addfile(info, io.BytesIO(entry[1]))
    return path


def numbered(count, label=lambda i: str(i)):
    return [c for i in range(count) for c in ((f"{i:04}.png", png(i)), (f"{i:04}.cls", label(i).encode()))]


def test_samples_with_cls(tmp_path):
    path = tar(tmp_path / "a.tar", numbered(3, lambda i: f" {7 - i}\n"))
    part = Tars(path, [path])
    assert part.labels.tolist() == [7, 6, 5] and part.files == [path] and part.size is None
    assert part.address(1) == (f"{path}/0001.png", None)
    rows = np.array([2, 0, 2])
    from PIL import Image

    expected = [np.asarray(Image.open(io.BytesIO(png(i)))) for i in rows]
    assert all((a == b).all() for a, b in zip(part.read(rows), expected, strict=True))
    assert (
        part.sizes(rows).tolist() == [[4, 6]] * 3 and [a.shape for a in part.read(rows, Fit(2, 3))] == [(2, 3, 3)] * 3
    )
    assert part.random_access and not part.preload


def test_samples_with_json_and_other_members(tmp_path):
    contents = [
        ("./x/1.json", json.dumps({"label": "owl", "text": "an owl"}).encode()),
        ("./x/1.JPG", saved(np.zeros((3, 5, 3), np.uint8), "JPEG")),
        ("./x/1.seg.png", png(9)),
        ("./x/._1.jpg", b"resource fork"),
        ("./x/2.webp", saved(np.zeros((3, 5, 3), np.uint8), "WEBP")),
        ("./x/2.json", json.dumps({"label": "Ara"}).encode()),
        ("./x/3.txt", b"no picture"),
        ("__key__.json", b"{}"),
    ]
    path = tar(tmp_path / "a.tar", contents)
    part = Tars(path, [path])
    assert part.class_names == ("Ara", "owl") and part.labels.tolist() == [1, 0]
    assert part.sizes(np.arange(2)).tolist() == [[3, 5]] * 2 and part.address(0)[0] == f"{path}/./x/1.JPG"
    assert part.notes == (f"{path}: left out 1 sample without a picture",)


def test_soft_labels_as_mixcli_writes_them(tmp_path):
    label = {"label": 1, "soft_label": [0.5, 0.5], "weight": [0.5, 0.5]}
    path = tar(tmp_path / "a.tar", [("0.png", png()), ("0.json", json.dumps(label).encode())])
    part = Tars(path, [path])
    assert (
        part.shares is not None
        and part.labels.tolist() == [1]
        and part.shares.dense(np.array([0])).tolist() == [[0.5, 0.5]]
    )


def test_shards_follow_each_other(tmp_path):
    shards = [tar(tmp_path / f"{s}.tar", numbered(2, lambda i, s=s: str(10 * s + i))) for s in range(3)]
    (tmp_path / "classes.txt").write_text("".join(f"c{i}\n" for i in range(30)))
    part = Tars(tmp_path, shards)
    assert part.labels.tolist() == [0, 1, 10, 11, 20, 21] and len(part.class_names) == 30
    assert part.address(3) == (f"{shards[1]}/0001.png", None)
    assert part.files == [*shards, tmp_path / "classes.txt"]
    assert not any(isinstance(a, str) for a in part.read(np.arange(6)))


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_the_index_is_what_tarfile_finds(tmp_path, kind):
    folder = tarfile.TarInfo("d")
    folder.type = tarfile.DIRTYPE
    deep = "/".join(["d" * 30] * (5 if kind == tarfile.USTAR_FORMAT else 9))
    names = ["a.png", "ä.png" if kind != tarfile.USTAR_FORMAT else "b.png", f"{deep}/x.cls", "e.bin"]
    contents = [
        folder,
        *(
            (name, bytes(RNG.integers(0, 256, size, np.uint8)))
            for name, size in zip(names, (0, 1, 512, 4000), strict=True)
        ),
    ]
    path = tar(tmp_path / "a.tar", contents, kind)
    with tarfile.open(path) as archive:
        expected = [(m.name, "file", m.offset_data, m.size) for m in archive if m.isreg()]
    assert [tuple(m) for m in members(path)] == expected


def test_archives_of_the_tar_program_are_read(tmp_path):
    (tmp_path / "in").mkdir()
    for name, data in numbered(3):
        (tmp_path / "in" / name).write_bytes(data)
    subprocess.run(["tar", "-cf", tmp_path / "a.tar", "--sort=name", "-C", tmp_path / "in", "."], check=True)
    assert Tars(tmp_path, [tmp_path / "a.tar"]).labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_members_that_are_no_files_are_refused(tmp_path, kind):
    info = tarfile.TarInfo("0.png")
    info.type, info.linkname = kind, "/etc/passwd"
    path = tar(tmp_path / "a.tar", [info, ("0.cls", b"1")])
    with pytest.raises(MixError, match=r"'0.png' is (a link|no regular file), which is not followed"):
        Tars(path, [path])


def test_sparse_members_are_refused(tmp_path):
    (tmp_path / "0.png").write_bytes(b"\x89PNG")
    os.truncate(tmp_path / "0.png", 1 << 20)
    for style in ("gnu", "posix"):
        subprocess.run(["tar", "-cSf", tmp_path / "a.tar", f"--format={style}", "-C", tmp_path, "0.png"], check=True)
        found = list(members(tmp_path / "a.tar"))
        assert [m.kind for m in found] == ["other"]


@pytest.mark.parametrize(
    ("contents", "says"),
    [
        ([("0.png", b"x")], "'0' has neither a .cls nor a .json member"),
        ([("0.png", b"x"), ("0.json", b"{")], "0.json: is no JSON"),
        ([("0.png", b"x"), ("0.json", b"{}")], "0.json: has no 'label'"),
        ([("0.png", b"x"), ("0.json", b"[1]")], "0.json: has no 'label'"),
        ([("0.png", b"x"), ("0.jpg", b"x"), ("0.cls", b"1")], "has pictures 'png' and 'jpg'; leave one in it"),
        ([("0.png", b"x"), ("0.png", b"x"), ("0.cls", b"1")], "'0.png' twice in a row"),
        ([("0.png", b"x"), ("0.cls", b"1"), ("1.png", b"x"), ("1.cls", b"cat")], "1.cls: label 'cat' is a name"),
        ([("0.png", b"x"), ("0.json", b" " * (5 << 20))], "are too many for a label"),
    ],
)
def test_samples_without_sense_are_named(tmp_path, contents, says):
    path = tar(tmp_path / "a.tar", contents)
    with pytest.raises(MixError, match=says):
        Tars(path, [path])


def test_a_bad_picture_has_a_reason(tmp_path):
    path = tar(tmp_path / "a.tar", [("0.png", b""), ("0.cls", b"1")])
    part = Tars(path, [path])
    assert part.read(np.array([0])) == ["the file is empty"] and part.sizes(np.array([0])).tolist() == [[-1, -1]]


def test_an_archive_that_went_away_is_said(tmp_path):
    path = tar(tmp_path / "a.tar", numbered(2))
    part = Tars(path, [path])
    path.unlink()
    assert part.read(np.array([1])) == ["it cannot be opened (No such file or directory)"]


def test_an_archive_that_is_cut_short_is_said(tmp_path):
    path = tar(tmp_path / "a.tar", numbered(3))
    whole = path.read_bytes()
    ends = [m.offset + m.size for m in members(path)]
    for end, says in (
        (ends[2] - 1, "is cut short in '0001.png'"),
        (ends[1] // 512 * 512 + 700, "is cut short at byte"),
    ):
        path.write_bytes(whole[:end])
        with pytest.raises(MixError, match=says):
            Tars(path, [path])


def checked(header):
    """The header with the checksum that it should have."""
    header = bytearray(header)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


@pytest.mark.parametrize("field", [b"\x80" + b"\xff" * 11, b"\xff" * 12, b"77777777777\0", b"12345678901x"])
def test_sizes_that_lie_are_found(tmp_path, field):
    path = tar(tmp_path / "a.tar", numbered(2), tarfile.USTAR_FORMAT)
    data = path.read_bytes()
    path.write_bytes(checked(data[:124] + field + data[136:512]) + data[512:])
    with pytest.raises(MixError, match=r"is cut short in|is damaged at byte 0"):
        list(members(path))


def test_pax_sizes_that_lie_are_found(tmp_path):
    info = tarfile.TarInfo("0.png")
    for text in ("99999999999", "-5", "x", "9" * 400):
        info.pax_headers = {"size": text}
        path = tar(tmp_path / "a.tar", [info])
        with pytest.raises(MixError, match=r"is cut short in|is damaged at byte"):
            list(members(path))


@pytest.mark.parametrize(
    ("data", "says"), [(b"\x1f\x8b" + b"x" * 600, "is compressed"), (b"hello" * 200, "is no tar"), (b"hi", "cut short")]
)
def test_other_files_are_said(tmp_path, data, says):
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(MixError, match=says):
        list(members(tmp_path / "a.tar"))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damaged_archives_end(tmp_path_factory, data):
    path = tar(tmp_path_factory.mktemp("t") / "a.tar", numbered(2))
    found = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, 3000))
        found[at] = data.draw(st.integers(0, 255))
    for start in range(0, 3072, 512):
        if data.draw(st.booleans()):
            found[start : start + 512] = checked(found[start : start + 512])
    path.write_bytes(found)
    try:
        assert all(m.offset + m.size <= len(found) for m in members(path))
        list(samples(path))
    except MixError as e:
        assert str(path) in str(e)
