"""Is a dataset what its manifest says? Structure, values, labels, parents, digests; and, on request, made again.

Runs without torch unless rows are made again. A fault is a dict: check, row (or null), count of rows, message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mixcli.checks.recipe import Untrue, recipe_faults, recipe_notes
from mixcli.data import fields as fields_
from mixcli.datasets.contract import Rows
from mixcli.datasets.dataset import Dataset
from mixcli.datasets.journal import check_there
from mixcli.errors import MixError
from mixcli.methods import restored
from mixcli.option import takes
from mixcli.pipeline.plan import Plan, Window, group_edges
from mixcli.pipeline.report import Report
from mixcli.settings.commands import Verifying
from mixcli.sources.contract import Source
from mixcli.sources.origin import OtherSource, is_same, reopened
from mixcli.sources.reading import VERSION as READING

if TYPE_CHECKING:
    from mixcli.files.picture_files import Lossy

SCHEMA = "mixcli.verify/1"
OTHER = "the contents are not those that were written (SHA-256 differs)"
SUM = 1e-5  # float32 shares: rounding of up to a thousand classes
LENGTH = 1e-3  # of a normal
SHARE = 2e-5  # of λ against the mean of the points' λ, both rounded to float32


@dataclass
class Fault:
    """One kind of fault; many rows of it are one line."""

    check: str
    what: str
    row: int | None = None  # the first; None: of the whole dataset
    count: int = 1

    def message(self, path: Path) -> str:
        if self.row is None:
            return f"{path}: {self.what}"
        more = f" (and {self.count - 1:,} more rows)" if self.count > 1 else ""
        return f"{path}[{self.row}]: {self.what}{more}"


class Faults:
    """Faults known so far."""

    def __init__(self, path: Path):
        self.path = path
        self.known: dict[tuple[str, str], Fault] = {}
        self.checks: list[str] = []

    def checked(self, name: str) -> None:
        if name not in self.checks:
            self.checks.append(name)

    def add(self, check: str, what: str, row: int | None = None, count: int = 1) -> None:
        """A fault of the whole dataset, or of `count` rows from `row` on."""
        known = self.known.get((check, what))
        if known and row is not None:
            known.count += count
        elif not known:
            self.known[check, what] = Fault(check, what, row, count)

    def add_error(self, check: str, error: MixError) -> None:
        """A fault of the whole dataset, in an error's words; that the dataset is where it is goes without saying."""
        is_here = error.address == str(self.path)
        self.add(check, str(MixError(error.reason, advice=error.advice)) if is_here else str(error))

    def rows(self, check: str, what: str, first: int, bad: np.ndarray) -> None:
        """A fault of every row of a block where `bad` (m,) is true."""
        at = np.flatnonzero(bad)
        if len(at):
            self.add(check, what, first + int(at[0]), len(at))

    def list(self) -> list[dict[str, Any]]:
        return [
            {"check": f.check, "row": f.row, "count": f.count, "what": f.what, "message": f.message(self.path)}
            for f in self.known.values()
        ]


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
    path, report = Path(path), report or Report()
    check_there(path)
    faults = Faults(path)
    notes: list[str] = []
    dataset = _open(path, faults)
    if dataset and _recipe(dataset, faults, notes) and _structure(dataset, faults):
        try:
            origin = _source(dataset, source, faults, notes)
            report.begin(dataset.rows, 0)
            try:
                _values(dataset, origin, faults, report)
                _digests(dataset, faults, notes)
            except MixError as e:  # rows that cannot be read at all
                faults.add_error("structure", e)
                replay = 0
            if replay != 0:
                if told := _read_otherwise(dataset, origin):
                    notes.append(told)
                else:
                    _replay(dataset, origin, faults, count=replay, ckpt=ckpt, trust=trust_ckpt)
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
        faults.add_error("manifest", e)
        return None


def _recipe(dataset: Dataset, faults: Faults, notes: list[str]) -> bool:
    """Values that a run can have recorded; of others nothing follows that could be checked."""
    for what in recipe_faults(dataset):
        faults.add("manifest", what)
    notes += recipe_notes(dataset)
    return not faults.known


def _structure(dataset: Dataset, faults: Faults) -> bool:
    """Every promised field with its shape and type, nothing else, and windows that cover the rows."""
    faults.checked("structure")
    promised = {f.name: f for f in dataset.fields}
    for name in dataset.file.names:
        if name not in promised:
            faults.add("structure", f"'{name}' is in the file but not in the manifest")
    for name, f in promised.items():
        try:
            column = dataset.file.field(name)
        except MixError as e:
            faults.add_error("structure", e)
            continue
        if column.shape != (dataset.rows, *f.shape) or column.dtype != f.dtype:
            want = f"{(dataset.rows, *f.shape)} {np.dtype(f.dtype)}"
            faults.add("structure", f"'{name}' is {column.shape} {column.dtype}, the manifest says {want}")
    for what in dataset.file.faults():
        faults.add("structure", what)
    row = 0
    for window in sorted(dataset.windows, key=lambda w: w.first):
        if window.first != row:
            what = f"window {window.index} begins at row {window.first}, the one before ends at {row}"
            faults.add("structure", what)
        row = window.first + window.rows
    if row != dataset.mixes:
        faults.add("structure", f"the windows end at row {row}, the manifest says {dataset.mixes} mixes")
    return not faults.known


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
    if len({tuple(some) for some in names if some}) > 1:  # each label would mean another class
        faults.add("source", "its class names are not those of the source")
    return source


def _values(dataset: Dataset, origin: Source | None, faults: Faults, report: Report) -> None:
    """Every row of every field."""
    for name in CHECKS:
        faults.checked(name)
    for first in range(0, dataset.rows, dataset.block):
        rows = dataset.read(first, min(dataset.block, dataset.rows - first))
        for name, check in CHECKS.items():
            for what, bad in check(rows, dataset, origin):
                faults.rows(name, what, first, bad)
        report.progress(len(rows["data"]))
    if origin:
        faults.checked("pairs")
        _pairs(dataset, origin, faults)


Flags = NDArray[np.bool_]
Finding = tuple[str, Flags]  # what is wrong, and (m,) bool: in which rows


def _finite(rows: Rows, dataset: Dataset, origin: Source | None) -> Iterator[Finding]:
    for name, values in rows.items():
        if values.dtype.kind == "f":
            flat = values.reshape(len(values), -1)
            unmixed = _unmixed(rows) & (name == "draw")  # nothing was drawn for an original
            yield f"'{name}' has values that are not finite", ~_all(np.isfinite(flat)) & ~unmixed


def _any(wrong: np.ndarray | np.bool_) -> Flags:
    """In which rows something is wrong (m,...) bool -> (m,) bool."""
    return np.asarray(np.any(wrong, axis=tuple(range(1, wrong.ndim))))


def _all(right: np.ndarray | np.bool_) -> Flags:
    """In which rows everything is right (m,...) bool -> (m,) bool."""
    return np.asarray(np.all(right, axis=tuple(range(1, right.ndim))))


def _unmixed(rows: Rows) -> Flags:
    """Rows of a single parent (m,) bool."""
    return _all(rows["parent"][:, 1:] < 0)


def _shares(rows: Rows, dataset: Dataset, origin: Source | None) -> Iterator[Finding]:
    sums = dataset.recipe["options"].get("normalize_labels") is not False
    for name in ("soft_label", "weight"):
        share = rows[name].astype(np.float64)
        most = 1 if sums or name == "weight" else rows["weight"].shape[1]  # of a class that all parents are of
        yield f"'{name}' has shares outside 0..{most}", _any((share < 0) | (share > most + SUM))
        if sums:
            yield f"'{name}' does not sum to 1", np.abs(share.sum(1) - 1) > SUM
    if "weight_raw" in rows:
        raw = rows["weight_raw"].astype(np.float64)
        total = raw.sum(1, keepdims=True) if sums else np.ones((len(raw), 1))
        share = np.divide(raw, total, out=rows["weight"].astype(np.float64), where=total > 0)
        yield "'weight_raw' has negative shares", _any(raw < 0)
        what = "made to sum to 1" if sums else "as it is"
        yield f"'weight' is not 'weight_raw' {what}", _any(np.abs(share - rows["weight"]) > SUM)
    unused = rows["parent"] < 0
    yield "an unused parent has a share of the label", _any(unused & (rows["weight"] != 0))


def _labels(rows: Rows, dataset: Dataset, origin: Source | None) -> Iterator[Finding]:
    classes = dataset.recipe["classes"]
    label = np.where(rows["parent"] < 0, -1, rows["parent_label"])
    outside = ((label < 0) & (rows["parent"] >= 0)) | (label >= classes)
    yield f"'parent_label' is outside the {classes} classes", _any(outside)
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


def _parents(rows: Rows, dataset: Dataset, origin: Source | None) -> Iterator[Finding]:
    parent, n = rows["parent"], dataset.manifest["source"]["count"]
    outside = (parent < -1) | (parent >= n)
    yield f"'parent' is outside the source's {n} samples", _any(outside)
    yield "there is no parent a", parent[:, 0] < 0
    if origin:
        theirs = origin.labels[np.clip(parent, 0, n - 1)]
        used = (parent >= 0) & ~outside
        yield "'parent_label' is not the parent's label in the source", _any(used & (theirs != rows["parent_label"]))


def _points(rows: Rows, dataset: Dataset, origin: Source | None) -> Iterator[Finding]:
    points, unmixed = dataset.places, _unmixed(rows)
    if "query" in rows:
        outside = (rows["query"] < 0) | (rows["query"] >= points)
        yield "'query' is no place in its parent", np.where(unmixed, _any(rows["query"] != -1), _any(outside))
    of_old = dataset.recipe.get("reading", 1) < 2  # which took over a single parent's normals, whatever their length
    if "normal" in rows and ("point_weight" in rows or not of_old):
        length = np.linalg.norm(rows["normal"].astype(np.float64), axis=2)
        blended = (rows["point_weight"] > 0) & (rows["point_weight"] < 1) if of_old else np.ones(length.shape, bool)
        yield "'normal' is not of length 1", _any(blended & (abs(length - 1) > LENGTH) & (length > 0))
    for name in {"seg", "point_source"} & set(rows):
        given = rows[name] >= 0
        yield f"'{name}' has no parent at some point", ~_all(given.any(2)) & (name == "point_source")
        yield f"'{name}' has a part of an unused parent", _any(given.any(1) & (rows["parent"] < 0))
        yield f"'{name}' is outside its range", _any((rows[name] < -1) | (rows[name] >= _most(name, points)))
    if "point_weight" in rows:
        lam = rows["point_weight"].astype(np.float64)
        yield "'point_weight' is outside 0..1", _any((lam < 0) | (lam > 1))
        yield "'weight' is not the mean of 'point_weight'", np.abs(lam.mean(1) - rows["weight"][:, 0]) > SHARE


def _most(name: str, points: int) -> int:
    return points if name == "point_source" else 1 << 24


Check = Callable[[Rows, Dataset, Source | None], Iterator[Finding]]
CHECKS: dict[str, Check] = {
    "finite": _finite, "shares": _shares, "labels": _labels, "parents": _parents, "points": _points,
}  # fmt: skip


def plan_of(dataset: Dataset, labels: np.ndarray) -> Plan:
    """The plan that the manifest's recipe and the source's labels give."""
    recipe = dataset.recipe
    part, parts = recipe["shard"]
    return Plan(
        labels,
        window=recipe["window"],
        k=recipe["k"],
        partners=recipe["partners"],
        pairing=recipe["pairing"],
        fallback=recipe["pairing_fallback"] == "random",
        seed=recipe["seed"],
        shard=(part, parts),
        originals=recipe["include_originals"],
    )


def _pairs(dataset: Dataset, origin: Source, faults: Faults) -> None:
    """Parents are those that seed and labels decide, bad samples replaced as the manifest says."""
    plan, recipe = plan_of(dataset, origin.labels), dataset.recipe
    instead = {entry["sample"]: entry["stand_in"] for entry in dataset.manifest["skipped"]}
    if [w.index for w in plan.windows] != [w.index for w in dataset.windows] or plan.rows != dataset.rows:
        faults.add("pairs", "the windows are not those that source, seed and shard give")
        return
    for window in plan.windows:
        samples = np.array([instead.get(s, s) for s in window.samples.tolist()])
        first = plan.first_row(window)
        parents = dataset.file.read("parent", first, len(window) * plan.mixes_per_sample)
        if plan.pairing == "group":
            for row, count in _strangers(plan, window, restored(recipe).traits.group, samples, parents):
                faults.add("pairs", "'parent' is not of the group that the seed gives", first + row, count)
            continue
        for round_ in range(plan.partners if plan.pairing != "greedy" else 0):  # greedy ones depend on the maps
            partner = plan.pairs(window, round_).partner
            pair = np.stack([samples, samples[partner]], 1)[:, : parents.shape[1]]
            for j in range(plan.k):
                rows = plan.mix_rows(window, round_, j)
                wrong = rows[(parents[rows - first] != pair).any(1)]
                if len(wrong):
                    faults.add("pairs", "'parent' is not the pair that the seed gives", int(wrong[0]), len(wrong))


def _strangers(
    plan: Plan, window: Window, group: int, samples: np.ndarray, parents: np.ndarray
) -> Iterator[tuple[int, int]]:
    """First row and count of rows with a parent outside of their group; which of it a row has, only the maps tell.

    samples (w,) of the window, stand-ins in place; parents (w·R·k,P) of its rows.
    """
    edges = group_edges(len(window), group)
    for round_ in range(plan.partners):
        order = samples[plan.members(window, round_)]
        for start, stop in zip(edges, edges[1:], strict=False):
            first, last = ((round_ * len(window) + at) * plan.k for at in (start, stop))
            wrong = np.flatnonzero(~np.isin(parents[first:last], [*order[start:stop], -1]).all(1))
            if len(wrong):
                yield first + int(wrong[0]), len(wrong)


def _digests(dataset: Dataset, faults: Faults, notes: list[str]) -> None:
    """Of lossy pictures the files decide: another decoder may see other pixels in them."""
    faults.checked("digests")
    otherwise = 0
    for window, told in zip(dataset.windows, dataset.manifest["windows"], strict=True):
        digests = dataset.digests(window)
        files, same = digests.get("files_sha256"), digests["sha256"] == window.sha256
        if same and files in (None, told.get("files_sha256")):
            continue
        if files and files == told.get("files_sha256"):
            otherwise += 1
            continue
        where = f"window {window.index}, rows {window.first}..{window.first + window.rows - 1}"
        what = "the files are not those that were written, though their pixels are" if same else OTHER
        faults.add("digests", f"{where}: {what}", window.first)
    pictures = dataset.file.pictures
    if otherwise and pictures and pictures.kind.loss:
        notes.append(_decoded_otherwise(dataset, otherwise, pictures.kind.loss))


def _decoded_otherwise(dataset: Dataset, windows: int, loss: Lossy) -> str:
    from mixcli.files.picture_files import versions

    here = versions(loss)
    there = {name: dataset.manifest["versions"].get(name, "unknown") for name in here}
    ours, theirs = (", ".join(f"{name} {version}" for name, version in some.items()) for some in (here, there))
    return f"{windows:,} windows: files are as they were written ({theirs}), but {ours} sees other pixels in them"


def _read_otherwise(dataset: Dataset, origin: Source | None) -> str:
    """Why rows cannot be made again: their source was read in another way; '' where it was not."""
    made_by = dataset.recipe.get("reading", 1)
    if made_by == READING or (made_by < READING and origin and all(part.since <= made_by for part in origin.parts)):
        return ""
    by = f"mixcli {dataset.recipe.get('mixcli', '?')}, which read the source's files in way {made_by}"
    return f"rows were not made again: they were made by {by}, and this one reads them in way {READING}"


def _replay(
    dataset: Dataset, origin: Source | None, faults: Faults, *, count: int | None, ckpt: str | None, trust: bool
) -> None:
    """count: of the rows that are made again; None: all."""
    faults.checked("replay")
    if origin is None:
        faults.add("replay", "rows cannot be made again without the source; --source says where it is")
        return
    if any(f.check in ("parents", "pairs") for f in faults.known.values()):
        faults.add("replay", "rows cannot be made again: their parents are wrong")
        return
    from mixcli.checks.replay import replay

    for what, row in replay(dataset, count, origin, ckpt, trust):
        faults.add("replay", what, row)
