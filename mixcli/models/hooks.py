"""What a layer of a network gives, seen from outside by a forward hook."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mixcli.errors import CheckpointError


def hooked(net: nn.Module, x: Tensor, layer: str, modules: Mapping[str, nn.Module]) -> tuple[Tensor, Tensor]:
    """What the module of that name gives, and the logits of ``net``, in one pass. CheckpointError where neither shows.

    The calls of other threads pass the hook by. Of a module that runs several times: the last.
    """
    outputs: list[object] = []
    mine, module = threading.get_ident(), modules[layer]

    def see(module: nn.Module, inputs: object, out: object) -> None:
        if threading.get_ident() == mine:
            outputs.append(out.clone() if isinstance(out, Tensor) else out)  # what follows may work in place

    if isinstance(module, torch.jit.ScriptModule):  # refuses hooks
        raise _unseen(layer)
    handle = module.register_forward_hook(see)
    try:
        logits = net(x)
    finally:
        handle.remove()
    if not outputs:
        raise _unseen(layer)
    last = outputs[-1]
    if not isinstance(last, Tensor) or len(last) != len(x):
        raise CheckpointError(
            "does not give one tensor for the whole batch", at=f"--layer {layer}", advice="choose another layer"
        )
    return last, logits


def _unseen(layer: str) -> CheckpointError:
    return CheckpointError(
        "cannot be seen from outside: it is never called, or by TorchScript or torch.export, which run their modules "
        "unseen",
        at=f"--layer {layer}",
        advice="choose another layer, or pass the network as a factory",
    )
