"""Hidden layers of networks of images: what a network has computed up to a layer, and what it makes of that.

Mixcli's own networks are cut between their steps, frozen or not. Others, which are programs or come with a package, are
asked by a forward hook, and cannot be entered in their middle.
"""

from __future__ import annotations

import difflib

from torch import Tensor, nn

from mixcli.errors import UsageError
from mixcli.models.network import Network, adapted

SHOWN = 24  # names in one sentence


def layers(net: nn.Module) -> tuple[str, ...]:
    """Names of the hidden layers in forward order, as the keys of a checkpoint name them: conv1, layer1, layer1.0, ...

    Of other networks than mixcli's own: all modules, in the order in which they are declared.
    """
    return adapted(net).layers()


def check(net: nn.Module, layer: str) -> None:
    """UsageError where a network has no layer of that name."""
    _with(net, layer)


def hidden(net: nn.Module, x: Tensor, layer: str) -> Tensor:
    """What a layer gives for normalised images x (B, 3, H, W): what a forward hook on the module of that name sees.

    Raises UsageError for names that ``layers`` does not have, CheckpointError where a hook cannot reach the layer.
    """
    return _with(net, layer).hidden(x, layer)


def rest(net: nn.Module, maps: Tensor, layer: str) -> Tensor:
    """Logits (B, classes) of what ``hidden`` gives, which is left as it is."""
    return _with(net, layer).rest(maps, layer)


def both(net: nn.Module, x: Tensor, layer: str) -> tuple[Tensor, Tensor]:
    """What a layer gives, and the logits (B, classes) that it leads to, in one pass."""
    return _with(net, layer).both(x, layer)


def _with(net: nn.Module, layer: str) -> Network:
    """The network, which has a layer of that name."""
    network = adapted(net)
    known = network.layers()
    if layer in known:
        return network
    near = difflib.get_close_matches(layer, known, 3)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    names = ", ".join(known[:SHOWN]) + (f" and {len(known) - SHOWN} more" if len(known) > SHOWN else "")
    raise UsageError(
        "the network has no such layer", at=f"--layer {layer}", advice=f"{hint}it has {names or 'none by name'}"
    )
