"""Models that come as code: TorchScript and torch.export files, and factories in a Python file."""

from __future__ import annotations

import importlib.util
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import CheckpointError, UsageError
from .checkpoint import File, State, difference, refuse_kinds, shapes, variants
from .pickles import wording

OPTIONS = {"layout": "bnc", "channels": 3}
CHOICES = {"layout": ("bnc", "bcn"), "channels": (3, 6)}


class Program(nn.Module):
    """Calls a foreign network as mixcli calls its own: clouds (B, N, channels) in, logits (B, classes) out.

    ``layout`` is the order that the network wants: "bnc" for (B, N, channels), "bcn" for (B, channels, N).
    ``batch`` is the one batch size that it takes, where it was exported for only one.
    """

    def __init__(self, net: nn.Module, path: str, layout: str = "bnc", batch: int | None = None):
        super().__init__()
        self.net, self.path, self.layout, self.batch = net, path, layout, batch
        self.requires_grad_(False)
        self.training = False

    def train(self, mode: bool = True) -> Program:
        """A program stays in the mode it was loaded in: one from torch.export has no other."""
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of clouds (B, N, channels)."""
        with wording(self.path, f"fails on clouds of shape {tuple(x.shape)} with layout={self.layout}"):
            inputs = x.transpose(1, 2) if self.layout == "bcn" else x
            logits = self._call(inputs) if self.batch is None else self._in_batches(inputs, self.batch)
        if logits.ndim != 2 or len(logits) != len(x):
            raise CheckpointError(
                f"{self.path}: gives shape {tuple(logits.shape)} for {len(x)} clouds where mixcli needs "
                "(clouds, classes); try the option layout=bcn, or wrap the network in a factory"
            )
        return logits

    def _call(self, x: Tensor) -> Tensor:
        out = self.net(x)
        return out[0] if isinstance(out, (tuple, list)) else out  # the published PointNets add their features

    def _in_batches(self, x: Tensor, size: int) -> Tensor:
        """Calls of exactly ``size`` clouds; the last is filled up with its own last cloud."""
        parts = []
        for part in x.split(size):
            full = torch.cat([part, part[-1:].expand(size - len(part), *part.shape[1:])])
            parts.append(self._call(full)[: len(part)])
        return torch.cat(parts)


def torchscript(file: File, layout: str) -> Program:
    """The network in a TorchScript file."""
    with wording(file.path, "is no TorchScript program that this torch can load"):
        net = torch.jit.load(io.BytesIO(file.data), map_location="cpu").eval()
        return Program(net, file.path, layout)


def export(file: File, layout: str) -> Program:
    """The network in a file of torch.export, in the mode and for the batch size it was exported with."""
    with wording(file.path, "is no torch.export program that this torch can load"):
        exported = torch.export.load(io.BytesIO(file.data))
        taken = exported.graph_signature.user_inputs
        shapes = [node.meta["val"].shape for node in exported.graph.nodes if node.name in taken]
        net = exported.module()
    if len(shapes) != 1 or len(shapes[0]) != 3:
        raise CheckpointError(
            f"{file.path}: takes inputs of {len(shapes)} shapes ({', '.join(map(str, map(tuple, shapes)))}); "
            "export it for one batch of clouds (B, N, 3)"
        )
    batch = shapes[0][0]
    return Program(net, file.path, layout, batch if isinstance(batch, int) else None)


def from_file(path: str, name: str) -> nn.Module:
    """What the function ``name`` of a Python file returns; modules beside the file can be imported by it."""
    place = Path(path).resolve()
    if not place.is_file():
        raise UsageError(f"--model {path}:{name}: there is no file {path}")
    searched = list(sys.path)
    sys.path.insert(0, str(place.parent))
    try:
        with wording(path, "cannot be run"):
            spec = importlib.util.spec_from_file_location(f"mixcli_model_{place.stem}", place)
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module  # dataclasses look their module up there
            spec.loader.exec_module(module)
        if not callable(getattr(module, name, None)):
            raise UsageError(f"--model {path}:{name}: {path} defines no function {name}")
        return called(f"{path}:{name}", getattr(module, name))
    finally:
        sys.path[:] = searched


def called(name: str, factory: Callable[[], Any]) -> nn.Module:
    """What a factory returns, which must be a network."""
    with wording(name, "the factory failed"):
        net = factory()
    if not isinstance(net, nn.Module):
        raise CheckpointError(f"{name}: the factory returned a {type(net).__name__}, not a torch.nn.Module")
    return net.cpu().eval()


def fill(net: nn.Module, path: str, state: State) -> str:
    """Load a checkpoint's weights into a factory's network, all of them; returns the prefix taken off."""
    with wording(path, "cannot be loaded into the factory's network"):
        want = net.state_dict()
        tried = [(difference(shapes(want), shapes(part)), part, prefix) for part, prefix in variants(state)]
        apart, state, prefix = next((item for item in tried if not item[0]), tried[-1])
        if apart:
            raise CheckpointError(f"{path}: does not fit the factory's network: {apart}")
        refuse_kinds(path, state, want)
        net.load_state_dict(state, strict=False)  # strict but for the counters that old files lack
    return prefix
