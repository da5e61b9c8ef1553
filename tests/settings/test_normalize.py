"""From ``--normalize`` to six numbers, or to a sentence that says why not."""

import subprocess
import sys

import numpy as np
import pytest

from mixcli.errors import UsageError
from mixcli.settings.normalize import PRESETS, Normalization, parse


def test_presets_are_the_published_values():
    assert np.allclose(parse("cifar10"), [(0.4914, 0.4824, 0.4467), (0.2471, 0.2435, 0.2616)], atol=1e-4)
    assert np.allclose(parse("cifar100"), [(0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)], atol=1e-4)
    assert parse("imagenet") == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert parse("half") == ((0.5,) * 3, (0.5,) * 3)
    assert parse("none") == ((0,) * 3, (1,) * 3)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_tuples_of_three_and_can_be_written_out(name):
    found = parse(name)
    assert isinstance(found, Normalization) and all(len(part) == 3 for part in found)
    written = "/".join(",".join(map(repr, part)) for part in found)
    assert parse(written) == found


def test_own_values():
    assert parse("0.1, 0.2,.3/ 0.4,5e-1,1") == ((0.1, 0.2, 0.3), (0.4, 0.5, 1.0))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cifar", "no such preset; did you mean cifar10?"),
        ("mnist", "no such preset; there are cifar10, cifar100, imagenet, half, none, and values as in"),
        ("", "no such preset; there are"),
        ("0.5,0.5,0.5", "no such preset; there are"),
        ("0.5,0.5/0.5,0.5,0.5", "'0.5,0.5' is not three numbers"),
        ("0.5,0.5,0.5/0.5", "'0.5' is not three numbers"),
        ("0.5,0.5,0.5/0.5,0.5,0.5/1", "'0.5/1' is not a number"),
        ("0.5,x,0.5/0.5,0.5,0.5", "'x' is not a number from 0 to 1"),
        ("0.5,nan,0.5/0.5,0.5,0.5", "'nan' is not a number from 0 to 1"),
        ("0.5,0.5,0.5/0.5,inf,0.5", "'inf' is not a number from 0 to 1"),
        ("-0.5,0.5,0.5/0.5,0.5,0.5", "'-0.5' is not a number from 0 to 1"),
        ("125.3,123,113.9/63,62.1,66.7", "125.3 is above 1; divide values of pixels to 255 by 255"),
        ("0.5,0.5,0.5/0.5,0,0.5", "a standard deviation must be above 0"),
    ],
)
def test_refusals(text, words):
    with pytest.raises(UsageError) as caught:
        parse(text)
    sentence = str(caught.value)
    assert sentence.startswith(f"--normalize {text}: ") and words in sentence and "\n" not in sentence


def test_needs_no_torch():
    code = "import sys, mixcli.settings.normalize; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
