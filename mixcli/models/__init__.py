"""Trained networks: find out which one a checkpoint belongs to, build it, freeze it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixcli.errors import CheckpointError, UsageError
from mixcli.models.folder import Folder, beside
from mixcli.models.registry import layouts, named
from mixcli.models.spec import FACTORY, Spec, parse, program_options, resolved

if TYPE_CHECKING:
    from torch import nn

    from mixcli.models.checkpoint import File, State
    from mixcli.models.detection import Fit
    from mixcli.models.layout import Layout
    from mixcli.models.network import Network
    from mixcli.models.programs import Program

OWN_NETWORK = f"build it with --model {FACTORY} --trust-ckpt"


@dataclass(frozen=True)
class Classifier:
    """A frozen network on the CPU, and its origin."""

    net: Network
    name: str
    options: dict[str, Any]  # resolved: what the checkpoint itself cannot tell
    classes: int | None  # None where a program does not tell
    path: str
    sha256: str
    trusted: bool = False  # loaded as a program, because the user said so
    note: str = ""  # how the weights were found in the file
    names: tuple[str, ...] = ()  # of the classes, where a file beside the weights tells them
    normalize: str = ""  # as in --normalize, where a file beside the weights tells it
    rivals: tuple[str, ...] = ()  # the --model of networks of the same keys and shapes that compute otherwise

    @property
    def data(self) -> str:
        """What it is fed: "points" or "images"."""
        return self.net.data

    @property
    def task(self) -> str:
        """What it does: "classify" or "segment"."""
        return self.net.task

    @property
    def channels(self) -> int:
        """Of a cloud: 3, or 6 with normals."""
        return self.net.channels

    @property
    def parts(self) -> int | None:
        """Of a segmentation network."""
        return self.net.parts


def load(path: str | Path | None, spec: str | None = None, trust: bool = False, data: str = "points") -> Classifier:
    """The classifier in a checkpoint; ``spec`` as in ``--model``, ``trust`` as in ``--trust-ckpt``.

    ``path`` may be None where ``spec`` names a factory that brings its own weights. ``data`` is what a program will be
    fed, "points" or "images"; weights tell it themselves.
    """
    from mixcli.models import checkpoint, programs
    from mixcli.models.layout import Layout

    wanted = parse(spec)
    model = named(wanted.name) if wanted.name and not wanted.file else None
    layout = model if isinstance(model, Layout) else None
    options = resolved(wanted, layout.options) if layout else program_options(wanted, data)
    feed = Feed(data, options)
    if wanted.file:
        return _from_file(path, wanted, trust, feed)
    if model and not isinstance(model, Layout):
        return _from_factory(path, programs.called(f"--model {wanted.name}", model), wanted, feed)
    if path is None:
        raise UsageError(f"no checkpoint: pass --ckpt, or a --model {FACTORY} that brings its own weights")
    folder = beside(path)
    if folder:
        return _from_folder(folder, wanted, layout, options)
    file = checkpoint.open_file(path)
    if file.kind in checkpoint.PROGRAMS and trust:
        return _from_program(file, wanted, feed)
    return _from_weights(file, wanted, layout, options)


def _from_weights(file: File, wanted: Spec, model: Layout | None, options: dict[str, Any]) -> Classifier:
    """Recognise the network by keys and shapes, or hold the weights to the one that was named."""
    from mixcli.models.checkpoint import shapes, variants, weights
    from mixcli.models.detection import fits, only
    from mixcli.models.mismatch import mismatch
    from mixcli.models.refusals import refuse_others

    state, note = weights(file)
    if wanted.name and not model:
        raise _misnamed(file, "holds weights, not a program", wanted)
    found = list(fits(file.path, state, [model] if model else layouts()))
    if model and found:
        return _assembled(file, found[0], options, note)
    if found:
        fit, rivals = only(file.path, found)
        return replace(_assembled(file, fit, dict(fit.layout.options), note), rivals=rivals)
    *_, (bare, _) = variants(state)
    refuse_others(file.path, shapes(bare))
    raise CheckpointError(mismatch(model, shapes(bare)), at=file.path, advice=OWN_NETWORK)


def _from_folder(folder: Folder, wanted: Spec, model: Layout | None, options: dict[str, Any]) -> Classifier:
    """A network that a config.json beside its weights describes."""
    from mixcli.models import checkpoint
    from mixcli.models.detection import fits
    from mixcli.models.mismatch import mismatch

    file = checkpoint.open_file(folder.weights)
    if wanted.name or folder.of_timm:
        return _told(_from_weights(file, wanted, model, options), folder)
    state, note = checkpoint.weights(file)
    if folder.unknown:
        return _told(_from_transformers(folder, file, state, note), folder)
    known = {layout.name: layout for layout in layouts()}
    candidates = [known[name].set_to(folder.options) for name in folder.layouts]
    fit = next(fits(file.path, state, candidates), None)
    if fit is None:
        told = mismatch(None, checkpoint.shapes(state), candidates)
        raise CheckpointError(told, at=file.path, advice=OWN_NETWORK)
    return _told(_assembled(file, fit, dict(fit.layout.options), note), folder)


def _told(model: Classifier, folder: Folder) -> Classifier:
    """With what the files beside the weights tell."""
    return replace(model, names=folder.names, normalize=folder.normalize)


def _from_transformers(folder: Folder, file: File, state: State, note: str) -> Classifier:
    """A network that only the package builds."""
    from mixcli.models.images.transformers import classifier
    from mixcli.models.refusals import refuse_nan

    refuse_nan(file.path, state)
    net = classifier(folder.config.path, folder.config.values, state, folder.unknown or folder.kind)
    origin = Origin(f"transformers:{folder.kind}", file.path, file.sha256, trusted=False, note=note)
    return _foreign(net, origin, Feed("images", {}))


def _misnamed(file: File, what: str, wanted: Spec) -> CheckpointError:
    return CheckpointError(what, at=file.path, advice=f"leave --model {wanted.name} out")


def _assembled(file: File, fit: Fit, options: dict[str, Any], note: str) -> Classifier:
    """The network that the weights fit, with these weights in it."""
    from torch.random import fork_rng

    from mixcli.models.checkpoint import joined, shapes, stripped
    from mixcli.models.pickles import wording
    from mixcli.models.refusals import refuse_kinds, refuse_nan

    refuse_nan(file.path, fit.state)
    with wording(file.path, f"cannot be built as {fit.layout.name}"), fork_rng(devices=[]):  # initial weights draw
        module = fit.layout.build(shapes(fit.state), **options)
        refuse_kinds(file.path, fit.state, module.state_dict())
        module.load_state_dict(fit.state, strict=False)  # they are known to fit, but for counters that old files lack
        net = fit.layout.wrap(module).freeze()
    return Classifier(
        net=net,
        name=fit.layout.name,
        options=options,
        classes=net.classes,
        path=file.path,
        sha256=file.sha256,
        note=joined(note, stripped(fit.prefix)),
    )


@dataclass(frozen=True)
class Feed:
    """What a program is fed, and how."""

    data: str  # "points" or "images"
    options: dict[str, Any]

    @property
    def layout(self) -> str:
        """The order of a cloud's axes that it wants, as in `programs.CHOICES`."""
        return self.options.get("layout", "bnc")


@dataclass(frozen=True)
class Origin:
    """Where a program comes from."""

    name: str
    path: str
    sha256: str
    trusted: bool
    note: str = ""


def _from_program(file: File, wanted: Spec, feed: Feed) -> Classifier:
    from mixcli.models import programs
    from mixcli.models.checkpoint import PROGRAMS

    if wanted.name not in ("", file.kind):
        raise _misnamed(file, f"is {PROGRAMS[file.kind]}", wanted)
    if file.kind == "torchscript":
        net = programs.torchscript(file, feed.layout)
    else:
        net = programs.export(file, feed.data, feed.layout)
    return _foreign(net, Origin(file.kind, file.path, file.sha256, trusted=True), feed)


def _from_file(path: str | Path | None, wanted: Spec, trust: bool, feed: Feed) -> Classifier:
    """A network built by the user's own function."""
    from mixcli.models import programs
    from mixcli.models.checkpoint import A_PROGRAM, TRUST

    if not trust:
        raise CheckpointError(f"is a program, {A_PROGRAM}", at=wanted.file, advice=TRUST)
    return _from_factory(path, programs.from_file(wanted.file, wanted.name), wanted, feed)


def _from_factory(path: str | Path | None, net: nn.Module, wanted: Spec, feed: Feed) -> Classifier:
    """A network that a factory built, with the checkpoint's weights where there is a checkpoint."""
    from mixcli.models import checkpoint, programs, refusals

    code = checkpoint.sha256(wanted.file) if wanted.file else ""
    name = f"{wanted.file}:{wanted.name}" if wanted.file else wanted.name
    where, digest, note = wanted.file, code, "weights of the factory's own"
    if path is not None and not _is(path, wanted.file):  # a manifest names the factory where it had its own weights
        file = checkpoint.open_file(path)
        state, note = checkpoint.weights(file)
        refusals.refuse_nan(file.path, state)
        note = checkpoint.joined(note, checkpoint.stripped(programs.fill(net, file.path, state)))
        where, digest = file.path, file.sha256
    note = f"{note}; factory SHA-256 {code}".removeprefix("; ") if code else note
    program = programs.Program(net, where or name, feed.layout)
    return _foreign(program, Origin(name, where, digest, trusted=bool(code), note=note), feed)


def _is(path: str | Path, file: str) -> bool:
    return bool(file) and Path(path).resolve() == Path(file).resolve()


def _foreign(net: Program, origin: Origin, feed: Feed) -> Classifier:
    net.data, net.channels = feed.data, feed.options.get("channels", 3)
    return Classifier(
        net=net,
        name=origin.name,
        options=feed.options,
        classes=net.classes,
        path=origin.path,
        sha256=origin.sha256,
        trusted=origin.trusted,
        note=origin.note,
    )
