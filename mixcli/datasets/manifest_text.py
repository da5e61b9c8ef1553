"""The manifest as text: one JSON object, in some containers with the class names in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeGuard

from mixcli.errors import MixError

SCHEMA = "mixcli.manifest/"  # and a number
H5_MANIFEST, H5_CLASS_NAMES = "mixcli", "class_names"  # attributes of a .h5
NPZ_MANIFEST = "mixcli.json"  # member of a .npz


def pack(manifest: dict[str, Any], class_names: tuple[str, ...] | None, indent: int | None = None) -> str:
    """Manifest and class names as one JSON object."""
    return json.dumps({**manifest, **({"class_names": list(class_names)} if class_names else {})}, indent=indent)


def unpack(path: Path, text: str | bytes) -> tuple[dict[str, Any], tuple[str, ...] | None]:
    """`pack` the other way."""
    manifest = parsed_manifest(path, text)
    names = manifest.pop("class_names", None)
    return manifest, tuple(names) if _are_names(names) else None


def parsed_manifest(path: Path, text: str | bytes | None) -> dict[str, Any]:
    """A manifest as `mixcli` writes it, or MixError."""
    if text is None:
        raise MixError("no manifest in it", at=path, advice="mixcli did not write it")
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise MixError(f"its manifest does not parse ({e})", at=path) from e
    if not isinstance(manifest, dict) or not str(manifest.get("schema", "")).startswith(SCHEMA):
        raise MixError("its manifest is not one of mixcli's", at=path)
    return manifest


def parsed_names(text: str) -> tuple[str, ...] | None:
    """A JSON list of strings, or nothing."""
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return tuple(names) if _are_names(names) else None


def _are_names(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)
