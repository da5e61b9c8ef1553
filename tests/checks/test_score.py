"""Scores of mixes whose goodness is known."""

import json

import numpy as np
import pytest

from mixcli.checks.scores.common import divergence
from mixcli.checks.scores.score import render, score


def test_scores_of_a_run(tiny):
    path = tiny.mix("mixed.h5", k=3).path
    found = score(path)
    assert found["rows_scored"] == 90 and 0 < found["kl_mean"] < 10
    assert 0 < found["saliency_kept"]["a"] < 1 and found["diversity"] > 0 and 0.5 < found["continuity"] < 2
    kl = [w["kl"] for w in found["worst"]]
    assert kl == sorted(kl, reverse=True) and len(kl) == 50
    assert json.loads(path.with_name("mixed.h5.scores.json").read_text()) == json.loads(json.dumps(found))
    assert "mean KL" in render(found)


def test_near_copies_of_a_follow_from_pi(tiny):
    """θ tiny: every mix is a copy of one parent, keeps one parent's saliency whole, and is as dense."""
    found = score(tiny.mix("mixed.h5", theta=1e-3, sigma=1000.0).path)
    assert found["near_copies"] > 0.95
    assert found["saliency_kept"]["both"] == pytest.approx(1, abs=0.02)
    assert found["continuity"] == pytest.approx(1, abs=0.02)


def test_one_mix_a_pair_has_no_diversity_and_other_classes_no_fit(tiny):
    (tiny.folder / "shape_names.txt").write_text("a\nb\nc\nd\ne\n")
    found = score(tiny.mix("mixed.h5", saliency_target="predicted").path)
    assert found["diversity"] is None and found["kl_mean"] is None and found["worst"] == []
    assert "not measured" in render(found)


def test_divergence_by_hand():
    """KL((1, 0) ‖ (1/4, 3/4)) = ln 4; KL((1/2, 1/2) ‖ (1/4, 3/4)) = ½ ln 2 + ½ ln ⅔ = 0.143841."""
    soft, p = np.array([[1.0, 0.0], [0.5, 0.5]]), np.log([[0.25, 0.75]] * 2)
    assert divergence(soft, p).tolist() == pytest.approx([np.log(4), 0.143841], abs=1e-6)
