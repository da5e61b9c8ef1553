"""How good is a dataset? What one would ask before training on it for a day.

Clouds and images are measured by `points` and `images`; what both tell is in `common`. Fit: KL(soft label ‖
prediction) of the checkpoint on the mix, in nats. Near-copies: the share of mixes that are nearly one of their parents,
of clouds by λ, of images by their pixels.
"""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path
from typing import Any

from mixcli.checks.scores.common import Asked
from mixcli.checks.selection import Selection
from mixcli.datasets.dataset import Dataset
from mixcli.errors import UsageError
from mixcli.option import takes
from mixcli.pipeline.report import Report
from mixcli.settings.commands import Inspecting

SCHEMA = "mixcli.scores/1"


@takes(Inspecting)
def score(
    path: str | Path,
    ckpt: str | None = None,
    trust_ckpt: bool = False,
    source: list[str] | None = None,
    full: bool = False,
    report: Report | None = None,
    normalize: str | None = None,
) -> dict[str, Any]:
    """Scores of the mixes of some pairs, spread over the dataset; the worst rows are kept in `PATH.scores.json`.

    normalize: of images, what the checkpoint's were normalised by, where that is not what the manifest says.
    """
    report, path = report or Report(), Path(path)
    asked = Asked(ckpt=ckpt, trust=trust_ckpt, normalize=normalize, full=full)
    _check_visible(path)
    selection = Selection(path, source)
    dataset = selection.dataset
    if dataset.recipe["method"] == "convert" or not dataset.mixes:
        raise UsageError("holds no mixes to score", at=path)
    if selection.reader is None:
        raise UsageError("scores need the source", at=path, advice=selection.note)
    if dataset.data == "images":
        from mixcli.checks.scores import images

        measured = images.measure(selection, asked, report)
    else:
        from mixcli.checks.scores import points

        if normalize:
            raise UsageError("is for images, and these are clouds", at="--normalize", advice="leave it out")
        measured = points.measure(selection, asked, report)
    scores = {"schema": SCHEMA, "path": str(path), "data": dataset.data, "rows": dataset.mixes, **measured}
    _write(path.with_name(path.name + ".scores.json"), scores)
    return scores


def _check_visible(path: Path) -> None:
    with closing(Dataset(path).require()) as dataset:
        if dataset.data == "hidden":
            what = "hidden states cannot be scored"
            raise UsageError(what, at=path, advice="train the rest of the network on them instead")


def _write(path: Path, scores: dict[str, Any]) -> None:
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(scores, indent=1))
    os.replace(beside, path)


def render(scores: dict[str, Any]) -> str:
    """Scores as lines of text."""
    if scores["data"] == "images":
        from mixcli.checks.scores.images import lines
    else:
        from mixcli.checks.scores.points import lines
    scored = f"scored     {scores['rows_scored']:,} of {scores['rows']:,} mixes with {scores['checkpoint']}"
    return "\n".join([scored, *lines(scores)])
