"""What a run may be asked for: every option of the mixing commands but their files and those of a method alone.

This is the one place where such an option is declared (see `mixcli.option`): the command line, `Job`, the manifest's
recipe, its check, a replay and `docs/options.md` follow. The order is that of the help.

It stands below everything that reads a manifest or makes one, since both need to know what a recipe holds.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from mixcli.option import Way, option
from mixcli.settings import normalize as presets
from mixcli.values import PathText, Refused, Shard, Size

PAIRINGS = ("random", "different-class", "same-class")
FORMATS = ("png", "jpg", "webp", "webdataset", "webdataset-jpg", "webdataset-webp")
PRESET = Way(
    "What the network's images were normalised by: cifar10, cifar100, imagenet (default), half, none, or "
    "means/deviations as in 0.5,0.5,0.5/0.2,0.2,0.2. It weighs the colours of spectral maps too, which by default are "
    "equal.",
    form=presets.parse,
    metavar="PRESET",
)
OWN_MAPS = "Which maps the method looks at; by default its own."


def device_name(text: str) -> None:
    """Refuse what names no device; whether it is there is seen when it is used."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", text, re.ASCII):
        raise Refused("must be auto, cpu, cuda or cuda:0, cuda:1, ...")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Options of every mixing command; `recorded` ones decide the data and stand in the recipe."""

    # Pairs
    k: int = option(
        1,
        "Mixes of each pair.",
        flags="-k",
        least=1,
        recorded=True,
        says={"group": "Times that each group is mixed.", "single": "Mixes of each image."},
    )
    partners: int = option(
        1,
        "Rounds of pairs: each gives every sample a new partner.",
        least=1,
        recorded=True,
        needs=("several",),
        says={"group": "Rounds of groups: each puts every sample among new ones."},
    )
    pairing_fallback: str | None = option(
        None, "For samples without a legal partner.", choices=("random",), recorded=True, needs=("pairs",)
    )
    seed: int = option(0, "Decides every draw.", least=0, most=2**62 - 1, recorded=True)
    window: int = option(1024, "Samples that are paired among each other; part of the result.", least=2, recorded=True)
    pairing: str | None = option(
        None,
        "Who is paired; random, or what the method is for.",
        ways={
            "points": Way(choices=PAIRINGS),
            "images": Way(choices=(*PAIRINGS, "greedy")),
            "hidden": Way(choices=PAIRINGS),
        },
        recorded=True,
        settled=True,
        also=("none", "group"),
        needs=("pairs",),
    )

    # Of clouds, or of images; some of both
    points: int | None = option(1024, "Points of a cloud.", least=1, kinds=("points",), recorded=True)
    subsample: str = option(
        "first",
        "How they are taken from more.",
        choices=("first", "random", "fps"),
        kinds=("points",),
        recorded=True,
    )
    pad: str = option(
        "none",
        "What is done with clouds of fewer points.",
        choices=("none", "repeat"),
        kinds=("points",),
        recorded=True,
    )
    size: Size | None = option(
        None,
        "Of all images: shorter side resized, centre cropped. By default that of the source if all are equal, else "
        "224.",
        kinds=("images", "hidden"),
        recorded=True,
    )
    normalize: str | None = option(
        None,
        ways={
            "points": Way("Coordinates, after subsampling; by default none.", choices=("none", "unit-sphere")),
            "images": PRESET,
            "hidden": PRESET,
        },
        recorded=True,
        settled=True,
        needs=("network",),
    )
    normals: bool = option(False, "Carry normals, even where no model asks for them.", kinds=("points",), recorded=True)
    drop_background: bool = option(
        False,
        "Leave out the points that ScanObjectNN's mask calls background.",
        kinds=("points",),
        recorded=True,
    )
    drop_nan_points: bool = option(
        False,
        "Leave out points that have a NaN, as organised clouds do.",
        kinds=("points",),
        recorded=True,
        later=True,
    )
    point_weight: bool = option(
        True, "Leave out each point's own lambda.", flags="--no-point-weight", kinds=("points",), recorded=True
    )
    scale_16bit: str = option(
        "full",
        "What of 16-bit pictures becomes 0 to 255: all that they can hold, or what lies between their lowest and "
        "their highest value.",
        choices=("full", "range"),
        kinds=("images", "hidden"),
        recorded=True,
        later=True,
    )
    saliency: str | None = option(
        None,
        "Which maps the method, or --pairing greedy, looks at; by default the method's own.",
        choices=("gradient", "activation", "cam", "spectral", "static"),
        kinds=("images",),
        recorded=True,
        needs=("network",),
        says={"group": OWN_MAPS, "single": OWN_MAPS},
    )
    layer: str | None = option(
        None,
        "Which layer --saliency activation looks at, named as in the checkpoint's keys: layer3, layer3.1; by default "
        "the last.",
        metavar="NAME",
        kinds=("images", "hidden"),
        recorded=True,
        later=True,
        needs=("network",),
        says={
            "hidden": "Which layer's states are mixed, named as in the checkpoint's keys: layer3, layer3.1; required."
        },
    )
    format: str | None = option(
        None,
        "Of a folder: a file for each row, by default .png, or one tar a window.",
        choices=FORMATS,
        kinds=("images",),
    )
    quality: int | None = option(
        None,
        "Of jpg, by default 95, and webp, 90; both lose a little, and digests are of what is left. jpg keeps all "
        "colour from 90 on.",
        least=1,
        most=100,
        kinds=("images",),
    )
    png_level: int | None = option(
        None, "Compression of .png; 1 by default, which is fast.", least=0, most=9, kinds=("images",)
    )
    manifest: Path | None = option(None, "With --out -: where the manifest goes.", metavar="PATH", kinds=("images",))
    norm: str = option(
        "l2",
        "Of a pixel's gradient over the channels.",
        choices=("l2", "l1", "rms"),
        kinds=("images",),
        recorded=True,
        needs=("network",),
    )
    keep: tuple[str, ...] = option(
        (),
        ways={
            "points": Way("Write this field too; may be repeated.", choices=("point_source", "saliency")),
            "images": Way("Write each pixel's share of A too.", choices=("mask",)),
        },
        recorded=True,
        needs=("mask",),
    )

    # The source
    split: str = option(
        "auto",
        "Of a source that tells them apart; auto takes train.",
        choices=("auto", "train", "val", "test", "all"),
        recorded=True,
    )
    class_names: PathText | None = option(
        None,
        "Names of the classes, one a line in the order of their numbers, where the source has none.",
        metavar="FILE",
    )
    classes: int | None = option(
        None, "Class count, where nothing in the source tells it.", least=1, recorded=True, settled=True
    )
    include_originals: bool = option(False, "Append the unmixed samples.", recorded=True)

    # The run
    model: str | None = option(
        None, "What keys do not tell: dgcnn:k=40; or net.py:factory.", metavar="SPEC", needs=("network",)
    )
    trust_ckpt: bool = option(False, "Load checkpoints that are programs: they can do anything.", needs=("network",))
    saliency_target: str = option(
        "label", "The class of the loss.", choices=("label", "predicted"), recorded=True, needs=("network",)
    )
    device: str = option("auto", form=device_name, metavar="auto|cpu|cuda[:i]")
    batch_size: int | None = option(
        None,
        "Samples in one model call; recorded, since it moves last bits.",
        word="auto",
        least=1,
        metavar="AUTO|N",
    )
    workers: int | None = option(None, "Threads on the CPU; by default one a core.", least=1)
    shard: Shard = option(
        (0, 1), "Part i of n, from 0/n; join with mixcli merge.", metavar="I/N", shown=False, recorded=True
    )
    on_error: str = option("raise", "What a bad sample does.", choices=("raise", "skip"))
    resume: bool = option(False, "Go on with an interrupted run.")
    overwrite: bool = option(False, "Replace an existing output.")
