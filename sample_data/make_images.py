"""Photographs of the sample clouds, made from a seed: `python sample_data/make_images.py [FOLDER]`.

Each picture is one cloud seen from a direction of its own, in two random colours, before a random texture. Every
picture has a generator of its own, keyed by (seed, split, class, number), so any one of them can be made again alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np
from numpy.random import Generator
from PIL import Image
from scipy.spatial import cKDTree

from mixcli.views import cloud_drawing as splat

HERE = Path(__file__).parent
CLOUDS = HERE / "clouds"
NAMES = (CLOUDS / "shape_names.txt").read_text().split()
SEED = 2022
SIZE = 64  # pixels a side
COUNTS = {"train": 32, "test": 8}  # of each class: two of each cloud to train on, one to test
SIDE = (-50.0, 50.0)  # of the eye, in degrees: from behind a monitor is a box
HEIGHT = (5.0, 35.0)  # of the eye over the horizon, in degrees
ROLL = 8.0  # degrees either way
CONTRAST = 0.35  # at least, between the lightness of the object and that of its background
GRID = SIZE // 8 + 1  # values along a side of the noise, one every 8 pixels
NEAREST = 16  # neighbours of a point
CAMERA = splat.turn(np.eye(3), "y")  # what `splat.draw` does to every cloud


# ---- colours and textures ---------------------------------------------------------------------------------


def tint(lightness: float, strength: float, r: Generator) -> np.ndarray:
    """A colour of about this lightness, 0 to 1, and of a random hue, strong or faint -> (3,) f64, 0..255."""
    hue, strength = r.uniform(0, 2 * np.pi), strength * r.uniform(0.2, 1)
    return 255 * np.clip(lightness + strength * np.cos(hue + np.array([0, 2, 4]) * np.pi / 3), 0, 1)


def lightnesses(r: Generator) -> tuple[float, float]:
    """Of an object and its background: anything, but the two differ by CONTRAST or more."""
    while True:
        own, behind = r.uniform(0.15, 0.9, 2)
        if abs(own - behind) >= CONTRAST:
            return own, behind


def across(r: Generator) -> np.ndarray:
    """Each pixel's place along a random direction, in pixels from the middle -> (SIZE,SIZE) f64."""
    angle = r.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    return np.cos(angle) * x + np.sin(angle) * y


def gradient(r: Generator) -> np.ndarray:
    """From 0 on one side to 1 on the other."""
    return across(r) / (SIZE * np.sqrt(2)) + 0.5


def stripes(r: Generator) -> np.ndarray:
    """Bands of 0 and 1 with edges a pixel wide, so that oblique ones are smooth."""
    period, phase = r.uniform(6, 20), r.uniform(0, 1)
    saw = np.abs((across(r) / period + phase) % 1 - 0.5) * 2  # 0 to 1 and back
    return np.clip((saw - 0.5) * period / 2 + 0.5, 0, 1)


def noise(r: Generator) -> np.ndarray:
    """Random values on a grid, interpolated linearly between."""
    at = np.arange(SIZE) * (GRID - 1) / SIZE
    weight = np.clip(1 - np.abs(at[:, None] - np.arange(GRID)), 0, 1)  # (SIZE,GRID)
    return weight @ r.random((GRID, GRID)) @ weight.T


TEXTURES = (gradient, stripes, noise)


def background(lightness: float, r: Generator) -> np.ndarray:
    """Two colours of a similar lightness, mixed by a texture -> (SIZE,SIZE,3) f64, 0..255."""
    first, second = (tint(lightness + step, 0.15, r) for step in r.uniform(-0.08, 0.08, 2))
    share = TEXTURES[r.integers(len(TEXTURES))](r)[:, :, None]
    return first + share * (second - first)


# ---- pictures ---------------------------------------------------------------------------------------------


def rotation(angle: float, i: int, j: int) -> np.ndarray:
    """By `angle` degrees in the plane of axes i and j, to apply on the right."""
    matrix, angle = np.eye(3), np.radians(angle)
    matrix[[i, i, j, j], [i, j, i, j]] = np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)
    return matrix


def filled(cloud: np.ndarray) -> np.ndarray:
    """With the points midway to the nearest of each: the holes between 1024 would show. (N,3) -> (17N,3)."""
    near = cKDTree(cloud).query(cloud, NEAREST + 1)[1][:, 1:]
    return np.concatenate([cloud, ((cloud[:, None] + cloud[near]) / 2).reshape(-1, 3)])


def seen(cloud: np.ndarray, r: Generator) -> np.ndarray:
    """The cloud from a random direction, a little nearer or further and off the middle: x right, y up, z to the eye."""
    view = rotation(r.uniform(*SIDE), 2, 0) @ rotation(r.uniform(*HEIGHT), 1, 2)
    view = view @ rotation(r.uniform(-ROLL, ROLL), 0, 1)
    return cloud @ view * r.uniform(0.95, 1.15) + (*r.uniform(-0.1, 0.1, 2), 0)


def paint(cloud: np.ndarray, lightness: float, r: Generator) -> np.ndarray:
    """Point colours that run from one random colour to another along a random axis. (N,3) -> (N,3) f64, 0..255."""
    first, second = (tint(lightness + step, 0.25, r) for step in r.uniform(-0.08, 0.08, 2))
    axis = r.normal(size=3)
    share = np.clip(cloud @ axis / np.linalg.norm(axis) * 0.8 + 0.5, 0, 1)[:, None]
    return first + share * (second - first)


def picture(cloud: np.ndarray, r: Generator) -> np.ndarray:
    """A photograph of a cloud (N,3) -> (SIZE,SIZE,3) u8.

    `splat.draw` draws on white. Drawn in black, what is left of the white is the share of the background.
    """
    own, behind = lightnesses(r)
    cloud = filled(cloud)
    placed = seen(cloud, r) @ CAMERA.T
    color = paint(cloud, own, r)
    drawn, shadow = (splat.draw(placed, c, SIZE).astype(np.float64) for c in (color, np.zeros_like(color)))
    whole = drawn - shadow + background(behind, r) * shadow / 255
    return np.rint(whole).clip(0, 255).astype(np.uint8)


def pictures(split: str, label: int, seed: int = SEED) -> np.ndarray:
    """All of a class: its clouds in turn, each new time from elsewhere -> (n,SIZE,SIZE,3) u8."""
    with h5py.File(CLOUDS / f"ply_data_{split}0.h5") as file:
        clouds = file["data"][:][file["label"][:, 0] == label]
    keys = [[seed, list(COUNTS).index(split), label, number] for number in range(COUNTS[split])]
    return np.stack([picture(clouds[key[-1] % len(clouds)], np.random.default_rng(key)) for key in keys])


def main(folder: Path) -> None:
    for split in COUNTS:
        for label, name in enumerate(NAMES):
            (folder / split / name).mkdir(parents=True, exist_ok=True)
            for number, image in enumerate(pictures(split, label)):
                Image.fromarray(image).save(folder / split / name / f"{number:03d}.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "images")
