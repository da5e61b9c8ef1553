"""PuzzleMix of a batch beside one sample at a time: mixes a second of process time on all cores, in one run.

    python benchmarks/puzzlemix.py --sizes 32 224 --repeats 5

"loop": numpy for one pair after the other, its cut by scipy's maximum flow, its transport by rounds over the whole
matrix of costs, as the release has them. "batch": what a run of `mixcli puzzlemix` calls. Every core has a process of
one thread, in which both are timed in turn. Beside them, how much of the saliency pass of a PreAct-ResNet-18 at 32
pixels a mix is. "other": mixes whose pixels the two do not have in common, for costs are rounded differently.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow
from search import maps, network

from mixcli.algorithms.cells import nearest_divisor
from mixcli.data.images import Images
from mixcli.files.threads import processors
from mixcli.methods.puzzlemix import PuzzleMix
from mixcli.rng import uniforms

PAIRS = 64  # as many as a run mixes at a time
WHOLE = 2**24  # of a cost of 1, in the loop
NEVER = 2**29


def parents(size: int, seed: int) -> Images:
    """Smooth pictures with peaked maps."""
    g = torch.Generator().manual_seed(seed)
    coarse = (torch.rand(PAIRS, 3, n, n, generator=g) for n in (4, 8, 16))
    picture = sum(F.interpolate(x, size=(size, size), mode="bicubic") for x in coarse) * 85
    return Images(picture.clamp(0, 255).round().permute(0, 2, 3, 1).contiguous(), maps(PAIRS, size, seed).float())


def pooled(x: np.ndarray, side: int) -> np.ndarray:
    """Means of squares. (H,W) or (H,W,3)."""
    return x.reshape(len(x) // side, side, x.shape[1] // side, side, *x.shape[2:]).mean((1, 3))


def jumps(a: np.ndarray, b: np.ndarray, blocks: int) -> np.ndarray:
    """Below blocks, by which image is above and which beneath: (2,2,b-1,b)."""
    k = len(a) // blocks
    rows = [(x[k - 1 : -1 : k], x[k::k]) for x in (a, b)]
    mean = lambda p, q: np.abs(p - q).mean(2).reshape(blocks - 1, blocks, -1).mean(2)  # noqa: E731
    return np.array([[mean(above, below) for _, below in rows] for above, _ in rows])


def cut(unary: np.ndarray, down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The mask (b,b) of three levels, for costs (3,b,b), by two nodes a block between the source and the sink."""
    b = len(unary[0])
    unary, down, right = (np.rint(x * WHOLE).astype(np.int64) for x in (unary, down / 4, right / 4))
    above, twice = 1 + np.arange(2 * b * b).reshape(2, b, b)
    arcs = []
    for weight, one, other in ((down, np.s_[:-1], np.s_[1:]), (right, np.s_[:, :-1], np.s_[:, 1:])):
        for first, second in ((one, other), (other, one)):
            arcs += [(above[first], above[second], weight), (twice[first], twice[second], weight)]
            arcs += [(twice[first], above[second], 2 * weight)]
    arcs += [(twice, above, np.full((b, b), NEVER))]
    for node, step in ((above, unary[1] - unary[0]), (twice, unary[2] - unary[1])):
        source, sink = np.zeros_like(node), np.full_like(node, 2 * b * b + 1)
        arcs += [(source, node, np.maximum(-step, 0)), (node, sink, np.maximum(step, 0))]
    tail, head, capacity = (np.concatenate([part.ravel() for part in parts]) for parts in zip(*arcs, strict=True))
    graph = csr_array((capacity.astype(np.int32), (tail, head)), (2 * b * b + 2,) * 2)
    left = graph - maximum_flow(graph, 0, 2 * b * b + 1).flow
    left.eliminate_zeros()
    side = np.zeros(2 * b * b + 2, bool)
    side[breadth_first_order(left, 0, return_predecessors=False)] = True
    return 1 - side[1:-1].reshape(2, b, b).sum(0) / 2


def transported(image: np.ndarray, heat: np.ndarray, seen: np.ndarray, price: float) -> np.ndarray:
    """As many rounds as the grid has rows; what nobody takes stays black."""
    n, t, cell = heat.size, len(heat), len(image) // len(heat)
    y, x = np.divmod(np.arange(n), t)
    way = ((y[:, None] - y) ** 2 + (x[:, None] - x) ** 2) / (t - 1) ** 2
    cost, row = price * way - heat.reshape(-1, 1) * seen.reshape(1, -1), np.arange(n)
    for _ in range(t):
        plan = np.zeros((n, n))
        plan[row, cost.argmin(1)] = 1
        wins = np.zeros((n, n))
        wins[(plan * cost).argmin(0), row] = 1
        wins *= plan
        cost = cost + plan * (1 - wins)
    cells = image.reshape(t, cell, t, cell, 3).swapaxes(1, 2).reshape(n, -1)
    return (wins.T @ cells).reshape(t, t, cell, cell, 3).swapaxes(1, 2).reshape(image.shape)


def one(method: PuzzleMix, a: tuple, b: tuple, blocks: int, lam: float) -> np.ndarray:
    """One mix. a, b: pixels (H,W,3) and a map (H,W)."""
    side = len(a[0]) // blocks
    s_a, s_b = (x / x.sum() for x in (pooled(x[1].astype(np.float64), side) for x in (a, b)))
    small = [pooled(x[0] / 255, nearest_divisor(side, method.neigh_size)) for x in (a, b)]
    beta, half = method.beta / blocks / 16, method.beta / blocks / 16 * method.gamma / 2
    down = half * jumps(*small, blocks)
    right = half * jumps(*(x.swapaxes(0, 1) for x in small), blocks).swapaxes(2, 3)
    own = [s_b.copy(), s_a.copy()]
    for jump, first, second in ((down, np.s_[:-1], np.s_[1:]), (right, np.s_[:, :-1], np.s_[:, 1:])):
        for image in (0, 1):
            own[image][first] += jump[image].sum(0)
            own[image][second] += jump[:, image].sum(0)
    prior = -method.eta / blocks**2 * np.log([lam**2, 2 * lam * (1 - lam), (1 - lam) ** 2])
    unary = np.stack([own[0], (own[0] + own[1]) / 2, own[1]]) + prior[:, None, None]
    mask = cut(unary, *(beta + jump[0, 1] + jump[1, 0] - jump[0, 0] - jump[1, 1] for jump in (down, right)))
    cell = method.cell(a[0].shape[:2], blocks)[0]
    grid = np.kron(mask, np.ones((side // cell,) * 2))
    shown = [
        transported(image, heat / heat.sum(), seen, method.t_eps)
        for (image, raw), seen in ((a, grid > 0), (b, grid < 1))
        for heat in (pooled(raw.astype(np.float64), cell),)
    ]
    mask = np.kron(mask, np.ones((side, side)))[..., None]
    return mask * shown[0] + (1 - mask) * shown[1]


def rates(size: int, repeats: int) -> tuple[float, float, int]:
    """Mixes a second in this process: of the loop, of the batch; and how many mixes differ. Medians."""
    torch.set_num_threads(1)
    method, a, b = PuzzleMix(), parents(size, 0), parents(size, 1)
    u = torch.from_numpy(uniforms(0, "mix", np.arange(PAIRS), width=2))
    lam, blocks = method.mix(a, b, None, u).draw.T.tolist()
    sides = [list(zip(x.data.numpy(), x.saliency.numpy(), strict=True)) for x in (a, b)]
    spent, made = {"loop": [], "batch": []}, {}
    ways = {
        "loop": lambda: [one(method, *pair, int(n), p) for *pair, n, p in zip(*sides, blocks, lam, strict=True)],
        "batch": lambda: method.mix(a, b, None, u).data.numpy(),
    }
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.process_time()
            made[name] = way()
            spent[name].append(time.process_time() - start)
    differ = np.abs(np.stack(made["loop"]) - made["batch"]).max((1, 2, 3)) > 1e-2
    return PAIRS / np.median(spent["loop"]), PAIRS / np.median(spent["batch"]), int(differ.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 224])
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    cores = processors()
    print(f"mixes a second of process time on {cores} cores\n  size      loop     batch   ratio   other")
    with ProcessPoolExecutor(cores, multiprocessing.get_context("spawn")) as pool:
        for size in arguments.sizes:
            found = [pool.submit(rates, size, arguments.repeats) for _ in range(cores)]
            loop, batch, other = (sum(values) for values in zip(*(f.result() for f in found), strict=True))
            print(f"{size:6d} {loop:9.0f} {batch:9.0f} {batch / loop:6.1f}x {other // cores:4d} of {PAIRS}")
            if size == 32:
                torch.set_num_threads(1)
                spent, mix = network(arguments.repeats), 1e3 * cores / batch
                print(f"       PreAct-ResNet-18 {spent:.1f} ms an image; a mix {mix:.2f} ms, {mix / spent:.1%} of it")


if __name__ == "__main__":
    main()
