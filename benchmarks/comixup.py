"""Co-Mixup beside a plain form, one mix after the other with numpy and scipy's maximum flow: samples a second.

    python benchmarks/comixup.py --repeats 3 --workers 2

32x32 pixels, blocks of 8x8, groups of 20, all published options; maps like those of a network's gradient. The plain
form has the same prior and start, and goes over the mixes as often, each by swap moves until none pays, without the
descent that mixcli adds to every round. Both are run on as many cores, in turn: ours in threads, as a run has them,
the plain form in processes. Beside them the saliency pass of a PreAct-ResNet-18, on one core like the last columns.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow
from search import maps, network

from mixcli.algorithms.comix.problem import Problem, objective, shares
from mixcli.algorithms.comix.solve import LEAN, TOP, solve
from mixcli.data.images import Images
from mixcli.methods.comixup import CoMixup, dirichlet
from mixcli.rng import uniforms

GROUP, SIZE = 20, 32
UNIT = 2.0**24  # of costs as whole numbers, which scipy's flow has 31 bits for
METHOD = CoMixup()


@dataclass(frozen=True)
class Group:
    """What both forms get."""

    images: np.ndarray  # (20,32,32,3) f32
    saliency: np.ndarray  # (20,32,32) f32
    u: np.ndarray  # (20,17) f64


def groups(count: int, seed: int) -> list[Group]:
    saliency = maps(count * GROUP, SIZE, seed).float().numpy().reshape(count, GROUP, SIZE, SIZE)
    images = np.random.default_rng(seed).uniform(0, 255, (count, GROUP, SIZE, SIZE, 3)).astype(np.float32)
    u = uniforms(seed, "mix", np.arange(count * GROUP), width=METHOD.traits.draws).reshape(count, GROUP, -1)
    return [Group(*parts) for parts in zip(images, saliency, u, strict=True)]


def ours(group: Group) -> np.ndarray:
    images = Images(torch.from_numpy(group.images), torch.from_numpy(group.saliency))
    return METHOD.mix(images, None, None, torch.from_numpy(group.u)).data.numpy()


def plain(group: Group) -> np.ndarray:
    """One mix after the other. -> (20,32,32,3)"""
    z = plain_labels(plain_problem(group), plain_start(group), METHOD.rounds)
    side = SIZE // z.shape[1]
    mixed = np.empty_like(group.images)
    for j in range(len(z)):
        share = z[j].repeat(side, 0).repeat(side, 1)
        mixed[j] = sum(share[..., i, None] * group.images[i] for i in np.flatnonzero(share.any((0, 1))))
    return mixed


def plain_problem(group: Group) -> Problem:
    """The costs and distances do not take long; they are the same."""
    return METHOD.problem(torch.from_numpy(group.saliency), dirichlet(group.u[:, 0], METHOD.alpha))


def plain_start(group: Group) -> np.ndarray:
    return (group.u[:, 1:] * GROUP).astype(int).reshape(GROUP, METHOD.block_num, METHOD.block_num)


def plain_labels(problem: Problem, start: np.ndarray, rounds: int) -> np.ndarray:
    """(m,h,w) -> z (m,h,w,m)."""
    m = len(start)
    z = np.eye(m)[start]
    apart = np.zeros((m, m))
    for round_ in range(rounds):
        for j in range(m):
            others = z.sum((0, 1, 2)) - z[j].sum((0, 1))
            seen = problem.compatibility @ others
            price = 2 * np.where(seen > problem.limit, seen, 0) + apart[j]
            unary = np.moveaxis(problem.cost, 0, -1) + problem.diversity * price
            content = np.eye(m)
            if round_:
                count = z[j].sum((0, 1))
                most = [i for i in np.argsort(-count, kind="stable")[:TOP] if count[i] > 0]
                halves = [(content[a] + content[b]) / 2 for a, b in combinations(sorted(most), 2)]
                content = np.stack([*content, *halves])
            unary = unary @ content.T - LEAN * (content.max(1) < 1)
            borders = problem.smoothness / 2 * ((content[:, None] - content) ** 2).sum(-1)
            z[j] = content[swapped(unary, borders)]
        if round_ == rounds - 2:
            apart = plain_resolved(z)
    return z


def plain_resolved(z: np.ndarray) -> np.ndarray:
    """Of two mixes of the same images, one shall lose the first of them, the other the second. -> (m,m)"""
    apart, has = np.zeros((len(z), z.shape[-1])), z.any((1, 2))
    for i, j in combinations(range(len(z)), 2):
        if (has[i] == has[j]).all() and has[i].sum() > 1:
            first, second = np.flatnonzero(has[i])[:2]
            apart[i, first] = apart[j, second] = 1
    return apart


def swapped(unary: np.ndarray, borders: np.ndarray) -> np.ndarray:
    """Swap moves until none pays. (h,w,L), (L,L) -> (h,w) labels."""
    label, moved = unary.argmin(2), True
    while moved:
        moved = False
        for a, b in combinations(range(len(borders)), 2):
            if ((label == a) | (label == b)).any():
                after = cut(unary, borders, label, a, b)
                if energy(unary, borders, after) < energy(unary, borders, label) - 1e-6:
                    label, moved = after, True
    return label


def energy(unary: np.ndarray, borders: np.ndarray, label: np.ndarray) -> float:
    across = borders[label[1:], label[:-1]].sum() + borders[label[:, 1:], label[:, :-1]].sum()
    return np.take_along_axis(unary, label[..., None], 2).sum() + across


def cut(unary: np.ndarray, borders: np.ndarray, label: np.ndarray, a: int, b: int) -> np.ndarray:
    """All blocks of label a or b get the better of both. (h,w) -> (h,w)"""
    height, width = label.shape
    inside = (label == a) | (label == b)
    node = np.where(inside, inside.ravel().cumsum().reshape(label.shape), 0)
    sink = inside.sum() + 1
    cost = np.stack([unary[..., a], unary[..., b]], 2)
    arcs = []
    for y, x in np.argwhere(inside):
        for v, w in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= v < height and 0 <= w < width:
                if inside[v, w]:
                    arcs.append((node[y, x], node[v, w], borders[a, b]))
                else:
                    cost[y, x] += borders[[a, b], label[v, w]]
        spare = cost[y, x] - cost[y, x].min()
        arcs += [(0, node[y, x], spare[1]), (node[y, x], sink, spare[0])]
    tail, head, capacity = zip(*arcs, strict=True)
    whole = np.minimum(np.rint(np.array(capacity) * UNIT), 2**30).astype(np.int32)
    graph = coo_array((whole, (tail, head)), (sink + 1, sink + 1)).tocsr()
    left = graph - maximum_flow(graph, 0, int(sink)).flow
    left.data[left.data < 0] = 0
    left.eliminate_zeros()
    reached = np.zeros(sink + 1, bool)
    reached[breadth_first_order(left, 0, return_predecessors=False)] = True
    return np.where(inside, np.where(reached[node], a, b), label)


def check(group: Group) -> tuple[float, float]:
    """Objectives of both, of which ours is not the higher one, or there is nothing to compare."""
    problem, start = plain_problem(group), plain_start(group)
    found = objective(problem, shares(solve(problem, start, METHOD.rounds), GROUP))
    theirs = objective(problem, plain_labels(problem, start, METHOD.rounds))
    if found > theirs:
        raise SystemExit(f"the plain form's objective is lower: {theirs:.3f} against {found:.3f}")
    return found, theirs


def rate(pool: Executor, form: Callable[[Group], np.ndarray], work: list[Group]) -> float:
    """Samples a second."""
    start = time.perf_counter()
    list(pool.map(form, work))
    return len(work) * GROUP / (time.perf_counter() - start)


def process_ms(form: Callable[[Group], np.ndarray], work: list[Group]) -> float:
    """Process time of a sample."""
    start = time.process_time()
    for group in work:
        form(group)
    return (time.process_time() - start) * 1e3 / (len(work) * GROUP)


def one_thread() -> None:
    torch.set_num_threads(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    one_thread()
    few, many = options.workers, 16 * options.workers
    objectives = [check(group) for group in groups(2, 1)]
    context = multiprocessing.get_context("spawn")
    threads = ThreadPoolExecutor(options.workers, initializer=one_thread)
    processes = ProcessPoolExecutor(options.workers, context, initializer=one_thread)
    spent: dict[str, list[float]] = {"ours": [], "plain": [], "ours ms": [], "plain ms": [], "network": []}
    with threads, processes:
        rate(processes, plain, groups(few, 0))
        for repeat in range(options.repeats):
            work = groups(many, repeat + 2)
            spent["ours"].append(rate(threads, ours, work))
            spent["plain"].append(rate(processes, plain, work[:few]))
            spent["ours ms"].append(process_ms(ours, work[:few]))
            spent["plain ms"].append(process_ms(plain, work[:1]))
            spent["network"].append(network(1))
    m = {name: float(np.median(values)) for name, values in spent.items()}
    better, worse = np.mean(objectives, 0)
    blocks = f"{METHOD.block_num}x{METHOD.block_num}"
    print(f"groups of {GROUP} images of {SIZE} px, {blocks} blocks, {options.workers} cores")
    print("              samples/s   objective   ms a sample   of a saliency pass")
    for name, value in (("ours", better), ("plain", worse)):
        each = m[f"{name} ms"]
        shown = "mixcli" if name == "ours" else name
        print(f"{shown:10s} {m[name]:12,.0f} {value:11.2f} {each:13.2f} {each / m['network']:20.3f}")
    print(f"{m['ours'] / m['plain']:.0f} times the samples a second; PreAct-ResNet-18 {m['network']:.1f} ms a sample")


if __name__ == "__main__":
    main()
