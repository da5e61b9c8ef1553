"""`mixcli.saliency.points` beside the common implementation: medians on one thread, interleaved, process time a cloud.

    python benchmarks/saliency.py --repeats 3

The common implementation is each network's `forward` in torch operations, with `loss.backward()` down to the
parameters, as the published training loops take saliency.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import contextmanager
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixcli.models import kernels
from mixcli.models.dgcnn import DGCNN
from mixcli.models.dgcnn_partseg import DGCNNPartSeg
from mixcli.models.pointnet import PointNet
from mixcli.models.pointnet2 import build_ssg
from mixcli.models.pointnet_tnet import PointNetTNet
from mixcli.saliency.points import gradient

POINTS, SEGMENT_POINTS = 1024, 2048  # as in the published training runs
COMMON, FAST = (1, 4, 16, 32), (1, 2, 4)  # clouds in a batch
SEGMENT_COMMON = (1, 4)  # a cloud's graph takes a gigabyte


def networks() -> dict[str, nn.Module]:
    """Freshly initialised: the cost does not depend on the weights."""
    torch.manual_seed(0)
    ssg = build_ssg({"sa1.mlp_convs.0.weight": (64, 3, 1, 1), "fc3.weight": (40, 256)})
    return {"dgcnn": DGCNN(), "pointnet": PointNet(), "pointnet_tnet": PointNetTNet(), "pointnet2_ssg": ssg,
            "dgcnn_partseg": DGCNNPartSeg()}  # fmt: skip


def surfaces(count: int, points: int = POINTS, seed: int = 0) -> Tensor:
    """Stretched, bent spheres in the unit ball: (count, points, 3)."""
    g = torch.Generator().manual_seed(seed)
    points = F.normalize(torch.randn(count, points, 3, generator=g), dim=2)
    bend = 1 + 0.5 * torch.sin(3 * points.roll(1, 2) + torch.rand(count, 1, 3, generator=g) * 6)
    points = points * bend * (0.2 + torch.rand(count, 1, 3, generator=g))
    return points / points.norm(dim=2).amax(1)[:, None, None]


def common(net: nn.Module, x: Tensor) -> None:
    """Saliency as the published loops compute it."""
    with mock.patch.object(kernels, "native", lambda x: False):
        x = x.clone().requires_grad_()
        net.requires_grad_(True).eval()
        label = torch.zeros(len(x), dtype=torch.long)
        if _segments(net):
            F.cross_entropy(net(x, label).flatten(0, 1), torch.zeros(x.shape[:2]).long().flatten()).backward()
        else:
            F.cross_entropy(net(x), label).backward()
        net.zero_grad()
        assert x.grad.square().mean(2).sqrt().isfinite().all()


def fast(net: nn.Module, x: Tensor) -> None:
    """Saliency as mixcli computes it."""
    net.requires_grad_(False)
    gradient(net, x, torch.zeros(len(x), dtype=torch.long))


def _segments(net: nn.Module) -> bool:
    return getattr(net, "task", "") == "segment"


def _milliseconds(function: Callable, net: nn.Module, x: Tensor) -> float:
    """Process time a cloud."""
    start = time.process_time()
    function(net, x)
    return (time.process_time() - start) * 1e3 / len(x)


@contextmanager
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def rows(repeats: int = 3, batches: tuple[int, ...] = COMMON) -> list[dict]:
    """One row a network: medians in ms a cloud, and how many times faster the fast path is at its best batch."""
    with _one_thread():
        return [_row(name, net.eval(), repeats, batches) for name, net in networks().items()]


def _row(name: str, net: nn.Module, repeats: int, batches: tuple[int, ...]) -> dict:
    batches = SEGMENT_COMMON if _segments(net) else batches
    x = surfaces(max(*batches, *FAST), SEGMENT_POINTS if _segments(net) else POINTS)
    runs = [("common", common, b) for b in batches] + [("mixcli", fast, b) for b in FAST]
    for _ in range(2):
        common(net, x[:1])
        fast(net, x[:1])
    spent = {f"{who}_b{b}_ms": [] for who, _, b in runs}
    for repeat in range(repeats):
        for who, function, b in runs:
            for start in range(0, 4 if b < 4 else b, b):  # four clouds at least
                part = x[start : start + b].roll(repeat, 0)
                spent[f"{who}_b{b}_ms"].append(_milliseconds(function, net, part))
    row = {key: float(np.median(values)) for key, values in spent.items()}
    best = {who: min(value for key, value in row.items() if key.startswith(who)) for who in ("common", "mixcli")}
    return {"network": name, "points": x.shape[1], **row, "ratio": best["common"] / best["mixcli"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    table = rows(parser.parse_args().repeats)
    print("ms a cloud, one thread; ratio: the best batch of each")
    for row in table:
        print(f"\n{row['network']}, {row['points']} points: {row['ratio']:.1f}x")
        for key, value in row.items():
            if key.endswith("_ms"):
                print(f"  {key.removesuffix('_ms').replace('_b', ', batch '):20s} {value:8.1f}")


if __name__ == "__main__":
    main()
