"""The options of the commands, and the types of their values."""

from __future__ import annotations

from dataclasses import MISSING
from typing import Any

import click

from mixcli.typed import is_count


class ShardType(click.ParamType):
    """`i/n`."""

    name = "i/n"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        part, _, parts = value.partition("/")
        if not (is_count(part) and is_count(parts)):
            self.fail(f"{value!r} is not i/n, as in 0/4", param, ctx)
        return int(part), int(parts)


class SizeType(click.ParamType):
    """`224` or `HxW`."""

    name = "n|HxW"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        sides = value.lower().split("x")
        if len(sides) > 2 or not all(is_count(side) and 1 <= int(side) <= 16384 for side in sides):
            self.fail(f"{value!r} is neither a side nor HxW, as in 224 or 240x320", param, ctx)
        return int(sides[0]), int(sides[-1])


class AutoInt(click.ParamType):
    """`auto`, or a count."""

    name = "auto|n"

    def convert(self, value: Any, param: Any, ctx: Any) -> int | None:
        if value is None or value == "auto":
            return None
        if not is_count(str(value)) or int(value) < 1:
            self.fail(f"{value!r} is neither auto nor a count of at least 1", param, ctx)
        return int(value)


def chosen(*values: str, default: str, help: str) -> dict[str, Any]:
    return {"type": click.Choice(values), "default": default, "show_default": True, "help": help}


def count(default: int | None, help: str, least: int = 1) -> dict[str, Any]:
    return {"type": click.IntRange(least), "default": default, "show_default": default is not None, "help": help}


def flag(help: str) -> dict[str, Any]:
    return {"is_flag": True, "help": help}


Option = tuple[tuple[str, ...], dict[str, Any]]

# Options of the mixing commands, in the order of the help. The names are those of `Job`.
FILES: list[Option] = [
    (("--in", "sources"), {"multiple": True, "required": True, "metavar": "PATH",
        "help": "A file, a glob, a folder or a list, in any of the layouts of the README; may be repeated."}),
    (("--ckpt",), {"type": click.Path(), "help": "Trained network, for methods that look at saliency."}),
    (("--out",), {"type": click.Path(), "required": True,
        "help": "The dataset to write: .h5, .npz, or a folder with a file for each row; - streams images as one tar."}),
]  # fmt: skip
PAIRS: list[Option] = [
    (("-k", "k"), count(1, "Mixes of each pair.")),
    (("--partners",), count(1, "Rounds of pairs: each gives every sample a new partner.")),
    (("--pairing-fallback",), {"type": click.Choice(["random"]), "help": "For samples without a legal partner."}),
    (("--seed",), {"type": int, "default": 0, "show_default": True, "help": "Decides every draw."}),
    (("--window",), count(1024, "Samples that are paired among each other; part of the result.", 2)),
]
SOURCE: list[Option] = [
    (("--split",), chosen("auto", "train", "test", "all", default="auto",
        help="Of a source that tells them apart; auto takes train.")),
    (("--classes",), count(None, "Class count, where nothing in the source tells it.")),
    (("--include-originals",), flag("Append the unmixed samples.")),
]  # fmt: skip
CLOUDS: list[Option] = [
    (("--points",), count(1024, "Points of a cloud.")),
    (("--subsample",), chosen("first", "random", "fps", default="first", help="How they are taken from more.")),
    (("--pad",), chosen("none", "repeat", default="none", help="What is done with clouds of fewer points.")),
    (("--normalize",), {"type": click.Choice(["none", "unit-sphere"]),
        "help": "Coordinates, after subsampling; by default none."}),
    (("--normals",), flag("Carry normals, even where no model asks for them.")),
    (("--drop-background",), flag("Leave out the points that ScanObjectNN's mask calls background.")),
    (("--no-point-weight", "point_weight"), {"is_flag": True, "flag_value": False, "default": True,
        "help": "Leave out each point's own lambda."}),
    (("--keep",), {"multiple": True, "type": click.Choice(["point_source", "saliency"]),
        "help": "Write this field too; may be repeated."}),
]  # fmt: skip
IMAGES: list[Option] = [
    (("--size",), {"type": SizeType(), "help": "Of all images: shorter side resized, centre cropped. By default "
        "that of the source if all are equal, else 224."}),
    (("--normalize",), {"metavar": "PRESET", "help": "What the network's images were normalised by: cifar10, cifar100, "
        "imagenet (default), half, none, or means/deviations as in 0.5,0.5,0.5/0.2,0.2,0.2. It weighs the colours of "
        "spectral maps too, which by default are equal."}),
    (("--saliency",), {"type": click.Choice(["gradient", "activation", "cam", "spectral", "static"]),
        "help": "Which maps the method, or --pairing greedy, looks at; by default the method's own."}),
    (("--layer",), {"metavar": "NAME", "help": "Which layer --saliency activation looks at, named as in the "
        "checkpoint's keys: layer3, layer3.1; by default the last."}),
    (("--format",), {"type": click.Choice(["png", "jpg", "webp", "webdataset", "webdataset-jpg", "webdataset-webp"]),
        "help": "Of a folder: a file for each row, by default .png, or one tar a window."}),
    (("--quality",), {"type": click.IntRange(1, 100), "help": "Of jpg, by default 95, and webp, 90; both lose a "
        "little, and digests are of what is left. jpg keeps all colour from 90 on."}),
    (("--png-level",), {"type": click.IntRange(0, 9), "help": "Compression of .png; 1 by default, which is fast."}),
    (("--manifest",), {"metavar": "PATH", "help": "With --out -: where the manifest goes."}),
    (("--norm",), chosen("l2", "l1", "rms", default="l2", help="Of a pixel's gradient over the channels.")),
    (("--keep",), {"multiple": True, "type": click.Choice(["mask"]), "help": "Write each pixel's share of A too."}),
]  # fmt: skip
RUNNING: list[Option] = [
    (("--model",), {"metavar": "SPEC", "help": "What keys do not tell: dgcnn:k=40; or net.py:factory."}),
    (("--trust-ckpt",), flag("Load checkpoints that are programs: they can do anything.")),
    (("--saliency-target",), chosen("label", "predicted", default="label", help="The class of the loss.")),
    (("--device",), {"default": "auto", "show_default": True, "metavar": "auto|cpu|cuda[:i]"}),
    (("--batch-size",), {"type": AutoInt(), "default": "auto", "show_default": True,
        "help": "Samples in one model call; recorded, since it moves last bits."}),
    (("--workers",), count(None, "Threads on the CPU; by default one a core.")),
    (("--shard",), {"type": ShardType(), "default": "0/1", "help": "Part i of n, from 0/n; join with mixcli merge."}),
    (("--on-error",), chosen("raise", "skip", default="raise", help="What a bad sample does.")),
    (("--resume",), flag("Go on with an interrupted run.")),
    (("--overwrite",), flag("Replace an existing output.")),
    (("--dry-run",), flag("Print the plan and an estimate; write nothing.")),
]  # fmt: skip
PAIRINGS = ("random", "different-class", "same-class")


def pairing_option(*names: str) -> Option:
    return ("--pairing",), {"type": click.Choice(names), "help": "Who is paired; random, or what the method is for."}


PARTICULAR = {  # to one kind of data; where both have one of a name, `option_kinds` makes one of the two
    "points": [pairing_option(*PAIRINGS), *CLOUDS],
    "images": [pairing_option(*PAIRINGS, "greedy"), *IMAGES],
}
OPTIONS = {kind: [*PAIRS, *own, *SOURCE, *RUNNING] for kind, own in PARTICULAR.items()}  # after a method's own

VERBOSITY: list[tuple[tuple[str, ...], dict[str, Any]]] = [
    (("-q", "--quiet"), flag("No progress, no notes.")),
    (("-v", "--verbose"), flag("Show where an error came from.")),
]


def add(options: list[tuple[tuple[str, ...], dict[str, Any]]]) -> Any:
    """Decorate a command with a list of options."""

    def decorate(command: Any) -> Any:
        for names, settings in reversed(options):
            command = click.option(*names, **settings)(command)
        return command

    return decorate


def method_option(f: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    flag_name = "--" + f.name.replace("_", "-")
    if isinstance(f.default, bool):
        off = f"/--no-{flag_name[2:]}" if f.default else ""
        shown = {"default": True, "show_default": True} if f.default else {}
        return (flag_name + off, f.name), {**flag(f.metadata["help"]), **shown}
    choices = f.metadata["choices"]
    kind = click.Choice(choices) if choices else type(f.default) if f.default is not MISSING else str
    return (flag_name, f.name), {"type": kind, "default": f.default, "show_default": True, "help": f.metadata["help"]}
