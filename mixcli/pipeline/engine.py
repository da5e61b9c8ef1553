"""The work of one window: saliency and assignment side by side on the workers, then the mixes.

On a CPU a worker is a thread with one torch thread of its own, and the micro-batches are fixed by the plan, so no
result depends on how many workers there are. On CUDA one thread feeds the device and the workers assign beside it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch

from mixcli.algorithms import assignment
from mixcli.data.mix import Mix
from mixcli.errors import MixError, UsageError
from mixcli.pipeline.kinds.tensors import Chunk, Taken, Tensors
from mixcli.pipeline.plan import group_edges
from mixcli.rng import uniforms
from mixcli.saliency.points import NonFinite

# Pairs mixed at a time: as many numbers as a core's cache holds (at 224 px, 64 pairs take six times as long as 64
# pairs in fours). Part of the result's last bits, so it follows from the samples' size and the kind of device alone.
CHUNK, LEAST, CACHED = 64, 4, 2**18
HELD = 2**27  # numbers of mixes at a time, where k is so large that it counts
TRIED = 64  # samples on which other ways to feed the model are tried

Made = TypeVar("Made")


@dataclass
class Work:
    """A window under way: arrays that the workers fill in."""

    values: np.ndarray  # (w,...): see the kinds' `Tensors`
    labels: np.ndarray  # (w,) i64
    a: np.ndarray  # (R,p) i64 positions of parent a, bad ones replaced
    b: np.ndarray | None  # (R,p) i64; None until it follows from the maps
    taken: Taken  # of each sample, before any mix
    asked: np.ndarray  # (w,) bool: went through the model
    judged: np.ndarray  # (w,) i64 predictions of it that can be right or wrong: the class, or each point's part
    correct: np.ndarray  # (w,) i64 of those
    uniform: np.ndarray  # (w,) bool
    phi: np.ndarray | None  # (R,p,N) i32
    batch: int = 1
    poses: dict[int, Future[float]] = field(default_factory=dict)  # of clouds that are turned before they are assigned
    futures: list[tuple[Future[None], int]] = field(default_factory=list)  # and how many samples each finishes

    def sides(self, round_: int, pairs: slice | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the parents a and b of some pairs of a round, (p,) i64 each."""
        if self.b is None:
            raise AssertionError("the window's pairs are not known yet")
        return self.a[round_, pairs], self.b[round_, pairs]


@dataclass(frozen=True)
class Draws:
    """The random numbers of a window's mixes."""

    seed: int
    window: int
    k: int  # mixes of each pair

    def of(self, round_: int, pairs: np.ndarray, width: int) -> list[np.ndarray]:
        """The uniforms of each pair's k mixes: k of (p,width) f64."""
        return [uniforms(self.seed, "mix", pairs, self.window, round_, j, width) for j in range(self.k)]


class Engine:
    """Runs saliency, assignment and mixes for a method on a device."""

    def __init__(
        self,
        tensors: Tensors,
        *,
        workers: int | None = None,
        batch: int | None = None,
        note: Callable[[str], None] = lambda sentence: None,
    ):
        """tensors: what is mixed, by which method, on which device. workers: one a core; batch: that of the kind."""
        self.tensors, self.note = tensors, note
        self.method, self.device = tensors.feed.method, tensors.feed.device
        self.traits = self.method.traits
        self.workers = workers or usable_cores()
        self.batch = batch or (tensors.cpu_batch if self.device.type == "cpu" else tensors.cuda_batch)
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

    def start(self, values: np.ndarray, labels: np.ndarray, a: np.ndarray, b: np.ndarray | None) -> Work:
        """Hand w samples to the workers. labels (w,) i64; a, b (R,p) positions of each pair's parents, p = w in a run.

        Only parents go through the model. b is None where it will follow from the maps of all a.
        """
        w, guided = len(values), self.traits.saliency is not None
        work = Work(
            values=values,
            labels=labels,
            a=a,
            b=b,
            taken=self.tensors.blank(values) if guided else Taken(),
            asked=np.zeros(w, bool),
            judged=np.zeros(w, np.int64),
            correct=np.zeros(w, np.int64),
            uniform=np.zeros(w, bool),
            phi=np.zeros((*a.shape, values.shape[1]), np.int32) if self.traits.assignment else None,
            batch=self.batch,
        )
        used = np.unique(a if b is None else np.concatenate([a.ravel(), b.ravel()]))
        if guided:
            for rows in np.split(used, range(self.batch, len(used), self.batch)):
                work.futures.append((self.feeder.submit(self._look, work, rows), len(rows)))
        if work.phi is not None:
            self._start_assignment(work, work.phi, used)
        return work

    def _start_assignment(self, work: Work, phi: np.ndarray, used: np.ndarray) -> None:
        """Of every pair, into phi (R,p,N). used: positions of all parents."""
        if self.method.poses:  # before the pairs, which wait for them
            work.poses = {i: self.pool.submit(self.method.pose, _xyz(work.values[i])) for i in used.tolist()}
        pairs_of_round = np.arange(work.a.shape[1])
        for round_ in range(len(work.a)):
            for pairs in np.split(pairs_of_round, pairs_of_round[8::8]):
                work.futures.append((self.pool.submit(self._assign, work, phi[round_], round_, pairs), 0))

    def wait(self, work: Work, progress: Callable[[int], None]) -> None:
        """Until the window's saliency and assignments are there; the first error of a worker is raised here."""
        for future, samples in work.futures:
            future.result()
            progress(samples)

    def _look(self, work: Work, rows: np.ndarray) -> None:
        """Maps and predictions of the samples at positions `rows`; on CUDA a batch that does not fit is halved."""
        for part in np.split(rows, range(self.batch, len(rows), self.batch)):
            try:
                self._look_once(work, part)
            except torch.cuda.OutOfMemoryError:
                if len(part) == 1:
                    why = "the device's memory does not hold one sample"
                    raise MixError(why, advice="use --device cpu") from None
                self._halve(len(part))
                self._look(work, part)

    def _halve(self, failed: int) -> None:
        torch.cuda.empty_cache()
        if self.batch >= failed:
            self.batch = max(1, failed // 2)
            self.note(f"CUDA is out of memory at a batch of {failed}; going on with {self.batch}")

    def _look_once(self, work: Work, rows: np.ndarray) -> None:
        try:
            seen = self.tensors.look(work.values[rows], work.labels[rows])
        except NonFinite as e:
            raise NonFinite([int(rows[r]) for r in e.rows]) from None
        work.taken.put(rows, seen.taken)
        work.uniform[rows], work.asked[rows] = seen.uniform, True
        work.judged[rows], work.correct[rows] = seen.judged, seen.correct
        work.batch = min(work.batch, self.batch)

    def _assign(self, work: Work, phi: np.ndarray, round_: int, pairs: np.ndarray) -> None:
        """Of some pairs of a round, into their places of phi (p,N)."""
        for at, i, j in zip(pairs, *work.sides(round_, pairs), strict=True):
            a, b = _xyz(work.values[i]), _xyz(work.values[j])
            if work.poses:
                b = self.method.posed(b, work.poses[int(i)].result(), work.poses[int(j)].result())
            phi[at] = assignment.assign(a, b)

    def mixes(
        self, work: Work, draws: Draws, then: Callable[[int, slice, Sequence[Mix]], Made], idle: bool
    ) -> Iterator[Made]:
        """`then(round, pairs, mixes)` of each chunk of pairs and the k mixes of each, in the order of the rows.

        Made here while the workers are on the next window; by the workers where they are `idle`.
        """

        def make(round_: int, pairs: slice, u: list[np.ndarray]) -> Made:
            return then(round_, pairs, self.mix_pairs(work, round_, pairs, u))

        ahead: deque[Future[Made]] = deque()
        for round_, pairs in self._chunks(work, draws.k):
            u = draws.of(round_, np.arange(pairs.start, pairs.stop), self.traits.draws)
            if not idle:
                yield make(round_, pairs, u)
                continue
            ahead.append(self.feeder.submit(make, round_, pairs, u))
            if len(ahead) > self.workers:
                yield ahead.popleft().result()
        yield from (future.result() for future in ahead)

    def chunk(self, work: Work, k: int) -> int:
        """Pairs of a window that are mixed in one call, so that all k mixes of them can be held."""
        mixed = work.values if work.taken.states is None else work.taken.states
        numbers = int(np.prod(mixed.shape[1:], dtype=np.int64))
        best = CHUNK if self.device.type != "cpu" else max(LEAST, min(CHUNK, CACHED // numbers))
        return max(1, min(best, HELD // (k * numbers)))

    def _chunks(self, work: Work, k: int) -> Iterator[tuple[int, slice]]:
        """Rounds, and the chunks of the pairs of each."""
        rounds, w = work.a.shape
        for round_ in range(rounds):
            yield from ((round_, pairs) for pairs in chunks(w, self.traits.group, self.chunk(work, k)))

    def mix_pairs(self, work: Work, round_: int, pairs: slice, draws: Sequence[np.ndarray]) -> Sequence[Mix]:
        """One mix of each pair, or of each member of a group, for each (p, draws) f64 array of uniforms."""
        a, b = work.sides(round_, pairs)
        phi = None if work.phi is None else work.phi[round_, pairs]
        return self.tensors.mixes(Chunk(work.values, work.taken, a, b, phi), draws)

    def unmixed(self, work: Work, positions: np.ndarray) -> dict[str, np.ndarray]:
        """What samples of a window give to the fields of a dataset themselves."""
        return self.tensors.unmixed(work.values[positions], work.taken[positions])

    def hint(self, work: Work) -> str:
        """What would be better than the way in which the model is fed, as some samples of a window tell; or nothing."""
        rows = np.flatnonzero(work.asked)[:TRIED]
        return self.tensors.hint(work.values[rows], work.labels[rows], self.batch)


def _xyz(cloud: np.ndarray) -> np.ndarray:
    """The positions, which come first of what a point carries. (N,C) -> (N,3)."""
    return cloud[:, :3]


def chunks(size: int, group: int, pairs: int = CHUNK) -> list[slice]:
    """What is mixed in one call: so many pairs, or one group."""
    edges = group_edges(size, group) if group else [*range(0, size, pairs), size]
    return [slice(start, stop) for start, stop in zip(edges, edges[1:], strict=False)]


def usable_cores() -> int:
    """Cores this process may run on: fewer than the machine's in a container or a batch job."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # a system that binds no process to cores
        return os.cpu_count() or 1


def choose_device(name: str) -> torch.device:
    """auto, cpu, cuda or cuda:i, or one sentence that says what is missing."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdecimal()) or (kind == "cpu" and index):
        raise UsageError("must be auto, cpu, cuda or cuda:0, cuda:1, ...", at=f"--device {name}")
    if kind == "cuda" and not torch.cuda.is_available():
        what = f"torch {torch.__version__} finds no CUDA device here"
        raise UsageError(what, at=f"--device {name}", advice="use --device cpu")
    if index and int(index) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise UsageError(f"there are {count} CUDA devices, numbered from 0", at=f"--device {name}")
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
    before = cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32

    def restore() -> None:
        cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32 = before

    undo.callback(restore)
    cudnn.benchmark = cudnn.allow_tf32 = matmul.allow_tf32 = False
