"""Rows as JSON lines: the same bits back, plain JSON, and nothing believed."""

import json
import os
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixcli.data.fields import Field
from mixcli.datasets.metadata import LineIndex, check_fields, decode, encode, file_name, line_bytes, longest
from mixcli.errors import MixError

FIELDS = (
    Field("label", (), "<i8"),
    Field("soft_label", (3,), "<f4"),
    Field("weight", (2,), "<f4"),
    Field("draw", (2,), "<f4"),
    Field("query", (2,), "<i4"),
    Field("empty", (0,), "<f4"),
    Field("share", (), "<f8"),
)


def row_values(count=1):
    rng = np.random.default_rng(0)
    return {f.name: (rng.random((count, *f.shape)) * 9).astype(f.dtype) for f in FIELDS}


def there_and_back(fields, values):
    rows = np.arange(len(next(iter(values.values()))))
    lines = encode(fields, [file_name(0, row, 6) for row in rows], values)
    return decode(fields, lines, rows, lambda i: f"line {i + 1}")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, (1 << 32) - 1), min_size=1, max_size=200), st.sampled_from(["<f4", "<f8", "<f2"]))
def test_any_float_comes_back_to_the_bit(bits, dtype):
    size = np.dtype(dtype).itemsize
    values = np.array(bits * 2, "<u4").view(f"<u{size}")[: len(bits)].view(dtype)
    values = np.where(np.isnan(values), np.array(np.nan, dtype), values).astype(dtype)
    found = there_and_back((Field("weight", (), dtype),), {"weight": values})[1]["weight"]
    assert found.tobytes() == values.tobytes()


def test_a_shortest_decimal_that_rounds_twice_is_written_longer():
    """7.038531e-26 is this float32 when it is read as one, but its neighbour when it is read as float64 and cast."""
    value = np.array([0x15AE43FD], "<u4").view("<f4")
    assert np.float32(float(str(value[0]))) != value[0]
    assert there_and_back((Field("weight", (), "<f4"),), {"weight": value})[1]["weight"] == value


@pytest.mark.parametrize("count", [0, 1, 300])
def test_rows_come_back(count):
    values = row_values(count)
    names, found = there_and_back(FIELDS, values)
    assert names == [f"00000/{row:06d}.ply" for row in range(count)]
    for f in FIELDS:
        assert found[f.name].dtype == f.dtype and found[f.name].shape == (count, *f.shape)
        assert found[f.name].tobytes() == values[f.name].astype(f.dtype).tobytes()


def test_lines_are_plain_json_in_the_types_of_their_fields():
    values = {**row_values(), "draw": np.array([[np.nan, np.inf]], "<f4"), "weight": np.array([[0, 0.1]], "<f4")}
    raw = encode(FIELDS, ["00000/000000.ply"], values)[0]

    def refuse(text):
        raise AssertionError(f"{text} is no JSON")

    entry = json.loads(raw, parse_constant=refuse)
    assert list(entry) == ["file_name", *(f.name for f in FIELDS)]
    assert entry["weight"] == [0.0, 0.1] and entry["draw"] == [None, float("inf")] and entry["empty"] == []
    assert type(entry["label"]) is int and type(entry["soft_label"][0]) is float
    assert len(raw) < line_bytes(FIELDS) * 2 and len(raw) < longest(FIELDS)


def test_many_classes_are_an_object_of_shares():
    for classes, kind in ((100, list), (101, dict)):
        soft = np.zeros((3, classes), "<f4")
        soft[0, [7, 99]], soft[1, 50] = [0.1, 0.9], 1
        fields, values = (Field("soft_label", (classes,), "<f4"),), {"soft_label": soft}
        entries = [json.loads(line)["soft_label"] for line in encode(fields, ["a", "b", "c"], values)]
        assert type(entries[0]) is kind
        assert there_and_back(fields, values)[1]["soft_label"].tobytes() == soft.tobytes()
    assert entries == [{"7": 0.1, "99": 0.9}, {"50": 1.0}, {}]


def test_a_nan_that_json_lacks_is_refused():
    values = {**row_values(2), "draw": np.array([[0, 0], [0, -np.nan]], "<f4")}
    with pytest.raises(MixError, match=r"^b: 'draw' is a NaN with a sign"):
        encode(FIELDS, ["a", "b"], values)


@pytest.mark.parametrize("f", [Field("mask", (2, 2), "<f4"), Field("flag", (), "|b1"), Field("name", (), "<U4")])
def test_a_field_that_fits_no_line_is_refused(tmp_path, f):
    with pytest.raises(MixError, match=f"field '{f.name}'.* fits no line"):
        check_fields((f,), tmp_path)


BAD = {
    "label": ['"3"', "1.0", "true", "null", "[1]", str(1 << 63), "1e3", "{}"],
    "soft_label": ["[1, 0]", "[1, 0, 0, 0]", '["1", 0, 0]', "[[1], 0, 0]", "[true, 0, 0]", f"[{10**99}, 0, 0]", "3"],
    "query": ["[1, 2147483648]", "[1, 0.5]", "[null, 1]"],
    "share": ["[0.5]", '"0.5"', "false"],
}  # fmt: skip


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts])
def test_a_value_of_another_type_names_its_line(name, text):
    rows = np.arange(3)
    lines = encode(FIELDS, [file_name(0, row, 6) for row in rows], row_values(3))
    entry = {key: json.dumps(value) for key, value in json.loads(lines[1]).items()} | {name: text}
    lines[1] = ("{" + ", ".join(f'"{key}": {value}' for key, value in entry.items()) + "}").encode()
    with pytest.raises(MixError, match=f"^line 2: '{name}' is not (a list of|one) "):
        decode(FIELDS, lines, rows, lambda i: f"line {i + 1}")


@pytest.mark.parametrize("text", ['{"101": 1}', '{"-1": 1}', '{"a": 1}', '{"1": "1"}', "[1]", '{"99999999999": 1}'])
def test_shares_of_no_class(text):
    fields, line = (Field("soft_label", (101,), "<f4"),), f'{{"file_name": "00000/000000.ply", "soft_label": {text}}}'
    with pytest.raises(MixError, match="line 1: 'soft_label' is not an object of shares by class, 0 to 100"):
        decode(fields, [line.encode()], np.arange(1), lambda i: f"line {i + 1}")


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../000000.ply", "00000/../../000000.ply", "00000/000001.ply", "00000/000000.ply\\u0000",
     "000000.ply", "00000//000000.ply",
     "./00000/000000.ply", "00000/000000.PLY", "00000\\\\000000.ply", "٠٠٠٠٠/000000.ply",
     ""],
)  # fmt: skip
def test_a_file_name_that_is_not_the_rows_own(name):
    for line in (f'{{"file_name": "{name}"}}', '{"file_name": 3}', "{}"):
        with pytest.raises(MixError, match=r"line 1: file_name .* is not that of row 0, like '00000/000000\.ply'"):
            decode((), [line.encode()], np.arange(1), lambda i: f"line {i + 1}")


@pytest.mark.parametrize("line", ["", "[]", "{", "nul", '{"file_name": "a"', "[" * 9999, '{"a": ' + "9" * 9999 + "}"])
def test_a_line_that_is_no_object(line):
    with pytest.raises(MixError, match=r"line 1: (does not parse as JSON|is no JSON object)"):
        decode((), [line.encode()], np.arange(1), lambda i: f"line {i + 1}")
    with pytest.raises(MixError, match="line 1: does not parse as JSON"):
        decode((), [b'{"file_name": "\xff"}'], np.arange(1), lambda i: f"line {i + 1}")


def test_lines_are_found_by_number(tmp_path, monkeypatch):
    from mixcli.datasets import metadata

    monkeypatch.setattr(metadata, "BLOCK", 64)  # lines cross its edges
    lines = [b'{"file_name": "%d"}' % 7 ** (i % 40) + b"\n" for i in range(500)]
    (tmp_path / "a").write_bytes(b"".join(lines))
    index = LineIndex(tmp_path / "a", 100)
    assert len(index) == 500 and index.longest == max(map(len, lines))
    for numbers in ([0], [499, 0, 1, 2, 2, 7], range(500), []):
        assert index.lines(np.array(numbers, int)) == [lines[i] for i in numbers]
    index.close()


@pytest.mark.parametrize(
    ("raw", "message"),
    [(b"\n" * 100, "line 1: is too short"), (b'{"file_name": "a"}\n' * 3 + b"x" * 5000, "line 4: is too .* long"),
     (b'{"file_name": "a"}\n' * 3 + b"{}\n", "line 4: is too short"),
     (b'{"file_name": "a"}\n{"file', "last line is cut short"),
     (b'{"file_name": "a"}\n' + b"x" * 5000 + b"\n", "line 2: is too .* long")],
)  # fmt: skip
def test_lines_that_cannot_be_rows(tmp_path, raw, message):
    (tmp_path / "a").write_bytes(raw)
    with pytest.raises(MixError, match=rf"a(, |: its ){message}"):
        LineIndex(tmp_path / "a", 4096)


def test_an_endless_line_takes_no_memory(tmp_path):
    with open(tmp_path / "a", "wb") as file:
        file.truncate(1 << 36)
    tracemalloc.start()
    with pytest.raises(MixError, match="line 1: is too short or too long"):
        LineIndex(tmp_path / "a", 4096)
    assert tracemalloc.get_traced_memory()[1] < 1 << 25
    tracemalloc.stop()


def test_links_and_pipes_are_not_read(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    assert len(LineIndex(tmp_path / "a", 100)) == 0
    os.symlink(tmp_path / "a", tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    for name, why in (("link", "symbolic link"), ("pipe", "no regular file"), ("none", "missing"), (".", "no regular")):
        with pytest.raises(MixError, match=why):
            LineIndex(tmp_path / name, 100)
