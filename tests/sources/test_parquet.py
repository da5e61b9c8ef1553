"""Parquet as Hugging Face writes it; without pyarrow only that it is asked for."""

import json
import sys

import numpy as np
import pytest
from test_decode import saved

from mixcli.errors import MixError, UsageError
from mixcli.sources.images.decode import Fit
from mixcli.sources.images.opening import open_pictures
from mixcli.sources.images.parquet import Parquet

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (150, 4, 6, 3), np.uint8)


@pytest.fixture
def pyarrow():
    pytest.importorskip("pyarrow.parquet", reason="reading Parquet needs pyarrow")
    import pyarrow
    import pyarrow.parquet

    return pyarrow


def rows(of, label, key="image"):
    images = [{"bytes": saved(PIXELS[i]), "path": f"{i}.png"} for i in of]
    return {key: images, "label": [label(i) for i in of]}


def written(pyarrow, path, columns, metadata=None, row_group_size=40, **options):
    table = pyarrow.table(columns)
    if metadata:
        table = table.replace_schema_metadata({"huggingface": json.dumps(metadata)})
    path.parent.mkdir(exist_ok=True)
    pyarrow.parquet.write_table(table, path, row_group_size=row_group_size, **options)
    return path


def test_without_pyarrow_it_is_asked_for(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"a.parquet: .* needs the package pyarrow; pip install '\.\[parquet\]'"):
        open_pictures(tmp_path / "a.parquet")


@pytest.mark.parametrize("key", ["image", "img"])
def test_rows_across_row_groups(pyarrow, tmp_path, key):
    features = {"label": {"names": ["a", "b", "c"], "_type": "ClassLabel"}, key: {"_type": "Image"}}
    columns = rows(range(150), lambda i: i % 3, key)
    path = written(pyarrow, tmp_path / "train.parquet", columns, {"info": {"features": features}})
    part, notes = open_pictures(path)
    assert part.labels.tolist() == [i % 3 for i in range(150)] and part.class_names == ("a", "b", "c") and not notes
    wanted = np.array([149, 0, 39, 40, 41, 149, 103])
    assert all((a == PIXELS[row]).all() for a, row in zip(part.read(wanted), wanted, strict=True))
    assert part.sizes(wanted).tolist() == [[4, 6]] * 7 and part.read(wanted[:0]) == []
    assert [a.shape for a in part.read(wanted, Fit(2, 2))] == [(2, 2, 3)] * 7
    assert part.address(41) == (str(path), 41) and part.preload and not part.random_access


@pytest.mark.parametrize(
    ("split", "found"), [("auto", range(5, 9)), ("test", range(3)), ("all", [*range(3), *range(5, 9)])]
)
def test_files_of_a_folder(pyarrow, tmp_path, split, found):
    written(pyarrow, tmp_path / "data/test-00000-of-00001.parquet", rows(range(3), str))
    written(pyarrow, tmp_path / "data/train-00000-of-00002.parquet", rows(range(5, 7), str))
    written(pyarrow, tmp_path / "data/train-00001-of-00002.parquet", rows(range(7, 9), str))
    part, notes = open_pictures(tmp_path, split)
    assert [part.class_names[label] for label in part.labels] == [str(i) for i in found]
    assert all((a == PIXELS[i]).all() for a, i in zip(part.read(np.arange(len(part))), found, strict=True))
    assert bool(notes) == (split == "auto")
    last = part.address(len(part) - 1)
    assert last == (
        str(tmp_path / f"data/{'test-00000-of-00001' if split == 'test' else 'train-00001-of-00002'}.parquet"),
        2 if split == "test" else 1,
    )


def test_plain_bytes_and_bad_rows(pyarrow, tmp_path):
    columns = {"image": [saved(PIXELS[0]), b"", None, b"x"], "label": [0, 1, 2, 3]}
    part = Parquet(tmp_path, [written(pyarrow, tmp_path / "a.parquet", columns)])
    first, *bad = part.read(np.arange(4))
    assert (first == PIXELS[0]).all() and bad[:2] == ["the file is empty", "no picture in this row"]
    assert part.sizes(np.arange(4)).tolist() == [[4, 6], [-1, -1], [-1, -1], [-1, -1]]
    columns = {"image": [{"bytes": None, "path": "/etc/x.png"}, None], "label": [0, 1]}
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    path = written(pyarrow, tmp_path / "b.parquet", {**columns, "image": pyarrow.array(columns["image"], kind)})
    found = Parquet(path, [path]).read(np.arange(2))
    assert "only its path, '/etc/x.png', is in the file" in found[0] and found[1] == "no picture in this row"


def test_other_tables_are_no_pictures(pyarrow, tmp_path):
    path = written(pyarrow, tmp_path / "a.parquet", {"text": ["a"], "label": [0]})
    assert open_pictures(path) == (None, []) and open_pictures(tmp_path) == (None, [])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: {"image": c["image"], "class": c["label"]}, r"no column 'label' \(it has 'image', 'class'\)"),
        (lambda c: {**c, "label": [1.5] * 3}, r"a.parquet\[0\]: label 1.5 is no whole number"),
        (lambda c: {**c, "label": [0, None, 2]}, r"a.parquet\[1\]: label None is no whole number"),
    ],
)
def test_labels_that_are_none_are_named(pyarrow, tmp_path, change, says):
    path = written(pyarrow, tmp_path / "a.parquet", change(rows(range(3), int)))
    with pytest.raises(MixError, match=says):
        open_pictures(path)


def test_damage_is_said(pyarrow, tmp_path):
    path = written(pyarrow, tmp_path / "a.parquet", rows(range(90), int), compression="gzip")
    whole = path.read_bytes()
    start = pyarrow.parquet.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    path.write_bytes(whole[: start + 30] + b"\xff" * 400 + whole[start + 430 :])
    part, _ = open_pictures(path)
    assert (part.read(np.array([0]))[0] == PIXELS[0]).all()
    with pytest.raises(MixError, match=r"a.parquet: row group 1 cannot be read"):
        part.read(np.array([50]))
    for data in (whole[:-100], b"PAR1", b""):
        path.write_bytes(data)
        with pytest.raises(MixError, match="is no readable Parquet file"):
            open_pictures(path)


def test_tables_that_repeat_themselves_are_not_unfolded(pyarrow, tmp_path):
    """A few bytes that stand for a million rows."""
    columns = {"image": [b"x"] * 1_000_000, "label": [0] * 1_000_000}
    path = written(pyarrow, tmp_path / "a.parquet", columns, row_group_size=1 << 20)
    assert path.stat().st_size < 10_000
    with pytest.raises(MixError, match=r"declares more than its .* bytes can hold"):
        open_pictures(path)
