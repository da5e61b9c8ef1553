"""Making rows of a finished dataset again from source and checkpoint."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mixcli.data.points import Mixed
from mixcli.datasets.dataset import Dataset, spread
from mixcli.errors import MixError
from mixcli.files.picture_files import Encoding, alike, recorded
from mixcli.methods import restored
from mixcli.pipeline.engine import Engine, chunks
from mixcli.pipeline.job import Job
from mixcli.pipeline.plan import Window
from mixcli.pipeline.report import Report
from mixcli.pipeline.rows import mixed_rows, parents_of
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
    setup = Setup(job, Report())
    if setup.model and setup.model.sha256 != dataset.recipe["model"]["sha256"]:
        raise MixError(f"{job.ckpt}: not the checkpoint that the manifest names (SHA-256 differs); see --ckpt")
    setup.reader.load("skip")
    chosen, how = spread(dataset.mixes, count), recorded(dataset.recipe)
    with closing(open_engine(setup, _batch(dataset))) as engine:
        for made in remade(setup, engine, chosen):
            again = mixed_rows([made.mix], made.parent[:, None], setup.source, setup.classes, dataset.fields)
            yield from ((what, made.row) for what in _compare(dataset.read(made.row, 1), again, how))


@dataclass(frozen=True)
class Made:
    """A row made again."""

    row: int
    mix: Mixed  # of one pair
    parent: np.ndarray  # (1,P) i64 source indices
    saliency: np.ndarray | None  # f32 each used parent's map, in its own order


def remade(setup: Setup, engine: Engine, rows: np.ndarray) -> Iterator[Made]:
    """Mixes of these rows, window by window: only their parents go through the model."""
    for window in setup.plan.windows:
        first = setup.plan.first_row(window)
        mine = rows[(rows >= first) & (rows < first + len(window) * setup.plan.mixes_per_sample)]
        if len(mine):
            yield from _window(setup, engine, window, mine)


def job_of(dataset: Dataset, sources: list[Path], ckpt: str | None, trust: bool) -> Job:
    """The job that the manifest describes; a program among checkpoints is run only if that is allowed again."""
    recipe, told = dataset.recipe, dataset.manifest["checkpoint"]
    ckpt = ckpt or (told and told["path"])
    if ckpt and not Path(ckpt).is_file():
        raise MixError(f"{ckpt} is not there; --ckpt says where the checkpoint is")
    names = ("k", "partners", "window", "pairing", "pairing_fallback", "seed", "include_originals", "points")
    names += ("subsample", "pad", "normalize", "normals", "split", "drop_background", "saliency_target")
    names += ("point_weight", "classes", "norm", "saliency")
    return Job(
        restored(recipe),
        tuple(listed.again(dataset.manifest["source"]["files"], sources)),
        dataset.path,
        ckpt,
        model=told and told["spec"],
        trust_ckpt=trust,
        on_error="skip",
        shard=tuple(recipe["shard"]),
        keep=tuple(recipe["keep"]),
        size=recipe["size"] and tuple(recipe["size"]),
        layer=recipe.get("layer"),
        device="cpu" if recipe["device"] == "cpu" else "auto",
        **{name: recipe[name] for name in names},
    )


def _batch(dataset: Dataset) -> int:
    return min((w["batch"] for w in dataset.manifest["windows"]), default=1)


def _window(setup: Setup, engine: Engine, window: Window, rows: np.ndarray) -> Iterator[Made]:
    clouds, labels = setup.reader.read(window.samples), setup.source.labels[window.samples]
    a, b = setup.parents(window)
    if b is None:
        work = engine.start(clouds, labels, a, b)
        engine.wait(work, lambda _: None)
        b = setup.greedy(window, work.saliency)
    pair, j = np.divmod(rows - setup.plan.first_row(window), setup.plan.k)
    by_round = defaultdict(list)
    for row, p, copy in zip(rows.tolist(), pair.tolist(), j.tolist(), strict=True):
        by_round[p // len(window)].append((row, p % len(window), copy))
    for round_, wanted in by_round.items():
        together = {at: _together(setup, window, at) for _, at, _ in wanted}
        positions = sorted(set().union(*together.values()))
        work = engine.start(clouds, labels, a[round_, positions][None], b[round_, positions][None])
        engine.wait(work, lambda _: None)
        mixes: dict[tuple[range, int], Any] = {}
        for row, at, copy in wanted:
            those = together[at]
            if (those, copy) not in mixes:
                mixes = {known: mix for known, mix in mixes.items() if known[0] == those}  # those of one group are kept
                u = uniforms(setup.job.seed, "mix", np.array(those), window.index, round_, copy, setup.traits.draws)
                here = positions.index(those[0])
                mixes[those, copy] = engine.mix_pairs(work, 0, slice(here, here + len(those)), [u])[0]
            mix = mixes[those, copy]
            sides = np.stack([a[round_, those], b[round_, those]], 1)[:, : min(setup.traits.parents, 2)]
            parent, one = parents_of(mix, sides)[[at - those[0]]], _row(mix, at - those[0])
            saliency = None if work.saliency is None else work.saliency[parent[parent >= 0]]
            yield Made(row, one, np.where(parent < 0, -1, window.samples[parent]), saliency)


def _together(setup: Setup, window: Window, at: int) -> range:
    """Pairs that pair `at` of a round is mixed with: only itself, or its group."""
    if not setup.traits.group:
        return range(at, at + 1)
    return next(range(s.start, s.stop) for s in chunks(len(window), setup.traits.group) if s.start <= at < s.stop)


def _row(mix: Any, at: int) -> Any:
    """One mix of a batch, as a batch of one."""
    return replace(mix, **{name: value[at : at + 1] for name, value in vars(mix).items() if value is not None})


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
