"""A folder of `.png`, and of tars of them, written and read, beside Pillow's default settings one by one.

    python benchmarks/png.py --in photographs/ [--out folder-on-the-disk/] --repeats 5

All files of one go are new ones; medians, the writers interleaved; the sizes are of one image on average, with all
that is written beside it. Where creating a file is slow, that and no compression decides over small images.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from mixcli.data.fields import image_fields
from mixcli.datasets.container import open_mixed, open_sink
from mixcli.files.threads import processors

COUNTS = {32: 1024, 224: 128}  # images of each side


def photographs(folder: Path, side: int, count: int) -> np.ndarray:
    """(count,side,side,3) u8: photographs mixed in pairs, since mixes are what is written."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))[:256]
    images = [np.asarray(Image.open(path).convert("RGB").resize((side, side))) for path in paths]
    g = np.random.default_rng(0)
    first, second = (np.stack([images[i] for i in g.integers(0, len(images), count)]) for _ in range(2))
    left = g.integers(1, side, count)[:, None, None, None] > np.arange(side)[None, None, :, None]
    return np.where(left, first, second)


def rows_of(images: np.ndarray) -> tuple[tuple, dict[str, np.ndarray]]:
    """Fields and rows of a dataset of them."""
    fields = image_fields(images.shape[1:3], 10, 2, 1, False, ())
    return fields, {f.name: np.zeros((len(images), *f.shape), f.dtype) for f in fields} | {"data": images}


def by_sink(out: Path, images: np.ndarray, kind: str) -> None:
    """All that a dataset is: files, lines, manifest, final name."""
    fields, rows = rows_of(images)
    sink = open_sink(out, fields, len(images), kind)
    sink.create()
    sink.write(0, 0, rows)
    sink.finish(0)
    described = [{"name": f.name, "shape": list(f.shape), "dtype": f.dtype} for f in fields]
    sink.seal({"schema": "mixcli.manifest/1", "fields": described}, None)


def by_pillow(out: Path, images: np.ndarray) -> None:
    """The pictures alone, without a line of labels."""
    (out / "00000").mkdir(parents=True)
    for i, image in enumerate(images):
        Image.fromarray(image).save(out / "00000" / f"{i:06d}.png")


def read_by_sink(out: Path, images: np.ndarray) -> None:
    assert (open_mixed(out).read("data", 0, len(images)) == images).all()


def read_by_pillow(out: Path, images: np.ndarray) -> None:
    found = np.stack([np.asarray(Image.open(path)) for path in sorted(out.glob("*/*.png"))])
    assert (found == images).all()


def _seconds(action: Callable[[Path, np.ndarray], None], out: Path, images: np.ndarray) -> float:
    start = time.perf_counter()
    action(out, images)
    return time.perf_counter() - start


WAYS = {
    "folder": (partial(by_sink, kind="folder"), read_by_sink),
    "tar": (partial(by_sink, kind="tar"), read_by_sink),
    "pillow": (by_pillow, read_by_pillow),
}


def row(images: np.ndarray, place: Path, repeats: int) -> dict[str, tuple[float, float, float]]:
    """Images written and read a second, and bytes of one, each way."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    sizes = {}
    for _ in range(repeats):
        for name, (write, read) in WAYS.items():
            out = place / name
            spent[name].append((_seconds(write, out, images), _seconds(read, out, images)))
            sizes[name] = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / len(images)
            shutil.rmtree(out)
    speeds = {name: len(images) / np.median(times, axis=0) for name, times in spent.items()}
    return {name: (float(write), float(read), sizes[name]) for name, (write, read) in speeds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--in", dest="source", type=Path, required=True, help="a folder of photographs")
    parser.add_argument("--out", type=Path, help="where to write; the system's folder for such files by default")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print(f"{processors()} processors; images a second, and how many times what Pillow does; bytes an image")
    print("side  way        write  ratio     read  ratio    bytes")
    for side, count in COUNTS.items():
        with tempfile.TemporaryDirectory(dir=options.out) as place:
            found = row(photographs(options.source, side, count), Path(place), options.repeats)
        base = found["pillow"]
        for name, (write, read, size) in found.items():
            ratios = write / base[0], read / base[1]
            print(f"{side:4d}  {name:8s} {write:7,.0f} {ratios[0]:6.1f} {read:8,.0f} {ratios[1]:6.1f} {size:8,.0f}")


if __name__ == "__main__":
    main()
