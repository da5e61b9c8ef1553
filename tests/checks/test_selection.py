"""Which rows are shown, and what is known of them."""

import json

import numpy as np
import pytest

from mixcli.checks.row_saliency import with_saliency
from mixcli.checks.selection import Selection, select
from mixcli.errors import UsageError


@pytest.fixture
def mixed(tiny):
    return tiny, tiny.mix("mixed.h5", k=2, include_originals=True).path


def test_parents_are_where_the_rows_say(mixed):
    """Row = λ_i a_i + (1 - λ_i) b_φ(i): what is shown as its origin gives the row again."""
    chosen = select(mixed[1], 20)
    for one in chosen.load(chosen.rows[chosen.rows < 60]):
        a, b = one.parents
        again = one.lam[:, None] * a + (1 - one.lam[:, None]) * b[one.partner]
        assert np.allclose(again, one.data, atol=1e-5)
        assert one.weight[0] == pytest.approx(one.lam.mean(), abs=1e-5)


def test_rows_are_chosen(mixed):
    _, path = mixed
    assert select(path, rows="3,7-9").rows.tolist() == [3, 7, 8, 9]
    assert len(select(path, 5).rows) == 5
    assert select(path, 5, seed=1).rows.tolist() == select(path, 5, seed=1).rows.tolist()
    lam = Selection(path).lam
    assert (np.diff(lam[select(path, 10, sort="lam").rows]) >= 0).all()
    even = select(path, 10, sort="even").rows
    assert abs(lam[even] - 0.5).max() <= np.sort(abs(lam - 0.5))[9] + 1e-9
    chosen = select(path, None, klass="mug")
    assert all(2 in one.label for one in chosen.load(chosen.rows)) and len(chosen.rows) > 10
    assert (select(path, None, klass="2").rows == chosen.rows).all()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"rows": "3,x"}, "'x' is no row"),
        ({"rows": "90"}, "rows 0 to 89"),
        ({"klass": "spoon"}, "there are chair, lamp, mug, table"),
        ({"worst": True}, "inspect .* --score"),
    ],
)
def test_rows_that_are_not_there(mixed, arguments, says):
    with pytest.raises(UsageError, match=says):
        select(mixed[1], **arguments)


def test_originals_and_sources(mixed):
    tiny, path = mixed
    (original,) = Selection(path).load(np.array([65]))
    assert original.method == "original" and original.parent == (5,) and original.names == ("lamp",)
    chosen = select(tiny.source, 4)
    first = chosen.load(chosen.rows)[0]
    assert first.method == "source" and first.parents == () and first.names == ("chair",) and first.lam is None


def test_a_source_that_is_gone_or_another(mixed):
    tiny, path = mixed
    tiny.source.rename(tiny.folder / "moved.h5")
    chosen = select(path, 2)
    assert "--source says where" in chosen.note and chosen.load(chosen.rows)[0].parents == ()
    assert len(select(path, 2, source=[str(tiny.folder / "moved.h5")]).load(np.array([0]))[0].parents) == 2


def test_saliency_of_a_mix_is_that_of_its_origins(mixed):
    chosen = select(mixed[1], rows="0-3,60")
    shown, _ = with_saliency(chosen, chosen.load(chosen.rows))
    for one in shown[:4]:
        own, other = one.parent_saliency
        assert np.isclose(own.sum(), 1, atol=1e-5) and np.isclose(other.sum(), 1, atol=1e-5)
        assert np.allclose(one.saliency, one.lam * own + (1 - one.lam) * other[one.partner])
    assert np.isclose(shown[4].saliency.sum(), 1, atol=1e-5), "an original has its own"


def test_worst_rows_come_from_the_scores(mixed):
    _, path = mixed
    path.with_name("mixed.h5.scores.json").write_text(json.dumps({"worst": [{"row": 9}, {"row": 4}, {"row": 9999}]}))
    assert select(path, 12, worst=True).rows.tolist() == [9, 4]
