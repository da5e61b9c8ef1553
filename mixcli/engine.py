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

from mixcli import assignment
from mixcli.errors import MixError, UsageError
from mixcli.rng import uniforms
from mixcli.saliency import NonFinite, gradient
from mixcli.samples import Mixed, Samples

CHUNK = 64  # pairs mixed at a time: part of the result's last bits, so a constant
CPU_BATCH, CUDA_BATCH = 1, 32


@dataclass
class Work:
    """A window under way: arrays that the workers fill in."""

    clouds: np.ndarray  # (w,N,C) f32
    target: np.ndarray | None  # (w,) i64, or None: towards the prediction
    a: np.ndarray  # (R,p) i64 positions of parent a, bad ones replaced
    b: np.ndarray  # (R,p) i64
    saliency: np.ndarray | None  # (w,N) f32
    predicted: np.ndarray  # (w,) i64, -1 where the model was not asked
    uniform: np.ndarray  # (w,) bool
    phi: np.ndarray | None  # (R,p,N) i32
    batch: int = 1
    futures: list[tuple[Future, int]] = field(default_factory=list)  # and how many clouds each finishes


class Engine:
    """Runs saliency, assignment and mixes for a method on a device."""

    def __init__(self, method: Any, model: Any, device: str, workers: int | None, batch: int | None, note: Callable):
        self.method, self.traits, self.note = method, method.traits, note
        self.device = choose_device(device)
        self.workers = workers or usable_cores()
        self.batch = batch or (CPU_BATCH if self.device.type == "cpu" else CUDA_BATCH)
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

    def start(self, clouds: np.ndarray, target: np.ndarray | None, a: np.ndarray, b: np.ndarray) -> Work:
        """Hand a window to the workers. clouds (w,N,C); a, b (R,p) positions of each pair's parents, p = w in a run.

        Only parents go through the model.
        """
        w, n = clouds.shape[:2]
        work = Work(
            clouds, target, a, b,
            saliency=np.zeros((w, n), np.float32) if self.net is not None else None,
            predicted=np.full(w, -1, np.int64),
            uniform=np.zeros(w, bool),
            phi=np.zeros((*a.shape, n), np.int32) if self.traits.assignment else None,
            batch=self.batch,
        )  # fmt: skip
        if self.net is not None:
            used = np.unique(np.concatenate([a.ravel(), b.ravel()]))
            for rows in np.split(used, range(self.batch, len(used), self.batch)):
                work.futures.append((self.feeder.submit(self._saliency, work, rows), len(rows)))
        if self.traits.assignment:
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
                    raise MixError("the device's memory does not hold one cloud; use --device cpu") from None
                self._halve(len(part))
                self._saliency(work, part)

    def _halve(self, failed: int) -> None:
        torch.cuda.empty_cache()
        if self.batch >= failed:
            self.batch = max(1, failed // 2)
            self.note(f"CUDA is out of memory at a batch of {failed}; going on with {self.batch}")

    def _saliency_once(self, work: Work, rows: np.ndarray) -> None:
        x = torch.from_numpy(work.clouds[rows]).to(self.device)
        label = None if work.target is None else torch.from_numpy(work.target[rows]).to(self.device)
        try:
            found = gradient(self.net, x, label)
        except NonFinite as e:
            raise NonFinite([int(rows[r]) for r in e.rows]) from None
        work.saliency[rows] = found.map.cpu().numpy()
        work.predicted[rows] = found.logits.argmax(1).cpu().numpy()
        work.uniform[rows] = found.uniform.cpu().numpy()
        work.batch = min(work.batch, self.batch)

    def _assign(self, work: Work, round_: int, pairs: np.ndarray) -> None:
        for i in pairs:
            a, b = work.clouds[work.a[round_, i]], work.clouds[work.b[round_, i]]
            work.phi[round_, i] = assignment.assign(a[:, :3], b[:, :3])

    def mixes(
        self, work: Work, window: int, k: int, seed: int, then: Callable[[int, slice, list[Mixed]], Any], idle: bool
    ) -> Iterator[Any]:
        """`then(round, pairs, mixes)` of each chunk of pairs and the k mixes of each, in the order of the rows.

        Made here while the workers are on the next window; by the workers where they are `idle`.
        """

        def make(round_: int, pairs: slice, u: list[np.ndarray]) -> Any:
            return then(round_, pairs, self.mix_pairs(work, round_, pairs, u))

        ahead: deque[Future] = deque()
        for chunk in self._draws(work.a.shape, window, k, seed):
            if not idle:
                yield make(*chunk)
                continue
            ahead.append(self.feeder.submit(make, *chunk))
            if len(ahead) > self.workers:
                yield ahead.popleft().result()
        yield from (future.result() for future in ahead)

    def _draws(
        self, shape: tuple[int, int], window: int, k: int, seed: int
    ) -> Iterator[tuple[int, slice, list[np.ndarray]]]:
        """Round, a chunk of its pairs, and the uniforms of each pair's k mixes, k of (p,draws) f64."""
        rounds, w = shape
        for round_ in range(rounds):
            u = [uniforms(seed, "mix", np.arange(w), window, round_, j, self.traits.draws) for j in range(k)]
            for start in range(0, w, CHUNK):
                pairs = slice(start, min(start + CHUNK, w))
                yield round_, pairs, [v[pairs] for v in u]

    def mix_pairs(self, work: Work, round_: int, pairs: slice, u: list[np.ndarray]) -> list[Mixed]:
        """One mix of each pair for each (p, draws) f64 array of uniforms."""
        a, b = (self._samples(work, side[round_, pairs]) for side in (work.a, work.b))
        phi = None
        if work.phi is not None:
            phi = torch.from_numpy(work.phi[round_, pairs].astype(np.int64)).to(self.device)
        with torch.no_grad():
            return [self.method.mix(a, b, phi, torch.from_numpy(v).to(self.device)) for v in u]

    def _samples(self, work: Work, rows: np.ndarray) -> Samples:
        saliency = None if work.saliency is None else torch.from_numpy(work.saliency[rows]).to(self.device)
        return Samples(torch.from_numpy(work.clouds[rows][:, :, :3]).to(self.device), saliency)


def usable_cores() -> int:
    """Cores this process may run on: fewer than the machine's in a container or a batch job."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_device(name: str) -> torch.device:
    """auto, cpu, cuda or cuda:i, or one sentence that says what is missing."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()) or (kind == "cpu" and index):
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
