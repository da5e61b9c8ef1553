"""Where the time of an image run goes: decode, saliency, mix (search or mask), encode, for every method.

    python benchmarks/images.py --size 32 --images 512
    python benchmarks/images.py --size 224 --images 64

Milliseconds an image on all cores, the whole as a multiple of the gradient saliency of the same images, measured in the
same run, and the peak memory of a process of its own. `--only` takes some methods. Pictures are made here: smooth blobs
with some noise, as PNG files in class folders. Networks have random weights; what they cost does not depend on that.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import mixcli
from mixcli.datasets.container import open_sink
from mixcli.methods import FROM_A_MODEL, get
from mixcli.pipeline.engine import Draws
from mixcli.pipeline.job import Job
from mixcli.pipeline.report import Report
from mixcli.pipeline.rows import parents_of
from mixcli.pipeline.run import open_engine
from mixcli.pipeline.setup import Setup

CLASSES = 10
WIDTHS = (9, 10, 9, 9, 10, 12, 9)  # of the columns


def pictures(folder: Path, count: int, size: int) -> Path:
    """Class folders of PNG files."""
    rng, grid = np.random.default_rng(0), np.mgrid[:size, :size] / size
    for i in range(count):
        centres, widths = rng.uniform(0, 1, (3, 2)), rng.uniform(0.05, 0.3, 3)
        blobs = [np.exp(-((grid - c[:, None, None]) ** 2).sum(0) / w**2) for c, w in zip(centres, widths, strict=True)]
        values = np.stack(blobs, 2) * 200 + rng.integers(0, 20, (size, size, 3))
        path = folder / f"class{i % CLASSES}" / f"{i:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(path)
    return folder


def checkpoint(path: Path) -> Path:
    """A PreAct-ResNet-18 of random weights, in the layout of the mixing papers' code."""
    from mixcli.models.images.preact import LAYOUTS

    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 3, 3)}
    last = 64
    for stage, width in enumerate((64, 128, 256, 512), 1):
        for block in (0, 1):
            at, inner = f"layer{stage}.{block}", last if block == 0 else width
            for norm, channels in (("bn1", inner), ("bn2", width)):
                shapes |= {f"{at}.{norm}.{p}": (channels,) for p in ("weight", "bias", "running_mean", "running_var")}
            shapes |= {f"{at}.conv1.weight": (width, inner, 3, 3), f"{at}.conv2.weight": (width, width, 3, 3)}
            if block == 0 and inner != width:
                shapes[f"{at}.shortcut.0.weight"] = (width, inner, 1, 1)
        last = width
    shapes |= {"linear.weight": (CLASSES, 512), "linear.bias": (CLASSES,)}
    layout = next(layout for layout in LAYOUTS if layout.matches(shapes))
    torch.manual_seed(0)
    torch.save(layout.build(shapes, **layout.options).state_dict(), path)
    return path


@dataclass
class Stages:
    """Milliseconds an image."""

    decode: float
    saliency: float
    mix: float
    encode: float
    peak: float  # MB


def measure(name: str, source: Path, ckpt: Path, size: int, out: Path) -> Stages:
    """One window, every stage by itself; the first round of each only warms up."""
    method = get(name)()
    network = str(ckpt) if method.traits.saliency in FROM_A_MODEL else None
    if method.traits.writes:
        out = out.with_suffix(".h5")
    layer = "layer2" if method.traits.saliency == "hidden" else None
    setup = Setup(Job(method, (str(source),), out, network, size=(size, size), layer=layer), Report())
    window = setup.plan.windows[0]
    sink = open_sink(out, setup.fields, setup.plan.rows, setup.job.container)
    with closing(open_engine(setup)) as engine:
        for _ in range(2):
            times = [time.perf_counter()]
            values = setup.reader.read(window.samples).values
            times.append(time.perf_counter())
            work = engine.start(values, setup.source.labels[window.samples], *setup.parents(window))
            engine.wait(work, lambda done: None)
            if work.b is None:
                work.b = setup.greedy(window, work.taken.maps)
            times.append(time.perf_counter())
            made = list(engine.mixes(work, Draws(seed=0, window=0, k=1), lambda _, pairs, mixes: (pairs, mixes), True))
            times.append(time.perf_counter())
            sink.create()
            for pairs, mixes in made:
                sides = np.stack([window.samples[side] for side in work.sides(0, pairs)], 1)
                sides = sides[:, : min(method.traits.parents, 2)]
                parents = np.stack([parents_of(mix, sides) for mix in mixes], 1)
                sink.write(0, pairs.start, setup.row_maker.mixed(mixes, parents))
            sink.finish(0)
            times.append(time.perf_counter())
    sink.discard()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return Stages(*(np.diff(times) * 1e3 / len(window)).tolist(), peak)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--only", nargs="*", help="methods, beside sage, whose saliency is the measure")
    options = parser.parse_args()
    names = ["sage", *(name for name, cls in mixcli.METHODS.items() if cls.traits.data == "images" and name != "sage")]
    names = [name for name in names if not options.only or name in ("sage", *options.only)]
    print(f"{options.images} images of {options.size} px, PreAct-ResNet-18 where a method asks for a network")
    heads = zip(("decode", "saliency", "mix", "encode", "images/s", "x saliency", "peak MB"), WIDTHS, strict=True)
    print(f"{'ms an image':<18}" + "".join(f"{head:>{wide}}" for head, wide in heads))
    with tempfile.TemporaryDirectory() as folder:
        source = pictures(Path(folder) / "in", options.images, options.size)
        ckpt, gradient = checkpoint(Path(folder) / "net.pt"), 0.0
        for name in names:
            with multiprocessing.get_context("spawn").Pool(1) as alone:
                found = alone.apply(measure, (name, source, ckpt, options.size, Path(folder) / "out"))
            gradient = gradient or found.saliency
            total = found.decode + found.saliency + found.mix + found.encode
            cells = (found.decode, found.saliency, found.mix, found.encode, 1e3 / total, total / gradient, found.peak)
            places = (3, 3, 3, 3, 0, 2, 0)
            texts = (f"{cell:{wide}.{n}f}" for cell, wide, n in zip(cells, WIDTHS, places, strict=True))
            print(f"{name:<18}" + "".join(texts))


if __name__ == "__main__":
    main()
