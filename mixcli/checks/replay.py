"""Making rows of a finished dataset again from source and checkpoint."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mixcli.checks.recipe import Untrue, recalled
from mixcli.data.mix import Mix
from mixcli.datasets.dataset import Dataset, spread
from mixcli.errors import MixError, UsageError
from mixcli.files.picture_files import Encoding, alike, recorded
from mixcli.pipeline.engine import Engine, chunks
from mixcli.pipeline.job import Job
from mixcli.pipeline.plan import Window
from mixcli.pipeline.report import Report
from mixcli.pipeline.rows import RowMaker, parents_of
from mixcli.pipeline.run import open_engine
from mixcli.pipeline.setup import Setup
from mixcli.rng import uniforms
from mixcli.sources import named_files as listed
from mixcli.sources.contract import Source

CLOSE = 1e-5  # of coordinates and λ: the batch of a replay is another, which moves last bits


def replay(
    dataset: Dataset, count: int | None, origin: Source, ckpt: str | None, trust: bool
) -> Iterator[tuple[str, int]]:
    """Faults of `count` rows spread over the dataset (None: all), as (what is wrong, row)."""
    job = job_of(dataset, origin.paths, ckpt, trust)
    try:
        setup = Setup(job, Report())
    except UsageError as e:  # source, network and recipe do not fit each other, though nobody typed any of it
        raise Untrue(f"its manifest cannot be followed: {e}", at=dataset.path) from e
    if setup.model and setup.model.sha256 != dataset.recipe["model"]["sha256"]:
        what = "not the checkpoint that the manifest names (SHA-256 differs)"
        raise MixError(what, at=job.ckpt, advice="see --ckpt")
    setup.reader.load("skip")
    chosen, how = spread(dataset.mixes, count), recorded(dataset.recipe)
    maker = RowMaker(setup.source, setup.classes, dataset.fields)
    with closing(open_engine(setup, _batch(dataset))) as engine:
        for made in remade(setup, engine, chosen):
            again = maker.mixed([made.mix], made.parent[:, None])
            yield from ((what, made.row) for what in _compare(dataset.read(made.row, 1), again, how))


@dataclass(frozen=True)
class Made:
    """A row made again."""

    row: int
    mix: Mix  # of one pair
    parent: np.ndarray  # (1,P) i64 source indices
    saliency: np.ndarray | None  # f32 each used parent's map, in its own order


def remade(setup: Setup, engine: Engine, rows: np.ndarray) -> Iterator[Made]:
    """Mixes of these rows, window by window: only their parents go through the model."""
    for window in setup.plan.windows:
        first = setup.plan.first_row(window)
        mine = rows[(rows >= first) & (rows < first + len(window) * setup.plan.mixes_per_sample)]
        if len(mine):
            yield from _window(setup, engine, window, mine)


def job_of(dataset: Dataset, sources: Sequence[Path | str], ckpt: str | None, trust: bool) -> Job:
    """The job that the manifest describes; a program among checkpoints is run only if that is allowed again."""
    told = dataset.manifest["checkpoint"]
    ckpt = ckpt or (told and told["path"])
    if ckpt and not Path(ckpt).is_file():
        raise MixError(f"{ckpt} is not there", advice="--ckpt says where the checkpoint is")
    files = listed.again(dataset.manifest["source"]["files"], sources)
    return recalled(dataset, files, ckpt, trust)


def _batch(dataset: Dataset) -> int:
    return min((w["batch"] for w in dataset.manifest["windows"]), default=1)


class Place(NamedTuple):
    """Where a row comes from."""

    row: int
    pair: int  # its place in the round
    copy: int  # which of the pair's k mixes


def _window(setup: Setup, engine: Engine, window: Window, rows: np.ndarray) -> Iterator[Made]:
    values, labels = setup.reader.read(window.samples).values, setup.source.labels[window.samples]
    a, b = setup.parents(window)
    if b is None:
        work = engine.start(values, labels, a, b)
        engine.wait(work, lambda _: None)
        b = setup.greedy(window, work.taken.maps)
    pair, copy = np.divmod(rows - setup.plan.first_row(window), setup.plan.k)
    by_round = defaultdict(list)
    for row, p, j in zip(rows.tolist(), pair.tolist(), copy.tolist(), strict=True):
        by_round[p // len(window)].append(Place(row, p % len(window), j))
    for round_, wanted in by_round.items():
        groups = {place.pair: _together(setup, window, place.pair) for place in wanted}
        positions = sorted(set().union(*groups.values()))
        work = engine.start(values, labels, a[round_, positions][None], b[round_, positions][None])
        engine.wait(work, lambda _: None)
        mixes: dict[tuple[range, int], Mix] = {}
        for place in wanted:
            group = groups[place.pair]
            if (group, place.copy) not in mixes:
                mixes = {known: mix for known, mix in mixes.items() if known[0] == group}  # those of one group are kept
                u = uniforms(
                    setup.job.seed, "mix", np.array(group), window.index, round_, place.copy, setup.traits.draws
                )
                here = positions.index(group[0])
                mixes[group, place.copy] = engine.mix_pairs(work, 0, slice(here, here + len(group)), [u])[0]
            at, mix = place.pair - group[0], mixes[group, place.copy]
            sides = np.stack([a[round_, group], b[round_, group]], 1)[:, : min(setup.traits.parents, 2)]
            parent = parents_of(mix, sides)[[at]]
            saliency = None if work.taken.saliency is None else work.taken.saliency[parent[parent >= 0]]
            yield Made(place.row, mix.row(at), np.where(parent < 0, -1, window.samples[parent]), saliency)


def _together(setup: Setup, window: Window, at: int) -> range:
    """Pairs that pair `at` of a round is mixed with: only itself, or its group."""
    if not setup.traits.group:
        return range(at, at + 1)
    return next(range(s.start, s.stop) for s in chunks(len(window), setup.traits.group) if s.start <= at < s.stop)


def _compare(stored: dict[str, np.ndarray], again: dict[str, Any], how: Encoding | None) -> Iterator[str]:
    """how: what the pixels of `data` went through before they were stored."""
    for name, array in again.items():
        if array.dtype == np.uint8:  # pixels: a last bit before they are rounded is a level after it
            same = alike(stored[name], array, how if name == "data" else None)
        elif array.dtype.kind in "iu":
            same = np.array_equal(stored[name], array)
        elif name == "draw":  # a logit of 40 carries its own last bits
            same = np.allclose(stored[name], array, rtol=1e-5, atol=1e-6)
        else:  # hidden states are of any scale, the rest is about 1
            same = np.allclose(stored[name], array, rtol=0, atol=CLOSE * max(1.0, float(np.abs(array).max(initial=0))))
        if not same:
            yield f"made again, '{name}' comes out otherwise"
