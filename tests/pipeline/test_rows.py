"""RowMaker from mixes and from samples, by hand."""

import numpy as np
import pytest
import torch

from mixcli.data.fields import Mixing, PerPoint, cloud_fields
from mixcli.data.points import Mixed
from mixcli.pipeline.rows import RowMaker, parents_of

POINTS = 2


class Labels:
    """A source of three samples, of classes 0, 1 and 2."""

    labels, is_soft = np.array([0, 1, 2]), False


def mix(value, **more):
    """Of two pairs, a quarter of parent a."""
    weight, index = torch.tensor([[0.25, 0.75]] * 2).double(), torch.zeros(2, POINTS, 2).long()
    data = torch.full((2, POINTS, 3), float(value)) + torch.tensor([0.0, 0.5])[:, None, None]
    return Mixed(data, weight, torch.full((2, POINTS), 0.25), torch.full((2, 1), float(value)), index, **more)


@pytest.fixture
def rows():
    return RowMaker(Labels(), 3, cloud_fields(POINTS, Mixing(3, draws=1), PerPoint(keep=("point_source",))))


def test_the_mixes_of_a_pair_follow_each_other(rows):
    pairs = np.array([[0, 1], [1, 2]])
    made = rows.mixed([mix(10), mix(20)], np.stack([pairs, pairs], 1))
    assert made["data"][:, 0, 0].tolist() == [10, 20, 10.5, 20.5]
    assert made["parent"].tolist() == [[0, 1], [0, 1], [1, 2], [1, 2]]
    assert made["parent_label"].tolist() == made["parent"].tolist()
    assert made["label"].tolist() == [1, 1, 2, 2] and made["soft_label"][0].tolist() == [0.25, 0.75, 0]
    assert {f.name: made[f.name].dtype.str for f in rows.fields} == {f.name: f.dtype for f in rows.fields}


def test_a_group_names_its_own_parents():
    members = torch.tensor([[0, 1], [1, -1]])
    assert parents_of(mix(0, members=members), np.array([[7], [5]])).tolist() == [[7, 5], [5, -1]]
    pairs = np.array([[7, 5], [5, 7]])
    assert parents_of(mix(0), pairs) is pairs


def test_samples_by_themselves(rows):
    cloud = np.arange(12.0).reshape(2, POINTS, 3)
    told = {"data": cloud, "point_weight": np.ones((2, POINTS)), "point_source": np.array([[0, 1]] * 2)}
    made = rows.originals(told, np.array([2, 0]))
    assert made["parent"].tolist() == [[2, -1], [0, -1]] and made["weight"].tolist() == [[1, 0], [1, 0]]
    assert made["label"].tolist() == [2, 0] and np.isnan(made["draw"]).all()
    assert made["point_source"].tolist() == [[[0, -1], [1, -1]]] * 2 and told["point_source"].ndim == 2
