"""Images a second of the batched operations beside Pillow's one by one: medians, interleaved, one thread.

    python benchmarks/augment.py --repeats 9

Noise in batches of 64, each image with a strength of its own, as AugMix draws them at severity 10. Pillow is timed
twice: from arrays to arrays, as a loader applies it and as ours are timed; and between its own images, without that
copy. The last line is a whole view of AugMix, at severity 3. Both forms are compared before anything is timed. Seconds
are those of the processor, so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps

from mixcli.algorithms.augment import apply as augment
from mixcli.algorithms.augment.policy import AUGMIX_ALL, OPS, augmix_values
from mixcli.data.images import Images
from mixcli.methods.augmix import AugMix
from mixcli.pipeline.engine import CHUNK
from mixcli.rng import uniforms

SIDES = (32, 224)


def affine(image: Image.Image, *matrix: float) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix, resample=Image.Resampling.BILINEAR)


PILLOW: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "autocontrast": lambda image, _: ImageOps.autocontrast(image),
    "equalize": lambda image, _: ImageOps.equalize(image),
    "posterize": lambda image, v: ImageOps.posterize(image, int(v)),
    "rotate": lambda image, v: image.rotate(v, resample=Image.Resampling.BILINEAR),
    "solarize": lambda image, v: ImageOps.solarize(image, v),
    "shear_x": lambda image, v: affine(image, 1, v, 0, 0, 1, 0),
    "shear_y": lambda image, v: affine(image, 1, 0, 0, v, 1, 0),
    "translate_x": lambda image, v: affine(image, 1, 0, v, 0, 1, 0),
    "translate_y": lambda image, v: affine(image, 1, 0, 0, 0, 1, v),
    "color": lambda image, v: ImageEnhance.Color(image).enhance(v),
    "contrast": lambda image, v: ImageEnhance.Contrast(image).enhance(v),
    "brightness": lambda image, v: ImageEnhance.Brightness(image).enhance(v),
    "sharpness": lambda image, v: ImageEnhance.Sharpness(image).enhance(v),
}


def noise(side: int) -> np.ndarray:
    """(CHUNK,side,side,3) u8."""
    return np.random.default_rng(0).integers(0, 256, (CHUNK, side, side, 3)).astype(np.uint8)


def values(number: int, side: int) -> np.ndarray:
    """A strength for each image (CHUNK,) f64."""
    rng, op = np.random.default_rng(number), np.full(CHUNK, number)
    return augmix_values(op, rng.uniform(0.1, 10, CHUNK), rng.choice([-1, 1], CHUNK), (side, side))


def ours(images: np.ndarray, number: int, value: np.ndarray) -> np.ndarray:
    return augment.apply(torch.from_numpy(images), np.full(len(images), number), value).numpy()


def by_pillow(images: np.ndarray, name: str, value: np.ndarray) -> np.ndarray:
    return np.stack([PILLOW[name](Image.fromarray(x), v) for x, v in zip(images, value.tolist(), strict=True)])


def row(name: str, side: int, repeats: int) -> list[float]:
    """Images a second of ours, of Pillow from arrays to arrays, and of Pillow alone."""
    images, number = noise(side), OPS.index(name)
    value, opened = values(number, side), [Image.fromarray(x) for x in images]
    if not np.array_equal(ours(images, number, value), by_pillow(images, name, value)):
        raise SystemExit(f"{name}: comes out otherwise than Pillow's")
    return rates(
        repeats,
        lambda: ours(images, number, value),
        lambda: by_pillow(images, name, value),
        lambda: [PILLOW[name](x, v) for x, v in zip(opened, value.tolist(), strict=True)],
    )


def plain_views(images: np.ndarray, method: AugMix, u: np.ndarray) -> np.ndarray:
    """Chain after chain of one image after the other; given its draws. (B,H,W,3) u8 -> (B,H,W,3) f32."""
    drawn, found = method.drawn(u, images.shape[1:3]), np.empty(images.shape, np.float32)
    for i, image in enumerate(images):
        found[i] = np.float32(1 - drawn.m[i]) * image
        for w, op, value in zip(drawn.w[i], drawn.op[i].tolist(), drawn.value[i].tolist(), strict=True):
            copy = Image.fromarray(image)
            for number, v in zip(op, value, strict=True):
                copy = PILLOW[OPS[number]](copy, v) if number >= 0 else copy
            found[i] += np.float32(drawn.m[i] * w) * np.asarray(copy)
    return found


def whole(side: int, repeats: int) -> list[float]:
    """Views a second of AugMix, and of the plain loop."""
    method, images = AugMix(), noise(side)
    u = uniforms(0, "mix", np.arange(CHUNK), width=method.traits.draws)
    a, drawn = Images(torch.from_numpy(images.astype(np.float32))), torch.from_numpy(u)
    if np.abs(method.mix(a, None, None, drawn).data.numpy() - plain_views(images, method, u)).max() > 1e-3:
        raise SystemExit("augmix: comes out otherwise than by Pillow")
    return rates(repeats, lambda: method.mix(a, None, None, drawn), lambda: plain_views(images, method, u))


def rates(repeats: int, *functions: Callable[[], Any]) -> list[float]:
    """Images of a batch a second, medians of functions that take turns; the first turn is not counted."""
    spent = []
    for _ in range(repeats + 1):
        turn = []
        for function in functions:
            start = time.process_time()
            function()
            turn.append(time.process_time() - start)
        spent.append(turn)
    return (CHUNK / np.median(spent[1:], axis=0)).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"batches of {CHUNK}, one thread; images a second")
    print("side  operation        mixcli    Pillow  ratio   Pillow alone  ratio")
    for side in SIDES:
        for name in OPS[:AUGMIX_ALL]:
            mine, arrays, alone = row(name, side, options.repeats)
            told = f"{mine:9,.0f} {arrays:9,.0f} {mine / arrays:6.1f} {alone:14,.0f} {mine / alone:6.1f}"
            print(f"{side:4d}  {name:13s} {told}")
        mine, loop = whole(side, options.repeats)
        print(f"{side:4d}  {'augmix':13s} {mine:9,.0f} {loop:9,.0f} {mine / loop:6.1f}")


if __name__ == "__main__":
    main()
