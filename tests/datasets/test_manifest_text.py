"""The manifest as text, which anyone may have written."""

import json
from pathlib import Path

import pytest

from mixcli.datasets.manifest_text import pack, parsed_manifest, parsed_names, unpack
from mixcli.errors import MixError

HERE = Path("mixed.h5")
OURS = {"schema": "mixcli.manifest/1", "rows": 3}


@pytest.mark.parametrize("names", [None, ("chair", "mug")])
def test_what_is_packed_comes_back(names):
    assert unpack(HERE, pack(OURS, names)) == (OURS, names)
    assert unpack(HERE, pack(OURS, names, indent=1).encode()) == (OURS, names)


@pytest.mark.parametrize("names", [3, [3], "chair", {"chair": 0}, None])
def test_names_that_are_none(names):
    assert unpack(HERE, json.dumps({**OURS, "class_names": names})) == (OURS, None)
    assert parsed_names(json.dumps(names)) is None


@pytest.mark.parametrize("text", ["", "[", "[" * 100_000])
def test_names_that_do_not_parse(text):
    assert parsed_names(text) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "no manifest in it"),
        ("{", "its manifest does not parse"),
        ("[" * 100_000, "its manifest does not parse"),
        (b"\xff", "its manifest does not parse"),
        ("[]", "its manifest is not one of mixcli's"),
        ("{}", "its manifest is not one of mixcli's"),
        ('{"schema": "mixcli.inspect/1"}', "its manifest is not one of mixcli's"),
        ('{"schema": ["mixcli.manifest/1"]}', "its manifest is not one of mixcli's"),
    ],
)
def test_a_manifest_that_is_none(text, says):
    with pytest.raises(MixError) as error:
        parsed_manifest(HERE, text)
    assert error.value.address == "mixed.h5" and error.value.reason.startswith(says)
