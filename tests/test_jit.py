"""Compiled loops: in any folder, from any thread."""

import threading

import numpy as np
import pytest

from mixcli.jit import have_numba, njit

numba = pytest.importorskip("numba")


def total(x):
    s = 0.0
    for v in x:
        s += v
    return s


def test_without_a_folder_for_the_cache(monkeypatch):
    compile, settings = numba.njit, []

    def no_cache(**options):
        settings.append(options)
        if options["cache"]:
            raise RuntimeError("cannot cache function: no locator available")
        return compile(**options)

    monkeypatch.setattr(numba, "njit", no_cache)
    assert njit(fastmath=True)(total)(np.arange(4.0)) == 6
    assert [s["cache"] for s in settings] == [True, False] and all(s["nogil"] and s["fastmath"] for s in settings)


def test_switched_off(monkeypatch):
    monkeypatch.setenv("MIXCLI_NO_NUMBA", "1")
    assert not have_numba()
    monkeypatch.setenv("MIXCLI_NO_NUMBA", "0")
    assert have_numba()


def test_first_called_from_many_threads():
    function, results = njit()(total), []
    threads = [threading.Thread(target=lambda: results.append(function(np.arange(5.0)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [10] * 8


def test_available_is_the_plain_function_without_numba(monkeypatch):
    compiled = njit()(total)
    assert compiled.available() is compiled
    monkeypatch.setenv("MIXCLI_NO_NUMBA", "1")
    assert compiled.available() is total and compiled.available()(np.arange(3.0)) == 3


def test_called_by_name():
    assert njit()(total)(x=np.arange(5.0)) == 10
