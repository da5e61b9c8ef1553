import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mixcli.data.fields import Mixing, cloud_fields, labels


@given(st.integers(2, 8), st.integers(1, 20), st.integers(0, 99))
def test_soft_labels_are_distributions_and_their_argmax_the_label(classes, rows, seed):
    rng = np.random.default_rng(seed)
    parent_label, lam = rng.integers(0, classes, (rows, 2)), rng.random(rows)
    soft, hard = labels(parent_label, np.stack([lam, 1 - lam], 1), classes)
    assert soft.dtype == np.float32 and np.allclose(soft.sum(1), 1, atol=1e-6) and (soft >= 0).all()
    assert (soft[np.arange(rows), hard] == soft.max(1)).all()


def test_ties_go_to_parent_a():
    _, hard = labels(np.array([[2, 0], [0, 2]]), np.full((2, 2), 0.5), 3)
    assert hard.tolist() == [2, 0]


def test_an_unused_parent_gives_nothing():
    soft, hard = labels(np.array([[1, -1]]), np.array([[1.0, 0.0]]), 2)
    assert soft.tolist() == [[0, 1]] and hard.tolist() == [1]


def test_same_class_is_exactly_one():
    soft, _ = labels(np.array([[1, 1]]), np.array([[0.1, 0.9]]), 2)
    assert soft[0, 1] == 1


def test_row_bytes():
    fields = cloud_fields(1024, Mixing(40, draws=2, query=True))
    assert sum(f.row_bytes for f in fields) == 1024 * 16 + 8 + 160 + 32 + 8 + 8 + 8
