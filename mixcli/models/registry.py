"""The networks that there are: mixcli's own, one file each, and those of installed packages."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from importlib import import_module, metadata
from typing import TYPE_CHECKING

from mixcli.errors import UsageError
from mixcli.models.spec import FACTORY, TIMM

if TYPE_CHECKING:
    from torch import nn

    from mixcli.models.layout import Layout

    Plugin = Layout | Callable[[], nn.Module]

BUILT_IN = ("dgcnn", "pointnet", "pointnet_tnet", "pointnet2", "pointnet_learning3d", "dgcnn_partseg", "images")
GROUP = "mixcli.models"  # entry points of installed packages: name -> Layout, or a factory


def layouts() -> Iterator[Layout]:
    """The networks that checkpoints are recognised as: mixcli's own, then those of installed packages."""
    from mixcli.models.layout import Layout

    yield from built_in()
    for entry in metadata.entry_points(group=GROUP):
        model = _plugin(entry)
        if isinstance(model, Layout):
            yield model


def built_in() -> Iterator[Layout]:
    """Mixcli's own networks: the LAYOUTS of each file."""
    for name in BUILT_IN:
        yield from import_module(f".{name}", __package__).LAYOUTS


def named(name: str) -> Plugin | None:
    """The Layout or the factory of that name; None for the kinds of program, which are files of their own."""
    from mixcli.models.checkpoint import PROGRAMS

    if name.startswith(TIMM):
        from mixcli.models.images.timm import timm_layout

        return timm_layout(name.removeprefix(TIMM))
    own = {layout.name: layout for layout in built_in()}
    if name in own or name in PROGRAMS:
        return own.get(name)
    plugins = {entry.name: entry for entry in metadata.entry_points(group=GROUP)}
    if name in plugins:
        return _plugin(plugins[name])
    known = [*dict.fromkeys([*own, *PROGRAMS, *plugins])]
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}, {TIMM}NAME and {FACTORY}"
    raise UsageError("no such network", at=f"--model {name}", advice=hint)


def _plugin(entry: metadata.EntryPoint) -> Plugin:
    from mixcli.models.pickles import wording

    with wording(f"--model {entry.name}", f"the package behind it ({entry.value}) cannot be imported"):
        return entry.load()
