"""Recipes, compared."""

import mixcli
from mixcli.datasets.recipe import ALIKE, differences


def test_versions_of_equal_rows_are_no_difference():
    """A release whose rows are others leaves those before it out of ALIKE, and says so in the changelog."""
    assert mixcli.__version__ in ALIKE and "0.1.0" in ALIKE, (
        "tests/pipeline/test_bytes.py holds today's rows to 0.1.0's"
    )
    for mine in ALIKE:
        assert [differences({"mixcli": mine}, {"mixcli": theirs}) for theirs in ALIKE] == [[]] * len(ALIKE)
    assert differences({"mixcli": ALIKE[0]}, {"mixcli": "9"}) == [f"mixcli {ALIKE[0]!r} is not '9'"]
    assert differences({"mixcli": ALIKE[0]}, {"mixcli": ["9"]}) != []
    assert differences({"mixcli": ALIKE[0]}, {}) != []


def test_other_values_are():
    assert differences({"k": "0.1.0"}, {"k": "0.2.0.dev0"}) == ["k '0.1.0' is not '0.2.0.dev0'"]
