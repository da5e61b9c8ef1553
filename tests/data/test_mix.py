import torch

from mixcli.data.images import MixedImages
from mixcli.data.points import Mixed


def clouds() -> Mixed:
    index = torch.arange(12).view(2, 3, 2)
    return Mixed(torch.rand(2, 3, 3), torch.rand(2, 2), torch.rand(2, 3), torch.rand(2, 1), index, seg=index)


def test_a_row_is_a_batch_of_one_with_all_that_the_mix_has():
    mix = clouds()
    row = mix.row(1)
    assert isinstance(row, Mixed) and torch.equal(row.data, mix.data[1:]) and torch.equal(row.seg, mix.seg[1:])
    assert row.normal is row.members is row.saliency is None


def test_tensors_go_by_the_names_of_fields():
    mix = clouds()
    told = mix.by_field()
    assert told["point_source"] is mix.index and told["point_weight"] is mix.point_weight and told["query"] is None
    images = MixedImages(torch.rand(1, 2, 2, 3), torch.rand(1, 2), None, torch.rand(1, 0), members=torch.zeros(1, 2))
    assert "point_source" not in images.by_field() and images.by_field()["members"] is images.members


def test_what_differs_comes_before_what_is_rare():
    """Methods of other packages make mixes by position."""
    data, weight, own, draw = torch.rand(1, 2, 3), torch.rand(1, 2), torch.rand(1, 2), torch.rand(1, 1)
    mix = Mixed(data, weight, own, draw, torch.zeros(1, 2, 2).long())
    assert mix.point_weight is own and mix.draw is draw
    assert MixedImages(data, weight, own, draw).mask is own
