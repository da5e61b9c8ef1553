"""The networks that there are: mixcli's own, one file each, and those of installed packages."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

from mixcli.errors import UsageError
from mixcli.models.spec import FACTORY, TIMM

if TYPE_CHECKING:
    from mixcli.models.layout import Layout

BUILT_IN = ("dgcnn", "pointnet", "pointnet_tnet", "pointnet2", "pointnet_learning3d", "dgcnn_partseg", "images")
GROUP = "mixcli.models"  # entry points of installed packages: name -> Layout, or a factory


def layouts() -> Iterator[Layout]:
    """The networks that checkpoints are recognised as: mixcli's own, then those of installed packages."""
    yield from built_in()
    for entry in metadata.entry_points(group=GROUP):
        model = _plugin(entry)
        if not callable(model):
            yield model


def built_in() -> Iterator[Layout]:
    """Mixcli's own networks."""
    for name in BUILT_IN:
        module = import_module(f".{name}", __package__)
        yield from getattr(module, "LAYOUTS", None) or (module.LAYOUT,)


def named(name: str) -> Any:
    """The Layout or the factory of that name; None for the kinds of program, which are files of their own."""
    from mixcli.models.checkpoint import PROGRAMS

    if name.startswith(TIMM):
        from mixcli.models.images.timm import timm_layout

        return timm_layout(name.removeprefix(TIMM))
    known = {layout.name: layout for layout in built_in()} | dict.fromkeys(PROGRAMS)
    if name in known:
        return known[name]
    plugins = {entry.name: entry for entry in metadata.entry_points(group=GROUP)}
    if name in plugins:
        return _plugin(plugins[name])
    known |= plugins
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}, {TIMM}NAME and {FACTORY}"
    raise UsageError(f"--model {name}: no such network; {hint}")


def _plugin(entry: metadata.EntryPoint) -> Any:
    from mixcli.models.pickles import wording

    with wording(f"--model {entry.name}", f"the package behind it ({entry.value}) cannot be imported"):
        return entry.load()
