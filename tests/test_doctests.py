"""The worked examples in the docstrings are right."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import mixcli

MODULES = [m.name for m in pkgutil.walk_packages(mixcli.__path__, "mixcli.") if not m.name.endswith("__main__")]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    failed, _ = doctest.testmod(importlib.import_module(name), extraglobs={"np": np})
    assert failed == 0
