"""Every method gives what it gave before: `tests/recorded/bytes.npz`, which `make_bytes.py` beside it makes.

Without a network in it the bytes are the same. With one, processors and versions of torch move last bits: numbers are
held to 1e-5 of their size, pixels to the level beside, and what is chosen (parents, classes, places) exactly.
"""

from __future__ import annotations

import json

import make_bytes
import numpy as np
import pytest

from mixcli.methods import methods


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("bytes")
    make_bytes.sources(path)
    return path


@pytest.fixture(scope="module")
def recorded():
    with np.load(make_bytes.FILE) as file:
        return dict(file)


def test_every_method_is_recorded():
    told = {method for method, _, _ in (make_bytes.EXACT | make_bytes.CLOSE).values()}
    assert told == {*methods(), "convert"}


@pytest.mark.parametrize("name", make_bytes.EXACT)
def test_bytes(name, folder, recorded):
    expected = json.loads(str(recorded["digests"]))[name]
    assert {field: make_bytes.digest(array) for field, array in make_bytes.made(name, folder).items()} == expected


@pytest.mark.parametrize("name", make_bytes.CLOSE)
def test_arrays(name, folder, recorded):
    expected = {key.partition("/")[2]: array for key, array in recorded.items() if key.startswith(f"{name}/")}
    made = make_bytes.made(name, folder)
    assert made.keys() == expected.keys() and len(expected) >= 6
    for field, array in expected.items():
        assert (made[field].dtype, made[field].shape) == (array.dtype, array.shape), field
        if array.dtype == np.uint8:
            assert np.abs(made[field].astype(int) - array).max() <= 1, field
        elif array.dtype.kind in "iu":
            assert np.array_equal(made[field], array), field
        else:
            scale = max(1.0, float(np.abs(array[np.isfinite(array)]).max(initial=0)))
            assert np.allclose(made[field], array, rtol=0, atol=1e-5 * scale, equal_nan=True), field
