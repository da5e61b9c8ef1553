"""HDF5 files that are cut short, by what their first bytes say of their end."""

import h5py
import numpy as np
import pytest

from mixcli.errors import MixError
from mixcli.files.hdf5 import is_cut_short, open_h5


@pytest.mark.parametrize("version", ["earliest", "v108", "latest"])
def test_a_file_that_is_cut_short(tmp_path, version):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=version) as file:
        file["data"] = np.zeros(1000)
    assert not is_cut_short(path)
    whole = path.read_bytes()
    for size in range(100, len(whole), 700):
        path.write_bytes(whole[:size])
        assert is_cut_short(path)
        with pytest.raises(MixError) as told:
            open_h5(path)
        assert told.value.reason == "not a readable HDF5 file (it is cut short)" and told.value.address == str(path)


@pytest.mark.parametrize("content", [b"", b"no HDF5", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n\x09" + bytes(99)])
def test_a_file_that_is_none(tmp_path, content):
    (tmp_path / "a.h5").write_bytes(content)
    assert not is_cut_short(tmp_path / "a.h5")
    with pytest.raises(MixError, match=r"a\.h5: not a readable HDF5 file \((?!it is cut)"):
        open_h5(tmp_path / "a.h5")
