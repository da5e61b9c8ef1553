"""Which networks a checkpoint's weights fit: all of them, in order."""

import torch
from torch import nn

from mixcli.models.detection import fits
from mixcli.models.dgcnn import DGCNN
from mixcli.models.layout import Layout, layout
from mixcli.models.registry import built_in


def build(shapes):
    return nn.Sequential(nn.Linear(shapes["0.weight"][1], shapes["0.weight"][0]))


def test_every_network_that_fits_is_found():
    state = {"module.0.weight": torch.ones(2, 3), "module.0.bias": torch.zeros(2)}
    known = [layout("one", build), layout("none", lambda shapes: nn.Linear(1, 1)), layout("two", build)]
    found = list(fits("net.pt", state, known))
    assert [(fit.layout.name, fit.prefix) for fit in found] == [("one", "module."), ("two", "module.")]
    assert all(list(fit.state) == ["0.weight", "0.bias"] for fit in found)


def test_the_fewest_prefixes_come_first():
    state = {"net.net.weight": torch.ones(2, 3)}
    anything = Layout("any", lambda shapes: True, build)
    assert [fit.prefix for fit in fits("net.pt", state, [anything])] == ["", "net.", "net.net."]


def test_own_networks_are_found_once():
    state = DGCNN(classes=3, widths=(4, 4, 4, 4), emb=8, hidden=(6, 5)).state_dict()
    assert [fit.layout.name for fit in fits("net.pt", state, built_in())] == ["dgcnn"]
