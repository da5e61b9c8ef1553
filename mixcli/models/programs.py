"""Models that come as code: TorchScript and torch.export files, and factories in a Python file."""

from __future__ import annotations

import importlib.util
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.random import fork_rng

from mixcli.errors import CheckpointError, UsageError
from mixcli.models.checkpoint import File, State, shapes, variants
from mixcli.models.network import Foreign
from mixcli.models.pickles import wording
from mixcli.models.refusals import difference, refuse_kinds

OPTIONS: dict[str, dict[str, Any]] = {"points": {"layout": "bnc", "channels": 3}, "images": {}}  # by what it is fed
CHOICES = {"layout": ("bnc", "bcn"), "channels": (3, 6)}
BATCHES = {"points": "clouds (B, N, 3)", "images": "images (B, 3, H, W)"}
Sizes = tuple[int | None, ...]


class Program(Foreign):
    """Calls a foreign network as mixcli calls its own: a batch in, logits (B, classes) out.

    A batch is clouds (B, N, channels) or normalised images (B, 3, H, W). ``layout`` is the order that the network wants
    of clouds: "bnc" as they are, "bcn" for (B, channels, N). ``sizes`` are those of the only batch that it takes, None
    where any will do: a batch of another length is divided and filled up.
    """

    needs_trial = True

    def __init__(self, net: nn.Module, path: str, layout: str = "bnc", sizes: Sizes = ()):
        super().__init__(net)
        self.path, self.layout, self.sizes = path, layout, sizes
        self.requires_grad_(False)
        self.training = False

    def train(self, mode: bool = True) -> Self:
        """A program stays in the mode it was loaded in: one from torch.export has no other."""
        return self

    def forward(self, x: Tensor, *category: Tensor) -> Tensor:
        """Logits (B, classes) of a batch; a program takes nothing beside it."""
        inputs = x.transpose(1, 2) if self.layout == "bcn" else x
        self._require_sizes(inputs)
        size = self.sizes[0] if self.sizes else None
        with self._wording(x):
            logits = self._in_batches(inputs, size) if size else self._call(inputs)
        self._require_logits(logits, x)
        return logits

    def _call(self, x: Tensor) -> Tensor:
        with _last_line():
            out = self.net(x)
        return out[0] if isinstance(out, (tuple, list)) else out  # the published PointNets add their features

    def _in_batches(self, x: Tensor, size: int) -> Tensor:
        """Calls of exactly ``size`` samples; the last is filled up with its own last sample."""
        parts = []
        for part in x.split(size):
            full = torch.cat([part, part[-1:].expand(size - len(part), *part.shape[1:])])
            parts.append(self._call(full)[: len(part)])
        return torch.cat(parts)

    def _wording(self, x: Tensor) -> AbstractContextManager[None]:
        how = "" if x.ndim == 4 else f" with layout={self.layout}"
        other = next((str(p.dtype) for p in self.parameters() if p.is_floating_point() and p.dtype != x.dtype), None)
        weights = f", {x.dtype}, where it has weights of {other}" if other else ""
        return wording(self.path, f"fails on {_samples(x)} of shape {tuple(x.shape)}{how}{weights}")

    def _require_sizes(self, x: Tensor) -> None:
        if any(size not in (None, has) for size, has in zip(self.sizes[1:], x.shape[1:], strict=False)):
            taken = ", ".join(str(size or "any") for size in self.sizes[1:])
            high, wide = (size or has for size, has in zip(self.sizes[-2:], x.shape[-2:], strict=True))
            clouds = "other --points, the option layout, or an export with dynamic_shapes may help"
            how = f"--size {high}x{wide} brings them to it" if x.ndim == 4 else clouds
            what = f"takes only {_samples(x)} of shape (B, {taken}) and gets {tuple(x.shape)}"
            raise CheckpointError(what, at=self.path, advice=how)

    def _require_logits(self, logits: Any, x: Tensor) -> None:
        if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(x):
            what = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
            how = "" if x.ndim == 4 else "try the option layout=bcn, or "
            raise CheckpointError(
                f"gives {what} for {len(x)} {_samples(x)} where mixcli needs ({_samples(x)}, classes)",
                at=self.path,
                advice=f"{how}wrap the network in a factory",
            )
        if x.requires_grad and not logits.requires_grad:
            raise CheckpointError(
                "its logits cannot be differentiated by its input, which saliency needs",
                at=self.path,
                advice="take torch.no_grad, .detach() and argmax out of it",
            )


@contextmanager
def _last_line() -> Iterator[None]:
    """TorchScript says where an error came up, and at the very end what it is."""
    try:
        yield
    except (RuntimeError, torch.jit.Error) as e:
        if isinstance(e, torch.cuda.OutOfMemoryError) or "TorchScript interpreter" not in str(e):
            raise
        raise RuntimeError(str(e).strip().splitlines()[-1].removeprefix("RuntimeError: ")) from e


def _samples(x: Tensor) -> str:
    return "images" if x.ndim == 4 else "clouds"


def torchscript(file: File, layout: str = "bnc") -> Program:
    """The network in a TorchScript file."""
    with wording(file.path, "is no TorchScript program that this torch can load"):
        net = torch.jit.load(io.BytesIO(file.data), map_location="cpu").eval()
        return Program(net, file.path, layout)


def export(file: File, data: str, layout: str = "bnc") -> Program:
    """The network in a file of torch.export, in the mode and for the sizes it was exported with."""
    with wording(file.path, "is no torch.export program that this torch can load"):
        exported = torch.export.load(io.BytesIO(file.data))
        taken = exported.graph_signature.user_inputs
        inputs = [node.meta["val"] for node in exported.graph.nodes if node.name in taken]
        net = exported.module()
    tensors = [item for item in inputs if isinstance(item, Tensor)]
    batch = BATCHES[data]
    if len(inputs) != 1 or len(tensors) != 1 or tensors[0].ndim != batch.count(",") + 1:
        shapes = ", ".join(str(tuple(item.shape)) for item in tensors)
        raise CheckpointError(
            f"takes {len(inputs)} inputs ({shapes})", at=file.path, advice=f"export it for one batch of {batch}"
        )
    if tensors[0].dtype != torch.float32:
        raise CheckpointError(
            f"takes {tensors[0].dtype}", at=file.path, advice=f"export it for one batch of {batch} in float32"
        )
    return Program(net, file.path, layout, tuple(n if isinstance(n, int) else None for n in tensors[0].shape))


def from_file(path: str, name: str) -> nn.Module:
    """What the function ``name`` of a Python file returns; modules beside the file can be imported by it."""
    place = Path(path).resolve()
    if not place.is_file():
        raise UsageError(f"there is no file {path}", at=f"--model {path}:{name}")
    searched = list(sys.path)
    sys.path.insert(0, str(place.parent))
    try:
        with wording(path, "cannot be run"):
            spec = importlib.util.spec_from_file_location(f"mixcli_model_{place.stem}", place)
            if spec is None or spec.loader is None:
                raise ImportError("no Python file")
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module  # dataclasses look their module up there
            spec.loader.exec_module(module)
        factory = getattr(module, name, None)
        if not callable(factory):
            raise UsageError(f"{path} defines no function {name}", at=f"--model {path}:{name}")
        return called(f"{path}:{name}", factory)
    finally:
        sys.path[:] = searched


def called(name: str, factory: Callable[[], Any]) -> nn.Module:
    """What a factory returns, which must be a network. Weights that it draws are the same each time."""
    with wording(name, "the factory failed"), fork_rng(devices=[]):
        torch.manual_seed(0)
        net = factory()
    if not isinstance(net, nn.Module):
        raise CheckpointError(f"the factory returned a {type(net).__name__}, not a torch.nn.Module", at=name)
    return net.cpu().eval()


def fill(net: nn.Module, path: str, state: State) -> str:
    """Load a checkpoint's weights into a factory's network, all of them; returns the prefix taken off."""
    with wording(path, "cannot be loaded into the factory's network"):
        want = net.state_dict()
        tried = [(difference(shapes(want), shapes(part)), part, prefix) for part, prefix in variants(state)]
        apart, state, prefix = next((item for item in tried if not item[0]), tried[-1])
        if apart:
            raise CheckpointError(f"does not fit the factory's network: {apart}", at=path)
        refuse_kinds(path, state, want)
        net.load_state_dict(state, strict=False)  # strict but for the counters that old files lack
    return prefix
