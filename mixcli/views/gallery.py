"""A gallery of rows as one HTML file that asks for nothing: no server, no network, no library.

The file is `gallery.html` with the rows put into it as JSON. Coordinates are int16 (1/32767 of a cloud's extent),
shares and saliency uint8, partners uint16, all base64; a parent that several rows share is there once. Names and
paths come from files that nobody vouches for: they enter only through the JSON, which the page sets as text. What a
row of images is there, `gallery_images` says.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from mixcli.checks.selection import Shown
from mixcli.views.cloud_drawing import A, B, heat, ramp
from mixcli.views.gallery_images import image_row, pack_image
from mixcli.views.gallery_json import Distinct, head, pack_lam, pack_saliency, text_of
from mixcli.views.look import USUAL, Look
from mixcli.views.picture_drawing import is_picture

STEPS = 32767  # int16, symmetric; -32768 stands for a coordinate that is no number
NOTEBOOK = 24  # samples: a notebook keeps its output in the file
SOURCE = "source"


@dataclass(frozen=True)
class Gallery:
    """Rows, and what a page says of them."""

    shown: list[Shown]
    title: str
    note: str = ""
    look: Look = USUAL
    total: int | None = None  # rows in the dataset; None: as many as are shown
    served: dict[str, Any] | None = None  # what `serve` knows of the page's place among others


def page(gallery: Gallery) -> str:
    """The whole file."""
    parts = {"csp": policy(), "data": script_json(payload(gallery))}
    return re.sub(r"\{\{(csp|data)\}\}", lambda name: parts[name[1]], template())


def notebook(gallery: Gallery) -> str:
    """The gallery in a frame that can run scripts and nothing else, for `_repr_html_`."""
    count = len(gallery.shown)
    more = [f"the first {NOTEBOOK} of {count} rows"] if count > NOTEBOOK else []
    note = "; ".join(filter(None, [gallery.note, *more]))
    inner = html.escape(page(replace(gallery, shown=gallery.shown[:NOTEBOOK], note=note)), quote=True)
    style = "width:100%;height:640px;border:0"
    return f'<iframe sandbox="allow-scripts" title="mixcli gallery" style="{style}" srcdoc="{inner}"></iframe>'


@cache
def template() -> str:
    return resources.files("mixcli.views").joinpath("gallery.html").read_text(encoding="utf-8")


@cache
def policy() -> str:
    """Nothing may be loaded or sent; only the template's own script and style run, by their hashes."""
    script, style = (_inline_hash(tag) for tag in ("script", "style"))
    return (
        f"default-src 'none'; script-src '{script}'; style-src '{style}'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def _inline_hash(tag: str) -> str:
    (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", template(), re.DOTALL)
    return "sha256-" + text_of(hashlib.sha256(text.encode()).digest())


def script_json(content: Any) -> str:
    r"""JSON that cannot end the <script> around it.

    >>> script_json("</script>\u2028")
    '"\\u003c/script\\u003e\\u2028"'
    """
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.translate({ord(c): f"\\u{ord(c):04x}" for c in "<>&"})


def payload(gallery: Gallery) -> dict[str, Any]:
    """What the page needs to know, ready for JSON."""
    shown, served = gallery.shown, gallery.served
    clouds, images = Distinct(pack_cloud), Distinct(pack_image)
    rows = [image_row(one, images) if is_picture(one.data) else _row(one, clouds) for one in shown]
    return {
        "version": 1,
        "title": gallery.title,
        "note": gallery.note,
        "up": gallery.look.up,
        "color": gallery.look.color,
        "total": len(shown) if gallery.total is None else gallery.total,
        "palette": _palette(),
        "absent": _absent(shown),
        "classes": served["classes"] if served else _classes(shown),
        "kind": "images" if images.kept else "points",
        "clouds": clouds.kept,
        "images": images.kept,
        "rows": rows,
        "served": served,
    }


def pack_cloud(cloud: np.ndarray) -> dict[str, Any]:
    """(N,3) f32 -> int16 steps from the middle of its extent."""
    centre, radius = _extent([cloud])
    step = radius / STEPS
    good = np.isfinite(cloud).all(1)
    offset = np.where(good[:, None], cloud, centre).astype(np.float64) - centre
    whole = np.rint(offset / step).clip(-STEPS, STEPS)
    whole[~good] = -STEPS - 1
    return {"n": len(cloud), "centre": centre.tolist(), "step": step, "xyz": text_of(whole.astype("<i2"))}


def _extent(clouds: list[np.ndarray]) -> tuple[np.ndarray, float]:
    """Middle (3,) and radius of the sphere around all points that are numbers."""
    points = np.concatenate(clouds).astype(np.float64)
    points = points[np.isfinite(points).all(1)]
    if not len(points):
        return np.zeros(3), 1.0
    centre = (points.min(0) + points.max(0)) / 2
    return centre, float(np.linalg.norm(points - centre, axis=1).max()) or 1.0


def _row(one: Shown, clouds: Distinct) -> dict[str, Any]:
    centre, radius = _extent([one.data, *one.parents])  # one camera and scale for the row's tiles
    used = _taken_whole(one)
    wide = one.partner is not None and len(one.data) > 65536
    heat_of, peak = pack_saliency(one.saliency)
    return {
        **head(one),
        "n": len(one.data),
        "centre": centre.tolist(),
        "radius": radius,
        "cloud": clouds.add(one.data),
        "parents": [clouds.add(cloud) for cloud in one.parents],
        "lam": None if one.lam is None else pack_lam(one.lam),
        "saliency": heat_of,
        "peak": peak,
        "partner": None if one.partner is None else text_of(one.partner.astype("<u4" if wide else "<u2")),
        "wide": wide,
        "hard": bool(used),
        "used": used,
        "holes": int((~np.isfinite(one.data).all(1)).sum()),
    }


def _taken_whole(one: Shown) -> list[int]:
    """How many points are parent a's and parent b's, where every point is of one of two; else none."""
    if one.lam is None or len(one.parents) != 2:
        return []
    lam = np.nan_to_num(one.lam.astype(np.float64), nan=0.5).clip(0, 1)
    return [int((lam == 1).sum()), int((lam == 0).sum())] if set(np.unique(lam)) == {0, 1} else []


def _absent(shown: list[Shown]) -> dict[str, str]:
    """Why a colouring cannot be had, "" where it can."""
    reason = "this dataset keeps no lambda of its points"
    if shown and all(one.method == SOURCE for one in shown):
        reason = "a source dataset has no lambda"
    elif shown and is_picture(shown[0].data):
        reason = "this dataset keeps no masks: mixing with --keep mask does"
    lam = "" if any(one.lam is not None for one in shown) else reason
    has_saliency = any(one.saliency is not None for one in shown)
    saliency = "" if has_saliency else "no saliency here: mixcli view --color saliency measures it with the checkpoint"
    return {"lam": lam, "parent": lam, "saliency": saliency}


def _classes(shown: list[Shown]) -> list[list[str]]:
    """[value, name] of each class that the rows have, by name."""
    names = {label: name for one in shown for label, name in zip(one.label, one.names, strict=True)}
    return [[str(label), name] for label, name in sorted(names.items(), key=lambda item: (item[1], item[0]))]


@cache
def _palette() -> dict[str, Any]:
    level = np.linspace(0, 1, 256)
    return {"lam": text_of(ramp(level)), "saliency": text_of(heat(level)), "a": list(A), "b": list(B)}
