"""Trained networks: find out which one a checkpoint belongs to, build it, freeze it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixcli.errors import CheckpointError, UsageError
from mixcli.models.registry import layouts, named
from mixcli.models.spec import FACTORY, Spec, parse, program_options, resolved

if TYPE_CHECKING:
    from torch import nn

    from mixcli.models.checkpoint import File, Shapes, State
    from mixcli.models.layout import Layout

OWN_NETWORK = f"build it with --model {FACTORY} --trust-ckpt"


@dataclass(frozen=True)
class Classifier:
    """A frozen network on the CPU, and its origin.

    Clouds (B, N, channels) or normalised images (B, 3, H, W) in, logits (B, classes) out. With task "segment" it takes
    the category (B,) of each cloud beside it, one of ``classes``, and gives logits (B, N, parts).
    """

    net: nn.Module
    name: str
    options: dict[str, Any]  # resolved: what the checkpoint itself cannot tell
    classes: int | None  # None where a program does not tell
    channels: int  # 3, or 6 with normals
    path: str
    sha256: str
    trusted: bool  # loaded as a program, because the user said so
    note: str  # how the weights were found in the file
    task: str = "classify"  # or "segment"
    parts: int | None = None  # of a segmentation network
    data: str = "points"  # or "images"


def load(path: str | Path | None, spec: str | None = None, trust: bool = False, data: str = "points") -> Classifier:
    """The classifier in a checkpoint; ``spec`` as in ``--model``, ``trust`` as in ``--trust-ckpt``.

    ``path`` may be None where ``spec`` names a factory that brings its own weights. ``data`` is what a program will be
    fed, "points" or "images"; weights tell it themselves.
    """
    from mixcli.models import checkpoint, programs

    wanted = parse(spec)
    if wanted.file:
        return _from_file(path, wanted, trust, data)
    model = named(wanted.name) if wanted.name else None
    if callable(model):
        options = program_options(wanted, data)
        return _from_factory(path, programs.called(f"--model {wanted.name}", model), wanted, options, data)
    options = resolved(wanted, model.options) if model else program_options(wanted, data)
    if path is None:
        raise UsageError(f"no checkpoint: pass --ckpt, or a --model {FACTORY} that brings its own weights")
    file = checkpoint.open_file(path)
    if file.kind in checkpoint.PROGRAMS and trust:
        return _from_program(file, wanted, options, data)
    return _from_weights(file, wanted, model, options)


def _from_weights(file: File, wanted: Spec, model: Layout | None, options: dict[str, Any]) -> Classifier:
    """Recognise the network by keys and shapes, or hold the weights to the one that was named."""
    from mixcli.models.checkpoint import refuse_others, shapes, variants, weights
    from mixcli.models.mismatch import mismatch

    state, note = weights(file)
    if wanted.name and not model:
        raise CheckpointError(f"{file.path}: holds weights, not a program; leave --model {wanted.name} out")
    parts = list(variants(state))
    for layout in [model] if model else layouts():
        for part, prefix in parts:
            if _matches(file, layout, shapes(part)):
                options = options if model else dict(layout.options)
                return _assembled(file, layout, part, options, _joined(note, prefix))
    part, _ = parts[-1]
    refuse_others(file.path, shapes(part))
    raise CheckpointError(f"{file.path}: {mismatch(model, shapes(part))}; {OWN_NETWORK}")


def _matches(file: File, layout: Layout, have: Shapes) -> bool:
    from mixcli.models.pickles import wording

    with wording(file.path, f"cannot be compared with {layout.name}"):
        return layout.matches(have)


def _assembled(file: File, layout: Layout, state: State, options: dict[str, Any], note: str) -> Classifier:
    from torch.random import fork_rng

    from mixcli.models.checkpoint import refuse_kinds, refuse_nan, shapes
    from mixcli.models.pickles import wording

    refuse_nan(file.path, state)
    with (
        wording(file.path, f"cannot be built as {layout.name}"),
        fork_rng(devices=[]),
    ):  # initial weights draw
        net = layout.build(shapes(state), **options)
        refuse_kinds(file.path, state, net.state_dict())
        net = frozen(filled(net, state))
    classes, channels = getattr(net, "classes", None), getattr(net, "channels", 3)
    told = {"task": getattr(net, "task", "classify"), "parts": getattr(net, "parts", None)}
    told["data"] = getattr(net, "data", "points")
    return Classifier(net, layout.name, options, classes, channels, file.path, file.sha256, False, note, **told)


def filled(net: nn.Module, state: State) -> nn.Module:
    """The network with weights that are known to fit, but for the counters that old files lack."""
    net.load_state_dict(state, strict=False)
    return net


def frozen(net: nn.Module) -> nn.Module:
    """The network for inference; mixcli's own have a fast path for it."""
    net.eval().requires_grad_(False)
    if hasattr(net, "freeze"):
        net.freeze()
    return net


def _from_program(file: File, wanted: Spec, options: dict[str, Any], data: str) -> Classifier:
    from mixcli.models import programs
    from mixcli.models.checkpoint import PROGRAMS

    if wanted.name not in (None, file.kind):
        raise CheckpointError(f"{file.path}: is {PROGRAMS[file.kind]}; leave --model {wanted.name} out")
    layout = options.get("layout", "bnc")
    net = programs.torchscript(file, layout) if file.kind == "torchscript" else programs.export(file, data, layout)
    return _foreign(net, file.kind, options, file.path, file.sha256, trusted=True, data=data)


def _from_file(path: str | Path | None, wanted: Spec, trust: bool, data: str) -> Classifier:
    """A network built by the user's own function."""
    from mixcli.models import programs

    options = program_options(wanted, data)
    if not trust:
        raise CheckpointError(
            f"{wanted.file}: is a program, and a program can do anything on this computer; "
            "pass --trust-ckpt if you trust its author"
        )
    return _from_factory(path, programs.from_file(wanted.file, wanted.name), wanted, options, data)


def _from_factory(
    path: str | Path | None, net: nn.Module, wanted: Spec, options: dict[str, Any], data: str
) -> Classifier:
    """A network that a factory built, with the checkpoint's weights where there is a checkpoint."""
    from mixcli.models import checkpoint, programs

    code = checkpoint.sha256(wanted.file) if wanted.file else ""
    name = f"{wanted.file}:{wanted.name}" if wanted.file else wanted.name
    where, digest, note = wanted.file or "", code, "weights of the factory's own"
    if path is not None and not _is(path, wanted.file):  # a manifest names the factory where it had its own weights
        file = checkpoint.open_file(path)
        state, note = checkpoint.weights(file)
        checkpoint.refuse_nan(file.path, state)
        note = _joined(note, programs.fill(net, file.path, state))
        where, digest = file.path, file.sha256
    note = f"{note}; factory SHA-256 {code}".removeprefix("; ") if code else note
    wrapped = programs.Program(net, where or name, options.get("layout", "bnc"))
    return _foreign(wrapped, name, options, where, digest, trusted=bool(code), note=note, data=data)


def _is(path: str | Path, file: str | None) -> bool:
    return file is not None and Path(path).resolve() == Path(file).resolve()


def _foreign(net: nn.Module, name: str, options: dict[str, Any], *file: str, **rest: Any) -> Classifier:
    classes = getattr(net.net, "classes", None)
    classes = classes if isinstance(classes, int) else None
    return Classifier(net, name, options, classes, options.get("channels", 3), *file, **{"note": "", **rest})


def _joined(note: str, prefix: str) -> str:
    return "; ".join(filter(None, (note, f"prefix '{prefix}' stripped" if prefix else "")))
