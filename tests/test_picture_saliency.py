"""Maps of images: by hand, against plain autograd, and where there is nothing to see."""

import pytest
import torch

from mixcli.errors import CheckpointError
from mixcli.picture_saliency import activation, gradient, without_model
from mixcli.saliency import NonFinite


class Net(torch.nn.Module):
    """A small convolutional classifier."""

    def __init__(self, gain=1.0):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head, self.gain = torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Linear(4, 5), gain

    def features(self, x):
        return self.conv(x).relu()

    def classify(self, maps):
        return self.gain * self.head(maps.mean((2, 3)))

    def forward(self, x):
        return self.classify(self.features(x))


@pytest.fixture
def images():
    return torch.rand(4, 3, 6, 7, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("norm", ["l2", "l1", "rms"])
def test_the_gradient_of_the_cross_entropy(images, norm):
    net, label = Net().eval(), torch.tensor([0, 1, 2, 3])
    x = images.clone().requires_grad_()
    torch.nn.functional.cross_entropy(net(x), label, reduction="sum").backward()
    size = {"l2": x.grad.norm(dim=1), "l1": x.grad.abs().sum(1), "rms": x.grad.square().mean(1).sqrt()}[norm]
    found = gradient(net, images, label, norm)
    shares, expected = (m / m.sum((1, 2), keepdim=True) for m in (found.map, size))
    assert torch.allclose(shares, expected, atol=1e-6)
    assert torch.equal(found.logits, net(images)) and not found.uniform.any()


def test_a_sure_model_still_looks_somewhere(images):
    """At margins of hundreds the loss's gradient underflows; its direction does not."""
    sure = Net(gain=600.0).eval()
    label = sure(images).argmax(1)
    found, plain = gradient(sure, images, label), gradient(Net().eval(), images, label)
    assert found.map.isfinite().all() and not found.uniform.any()
    assert plain.map.isfinite().all()


def test_towards_the_models_own_prediction(images):
    net = Net().eval()
    assert torch.equal(gradient(net, images).map, gradient(net, images, net(images).argmax(1)).map)


def test_activation_maps(images):
    net = Net().eval()
    assert torch.allclose(activation(net, images).map, net.features(images).abs().sum(1))
    with pytest.raises(CheckpointError, match="use --saliency gradient"):
        activation(torch.nn.Flatten().eval(), images)


def test_nothing_salient_is_uniform():
    found = without_model(torch.zeros(2, 3, 3).index_fill(0, torch.tensor([1]), 2.0))
    assert found.uniform.tolist() == [True, False]
    assert found.map[0].tolist() == [[1.0] * 3] * 3 and found.map[1, 0, 0] == 2


def test_an_image_that_is_not_finite(images):
    images[2, 0, 0, 0] = float("nan")
    with pytest.raises(NonFinite) as caught:
        gradient(Net().eval(), images)
    assert caught.value.rows == [2]
