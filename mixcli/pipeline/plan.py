"""Which samples form a window, who is paired with whom, and which rows they fill: pure integers, known before any file.

The source order is permuted by the seed and cut into windows. Nothing crosses a window, so a window is the unit
of memory, progress, resume, shards and digests. Pair number p = start·R + round·size + i, and row p·k + j: the mixes
of one window are one contiguous range of rows.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import cached_property

import numpy as np

from mixcli.errors import UsageError
from mixcli.rng import permutation, uniforms

# And "none", for rows of one parent, in source order; "group", for methods that mix groups; "greedy", by the maps.
PAIRINGS = ("random", "different-class", "same-class")


@dataclass(frozen=True)
class Window:
    """One cut of the permuted source order."""

    index: int
    start: int  # its first position in the permuted order
    samples: np.ndarray  # (w,) i64 source indices

    def __len__(self) -> int:
        return len(self.samples)


@dataclass(frozen=True)
class Pairs:
    """One round of a window: position i is parent a, `partner[i]` is the position of parent b."""

    partner: np.ndarray  # (w,) i64 positions in the window
    fallbacks: int  # pairs that no legal partner was left for, paired at random


def group_edges(size: int, group: int) -> list[int]:
    """Cuts of range(size) into groups of at most `group`, at least 3, as equal as can be: none is of one sample.

    >>> group_edges(7, 3), group_edges(40, 20), group_edges(2, 20)
    ([0, 3, 5, 7], [0, 20, 40], [0, 2])
    """
    count = -(-size // group)
    each, more = divmod(size, count)
    return [i * each + min(i, more) for i in range(count + 1)]


@dataclass(frozen=True)
class Plan:
    """Every window, pair and row of a run."""

    labels: np.ndarray  # (n,) i64
    _: KW_ONLY
    window: int = 1024
    k: int = 1
    partners: int = 1
    pairing: str = "random"
    fallback: bool = False
    seed: int = 0
    shard: tuple[int, int] = (0, 1)
    originals: bool = False

    @cached_property
    def cuts(self) -> tuple[Window, ...]:
        """All windows of the source, of every shard."""
        n = len(self.labels)
        if n < (1 if self.pairing == "none" else 2):
            what = f"the source has {n} sample{'' if n == 1 else 's'}"
            raise UsageError(what, advice="mixing needs at least 2")
        order = np.arange(n) if self.pairing == "none" else permutation(self.seed, "order", n)
        if self.pairing == "same-class":
            order = order[np.argsort(self.labels[order], kind="stable")]
            edges = _edges_between_classes(self.labels[order], self.window)
        else:
            edges = _edges(n, self.window)
        spans = zip(edges[:-1], edges[1:], strict=True)
        return tuple(Window(w, start, order[start:stop]) for w, (start, stop) in enumerate(spans))

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """The windows of this shard: w ≡ i (mod n)."""
        part, parts = self.shard
        return tuple(w for w in self.cuts if w.index % parts == part)

    @property
    def mixes_per_sample(self) -> int:
        return self.partners * self.k

    @cached_property
    def samples(self) -> int:
        """Source samples in this shard."""
        return sum(map(len, self.windows))

    @property
    def mixes(self) -> int:
        return self.samples * self.mixes_per_sample

    @property
    def rows(self) -> int:
        return self.mixes + (self.samples if self.originals else 0)

    @cached_property
    def _first_rows(self) -> dict[int, int]:
        sizes = np.array([len(w) for w in self.windows], np.int64) * self.mixes_per_sample
        return dict(zip((w.index for w in self.windows), (np.cumsum(sizes) - sizes).tolist(), strict=True))

    def first_row(self, window: Window) -> int:
        """Where the window's mixes begin in this shard's rows."""
        return self._first_rows[window.index]

    def mix_rows(self, window: Window, round_: int, j: int) -> np.ndarray:
        """Rows of mix j of each pair of a round -> (w,) i64."""
        pair = round_ * len(window) + np.arange(len(window))
        return self.first_row(window) + pair * self.k + j

    @cached_property
    def _original_order(self) -> np.ndarray:
        return np.sort(np.concatenate([w.samples for w in self.windows])) if self.windows else np.empty(0, np.int64)

    def original_rows(self, window: Window) -> np.ndarray:
        """Rows of the window's own samples, which follow all mixes in source order -> (w,) i64."""
        return self.mixes + np.searchsorted(self._original_order, window.samples)

    def check(self) -> None:
        """Every window's pairs exist, or UsageError: better known now than in the night."""
        if self.pairing in ("none", "group"):
            return
        if self.pairing in ("random", "greedy"):  # only the size of a window matters
            for window in sorted(self.windows, key=len)[:1]:
                self._room(window, self.partners - 1)
            return
        for window in self.windows:
            for round_ in range(self.partners):
                self.pairs(window, round_)

    def pairs(self, window: Window, round_: int) -> Pairs:
        """Partners of one round. Each round gives every sample a partner that it has not had before."""
        if self.pairing in ("none", "group"):
            return Pairs(np.arange(len(window)), 0)
        if self.pairing == "random":
            return Pairs(self._cycle(window, round_), 0)
        return self._constrained(window, round_)

    def members(self, window: Window, round_: int) -> np.ndarray:
        """Positions in the order that a round cuts into groups (`group_edges`): a random one -> (w,) i64."""
        return permutation(self.seed, "groups", len(window), window.index, round_)

    def _cycle(self, window: Window, round_: int) -> np.ndarray:
        """One random cycle a round: a random order c of the window, in which c[t] is paired with c[t + shift]."""
        size = len(window)
        self._room(window, round_)
        order = permutation(self.seed, "pairs", size, window.index)
        partner = np.empty(size, np.int64)
        partner[order] = np.roll(order, -_shifts(self.seed, size, window.index)[round_])
        return partner

    def _room(self, window: Window, round_: int) -> None:
        size = len(window)
        if round_ >= size - 1:
            few = f"asks for more partners than the {size - 1} others in window {window.index}"
            raise UsageError(f"--partners {self.partners} {few}", advice="another --window cuts elsewhere")

    def _constrained(self, window: Window, round_: int) -> Pairs:
        """Uniform over the legal partners, without those of earlier rounds.

        With the window sorted by class, the legal partners of a sample are a range of positions with a gap: its class
        without itself, or everything without its class. Round r takes number first + r·step of them, step coprime
        to their count.
        """
        labels = self.labels[window.samples]
        by_class = np.argsort(labels, kind="stable")
        place = np.argsort(by_class, kind="stable")
        start = np.searchsorted(labels[by_class], labels)
        count = np.searchsorted(labels[by_class], labels, side="right") - start
        if self.pairing == "same-class":
            low, legal, gap, skipped = start, count - 1, place, 1
        else:
            low, legal, gap, skipped = 0, len(window) - count, start, count
        turn = _turn(self.seed, window, round_, legal)
        position = low + turn + np.where(low + turn >= gap, skipped, 0)
        lost = round_ >= legal
        partner = by_class[np.where(lost, place, position)]
        if lost.any():
            if not self.fallback:
                raise self._no_partner(window, labels[lost][0], round_)
            anyone = Plan(self.labels, fallback=True, seed=self.seed)._cycle(window, round_ % (len(window) - 1))
            partner = np.where(lost, anyone, partner)
        return Pairs(partner, int(lost.sum()))

    def _no_partner(self, window: Window, label: int, round_: int) -> UsageError:
        nth = f" for round {round_ + 1} of --partners {self.partners}" if self.partners > 1 else ""
        return UsageError(
            f"class {label} has no legal partner left in window {window.index}{nth}",
            at=f"--pairing {self.pairing}",
            advice="--pairing-fallback random pairs such samples with any other, another --window cuts elsewhere",
        )


def _edges(n: int, window: int) -> list[int]:
    """Cuts of range(n) into windows; a last window of fewer than 2 joins the one before."""
    edges = [*range(0, n, window), n]
    if len(edges) > 2 and edges[-1] - edges[-2] < 2:
        del edges[-2]
    return edges


def _edges_between_classes(labels: np.ndarray, window: int) -> list[int]:
    """Cuts of samples grouped by class (n,) into windows, none of which leaves one sample of a class by itself."""
    first = np.searchsorted(labels, labels)
    last = np.searchsorted(labels, labels, side="right")
    edges, n = [0], len(labels)
    while n - edges[-1] > window:
        cut = edges[-1] + window
        start, stop = max(first[cut], edges[-1]), last[cut]
        if 0 < cut - start and stop - cut == 1:
            cut -= 1
        if cut - start == 1:
            cut -= 1
        edges.append(cut if cut > edges[-1] else edges[-1] + window)
    edges.append(n)
    return edges if len(edges) < 3 or n - edges[-2] > 1 else [*edges[:-2], n]


def _shifts(seed: int, size: int, window: int) -> np.ndarray:
    """1, then the other shifts in random order: those that make one cycle first, opposite directions apart."""
    shift = np.arange(2, size)
    drawn = uniforms(seed, "shifts", shift, window)[:, 0]
    order = np.lexsort((drawn, shift > size // 2, np.gcd(shift, size) > 1))
    return np.concatenate([[1], shift[order]])


def _turn(seed: int, window: Window, round_: int, legal: np.ndarray) -> np.ndarray:
    """Number of the legal partner of each sample in this round: different for each round below `legal`. (w,) i64."""
    u = uniforms(seed, "pairs", np.arange(len(window)), window.index, width=2)
    legal = np.maximum(legal, 1)
    first, step = (u.T * legal).astype(np.int64)
    step += 1
    while (shared := np.gcd(step, legal) > 1).any():
        step[shared] = step[shared] % legal[shared] + 1
    return (first + round_ * step) % legal
