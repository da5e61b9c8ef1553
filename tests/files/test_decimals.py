import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rounded import read_geometry

from mixcli.errors import MixError
from mixcli.files.decimals import POWERS, decimals
from mixcli.jit import have_numba

pytestmark = pytest.mark.skipif(not have_numba(), reason="no numba")
digits = st.text("0123456789", max_size=9)
numbers = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "-", "+"]),
    st.one_of(st.builds("{}.{}".format, digits, digits), digits).filter(lambda text: text not in ("", ".")),
    st.one_of(st.just(""), st.builds("{}{}".format, st.sampled_from(["e", "E", "e+", "E-", "e-"]), st.integers(0, 30))),
)


def convert(text):
    """What is found in a text, or None where something in it is not simple."""
    characters = np.frombuffer(b" " + text.encode() + b"\n", np.uint8)
    start = np.flatnonzero((characters[1:] > 32) & (characters[:-1] <= 32))
    values = np.empty(len(start))
    return values if decimals(characters[1:], start, values, POWERS) else None


@settings(deadline=None)  # the first call compiles
@given(st.lists(numbers, max_size=5))
def test_numbers_are_those_of_python_to_the_last_bit(words):
    found = convert(" ".join(words))
    if found is not None:
        assert found.tobytes() == np.array([float(word) for word in words]).tobytes()
    else:
        assert any("e" in word.lower() or len(word) > 16 for word in words), "plain decimals are always simple"


@settings(deadline=None)  # the first call compiles
@given(st.text("0123456789.eE+-xn_ ", max_size=8))
def test_what_is_no_number_is_not_taken(text):
    found = convert(text)
    if found is not None:
        assert found.tolist() == [float(word) for word in text.split()]


def test_values_at_the_edge():
    assert convert("9007199254740991 1e22 1e-22 0.1").tolist() == [2**53 - 1, 1e22, 1e-22, 0.1]
    for hard in ("9007199254740993", "1e23", "1e-23", "nan", "inf", "1e99999999999999999999", "1.2.3", "1e", ".", "-"):
        assert convert(hard) is None, hard


@pytest.mark.parametrize("word", ["0.123456789012345678901", "1e-300", "nan", "1e300"])
def test_hard_numbers_in_long_texts_are_read_otherwise(tmp_path, word):
    path = tmp_path / "a.xyz"
    path.write_text("0.5 1.5 2.5\n" * 5000 + f"1 {word} 3\n")
    with np.errstate(over="ignore"):
        assert np.array_equal(read_geometry(path).points[-1], np.float32([1, float(word), 3]), equal_nan=True)
    path.write_text("0.5 1.5 2.5\n" * 5000 + "1 2.3.4 3\n")
    with pytest.raises(MixError, match=r"line 5001: '2.3.4' is not a number"):
        read_geometry(path)
