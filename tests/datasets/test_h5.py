"""What is particular to `.h5`: valid at any moment, its space reserved, laid out again where its end was torn."""

import os

import h5py
import numpy as np
import pytest

from mixcli.data.fields import Field
from mixcli.datasets.h5 import H5Sink, MixedH5, lay_out
from mixcli.errors import MixError

SPEC = (Field("data", (4, 3), "<f4"), Field("label", (), "<i8"), Field("draw", (0,), "<f4"))


def rows(count, start=0):
    return {
        "data": np.arange(start * 12, (start + count) * 12, dtype="<f4").reshape(count, 4, 3),
        "label": np.arange(start, start + count),
        "draw": np.empty((count, 0), "<f4"),
    }


def test_rows_come_back_where_they_were_put(tmp_path):
    sink = H5Sink(tmp_path / "a.h5", SPEC, 10)
    sink.create()
    for first, count in ((7, 3), (0, 2), (2, 5)):
        sink.write(0, first, rows(count, first))
    assert (sink.read(0, 3, 4)["data"] == rows(4, 3)["data"]).all()
    sink.finish(0)
    assert not (tmp_path / "a.h5").exists()
    sink.seal({"schema": "mixcli.manifest/1", "long": "x" * 200_000}, ("a", "b"))
    assert os.listdir(tmp_path) == ["a.h5"]
    file = MixedH5(tmp_path / "a.h5")
    assert file.names == ["data", "label", "draw"] and file.class_names == ("a", "b")
    assert len(file.manifest()["long"]) == 200_000, "attributes are not bound to 64 kB"
    assert (file.read("data", 0, 10) == rows(10)["data"]).all()


def test_the_part_is_a_readable_file_at_any_moment(tmp_path):
    sink = H5Sink(tmp_path / "a.h5", SPEC, 10)
    sink.create()
    sink.write(0, 4, rows(1, 4))
    with h5py.File(tmp_path / "a.h5.part") as file:
        assert (file["data"][4] == rows(1, 4)["data"][0]).all()
    sink.close()


def test_space_is_reserved(tmp_path):
    lay_out(tmp_path / "a.h5", (Field("data", (1024, 3), "<f4"),), 100)
    found = os.stat(tmp_path / "a.h5")
    assert found.st_size >= 100 * 12288 and found.st_blocks * 512 >= 100 * 12288


@pytest.mark.parametrize("tear", [lambda raw: b"\0" * 96 + raw[96:], lambda raw: raw[:-8]])
def test_torn_metadata_is_laid_out_again(tmp_path, tear):
    sink = H5Sink(tmp_path / "a.h5", SPEC, 10)
    sink.create()
    sink.write(0, 0, rows(9))
    sink.finish(0)
    sink.close()
    sink.part.write_bytes(tear(sink.part.read_bytes()))
    again = H5Sink(tmp_path / "a.h5", SPEC, 10)
    again.reopen(sink.layout)
    assert again.read(0, 0, 9)["data"].tobytes() == rows(9)["data"].tobytes()
    again.write(0, 9, rows(1, 9))
    again.seal({"schema": "mixcli.manifest/1"}, None)
    assert os.listdir(tmp_path) == ["a.h5"]
    assert MixedH5(tmp_path / "a.h5").read("label", 0, 10).tolist() == list(range(10))


def test_offsets_that_lead_out_of_the_file_are_refused(tmp_path):
    sink = H5Sink(tmp_path / "a.h5", SPEC, 10)
    sink.create()
    sink.close()
    with pytest.raises(MixError, match="journal is damaged"):
        H5Sink(tmp_path / "a.h5", SPEC, 10).reopen({"container": "h5", "offsets": {**sink.offsets, "data": -4096}})
