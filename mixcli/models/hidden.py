"""Hidden layers of networks of images: what a network has computed up to a layer, and what it makes of that.

Mixcli's own networks are cut between their steps, frozen or not. Others, which are programs or come with a package, are
asked by a forward hook, and cannot be entered in their middle.
"""

from __future__ import annotations

import difflib
import threading

import torch
from torch import Tensor, nn

from mixcli.errors import CheckpointError, UsageError
from mixcli.models.programs import Program

SHOWN = 24  # names in one sentence


def layers(net: nn.Module) -> tuple[str, ...]:
    """Names of the hidden layers in forward order, as the keys of a checkpoint name them: conv1, layer1, layer1.0, ...

    Of other networks than mixcli's own: all modules, in the order in which they are declared.
    """
    if hasattr(net, "cuts"):
        return tuple(net.cuts())
    return tuple(name for name in _modules(net) if name)


def check(net: nn.Module, layer: str) -> None:
    """UsageError where a network has no layer of that name."""
    known = layers(net)
    if layer in known:
        return
    near = difflib.get_close_matches(layer, known, 3)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    names = ", ".join(known[:SHOWN]) + (f" and {len(known) - SHOWN} more" if len(known) > SHOWN else "")
    raise UsageError(f"--layer {layer}: the network has no such layer; {hint}it has {names or 'none by name'}")


def hidden(net: nn.Module, x: Tensor, layer: str) -> Tensor:
    """What a layer gives for normalised images x (B, 3, H, W): what a forward hook on the module of that name sees.

    Raises UsageError for names that ``layers`` does not have, CheckpointError where a hook cannot reach the layer.
    """
    check(net, layer)
    return net.hidden(x, layer) if hasattr(net, "cuts") else _hooked(net, x, layer)[0]


def rest(net: nn.Module, maps: Tensor, layer: str) -> Tensor:
    """Logits (B, classes) of what ``hidden`` gives, which is left as it is."""
    check(net, layer)
    if not hasattr(net, "cuts"):
        raise CheckpointError(
            f"--layer {layer}: only mixcli's own networks can be run from a layer on; pass a checkpoint of one of them"
        )
    return net.rest(maps, layer)


def both(net: nn.Module, x: Tensor, layer: str) -> tuple[Tensor, Tensor]:
    """What a layer gives, and the logits (B, classes) that it leads to, in one pass."""
    if not hasattr(net, "cuts"):
        check(net, layer)
        return _hooked(net, x, layer)
    maps = hidden(net, x, layer)
    return maps, net.rest(maps, layer)


def _modules(net: nn.Module) -> dict[str, nn.Module]:
    """Of the user's own network, where it is wrapped."""
    return dict((net.net if isinstance(net, Program) else net).named_modules())


def _hooked(net: nn.Module, x: Tensor, layer: str) -> tuple[Tensor, Tensor]:
    """By a hook, which the calls of other threads pass by. Of a module that runs several times: the last."""
    found, mine, module = [], threading.get_ident(), _modules(net)[layer]

    def see(module: nn.Module, inputs: object, out: object) -> None:
        if threading.get_ident() == mine:
            found.append(out.clone() if isinstance(out, Tensor) else out)  # what follows may work in place

    if isinstance(module, torch.jit.ScriptModule):  # refuses hooks
        raise _unseen(layer)
    handle = module.register_forward_hook(see)
    try:
        logits = net(x)
    finally:
        handle.remove()
    if not found:
        raise _unseen(layer)
    if not isinstance(found[-1], Tensor) or len(found[-1]) != len(x):
        raise CheckpointError(f"--layer {layer}: does not give one tensor for the whole batch; choose another layer")
    return found[-1], logits


def _unseen(layer: str) -> CheckpointError:
    return CheckpointError(
        f"--layer {layer}: cannot be seen from outside: it is never called, or by TorchScript or torch.export, which "
        "run their modules unseen; choose another layer, or pass the network as a factory"
    )
