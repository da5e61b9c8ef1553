"""What is measured of each mixed image, one window of them at a time. `scoring_images` says what it is good for."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mixcli.algorithms.best_offset import shifted
from mixcli.checks.replay import remade
from mixcli.checks.scores.score import cross_entropy, divergence
from mixcli.data.images import MixedImages
from mixcli.datasets.dataset import Dataset
from mixcli.pipeline.engine import Engine
from mixcli.pipeline.kinds.images import normalised
from mixcli.pipeline.report import Report
from mixcli.pipeline.setup import Setup
from mixcli.settings import normalize

SMALL = 0.01  # share below which a class is not asked for
BLOCK = 64  # rows held at a time
LOSSY = 5.0  # mean levels of 255 that an encoding may cost
ROUNDED = 1.5  # levels that rounding costs a mix and its mask


class Window:
    """Some rows of one window, k of each pair side by side, and their parents."""

    def __init__(
        self, dataset: Dataset, setup: Setup, judge: Engine, rows: np.ndarray, samples: np.ndarray, report: Report
    ):
        """rows (m,) of the dataset; samples (u,) i64, their parents in the source, sorted."""
        self.dataset, self.setup, self.judge, self.rows, self.report = dataset, setup, judge, rows, report
        self.place = {int(sample): i for i, sample in enumerate(samples)}
        self.pictures, self.labels = setup.reader.read(samples), setup.source.labels[samples]
        self.comparable = judge.model.classes == setup.classes

    def measured(self, maker: Engine) -> dict[str, np.ndarray]:
        """Arrays of one number a row, a parent or a pair of mixes; `maker` makes the mixes again."""
        found, k = self._parents(), self.dataset.recipe["k"]
        step = max(1, BLOCK // k) * k
        blocks = [self._block(self.rows[at : at + step], k) for at in range(0, len(self.rows), step)]
        found |= {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
        return found | self._kept(maker)

    def _parents(self) -> dict[str, np.ndarray]:
        """Their saliency, and whether the checkpoint knows them."""
        work = self.judge.start(self.pictures, self.labels, np.arange(len(self.labels))[None], None)
        self.judge.wait(work, self.report.progress)
        self.saliency = work.saliency
        share, chance = work.correct.mean(), 1 / self.setup.classes
        if self.comparable and share < chance + (1 - chance) / 4:
            self.report.note(
                f"warning: the checkpoint labels only {share:.1%} of {len(work.correct)} parents rightly; likely "
                f"causes: another class order, {self.setup.kind.hint(self.judge, work) or self.setup.kind.HINT}"
            )
        return {"parent_right": work.correct}

    def _block(self, rows: np.ndarray, k: int) -> dict[str, np.ndarray]:
        """What the rows' own pixels and labels tell."""
        data, parent = (self.dataset.file.take(name, rows) for name in ("data", "parent"))
        away = np.full(parent.shape, np.inf)
        for row, slot in np.argwhere(parent >= 0):
            away[row, slot] = apart(data[row], self.pictures.values[self.place[int(parent[row, slot])]])
        groups = data.reshape(-1, k, *data.shape[1:])
        between = [apart(one, other) for group in groups for one, other in zip(group, group[1:], strict=False)]
        guesses = self._guesses(rows, data) if self.comparable else {}
        self.report.progress(len(rows))
        return {"away": away.min(1), "between": np.array(between), **guesses}

    def _guesses(self, rows: np.ndarray, data: np.ndarray) -> dict[str, np.ndarray]:
        """What the checkpoint says of the mixes."""
        log_p = predictions(self.judge, data)
        soft, label, weight = (self.dataset.file.take(name, rows) for name in ("soft_label", "parent_label", "weight"))
        return {
            "hit": ((label == log_p.argmax(1)[:, None]) & (weight > 0)).any(1),
            "order": in_order(soft, log_p),
            "entropy": cross_entropy(soft, log_p),
            "kl": divergence(soft, log_p),
        }

    def _kept(self, maker: Engine) -> dict[str, np.ndarray]:
        """Share of the saliency of a and of b that each row keeps, NaN where that is unknown, (m,2) f64 `kept`.

        `again` (m,) bool: whether the row was made again as it is stored.
        """
        found, again = np.full((len(self.rows), 2), np.nan), np.zeros(len(self.rows), bool)
        at = {int(row): i for i, row in enumerate(self.rows)}
        for made in remade(self.setup, maker, self.rows):
            stored = self.dataset.file.take("data", np.array([made.row]))
            if self._is_same(made.mix.data.cpu().numpy(), stored):  # and so its mask is the one that made it
                places = [self.place[int(i)] for i in made.parent[0] if i >= 0]
                if not maker.traits.moves:
                    share = kept(made.mix, list(self.saliency[places]), list(self.pictures.values[places]))
                    found[at[made.row], : made.parent.shape[1]] = share[: made.parent.shape[1]]
                again[at[made.row]] = True
            self.report.progress(1)
        return {"kept": found, "again": again}

    def _is_same(self, again: np.ndarray, stored: np.ndarray) -> bool:
        """Whether a mix comes out as it was written; of lossy files, about so."""
        if getattr(self.dataset.file, "lossy", False):
            return apart(again, stored) < LOSSY
        return bool((np.abs(again.astype(np.int16) - stored) <= 1).all())


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference of two images (H,W,3) u8, in levels.

    >>> apart(np.zeros((1, 1, 3), np.uint8), np.array([[[255, 3, 0]]], np.uint8))
    86.0
    """
    return float(np.abs(one.astype(np.int16) - other).mean())


def predictions(judge: Engine, data: np.ndarray) -> np.ndarray:
    """log-probabilities of images. (m,H,W,3) u8 -> (m,C) f64."""

    def logits(part: np.ndarray) -> Tensor:
        with torch.no_grad():
            return judge.net(normalised(judge.tensor(part), normalize.parse(judge.normalize)))

    parts = np.split(data, range(judge.batch, len(data), judge.batch))
    return torch.cat(list(judge.feeder.map(logits, parts))).double().log_softmax(1).cpu().numpy()


def in_order(soft: np.ndarray, log_p: np.ndarray) -> np.ndarray:
    """Whether the classes of the two largest shares are the two first guesses: 1 or 0, NaN for a label of one class.

    soft, log_p: (m,C).

    >>> in_order(np.array([[0.6, 0.4, 0], [0.6, 0.4, 0], [0, 0, 1]]), np.array([[2, 3, 1], [3, 1, 2], [3, 1, 2]]))
    array([ 1.,  0., nan])
    """
    if soft.shape[1] < 2:
        return np.full(len(soft), np.nan)
    wanted, guessed = (np.sort(np.argsort(-x, axis=1, kind="stable")[:, :2]) for x in (soft, log_p))
    two = np.sort(soft, axis=1)[:, -2] >= SMALL
    return np.where(two, (wanted == guessed).all(1), np.nan)


def kept(mix: MixedImages, maps: list[np.ndarray], images: list[np.ndarray]) -> tuple[float, float]:
    """Σ M s_a and Σ (1 - M) T(s_b) of one finished mix, for maps scaled to sum 1.

    maps (H,W) f32 and images (H,W,3) u8 of the parents. NaN for a parent that mask and shift do not tell the place of:
    without a mask, of more than two parents, and where a method moves or stretches pieces.
    """
    if mix.mask is None:
        return np.nan, np.nan
    mask, data = mix.mask[0].cpu().numpy() / 255, mix.data[0].cpu().numpy().astype(np.float64)
    a = float((mask * maps[0]).sum() / maps[0].sum())
    if len(maps) == 2:
        other, inside = _moved(maps[1], mix)
        blend = mask[..., None] * images[0] + (1 - mask)[..., None] * _moved(images[1], mix)[0]
        if (np.abs(blend - data) <= ROUNDED).all():
            return a, float(((1 - mask) * other * inside).sum() / maps[1].sum())
    pure = mask == 1
    told = pure.any() and (np.abs(data - images[0])[pure] <= ROUNDED).all()
    return (a if told else np.nan), np.nan


def _moved(x: np.ndarray, mix: MixedImages) -> tuple[np.ndarray, np.ndarray]:
    """T(x) of a map or an image of b, and the pixels that it covers."""
    if mix.shift is None:
        return x, np.ones(x.shape[:2], bool)
    moved, inside = shifted(torch.from_numpy(x)[None], mix.shift.cpu())
    return moved[0].numpy(), inside[0].numpy()
