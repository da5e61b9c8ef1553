"""A manifest that lies about its own form is refused in one place, in one sentence."""

import copy

import pytest

from mixcli.datasets.dataset import Dataset
from mixcli.datasets.schema import wrong


@pytest.fixture
def manifest(tiny):
    return Dataset(tiny.mix("mixed.h5", on_error="skip").path).manifest


def test_what_a_run_writes_is_right(manifest):
    assert list(wrong(manifest)) == []


def leaves(value, at=()):
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inner:
        yield from leaves(one, (*at, name))


def test_every_fact_that_is_relied_on_is_held_to_its_kind(manifest):
    """Put an impossible value wherever a value is: it is found, but for free options and facts nobody relies on."""
    free = {"options", "trusted", "note", "resumed_windows", "workers", "mixcli", "sources"}
    manifest["checkpoint"].pop("classes")
    for at in leaves(manifest):
        if not at or free & set(map(str, at)):
            continue
        lie = copy.deepcopy(manifest)
        holder = lie
        for name in at[:-1]:
            holder = holder[name]
        holder[at[-1]] = {1.5: object()}
        assert list(wrong(lie)), at


@pytest.mark.parametrize("value", [-1, True, 2**62, 1.0, "3", None])
def test_counts(manifest, value):
    manifest["recipe"]["k"] = value
    assert list(wrong(manifest)) == ["'recipe.k' is not a count"]
