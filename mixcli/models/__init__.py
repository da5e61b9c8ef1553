"""Trained classifiers: find out which network a checkpoint belongs to, build it, freeze it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from torch import nn

    from .checkpoint import File, Shapes, State
    from .layout import Layout

BUILT_IN = ("dgcnn", "pointnet", "pointnet_tnet", "pointnet2", "pointnet_learning3d")  # one file each
GROUP = "mixcli.models"  # entry points of installed packages: name -> Layout, or a factory
FACTORY = "path/to/file.py:factory"
OWN_NETWORK = f"build it with --model {FACTORY} --trust-ckpt"


@dataclass(frozen=True)
class Classifier:
    """A frozen network on the CPU: clouds (B, N, channels) in, logits (B, classes) out. And its origin."""

    net: nn.Module
    name: str
    options: dict[str, Any]  # resolved: what the checkpoint itself cannot tell
    classes: int | None  # None where a program does not tell
    channels: int  # 3, or 6 with normals
    path: str
    sha256: str
    trusted: bool  # loaded as a program, because the user said so
    note: str  # how the weights were found in the file


def load(path: str | Path | None, spec: str | None = None, trust: bool = False) -> Classifier:
    """The classifier in a checkpoint; ``spec`` as in ``--model``, ``trust`` as in ``--trust-ckpt``.

    ``path`` may be None where ``spec`` names a factory that brings its own weights.
    """
    from . import checkpoint, programs

    wanted = parse(spec)
    if wanted.file:
        return _from_file(path, wanted, trust)
    model = named(wanted.name) if wanted.name else None
    if callable(model):
        options = _program_options(wanted)
        return _from_factory(path, programs.called(f"--model {wanted.name}", model), wanted, options)
    options = resolved(wanted, model.options) if model else _program_options(wanted)
    if path is None:
        raise UsageError(f"no checkpoint: pass --ckpt, or a --model {FACTORY} that brings its own weights")
    file = checkpoint.open_file(path)
    if file.kind in checkpoint.PROGRAMS and trust:
        return _from_program(file, wanted, options)
    return _from_weights(file, wanted, model, options)


# --model


@dataclass(frozen=True)
class Spec:
    """A parsed ``--model``: the name of a network, or a function in a file; options are still text."""

    name: str | None = None
    file: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


def parse(spec: str | None) -> Spec:
    """Take a ``--model`` apart.

    >>> parse("dgcnn:k=40")
    Spec(name='dgcnn', file=None, options={'k': '40'})
    >>> parse("nets/mine.py:make")
    Spec(name='make', file='nets/mine.py', options={})
    """
    if spec is None:
        return Spec()
    stem, in_file, rest = spec.rpartition(".py:")
    name, _, text = rest.partition(":")
    if not name or name.endswith(".py") or (in_file and not stem):
        raise UsageError(f"--model {spec}: name a network, or a function of a file as in {FACTORY}")
    pairs = [item.partition("=") for item in text.split(",") if item]
    for key, _, value in pairs:
        if not (key and value):
            raise UsageError(f"--model {spec}: {key!r} is not key=value, as in dgcnn:k=40")
    options = {key.strip(): value.strip() for key, _, value in pairs}
    return Spec(name, stem + ".py" if in_file else None, options)


def resolved(wanted: Spec, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a network: its defaults, and over them what the user gave, of the same type."""
    for key in wanted.options:
        if key not in defaults:
            legal = ", ".join(f"{name}={value}" for name, value in defaults.items()) or "none"
            raise UsageError(
                f"--model {wanted.name} has no option {key!r}; its options and defaults: {legal}"
            )
    return dict(defaults) | {key: _value(key, text, defaults[key]) for key, text in wanted.options.items()}


def _value(key: str, text: str, default: Any) -> Any:
    """``text`` in the type of ``default``; a whole number is at least 1, or 0 where 0 is the default."""
    if isinstance(default, bool):
        kind, sound = "true or false", text in ("true", "false")
    elif isinstance(default, int):
        least = min(1, default)
        kind, sound = f"a whole number from {least}", text.isdecimal() and int(text) >= least
    else:
        return type(default)(text)
    if not sound:
        raise UsageError(f"--model: {key}={text} must be {kind}")
    return text == "true" if isinstance(default, bool) else int(text)


def _program_options(wanted: Spec) -> dict[str, Any]:
    from .programs import CHOICES, OPTIONS

    options = resolved(wanted, OPTIONS)
    for key, legal in CHOICES.items():
        if options[key] not in legal:
            raise UsageError(f"--model: {key}={options[key]} must be {' or '.join(map(str, legal))}")
    return options


# The networks that there are


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
        module = import_module(f".{name}", __name__)
        yield from getattr(module, "LAYOUTS", None) or (module.LAYOUT,)


def named(name: str) -> Any:
    """The Layout or the factory of that name; None for the kinds of program, which are files of their own."""
    from .checkpoint import PROGRAMS

    known = {layout.name: layout for layout in built_in()} | dict.fromkeys(PROGRAMS)
    if name in known:
        return known[name]
    plugins = {entry.name: entry for entry in metadata.entry_points(group=GROUP)}
    if name in plugins:
        return _plugin(plugins[name])
    known |= plugins
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}, and {FACTORY}"
    raise UsageError(f"--model {name}: no such network; {hint}")


def _plugin(entry: metadata.EntryPoint) -> Any:
    from .pickles import wording

    with wording(f"--model {entry.name}", f"the package behind it ({entry.value}) cannot be imported"):
        return entry.load()


# From a file to a classifier


def _from_weights(file: File, wanted: Spec, model: Layout | None, options: dict[str, Any]) -> Classifier:
    """Recognise the network by keys and shapes, or hold the weights to the one that was named."""
    from .checkpoint import refuse_others, shapes, variants, weights

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
    raise CheckpointError(f"{file.path}: {_mismatch(model, shapes(part))}; {OWN_NETWORK}")


def _matches(file: File, layout: Layout, have: Shapes) -> bool:
    from .pickles import wording

    with wording(file.path, f"cannot be compared with {layout.name}"):
        return layout.matches(have)


def _assembled(file: File, layout: Layout, state: State, options: dict[str, Any], note: str) -> Classifier:
    from torch.random import fork_rng

    from .checkpoint import refuse_nan, shapes
    from .pickles import wording

    refuse_nan(file.path, state)
    with (
        wording(file.path, f"cannot be built as {layout.name}"),
        fork_rng(devices=[]),
    ):  # initial weights draw
        net = frozen(filled(layout.build(shapes(state), **options), state))
    classes, channels = getattr(net, "classes", None), getattr(net, "channels", 3)
    return Classifier(net, layout.name, options, classes, channels, file.path, file.sha256, False, note)


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


def _from_program(file: File, wanted: Spec, options: dict[str, Any]) -> Classifier:
    from . import programs
    from .checkpoint import PROGRAMS

    if wanted.name not in (None, file.kind):
        raise CheckpointError(f"{file.path}: is {PROGRAMS[file.kind]}; leave --model {wanted.name} out")
    make = programs.torchscript if file.kind == "torchscript" else programs.export
    net = make(file, options["layout"])
    return _foreign(net, file.kind, options, file.path, file.sha256, trusted=True)


def _from_file(path: str | Path | None, wanted: Spec, trust: bool) -> Classifier:
    """A network built by the user's own function."""
    from . import programs

    options = _program_options(wanted)
    if not trust:
        raise CheckpointError(
            f"{wanted.file}: is a program, and a program can do anything on this computer; "
            "pass --trust-ckpt if you trust its author"
        )
    return _from_factory(path, programs.from_file(wanted.file, wanted.name), wanted, options)


def _from_factory(
    path: str | Path | None, net: nn.Module, wanted: Spec, options: dict[str, Any]
) -> Classifier:
    """A network that a factory built, with the checkpoint's weights where there is a checkpoint."""
    from . import checkpoint, programs

    code = checkpoint.sha256(wanted.file) if wanted.file else ""
    name = f"{wanted.file}:{wanted.name}" if wanted.file else wanted.name
    where, digest, note = wanted.file or "", code, "weights of the factory's own"
    if path is not None:
        file = checkpoint.open_file(path)
        state, note = checkpoint.weights(file)
        checkpoint.refuse_nan(file.path, state)
        note = _joined(note, programs.fill(net, file.path, state))
        where, digest = file.path, file.sha256
    note = f"{note}; factory SHA-256 {code}".removeprefix("; ") if code else note
    wrapped = programs.Program(net, where or name, options["layout"])
    return _foreign(wrapped, name, options, where, digest, trusted=bool(code), note=note)


def _foreign(net: nn.Module, name: str, options: dict[str, Any], *file: str, **rest: Any) -> Classifier:
    classes = getattr(net.net, "classes", None)
    classes = classes if isinstance(classes, int) else None
    return Classifier(net, name, options, classes, options["channels"], *file, **{"note": "", **rest})


def _joined(note: str, prefix: str) -> str:
    return "; ".join(filter(None, (note, f"prefix '{prefix}' stripped" if prefix else "")))


# What to say where no network fits


class _Guess(dict):
    """Shapes in which a missing key has one too, so that a network can be built and compared."""

    def __missing__(self, key: str) -> tuple[int, ...]:
        return (1, 1, 1, 1)


def _mismatch(model: Layout | None, have: Shapes) -> str:
    from .checkpoint import difference

    models = [model] if model else layouts()
    expected = {layout.name: _expected(layout, have) for layout in models}
    likeness = {name: len(want.keys() & have) / len(want.keys() | have) for name, want in expected.items()}
    nearest = max(likeness, key=likeness.get)
    if model or likeness[nearest] >= 0.5:
        kind = "is not quite a" if likeness[nearest] >= 0.5 else "is no"
        return f"{kind} {nearest}: {difference(expected[nearest], have) or 'its shapes do not fit together'}"
    keys = ", ".join(list(have)[:5]) + (", ..." if len(have) > 5 else "")
    return f"is none of the networks that mixcli knows ({', '.join(expected)}); its keys are {keys}"


def _expected(layout: Layout, have: Shapes) -> Shapes:
    """The keys and shapes of this network at the sizes that the given ones show; none if there are none."""
    import torch

    from .checkpoint import shapes
    from .pickles import wording

    try:
        with wording(layout.name, "has no such sizes"), torch.device("meta"):
            return shapes(layout.build(_Guess(have)).state_dict())
    except CheckpointError:
        return {}
