"""Make the small sample datasets from nothing but a seed: `python sample_data/make.py [FOLDER]`.

Ten classes of point clouds in the layout of ModelNet40's HDF5 files, 1024 points each. Every cloud has a
generator of its own, keyed by (seed, split, index), so any one of them can be made again alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np
from shapes import SHAPES, turn

SEED = 2022
POINTS = 1024
COUNTS = {"train": 160, "test": 80}
NAMES = sorted(SHAPES)
YAW, TILT = 25.0, 5.0  # degrees either way: the sets are aligned, not clamped
STRETCH = 0.2  # of the log of each axis: without it the extents alone would tell most classes apart
NOISE = 0.004  # a scanner's, in units of the finished cloud's radius


def jitter(part: np.ndarray, r: np.random.Generator) -> np.ndarray:
    """Stretch and shift one part a little, so that no two objects of a class share exact proportions."""
    centre = part.mean((0, 1))
    return (part - centre) * r.normal(1, 0.04, 3) + centre + r.normal(0, 0.01, 3)


def sample(triangles: np.ndarray, n: int, r: np.random.Generator) -> np.ndarray:
    """(T,3,3) -> n points (n,3), uniform over the area of the surface."""
    a, b, c = triangles.transpose(1, 0, 2)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    chosen = r.choice(len(triangles), n, p=area / area.sum())
    u, v = np.sort(r.random((2, n, 1)), axis=0)
    return a[chosen] * u + b[chosen] * (v - u) + c[chosen] * (1 - v)


def normalise(points: np.ndarray) -> np.ndarray:
    """Zero mean, farthest point at distance 1: as ModelNet40's clouds are."""
    points = points - points.mean(0)
    return (points / np.linalg.norm(points, axis=1).max()).astype(np.float32)


def label_of(index: int) -> int:
    return index % len(NAMES)


def cloud(split: str, index: int, seed: int = SEED) -> np.ndarray:
    """Cloud number `index` of a split -> (1024,3) f32."""
    r = np.random.default_rng([seed, list(COUNTS).index(split), index])
    parts = SHAPES[NAMES[label_of(index)]](r)
    triangles = np.concatenate([jitter(part, r) for part in parts]) * np.exp(r.normal(0, STRETCH, 3))
    pose = turn("y", r.uniform(-YAW, YAW))
    pose = pose @ turn("x", r.uniform(-TILT, TILT)) @ turn("z", r.uniform(-TILT, TILT))
    points = normalise(sample(triangles @ pose, POINTS, r))
    return normalise(points + r.normal(0, NOISE, points.shape))


def write_split(folder: Path, split: str) -> None:
    """`ply_data_<split>0.h5` and the list that names it."""
    path = folder / f"ply_data_{split}0.h5"
    count = COUNTS[split]
    with h5py.File(path, "w") as file:
        data = np.stack([cloud(split, i) for i in range(count)])
        file.create_dataset("data", data=data, compression="gzip", shuffle=True, chunks=(16, POINTS, 3))
        file["label"] = np.array([[label_of(i)] for i in range(count)], np.uint8)
    (folder / f"{split}_files.txt").write_text(f"{folder.name}/{path.name}\n")


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for split in COUNTS:
        write_split(folder, split)
    (folder / "shape_names.txt").write_text("".join(f"{name}\n" for name in NAMES))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "clouds")
