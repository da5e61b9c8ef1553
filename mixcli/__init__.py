"""mixcli turns a labelled dataset and a trained model into an offline mixed dataset.

>>> import mixcli
>>> mixcli.mix("sagemix", "modelnet40.h5", ckpt="dgcnn.pt", out="mixed.h5", k=4)  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.2.0.dev0"
__all__ = ["METHODS", "__version__", "convert", "mix", "open_dataset", "verify", "view"]

_HOMES = {
    "convert": "mixcli.pipeline.conversion",
    "mix": "mixcli.pipeline.run",
    "open_dataset": "mixcli.training.torch_dataset",
    "verify": "mixcli.checks.verify",
    "view": "mixcli.views.view",
}


def __getattr__(name: str) -> Any:
    """Public names are imported when they are asked for: torch alone takes seconds."""
    if name == "METHODS":
        return import_module("mixcli.methods").methods()
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'mixcli' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names alone, whatever has been imported."""
    return sorted(__all__)
