"""The work of one window: saliency and assignment side by side on the workers, then the mixes.

On a CPU a worker is a thread with one torch thread of its own, and the micro-batches are fixed by the plan, so no
result depends on how many workers there are. On CUDA one thread feeds the device and the workers assign beside it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mixcli.algorithms import assignment
from mixcli.errors import MixError, UsageError
from mixcli.pipeline.kinds import kind
from mixcli.pipeline.plan import group_edges
from mixcli.rng import uniforms
from mixcli.saliency.points import NonFinite

# Pairs mixed at a time: as many numbers as a core's cache holds (at 224 px, 64 pairs take six times as long as 64
# pairs in fours). Part of the result's last bits, so it follows from the samples' size and the kind of device alone.
CHUNK, LEAST, CACHED = 64, 4, 2**18
HELD = 2**27  # numbers of mixes at a time, where k is so large that it counts


@dataclass
class Work:
    """A window under way: arrays that the workers fill in."""

    values: Any  # Clouds, or Pictures
    labels: np.ndarray  # (w,) i64
    a: np.ndarray  # (R,p) i64 positions of parent a, bad ones replaced
    b: np.ndarray | None  # (R,p) i64; None until it follows from the maps
    saliency: np.ndarray | None  # (w,N) or (w,H,W) f32
    asked: np.ndarray  # (w,) bool: went through the model
    judged: np.ndarray  # (w,) i64 predictions of it that can be right or wrong: the class, or each point's part
    correct: np.ndarray  # (w,) i64 of those
    uniform: np.ndarray  # (w,) bool
    phi: np.ndarray | None  # (R,p,N) i32
    batch: int = 1
    poses: dict[int, Future] = field(default_factory=dict)  # of clouds that are turned before they are assigned
    futures: list[tuple[Future, int]] = field(default_factory=list)  # and how many samples each finishes


class Engine:
    """Runs saliency, assignment and mixes for a method on a device."""

    def __init__(
        self,
        method: Any,
        model: Any,
        device: str = "auto",
        workers: int | None = None,
        batch: int | None = None,
        target: str = "label",
        keep: tuple[str, ...] = (),
        normalize: str = "none",
        norm: str = "l2",
        note: Callable[[str], None] = lambda sentence: None,
        layer: str | None = None,
    ):
        self.method, self.traits, self.model, self.note = method, method.traits, model, note
        self.towards_label, self.keep, self.normalize = target == "label", keep, normalize
        self.norm, self.layer = norm, layer
        self.device = choose_device(device)
        self.workers = workers or usable_cores()
        self.kind = kind(self.traits.writes or self.traits.data)
        self.batch = batch or (self.kind.CPU_BATCH if self.device.type == "cpu" else self.kind.CUDA_BATCH)
        self.net = model.net.to(self.device) if model else None
        self.pool = ThreadPoolExecutor(self.workers, initializer=_one_thread)
        self.feeder = self.pool
        self.settings = ExitStack()
        self.settings.callback(torch.set_num_threads, torch.get_num_threads())
        _one_thread()
        if self.device.type == "cuda":
            _deterministic(self.settings)
            self.feeder = ThreadPoolExecutor(1)
        if self.traits.assignment:
            self.pool.submit(assignment.warm)

    def close(self) -> None:
        for pool in (self.feeder, self.pool):
            pool.shutdown(wait=True, cancel_futures=True)
        self.settings.close()

    @property
    def solver(self) -> str | None:
        return assignment.solver() if self.traits.assignment else None

    @property
    def device_name(self) -> str:
        return "cpu" if self.device.type == "cpu" else torch.cuda.get_device_name(self.device)

    def start(self, values: Any, labels: np.ndarray, a: np.ndarray, b: np.ndarray | None) -> Work:
        """Hand w samples to the workers. labels (w,) i64; a, b (R,p) positions of each pair's parents, p = w in a run.

        Only parents go through the model. b is None where it will follow from the maps of all a.
        """
        w, guided = len(values), self.traits.saliency is not None
        work = Work(
            values, labels, a, b,
            saliency=np.zeros((w, *self.kind.map_shape(self, values)), np.float32) if guided else None,
            asked=np.zeros(w, bool),
            judged=np.zeros(w, np.int64),
            correct=np.zeros(w, np.int64),
            uniform=np.zeros(w, bool),
            phi=np.zeros((*a.shape, *self.kind.map_shape(self, values)), np.int32) if self.traits.assignment else None,
            batch=self.batch,
        )  # fmt: skip
        used = np.unique(a if b is None else np.concatenate([a.ravel(), b.ravel()]))
        if guided:
            for rows in np.split(used, range(self.batch, len(used), self.batch)):
                work.futures.append((self.feeder.submit(self._saliency, work, rows), len(rows)))
        if self.traits.assignment:
            if self.method.poses:  # before the pairs, which wait for them
                work.poses = {i: self.pool.submit(self.method.pose, values.xyz[i]) for i in used.tolist()}
            pairs_of_round = np.arange(a.shape[1])
            for round_ in range(len(a)):
                for pairs in np.split(pairs_of_round, pairs_of_round[8::8]):
                    work.futures.append((self.pool.submit(self._assign, work, round_, pairs), 0))
        return work

    def wait(self, work: Work, progress: Callable[[int], None]) -> None:
        """Until the window's saliency and assignments are there; the first error of a worker is raised here."""
        for future, clouds in work.futures:
            future.result()
            progress(clouds)

    def _saliency(self, work: Work, rows: np.ndarray) -> None:
        """Maps and predictions of the clouds at positions `rows`; on CUDA a batch that does not fit is halved."""
        for part in np.split(rows, range(self.batch, len(rows), self.batch)):
            try:
                self._saliency_once(work, part)
            except torch.cuda.OutOfMemoryError:
                if len(part) == 1:
                    raise MixError("the device's memory does not hold one sample; use --device cpu") from None
                self._halve(len(part))
                self._saliency(work, part)

    def _halve(self, failed: int) -> None:
        torch.cuda.empty_cache()
        if self.batch >= failed:
            self.batch = max(1, failed // 2)
            self.note(f"CUDA is out of memory at a batch of {failed}; going on with {self.batch}")

    def _saliency_once(self, work: Work, rows: np.ndarray) -> None:
        try:
            found = self.kind.heat(self, work.values[rows], work.labels[rows])
        except NonFinite as e:
            raise NonFinite([int(rows[r]) for r in e.rows]) from None
        work.saliency[rows], work.uniform[rows], work.asked[rows] = found.map, found.uniform, True
        work.judged[rows], work.correct[rows] = found.judged, found.correct
        work.batch = min(work.batch, self.batch)

    def tensor(self, array: np.ndarray) -> torch.Tensor:
        """On the device."""
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def _assign(self, work: Work, round_: int, pairs: np.ndarray) -> None:
        for at in pairs:
            i, j = int(work.a[round_, at]), int(work.b[round_, at])
            a, b = work.values.xyz[i], work.values.xyz[j]
            if work.poses:
                b = self.method.posed(b, work.poses[i].result(), work.poses[j].result())
            work.phi[round_, at] = assignment.assign(a, b)

    def mixes(
        self, work: Work, window: int, k: int, seed: int, then: Callable[[int, slice, list[Any]], Any], idle: bool
    ) -> Iterator[Any]:
        """`then(round, pairs, mixes)` of each chunk of pairs and the k mixes of each, in the order of the rows.

        Made here while the workers are on the next window; by the workers where they are `idle`.
        """

        def make(round_: int, pairs: slice, u: list[np.ndarray]) -> Any:
            return then(round_, pairs, self.mix_pairs(work, round_, pairs, u))

        ahead: deque[Future] = deque()
        for chunk in self._draws(work, window, k, seed):
            if not idle:
                yield make(*chunk)
                continue
            ahead.append(self.feeder.submit(make, *chunk))
            if len(ahead) > self.workers:
                yield ahead.popleft().result()
        yield from (future.result() for future in ahead)

    def chunk(self, work: Work, k: int) -> int:
        """Pairs of a window that are mixed in one call, so that all k mixes of them can be held."""
        states = work.saliency if self.traits.writes else work.values.values
        numbers = int(np.prod(states.shape[1:], dtype=np.int64))
        best = CHUNK if self.device.type != "cpu" else max(LEAST, min(CHUNK, CACHED // numbers))
        return max(1, min(best, HELD // (k * numbers)))

    def _draws(self, work: Work, window: int, k: int, seed: int) -> Iterator[tuple[int, slice, list[np.ndarray]]]:
        """Round, a chunk of its pairs, and the uniforms of each pair's k mixes, k of (p,draws) f64."""
        rounds, w = work.a.shape
        for round_ in range(rounds):
            for pairs in chunks(w, self.traits.group, self.chunk(work, k)):
                those = np.arange(pairs.start, pairs.stop)
                u = [uniforms(seed, "mix", those, window, round_, j, self.traits.draws) for j in range(k)]
                yield round_, pairs, u

    def mix_pairs(self, work: Work, round_: int, pairs: slice, u: list[np.ndarray]) -> list[Any]:
        """One mix of each pair, or of each member of a group, for each (p, draws) f64 array of uniforms."""
        sides = [side[round_, pairs] for side in (work.a, work.b)]
        a = self._samples(work, sides[0])
        b = None if self.traits.group else self._samples(work, sides[1])
        phi = None
        if work.phi is not None:
            phi = self.tensor(work.phi[round_, pairs].astype(np.int64))
        with torch.no_grad():
            mixes = [self.method.mix(a, b, phi, self.tensor(v)) for v in u]
            return [self.kind.finished(self, mix, work.values, sides, a, b) for mix in mixes]

    def _samples(self, work: Work, rows: np.ndarray) -> Any:
        saliency = None if work.saliency is None else work.saliency[rows]
        return self.kind.samples(self, work.values, rows, saliency)


def chunks(size: int, group: int, pairs: int = CHUNK) -> list[slice]:
    """What is mixed in one call: so many pairs, or one group."""
    edges = group_edges(size, group) if group else [*range(0, size, pairs), size]
    return [slice(start, stop) for start, stop in zip(edges, edges[1:], strict=False)]


def usable_cores() -> int:
    """Cores this process may run on: fewer than the machine's in a container or a batch job."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_device(name: str) -> torch.device:
    """auto, cpu, cuda or cuda:i, or one sentence that says what is missing."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdecimal()) or (kind == "cpu" and index):
        raise UsageError(f"--device {name}: must be auto, cpu, cuda or cuda:0, cuda:1, ...")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"--device {name}: torch {torch.__version__} finds no CUDA device here; use --device cpu")
    if index and int(index) >= torch.cuda.device_count():
        raise UsageError(f"--device {name}: there are {torch.cuda.device_count()} CUDA devices, numbered from 0")
    return torch.device(name)


def _one_thread() -> None:
    """Threads are over clouds; a second torch thread would change the order of sums and gain nothing."""
    torch.set_num_threads(1)


def _deterministic(undo: ExitStack) -> None:
    """Same device, same batch, same bits; TF32 stays off, since it changes which points are drawn."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    undo.callback(torch.use_deterministic_algorithms, torch.are_deterministic_algorithms_enabled())
    torch.use_deterministic_algorithms(True, warn_only=True)
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    for owner, name in ((cudnn, "benchmark"), (cudnn, "allow_tf32"), (matmul, "allow_tf32")):
        undo.callback(setattr, owner, name, getattr(owner, name))
        setattr(owner, name, False)
