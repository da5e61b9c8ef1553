"""Is a dataset what its manifest says? Structure, values, labels, parents, digests; and, on request, made again.

Runs without torch unless rows are made again. A fault is a dict: check, row (or null), count of rows, message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mixcli.checks.recipe import Untrue, recipe_faults, recipe_notes
from mixcli.data import fields as fields_
from mixcli.datasets.dataset import Dataset
from mixcli.datasets.journal import check_there
from mixcli.errors import MixError
from mixcli.methods import restored
from mixcli.option import takes
from mixcli.pipeline.plan import Plan, Window, group_edges
from mixcli.pipeline.report import Report
from mixcli.settings.commands import Verifying
from mixcli.sources.origin import OtherSource, is_same, reopened
from mixcli.sources.source import Source

SCHEMA = "mixcli.verify/1"
OTHER = "the contents are not those that were written (SHA-256 differs)"
SUM = 1e-5  # float32 shares: rounding of up to a thousand classes
LENGTH = 1e-3  # of a normal
SHARE = 2e-5  # of λ against the mean of the points' λ, both rounded to float32


class Faults:
    """Faults found so far; many rows of one kind become one line."""

    def __init__(self, path: Path):
        self.path, self.found, self.checks = path, {}, []

    def checked(self, name: str) -> None:
        if name not in self.checks:
            self.checks.append(name)

    def add(self, check: str, what: str, row: int | None = None, count: int = 1) -> None:
        """A fault of the whole dataset, or of `count` rows from `row` on."""
        known = self.found.get((check, what))
        if known and row is not None:
            known["count"] += count
        elif not known:
            self.found[check, what] = {"check": check, "row": row, "count": count, "what": what}

    def rows(self, check: str, what: str, first: int, bad: np.ndarray) -> None:
        """A fault of every row of a block where `bad` (m,) is true."""
        at = np.flatnonzero(bad)
        if len(at):
            self.add(check, what, first + int(at[0]), len(at))

    def list(self) -> list[dict[str, Any]]:
        return [{**fault, "message": self._message(fault)} for fault in self.found.values()]

    def _message(self, fault: dict[str, Any]) -> str:
        if fault["row"] is None:
            return f"{self.path}: {fault['what']}"
        more = f" (and {fault['count'] - 1:,} more rows)" if fault["count"] > 1 else ""
        return f"{self.path}[{fault['row']}]: {fault['what']}{more}"


@takes(Verifying)
def verify(
    path: str | Path,
    replay: int | None = 0,
    source: list[str] | None = None,
    ckpt: str | None = None,
    trust_ckpt: bool = False,
    report: Report | None = None,
) -> dict[str, Any]:
    """Check a dataset -> {"schema", "path", "rows", "checks", "faults", "notes"}.

    replay: so many rows are made again from source and checkpoint and compared; None: all. source, ckpt: where
    they are now, if not where the manifest says. A missing file is a UsageError, anything wrong in it a fault.
    """
    path, notes, report = Path(path), [], report or Report()
    check_there(path)
    faults = Faults(path)
    dataset = _open(path, faults)
    if dataset and _recipe(dataset, faults, notes) and _structure(dataset, faults):
        try:
            origin = _source(dataset, source, faults, notes)
            report.begin(dataset.rows, 0)
            try:
                _values(dataset, origin, faults, report)
                _digests(dataset, faults, notes)
            except MixError as e:  # rows that cannot be read at all
                faults.add("structure", str(e).removeprefix(f"{path}: "))
                replay = 0
            if replay != 0:
                _replay(dataset, replay, origin, ckpt, trust_ckpt, faults)
        except Untrue as e:
            faults.add("manifest", e.reason)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as e:
            faults.add("manifest", f"its manifest cannot be followed ({e!r})")
    return {
        "schema": SCHEMA,
        "path": str(path),
        "rows": dataset.rows if dataset else None,
        "checks": faults.checks,
        "faults": faults.list(),
        "notes": notes,
    }


def _open(path: Path, faults: Faults) -> Dataset | None:
    faults.checked("manifest")
    try:
        return Dataset(path)
    except MixError as e:
        faults.add("manifest", str(e).removeprefix(f"{path}: "))
        return None


def _recipe(dataset: Dataset, faults: Faults, notes: list[str]) -> bool:
    """Values that a run can have recorded; of others nothing follows that could be checked."""
    for what in recipe_faults(dataset):
        faults.add("manifest", what)
    notes += recipe_notes(dataset)
    return not faults.found


def _structure(dataset: Dataset, faults: Faults) -> bool:
    """Every promised field with its shape and type, nothing else, and windows that cover the rows."""
    faults.checked("structure")
    promised = {f.name: f for f in dataset.fields}
    for name in dataset.file.names:
        if name not in promised:
            faults.add("structure", f"'{name}' is in the file but not in the manifest")
    for name, f in promised.items():
        try:
            found = dataset.file.field(name)
        except (MixError, KeyError) as e:
            faults.add("structure", str(e).removeprefix(f"{dataset.path}: ").strip("'\""))
            continue
        if found.shape != (dataset.rows, *f.shape) or found.dtype != f.dtype:
            want = f"{(dataset.rows, *f.shape)} {np.dtype(f.dtype)}"
            faults.add("structure", f"'{name}' is {found.shape} {found.dtype}, the manifest says {want}")
    for what in dataset.file.faults():
        faults.add("structure", what)
    row = 0
    for index, first, rows, _ in sorted(dataset.windows, key=lambda w: w[1]):
        if first != row:
            faults.add("structure", f"window {index} begins at row {first}, the one before ends at {row}")
        row = first + rows
    if row != dataset.mixes:
        faults.add("structure", f"the windows end at row {row}, the manifest says {dataset.mixes} mixes")
    return not faults.found


def _source(dataset: Dataset, moved: list[str] | None, faults: Faults, notes: list[str]) -> Source | None:
    """The source, if it is there and is the very one; without it the checks against it are left out, in words."""
    try:
        source = reopened(dataset, moved)
        same = is_same(dataset, source)
    except OtherSource as e:
        faults.checked("source")
        faults.add("source", str(e))
        return None
    except MixError as e:
        notes.append(f"parents were not checked against the source: {e}")
        return None
    faults.checked("source")
    if not same:
        where = ", ".join(map(str, source.paths))
        faults.add("source", f"{where}: not the source that the manifest names (SHA-256 differs)")
        return None
    names = [dataset.file.class_names, dataset.manifest["source"]["class_names"], source.class_names]
    if len({tuple(found) for found in names if found}) > 1:  # each label would mean another class
        faults.add("source", "its class names are not those of the source")
    return source


def _values(dataset: Dataset, origin: Source | None, faults: Faults, report: Report) -> None:
    """Every row of every field."""
    checks: list[Callable] = [_finite, _shares, _labels, _parents, _points]
    for check in checks:
        faults.checked(check.__name__[1:])
    for first in range(0, dataset.rows, dataset.block):
        rows = dataset.read(first, min(dataset.block, dataset.rows - first))
        for check in checks:
            for what, bad in check(rows, dataset, origin, first):
                faults.rows(check.__name__[1:], what, first, bad)
        report.progress(len(rows["data"]))
    if origin:
        faults.checked("pairs")
        _pairs(dataset, origin, faults)


Finding = tuple[str, np.ndarray]  # what is wrong, and (m,) bool: in which rows


def _finite(rows: dict[str, np.ndarray], dataset: Dataset, *_: Any) -> Iterator[Finding]:
    for name, values in rows.items():
        if values.dtype.kind == "f":
            flat = values.reshape(len(values), -1)
            unmixed = _unmixed(rows) & (name == "draw")  # nothing was drawn for an original
            yield f"'{name}' has values that are not finite", ~np.isfinite(flat).all(1) & ~unmixed


def _unmixed(rows: dict[str, np.ndarray]) -> np.ndarray:
    """Rows of a single parent (m,) bool."""
    return (rows["parent"][:, 1:] < 0).all(1)


def _shares(rows: dict[str, np.ndarray], dataset: Dataset, *_: Any) -> Iterator[Finding]:
    sums = dataset.recipe["options"].get("normalize_labels") is not False
    for name in ("soft_label", "weight"):
        share = rows[name].astype(np.float64)
        most = 1 if sums or name == "weight" else rows["weight"].shape[1]  # of a class that all parents are of
        yield f"'{name}' has shares outside 0..{most}", ((share < 0) | (share > most + SUM)).any(1)
        if sums:
            yield f"'{name}' does not sum to 1", np.abs(share.sum(1) - 1) > SUM
    if "weight_raw" in rows:
        raw = rows["weight_raw"].astype(np.float64)
        total = raw.sum(1, keepdims=True) if sums else np.ones((len(raw), 1))
        share = np.divide(raw, total, out=rows["weight"].astype(np.float64), where=total > 0)
        yield "'weight_raw' has negative shares", (raw < 0).any(1)
        what = "made to sum to 1" if sums else "as it is"
        yield f"'weight' is not 'weight_raw' {what}", (np.abs(share - rows["weight"]) > SUM).any(1)
    unused = rows["parent"] < 0
    yield "an unused parent has a share of the label", (unused & (rows["weight"] != 0)).any(1)


def _labels(rows: dict[str, np.ndarray], dataset: Dataset, origin: Source | None, *_: Any) -> Iterator[Finding]:
    classes = dataset.recipe["classes"]
    label = np.where(rows["parent"] < 0, -1, rows["parent_label"])
    outside = ((label < 0) & (rows["parent"] >= 0)) | (label >= classes)
    yield f"'parent_label' is outside the {classes} classes", outside.any(1)
    label = np.where(outside, -1, label)
    if dataset.manifest["source"]["soft_labels"]:
        if origin is None:
            return  # the parents' own soft labels are in the source alone
        theirs = [origin.soft(np.clip(slot, 0, len(origin) - 1)) for slot in rows["parent"].T]
    else:
        theirs = None
    soft, hard = fields_.labels(label, rows["weight"].astype(np.float64), classes, theirs)
    yield "'soft_label' is not the parents' classes by their weights", np.abs(soft - rows["soft_label"]).max(1) > SUM
    mine = np.take_along_axis(soft, np.clip(rows["label"], 0, classes - 1)[:, None], 1)[:, 0]
    tie = np.abs(mine - soft.max(1)) <= SUM
    yield "'label' is not the largest of 'soft_label'", (rows["label"] != hard) & ~tie


def _parents(rows: dict[str, np.ndarray], dataset: Dataset, origin: Source | None, *_: Any) -> Iterator[Finding]:
    parent, n = rows["parent"], dataset.manifest["source"]["count"]
    outside = (parent < -1) | (parent >= n)
    yield f"'parent' is outside the source's {n} samples", outside.any(1)
    yield "there is no parent a", parent[:, 0] < 0
    if origin:
        theirs = origin.labels[np.clip(parent, 0, n - 1)]
        used = (parent >= 0) & ~outside
        yield "'parent_label' is not the parent's label in the source", (used & (theirs != rows["parent_label"])).any(1)


def _points(rows: dict[str, np.ndarray], dataset: Dataset, *_: Any) -> Iterator[Finding]:
    points, unmixed = dataset.places, _unmixed(rows)
    if "query" in rows:
        outside = (rows["query"] < 0) | (rows["query"] >= points)
        yield "'query' is no place in its parent", np.where(unmixed, (rows["query"] != -1).any(1), outside.any(1))
    if {"normal", "point_weight"} <= set(rows):
        length = np.linalg.norm(rows["normal"].astype(np.float64), axis=2)
        blended = (rows["point_weight"] > 0) & (rows["point_weight"] < 1)  # others are the source's, of any length
        yield "'normal' is not of length 1", (blended & (abs(length - 1) > LENGTH) & (length > 0)).any(1)
    for name in {"seg", "point_source"} & set(rows):
        given = rows[name] >= 0
        yield f"'{name}' has no parent at some point", ~given.any(2).all(1) & (name == "point_source")
        yield f"'{name}' has a part of an unused parent", (given.any(1) & (rows["parent"] < 0)).any(1)
        yield f"'{name}' is outside its range", ((rows[name] < -1) | (rows[name] >= _most(name, points))).any((1, 2))
    if "point_weight" in rows:
        lam = rows["point_weight"].astype(np.float64)
        yield "'point_weight' is outside 0..1", ((lam < 0) | (lam > 1)).any(1)
        yield "'weight' is not the mean of 'point_weight'", np.abs(lam.mean(1) - rows["weight"][:, 0]) > SHARE


def _most(name: str, points: int) -> int:
    return points if name == "point_source" else 1 << 24


def plan_of(dataset: Dataset, labels: np.ndarray) -> Plan:
    """The plan that the manifest's recipe and the source's labels give."""
    recipe = dataset.recipe
    return Plan(
        labels, recipe["window"], recipe["k"], recipe["partners"], recipe["pairing"],
        recipe["pairing_fallback"] == "random", recipe["seed"], tuple(recipe["shard"]), recipe["include_originals"],
    )  # fmt: skip


def _pairs(dataset: Dataset, origin: Source, faults: Faults) -> None:
    """Parents are those that seed and labels decide, bad samples replaced as the manifest says."""
    plan, recipe = plan_of(dataset, origin.labels), dataset.recipe
    instead = {entry["sample"]: entry["stand_in"] for entry in dataset.manifest["skipped"]}
    if [w.index for w in plan.windows] != [w[0] for w in dataset.windows] or plan.rows != dataset.rows:
        faults.add("pairs", "the windows are not those that source, seed and shard give")
        return
    for window in plan.windows:
        samples = np.array([instead.get(s, s) for s in window.samples.tolist()])
        first = plan.first_row(window)
        found = dataset.file.read("parent", first, len(window) * plan.mixes_per_sample)
        if plan.pairing == "group":
            for row, count in _strangers(plan, window, restored(recipe).traits.group, samples, found):
                faults.add("pairs", "'parent' is not of the group that the seed gives", first + row, count)
            continue
        for round_ in range(plan.partners if plan.pairing != "greedy" else 0):  # greedy ones depend on the maps
            partner = plan.pairs(window, round_).partner
            pair = np.stack([samples, samples[partner]], 1)[:, : found.shape[1]]
            for j in range(plan.k):
                rows = plan.mix_rows(window, round_, j)
                wrong = rows[(found[rows - first] != pair).any(1)]
                if len(wrong):
                    faults.add("pairs", "'parent' is not the pair that the seed gives", int(wrong[0]), len(wrong))


def _strangers(
    plan: Plan, window: Window, group: int, samples: np.ndarray, found: np.ndarray
) -> Iterator[tuple[int, int]]:
    """First row and count of rows with a parent outside of their group; which of it a row has, only the maps tell.

    samples (w,) of the window, stand-ins in place; found (w·R·k,P) the parents of its rows.
    """
    edges = group_edges(len(window), group)
    for round_ in range(plan.partners):
        order = samples[plan.members(window, round_)]
        for start, stop in zip(edges, edges[1:], strict=False):
            first, last = ((round_ * len(window) + at) * plan.k for at in (start, stop))
            wrong = np.flatnonzero(~np.isin(found[first:last], [*order[start:stop], -1]).all(1))
            if len(wrong):
                yield first + int(wrong[0]), len(wrong)


def _digests(dataset: Dataset, faults: Faults, notes: list[str]) -> None:
    """Of lossy pictures the files decide: another decoder may see other pixels in them."""
    faults.checked("digests")
    otherwise = 0
    for window, told in zip(dataset.windows, dataset.manifest["windows"], strict=True):
        index, first, rows, sha = window
        found = dataset.digests(window)
        files, same = found.get("files_sha256"), found["sha256"] == sha
        if same and files in (None, told.get("files_sha256")):
            continue
        if files and files == told.get("files_sha256"):
            otherwise += 1
            continue
        where = f"window {index}, rows {first}..{first + rows - 1}"
        what = "the files are not those that were written, though their pixels are" if same else OTHER
        faults.add("digests", f"{where}: {what}", first)
    if otherwise:
        notes.append(_decoded_otherwise(dataset, otherwise))


def _decoded_otherwise(dataset: Dataset, windows: int) -> str:
    from mixcli.files.picture_files import versions

    here = versions(dataset.file.codec.how)
    there = {name: dataset.manifest["versions"].get(name, "unknown") for name in here}
    here, there = (", ".join(f"{name} {version}" for name, version in found.items()) for found in (here, there))
    return f"{windows:,} windows: files are as they were written ({there}), but {here} sees other pixels in them"


def _replay(
    dataset: Dataset, count: int | None, origin: Source | None, ckpt: str | None, trust: bool, faults: Faults
) -> None:
    faults.checked("replay")
    if origin is None:
        faults.add("replay", "rows cannot be made again without the source; --source says where it is")
        return
    if any(f["check"] in ("parents", "pairs") for f in faults.found.values()):
        faults.add("replay", "rows cannot be made again: their parents are wrong")
        return
    from mixcli.checks.replay import replay

    for what, row in replay(dataset, count, origin, ckpt, trust):
        faults.add("replay", what, row)
