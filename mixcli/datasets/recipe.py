"""Recipes and fields as a manifest holds them: read, written and compared."""

from __future__ import annotations

from typing import Any

from mixcli.data.fields import Field
from mixcli.datasets.schema import RECORDED

# Versions of mixcli whose rows are equal for equal recipes: one goes on with what another began, and joins its shards.
ALIKE = ("0.1.0", "0.2.0.dev0")
LATER = {name: one.default for name, one in RECORDED.items() if one.later}  # what older recipes do not say


def differences(mine: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """What two recipes do not agree on, in words.

    >>> differences({"seed": 1, "sources": [{"sha256": "a"}]}, {"seed": 0, "sources": [{"sha256": "b"}]})
    ['seed 1 is not 0', 'the source is another (its SHA-256 differs)']
    >>> differences({"mixcli": "0.1.0"}, {"mixcli": "0.0.9"}), differences({"mixcli": ALIKE[0]}, {"mixcli": ALIKE[1]})
    (["mixcli '0.1.0' is not '0.0.9'"], [])
    """
    mine, theirs = {**LATER, **mine}, {**LATER, **theirs}
    whole = {"sources": "the source is another (its SHA-256 differs)"}
    if mine.get("reading", 1) != theirs.get("reading", 1):
        ways = f"{theirs.get('reading', 1)}, and this mixcli reads them in way {mine.get('reading', 1)}"
        whole["reading"] = f"it was begun with files of the source read in way {ways}"
    whole["model"] = "the checkpoint is another (its SHA-256 or its options differ)"
    return [
        whole.get(name) or f"{name} {mine.get(name)!r} is not {theirs.get(name)!r}"
        for name in mine | theirs
        if mine.get(name) != theirs.get(name) and not _alike(name, mine.get(name), theirs.get(name))
    ]


def _alike(name: str, mine: Any, theirs: Any) -> bool:
    """Whether both are versions of mixcli that give the same rows."""
    return name == "mixcli" and mine in ALIKE and theirs in ALIKE


def describe_fields(fields: tuple[Field, ...]) -> list[dict[str, Any]]:
    return [{"name": f.name, "shape": list(f.shape), "dtype": f.dtype} for f in fields]


def read_fields(manifest: dict[str, Any]) -> tuple[Field, ...]:
    """The fields that the manifest promises."""
    return tuple(Field(f["name"], tuple(f["shape"]), f["dtype"]) for f in manifest["fields"])
