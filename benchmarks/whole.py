"""A whole run beside its saliency pass alone, and beside the plain script that one would write.

    python benchmarks/whole.py --clouds 128 --repeats 3

Networks of the published sizes with random weights, clouds of 1024 points; the cost depends on neither.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import h5py
import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

import mixcli
from mixcli.methods import Method
from mixcli.methods.sagemix import SageMix
from mixcli.models import load
from mixcli.models.dgcnn import DGCNN
from mixcli.models.pointnet import PointNet
from mixcli.models.pointnet2 import build_ssg
from mixcli.pipeline.engine import Engine
from mixcli.pipeline.kinds.points_tensors import PointTensors
from mixcli.pipeline.kinds.tensors import Feed

CLOUDS = Path(__file__).resolve().parent.parent / "sample_data" / "clouds" / "ply_data_train0.h5"
MODELNET40 = 9840  # clouds
PLAIN_BATCH = 32


class NoAssignment(Method):
    """SageMix without its assignment: what is left of a run before mixing is its saliency pass."""

    traits = dataclasses.replace(SageMix.traits, assignment=False)


def networks(classes: int) -> dict[str, torch.nn.Module]:
    """Of the published sizes."""
    torch.manual_seed(0)
    ssg = build_ssg({"sa1.mlp_convs.0.weight": (64, 3, 1, 1), "fc3.weight": (classes, 256)})
    return {"dgcnn": DGCNN(classes), "pointnet2_ssg": ssg, "pointnet": PointNet(classes)}


def source(folder: Path, n: int) -> Path:
    """`n` of the sample clouds, over again where there are fewer, moved a little so that none are equal."""
    with h5py.File(CLOUDS) as file:
        pick = np.arange(n) % len(file["data"])
        clouds, labels = file["data"][()][pick], file["label"][()][pick]
    clouds += np.random.default_rng(0).normal(0, 1e-3, clouds.shape).astype(np.float32)
    path = folder / "clouds.h5"
    with h5py.File(path, "w") as file:
        file["data"], file["label"] = clouds, labels
    return path


def saliency_alone(clouds: np.ndarray, labels: np.ndarray, ckpt: Path, workers: int) -> float:
    """Seconds of the saliency pass of a run, nothing beside it."""
    feed = Feed(NoAssignment(), torch.device("cpu"), load(str(ckpt)))
    with closing(Engine(PointTensors(feed), workers=workers)) as engine:
        at = np.arange(len(clouds))[None]
        began = time.perf_counter()
        engine.wait(engine.start(clouds, labels, at, at), lambda _: None)
        return time.perf_counter() - began


def assignment_alone(clouds: np.ndarray, workers: int) -> float:
    """Seconds of the assignments of a run, one partner each, on as many threads."""
    from mixcli.algorithms.assignment import assign_batch

    began = time.perf_counter()
    assign_batch(clouds, np.roll(clouds, 1, 0), threads=workers)
    return time.perf_counter() - began


def whole(path: Path, ckpt: Path, out: Path, k: int, workers: int) -> float:
    """Seconds of a run from the first byte read to the rename."""
    result = mixcli.mix("sagemix", str(path), str(out), ckpt=str(ckpt), k=k, workers=workers, overwrite=True)
    return result.manifest["seconds"]


def plain(net: torch.nn.Module, clouds: np.ndarray, labels: np.ndarray, out: Path) -> float:
    """Seconds of the plain script: batches of 32, gradients of everything, scipy pair by pair, one mix each."""
    began, rng = time.perf_counter(), np.random.default_rng(0)
    torch.set_num_threads(torch.get_num_interop_threads())
    mixed = []
    for start in range(0, len(clouds), PLAIN_BATCH):
        x = torch.from_numpy(clouds[start : start + PLAIN_BATCH]).requires_grad_()
        F.cross_entropy(net(x), torch.from_numpy(labels[start : start + PLAIN_BATCH])).backward()
        saliency = x.grad.square().mean(2).sqrt().numpy().astype(float)
        net.zero_grad()
        order = rng.permutation(len(x))
        for a, b in enumerate(order):
            mixed.append(plain_mix(clouds[start + a], clouds[start + b], saliency[a], saliency[b], rng))
    with h5py.File(out, "w") as file:
        file["data"] = np.stack(mixed)
    return time.perf_counter() - began


def plain_mix(a: np.ndarray, b: np.ndarray, s_a: np.ndarray, s_b: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """SageMix of one pair as the paper's Algorithm 1 reads."""
    phi = linear_sum_assignment(cdist(a, b))[1]
    q_a = a[rng.choice(len(a), p=s_a / s_a.sum())]
    far = np.linalg.norm(b - q_a, axis=1) * s_b
    q_b = b[rng.choice(len(b), p=far / far.sum())]
    pi, b = rng.beta(0.2, 0.2), b[phi]
    w_a, w_b = (np.exp(-((c - q) ** 2).sum(1) / (2 * 0.3**2)) for c, q in ((a, q_a), (b, q_b)))
    lam = (pi * w_a + 1e-16) / (pi * w_a + (1 - pi) * w_b + 2e-16)
    return (lam[:, None] * a + (1 - lam[:, None]) * b).astype(np.float32)


def median(repeats: int, *timed: Callable[[], float]) -> list[float]:
    """Medians of several timings, taken in turn, so that a busy moment hits all of them."""
    rounds = [[t() for t in timed] for _ in range(repeats)]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def peak_memory(path: Path, ckpt: Path, out: Path) -> float:
    """Largest resident set of the command, in MB, in a process of its own; where /proc tells it."""
    code = (
        "import sys; from mixcli.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print(next(l.split()[1] for l in open('/proc/self/status') if 'VmHWM' in l), file=sys.stderr)"
    )
    arguments = ["sagemix", "--in", path, "--ckpt", ckpt, "--out", out, "--overwrite", "-q"]
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stderr.split()[-1]) / 1e3


def rows(repeats: int, n: int, plain_clouds: int, workers: int, names: list[str]) -> list[dict]:
    """One row a network."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = source(folder, n)
        with h5py.File(path) as file:
            clouds, labels = file["data"][()], file["label"][()].reshape(-1).astype(np.int64)
        nets = networks(int(labels.max()) + 1)
        return [_row(name, nets[name], path, clouds, labels, repeats, plain_clouds, workers) for name in names]


def _row(
    name: str,
    net: torch.nn.Module,
    path: Path,
    clouds: np.ndarray,
    labels: np.ndarray,
    repeats: int,
    few: int,
    workers: int,
) -> dict:
    out, ckpt = path.with_name("mixed.h5"), path.with_name(f"{name}.pt")
    torch.save(net.state_dict(), ckpt)
    whole(path, ckpt, out, 1, workers)  # compile and warm up
    saliency, assignment, k1, k4, k10 = median(
        repeats,
        lambda: saliency_alone(clouds, labels, ckpt, workers),
        lambda: assignment_alone(clouds, workers),
        *(lambda k=k: whole(path, ckpt, out, k, workers) for k in (1, 4, 10)),
    )
    scripted = plain(net.eval(), clouds[:few], labels[:few], out) / few * len(clouds)
    return {
        "net": name, "saliency": saliency, "assignment": assignment, "k1": k1, "k4": k4, "k10": k10,
        "plain": scripted, "memory_mb": peak_memory(path, ckpt, out), "clouds": len(clouds),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clouds", type=int, default=256)
    parser.add_argument("--plain-clouds", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--nets", nargs="+", default=["dgcnn", "pointnet2_ssg", "pointnet"])
    options = parser.parse_args()
    print(f"{options.clouds} clouds of 1024 points, {options.workers} workers, seconds: medians of {options.repeats}")
    print("net           saliency assign   k=1   k=4  k=10  k10/sal (k10-sal)/assign  plain plain/k1  MB 9,840 clouds")
    for r in rows(options.repeats, options.clouds, options.plain_clouds, options.workers, options.nets):
        print(
            f"{r['net']:<14} {r['saliency']:7.1f} {r['assignment']:6.2f} {r['k1']:5.1f} {r['k4']:5.1f} {r['k10']:5.1f}"
            f" {r['k10'] / r['saliency']:8.2f} {(r['k10'] - r['saliency']) / r['assignment']:12.2f}"
            f" {r['plain']:11.1f} {r['plain'] / r['k1']:8.1f} {r['memory_mb']:5.0f}"
            f" {r['k1'] / r['clouds'] * MODELNET40:7.0f} s"
        )


if __name__ == "__main__":
    main()
