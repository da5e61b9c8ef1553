"""What is in a dataset, in numbers; runs without torch.

`inspect` gives a dict of schema mixcli.inspect/1, `render` makes a page of text of it. Of clouds it tells `points`,
`lam_point` and `geometry`; of images these are None, and it tells instead `pixels`, which is None for clouds:
{"size": [H, W], "mean": [r, g, b], "std": [r, g, b]}, 0 to 1 over the pixels of the sampled rows (None of no rows),
and, where masks were kept, `lam_pixel`: {"histogram": 20 counts of parent a's share, "pure_a", "pure_b"}.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mixcli.checks.pixel_facts import lam_pixels, pixels
from mixcli.datasets.dataset import Dataset
from mixcli.datasets.journal import check_there
from mixcli.errors import MixError
from mixcli.methods import restored
from mixcli.option import takes
from mixcli.rng import permutation
from mixcli.settings.commands import Inspecting

SCHEMA = "mixcli.inspect/1"
PROVENANCE = ("command", "started", "seconds", "resumed_windows", "device", "workers", "assignment", "versions")
BINS = 20
MOST_ROWS = 2000  # whose points or pixels are looked at; of more, a sample
BLOCK = 1 << 16
WORDS = {"points": "point clouds", "images": "images", "hidden": "hidden states"}
COPY = 0.01  # a mix with less than this of one parent is nearly a copy of the other


@takes(Inspecting)
def inspect(path: str | Path, full: bool = False) -> dict[str, Any]:
    """Facts of a dataset: method, options, counts, fields, class shares, λ, parents, geometry or pixels, provenance.

    Points and pixels are looked at in a seeded sample of a large dataset, unless `full`.
    """
    path = Path(path)
    check_there(path)
    dataset = Dataset(path).require()
    manifest, mixes = dataset.manifest, dataset.mixes
    weight, parent = (dataset.file.read(n, 0, dataset.rows) for n in ("weight", "parent"))
    parent_label = dataset.file.read("parent_label", 0, mixes)
    chosen = _sampled(dataset.rows, full)
    return {
        "schema": SCHEMA,
        "path": str(path),
        "container": dataset.file.kind,
        "bytes": dataset.file.size,
        "method": dataset.recipe["method"],
        "options": dataset.recipe["options"],
        "rows": dataset.rows,
        "mixes": mixes,
        "originals": dataset.rows - mixes,
        "data": dataset.data,
        "points": dataset.recipe["points"],
        "recipe": dataset.recipe,
        "classes": _classes(dataset),
        "lam": _lam(weight[:mixes, 0]),
        "lam_point": _lam_points(dataset, chosen),
        "lam_pixel": lam_pixels(dataset, chosen, BINS, COPY),
        "parents": _parents(parent[:mixes], parent_label, manifest["samples"]),
        "geometry": _geometry(dataset, chosen),
        "pixels": pixels(dataset, chosen),
        "scanned_points_of_rows": len(chosen),
        "fields": [{**asdict(f), "bytes": dataset.rows * f.row_bytes} for f in dataset.fields],
        "source": manifest["source"]["files"],
        "checkpoint": manifest["checkpoint"],
        "skipped": manifest["skipped"],
        "counts": manifest["counts"],
        "provenance": {name: manifest.get(name) for name in PROVENANCE},
    }


def _sampled(rows: int, full: bool) -> np.ndarray:
    """Rows whose points or pixels are looked at, sorted: all, or `MOST_ROWS` drawn by a fixed seed."""
    if full or rows <= MOST_ROWS:
        return np.arange(rows)
    return np.sort(permutation(0, "inspect", rows)[:MOST_ROWS])


def _classes(dataset: Dataset) -> list[dict[str, Any]]:
    """Mass of soft labels by class, and in how many rows the class has any share."""
    classes = dataset.recipe["classes"]
    names = dataset.file.class_names or [str(i) for i in range(classes)]
    mass, rows = np.zeros(classes), np.zeros(classes, np.int64)
    for first in range(0, dataset.rows, BLOCK):
        soft = dataset.file.read("soft_label", first, BLOCK)
        mass += soft.sum(0, dtype=np.float64)
        rows += (soft > 0).sum(0)
    return [
        {"class": i, "name": names[i], "mass": float(m), "rows": int(r)}
        for i, (m, r) in enumerate(zip(mass, rows, strict=True))
    ]


def _lam(lam: np.ndarray) -> dict[str, Any]:
    if not len(lam):
        return {"histogram": [0] * BINS, "mean": None, "median": None, "near_copies": 0}
    return {
        "histogram": np.histogram(lam, BINS, (0, 1))[0].tolist(),
        "mean": float(lam.mean(dtype=np.float64)),
        "median": float(np.median(lam)),
        "near_copies": int(((lam < COPY) | (lam > 1 - COPY)).sum()),
    }


def _lam_points(dataset: Dataset, rows: np.ndarray) -> dict[str, Any] | None:
    if not any(f.name == "point_weight" for f in dataset.fields) or not len(rows):
        return None
    histogram, pure = np.zeros(BINS, np.int64), np.zeros(2)
    for part in _parts(rows):
        lam = dataset.file.take("point_weight", part)
        histogram += np.histogram(lam, BINS, (0, 1))[0]
        pure += [(lam > 1 - COPY).mean(1).sum(), (lam < COPY).mean(1).sum()]
    pure_a, pure_b = (pure / len(rows)).tolist()
    return {"histogram": histogram.tolist(), "pure_a": pure_a, "pure_b": pure_b}


def _parents(parent: np.ndarray, label: np.ndarray, samples: int) -> dict[str, Any]:
    used, times = np.unique(parent[parent >= 0], return_counts=True)
    return {
        "used": len(used),
        "of": samples,
        "most_often": int(times.max(initial=0)),
        "least_often": int(times.min(initial=times.max(initial=0))),
        "same_class_mixes": int((label[:, 0] == label[:, 1:].T).sum()),
        "self_pairs": int((parent[:, 0] == parent[:, 1:].T).sum()),
    }


def _parts(rows: np.ndarray) -> list[np.ndarray]:
    """Rows in pieces that fit the cache."""
    return np.array_split(rows, -(-len(rows) // 256))


def _geometry(dataset: Dataset, rows: np.ndarray) -> dict[str, Any] | None:
    if dataset.data != "points" or not len(rows):
        return None
    low, high, radius = np.full(3, np.inf), np.full(3, -np.inf), 0.0
    for part in _parts(rows):
        cloud = dataset.file.take("data", part)
        low, high = np.minimum(low, cloud.min((0, 1))), np.maximum(high, cloud.max((0, 1)))
        radius = max(radius, float(np.linalg.norm(cloud, axis=2).max()))
    return {"low": low.tolist(), "high": high.tolist(), "max_radius": radius}


def render(facts: dict[str, Any], unicode: bool = True) -> str:
    """The facts as text for a terminal of 80 columns or more."""
    recipe, lam = facts["recipe"], facts["lam"]
    options = "  ".join(f"{k}={v}" for k, v in facts["options"].items())
    lines = [
        f"{facts['path']}   {facts['container']}, {facts['bytes'] / 1e6:,.1f} MB",
        f"{facts['mixes']:,} {'mixed ' if recipe['pairing'] != 'none' else ''}"
        + WORDS[facts["data"]]
        + (f" and {facts['originals']:,} originals" if facts["originals"] else "")
        + f", {_size(facts)}, {recipe['classes']} classes",
        "",
        f"method     {facts['method']}   {options}",
        f"pairs      {recipe['pairing']}, --partners {recipe['partners']}, -k {recipe['k']}, seed {recipe['seed']}, "
        f"window {recipe['window']}" + _shard(recipe["shard"]),
    ]
    if recipe["pairing"] != "none":
        lines.append(f"lambda     0 {bars(lam['histogram'], unicode)} 1  " + _lam_words(lam, facts["mixes"]))
    lines += [*_share_lines(facts, unicode)]
    lines += [_parent_words(facts["parents"]), *_geometry_words(facts), *_pixel_words(facts), ""]
    lines += [*_class_lines(facts["classes"], unicode), ""]
    lines += ["contents", *(_field_line(f, facts["rows"]) for f in facts["fields"]), "", "made by", *_made_by(facts)]
    return "\n".join(lines)


def _share_lines(facts: dict[str, Any], unicode: bool) -> Iterator[str]:
    """What the points or pixels of a mix have of A, or those of a single image of itself."""
    pairing = facts["recipe"]["pairing"]
    pair, others = pairing != "none", "others" if pairing == "group" else "pure B"
    for what in ("point", "pixel"):
        if share := facts["lam_" + what]:
            told = ("pure A", others) if pair else ("kept", "new")
            words = f"{share['pure_a']:.0%} {told[0]}, {share['pure_b']:.0%} {told[1]}"
            lead = f"  by {what}" if pair else "kept      "
            yield f"{lead} 0 {bars(share['histogram'], unicode)} 1  {words}"


def bars(histogram: list[int], unicode: bool) -> str:
    """One character a bin, scaled to the fullest; any count shows."""
    ramp = " ▁▂▃▄▅▆▇█" if unicode else " .:-=+*#@"
    top = max(histogram) or 1
    return "".join(ramp[-(-n * (len(ramp) - 1) // top)] for n in histogram)


def _size(facts: dict[str, Any]) -> str:
    if facts["data"] == "points":
        return f"{facts['points']} points"
    shape = next(f["shape"] for f in facts["fields"] if f["name"] == "data")
    return "x".join(map(str, shape[:2] if facts["pixels"] else shape))


def _shard(shard: list[int]) -> str:
    return f", shard {shard[0]}/{shard[1]}" if shard[1] > 1 else ""


def _lam_words(lam: dict[str, Any], mixes: int) -> str:
    if lam["mean"] is None:
        return "no mixes"
    return f"mean {lam['mean']:.2f}, {lam['near_copies'] / mixes:.0%} near-copies (within {COPY} of 0 or 1)"


def _parent_words(p: dict[str, Any]) -> str:
    told = f"parents    {p['used']:,} of {p['of']:,} used, {_times(p['least_often'], p['most_often'])} each; "
    mixes, pairs = p["same_class_mixes"], p["self_pairs"]
    return told + f"{mixes:,} same-class mix{'es' * (mixes != 1)}, {pairs:,} self-pair{'s' * (pairs != 1)}"


def _times(least: int, most: int) -> str:
    """How often, in words.

    >>> _times(1, 1), _times(0, 1), _times(2, 5)
    ('1 time', '0 to 1 times', '2 to 5 times')
    """
    return f"{least} time{'s' * (least != 1)}" if least == most else f"{least} to {most} times"


def _geometry_words(facts: dict[str, Any]) -> list[str]:
    g = facts["geometry"]
    if not g:
        return []
    axes = "  ".join(f"{n} {a:.2f}..{b:.2f}" for n, a, b in zip("xyz", g["low"], g["high"], strict=True))
    return [f"geometry   max radius {g['max_radius']:.2f}  {axes}{_sample_words(facts)}"]


def _pixel_words(facts: dict[str, Any]) -> list[str]:
    p = facts["pixels"]
    if not p or not p["mean"]:
        return []
    mean, std = (" ".join(f"{value:.3f}" for value in p[name]) for name in ("mean", "std"))
    return [f"pixels     mean {mean}  deviation {std} of red, green, blue{_sample_words(facts)}"]


def _sample_words(facts: dict[str, Any]) -> str:
    scanned = facts["scanned_points_of_rows"]
    return f" (a sample of {scanned:,} rows; --full looks at all)" if scanned < facts["rows"] else ""


def _class_lines(classes: list[dict[str, Any]], unicode: bool) -> list[str]:
    """The largest and the smallest classes by label mass."""
    order = sorted(classes, key=lambda c: -c["mass"])
    shown = order if len(order) <= 12 else [*order[:8], None, *order[-2:]]
    wide = max(len(c["name"]) for c in classes)
    top, block = max(c["mass"] for c in classes) or 1, "█" if unicode else "#"
    lines = ["label mass (sum of soft labels; in brackets: rows with any share)"]
    for c in shown:
        if c is None:
            lines.append(f"  ... {len(order) - 10} more")
        else:
            bar = block * round(24 * c["mass"] / top)
            lines.append(f"  {c['name']:<{wide}} {bar:<24} {c['mass']:9.1f} ({c['rows']:,})")
    return lines


def _field_line(f: dict[str, Any], rows: int) -> str:
    shape = "x".join(map(str, [rows, *f["shape"]]))
    return f"  {f['name']:<14} {shape:<16} {np.dtype(f['dtype']).name:<9} {f['bytes'] / 1e6:10,.2f} MB"


def _maps(recipe: dict[str, Any]) -> str:
    """Which maps were looked at, and of which layer; nothing where none were, or the method is not installed."""
    kind = recipe.get("saliency")
    if not kind and recipe["method"] != "convert":
        with suppress(MixError):
            kind = restored(recipe).traits.saliency
    kind = kind or ("spectral" if recipe["pairing"] == "greedy" else "")
    told = "hidden states" if kind == "hidden" else f"{kind} maps" if kind else ""
    return f"{told} of --layer {recipe['layer']}" if recipe.get("layer") else told


def _made_by(facts: dict[str, Any]) -> list[str]:
    told, ckpt, what = facts["provenance"], facts["checkpoint"], "clouds" if facts["data"] == "points" else "images"
    lines = [("command", told["command"] or "(from Python)")]
    lines += [("source", f"{s['path']}  {s['count']:,} {what}  sha256 {s['sha256'][:12]}") for s in facts["source"]]
    if ckpt:
        options = "".join(f" {k}={v}" for k, v in ckpt["options"].items())
        lines.append(("checkpoint", f"{ckpt['path']}  {ckpt['name']}{options}  sha256 {ckpt['sha256'][:12]}"))
        if ckpt["accuracy"] is not None:
            lines.append(("accuracy", f"{ckpt['accuracy']:.1%} of {ckpt['judged']:,} source samples"))
    if maps := _maps(facts["recipe"]):
        seen = f", --normalize {facts['recipe']['normalize']}" if ckpt and facts["data"] != "points" else ""
        lines.append(("looked at", maps + seen))
    if facts["skipped"]:
        count = len(facts["skipped"])
        lines.append(("skipped", f"{count} bad sample{'s' * (count > 1)} (see --json)"))
    lines += [(name.replace("_", " "), f"{n:,} time{'s' * (n > 1)}") for name, n in facts["counts"].items() if n]
    versions = " ".join(f"{k} {v}" for k, v in told["versions"].items())
    lines += [("when", f"{told['started']}, {told['seconds']} s on {told['device']}"), ("with", versions)]
    return [f"  {name:<14} {text}" for name, text in lines]
