"""`algorithms.best_offset` beside a loop over all offsets: medians on one thread, interleaved, process time a pair.

    python benchmarks/search.py --repeats 5 --sizes 32 56 112 224

The loop is numpy over the overlap alone, in float32. "pair": both maps are transformed for this pair. "kept": eight
rounds of pairs over maps whose transforms are kept. Beside them a PreAct-ResNet-18's saliency pass at 32 pixels, and
how much memory the search adds to a process. At 224 pixels the loop takes some 15 s a pair.
"""

from __future__ import annotations

import argparse
import ctypes
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixcli.algorithms.best_offset import best_offsets, prepare
from mixcli.saliency.blur import distribution, gaussian

PAIRS = {32: 64, 56: 32, 112: 16, 224: 8}
ROUNDS = 8


def maps(count: int, size: int, seed: int = 0) -> Tensor:
    """Gradient-like saliency: noise under a smooth envelope of several scales, blurred. (count,size,size) f64."""
    g = torch.Generator().manual_seed(seed)
    coarse = (torch.randn(count, 1, n, n, generator=g) for n in (4, 8, 16))
    envelope = sum(F.interpolate(x, size=(size, size), mode="bicubic")[:, 0] for x in coarse)
    noise = torch.randn(count, size, size, 3, generator=g).norm(dim=3)
    return distribution(gaussian((envelope.exp() * noise).double(), 5, 1.0))


def loop(a: np.ndarray, b: np.ndarray) -> tuple[int, int]:
    """τ* by v(τ) = Σa + Σ_overlap b (b - a) / (a + b), one offset after the other."""
    h, w = a.shape
    best, tau = -np.inf, (0, 0)
    for y in range(1 - h, h):
        for x in range(1 - w, w):
            own = a[max(0, y) : h + min(0, y), max(0, x) : w + min(0, x)]
            moved = b[max(0, -y) : h - max(0, y), max(0, -x) : w - max(0, x)]
            v = float((moved * (moved - own) / (own + moved)).sum())
            if v > best:
                best, tau = v, (y, x)
    return tau


class Block(nn.Module):
    """Two convolutions, each after BatchNorm and ReLU, and a shortcut."""

    def __init__(self, before: int, width: int, stride: int):
        super().__init__()
        self.norms = nn.ModuleList([nn.BatchNorm2d(before), nn.BatchNorm2d(width)])
        self.first = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(before, width, 1, stride, bias=False) if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        start = F.relu(self.norms[0](x))
        out = self.second(F.relu(self.norms[1](self.first(start))))
        return out + (self.shortcut(start) if self.shortcut else x)


def preact_resnet18() -> nn.Module:
    """The CIFAR-10 network of SAGE's tables, freshly initialised: the cost does not depend on the weights."""
    widths = [(64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)]
    blocks = [Block(*args) for a, b, stride in widths for args in ((a, b, stride), (b, b, 1))]
    head = [nn.AvgPool2d(4), nn.Flatten(), nn.Linear(512, 10)]
    return nn.Sequential(nn.Conv2d(3, 64, 3, padding=1, bias=False), *blocks, *head).eval().requires_grad_(False)


def saliency(net: nn.Module, x: Tensor) -> None:
    x = x.requires_grad_()
    torch.autograd.grad(F.cross_entropy(net(x), torch.zeros(len(x), dtype=torch.long), reduction="sum"), x)


def _milliseconds(work: Callable[[], object], count: int) -> float:
    """Process time of one of `count`."""
    start = time.process_time()
    work()
    return (time.process_time() - start) * 1e3 / count


def row(size: int, repeats: int) -> dict:
    """Medians in ms a pair of this size; `wrong` pairs have another τ than the loop."""
    n = PAIRS.get(size, 8)
    s = maps(n, size)
    i, j = torch.arange(n), torch.arange(n).roll(1)
    rounds = [j.roll(r) for r in range(ROUNDS)]
    looped = {}
    runs = {
        "loop": (lambda k: looped.update({k % n: loop(*s[[k % n, (k - 1) % n]].float().numpy())}), 1),
        "pair": (lambda k: best_offsets(prepare(s, keep=0), i, j), n),
        "kept": (lambda k: best_offsets(prepare(s), i.repeat(ROUNDS), torch.cat(rounds)), n * ROUNDS),
    }
    for name in ("pair", "kept"):
        runs[name][0](0)
    spent = {name: [] for name in runs}
    for k in range(repeats):
        for name, (work, count) in runs.items():
            spent[name].append(_milliseconds(lambda work=work, k=k: work(k), count))
    found = best_offsets(prepare(s), i, j)[0].tolist()
    wrong = sum(tuple(found[k]) != tau for k, tau in looped.items())
    return {"size": size, **{name: float(np.median(values)) for name, values in spent.items()}, "wrong": wrong}


def network(repeats: int) -> float:
    """Median ms an image of a saliency pass at 32 x 32, in batches of 16."""
    net, x = preact_resnet18(), torch.randn(16, 3, 32, 32)
    saliency(net, x.clone())
    return float(np.median([_milliseconds(lambda: saliency(net, x.clone()), 16) for _ in range(repeats)]))


def memory(size: int, pairs: int, keep: int) -> float:
    """MB that a search of so many pairs adds at its peak, in a process of its own; Linux only."""
    code = f"import search; print(search.growth({size}, {pairs}, {keep}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, stdout=subprocess.PIPE, check=True)
    return float(done.stdout)


def growth(size: int, pairs: int, keep: int) -> float:
    torch.set_num_threads(1)
    i, s = torch.arange(pairs), maps(2 * pairs, size)
    best_offsets(prepare(maps(2, 8)), i[:1], i[:1])
    ctypes.CDLL(None).malloc_trim(0)  # so that what is free is not counted as taken
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    best_offsets(prepare(s, keep), i, i + pairs)
    return _status("VmHWM") - before


def _status(field: str) -> float:
    """MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 56, 112, 224])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("ms a pair, one thread, all offsets\n  size      loop      pair     ratio      kept     ratio   wrong")
    for size in arguments.sizes:
        r = row(size, arguments.repeats)
        timed = "".join(f"{r[name]:10.3f} {r['loop'] / r[name]:8.0f}x" for name in ("pair", "kept"))
        print(f"{size:6d} {r['loop']:9.1f}{timed} {r['wrong']:7d}")
        if size == 32:
            spent = network(arguments.repeats)
            print(f"       PreAct-ResNet-18 {spent:.1f} ms an image; the search is {r['pair'] / spent:.1%} of it")
    size = arguments.sizes[-1]
    for pairs, keep in ((8, 0), (64, 0), (8, 2**29)):
        print(f"memory at {size}: {memory(size, pairs, keep):.0f} MB for {pairs} pairs, {keep >> 20} MB to be kept")


if __name__ == "__main__":
    main()
