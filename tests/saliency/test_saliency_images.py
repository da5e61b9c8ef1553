"""Maps of images: by hand, against plain autograd, and where there is nothing to see."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from test_image_models import every, network, one_thread  # noqa: F401 - a fixture
from test_image_models import images as normal

import mixcli
from mixcli.cli.main import main
from mixcli.datasets.schema import wrong
from mixcli.errors import CheckpointError, UsageError
from mixcli.models.hidden import hidden, layers
from mixcli.models.images.network import ImageNetwork
from mixcli.models.network import Network
from mixcli.models.programs import Program
from mixcli.saliency.images import activation, cam, gradient, without_model
from mixcli.saliency.points import NonFinite


class Net(Network):
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


@pytest.mark.parametrize("size", [(16, 16), (13, 18)])
def test_activation_maps_of_a_layer(size):
    net, _ = network("resnet_cifar")
    net, x = net.freeze(), normal(2, *size)
    for name in layers(net):
        heat = hidden(net, x, name).abs().sum(1, keepdim=True)
        found = activation(net, x, name)
        want = F.interpolate(heat, size, mode="bilinear", align_corners=False)[:, 0]
        assert torch.allclose(found.map, want.float(), rtol=1e-5)
        assert torch.allclose(found.logits.double(), net(x), atol=1e-5)
    last = activation(net, x, "layer3")
    assert torch.equal(last.map, activation(net, x).map), "this network pools what its last stage gives"


def test_activation_maps_of_a_layer_of_a_program(images):
    net = Net().eval()
    found = activation(Program(net, "net.py"), images, "conv")
    assert torch.equal(found.map, net.conv(images).abs().sum(1)) and torch.equal(found.logits, net(images))
    with pytest.raises(CheckpointError, match=r"--layer head: gives shape \(4, 5\), no maps of an image's places"):
        activation(Program(net, "net.py"), images, "head")
    with pytest.raises(UsageError, match="--layer hed: the network has no such layer; did you mean head"):
        activation(Program(net, "net.py"), images, "hed")


# Class activation maps


class Recorded(Network):
    """The end of a network: recorded last feature maps, a pool and a linear layer."""

    evidence, _linear, head, tells_evidence = ImageNetwork.evidence, ImageNetwork._linear, "fc", True

    def __init__(self, golden):
        super().__init__()
        self.maps, self.fc = torch.from_numpy(golden["fmaps"]), torch.nn.Linear(16, 5)
        for name, part in self.fc.named_parameters():
            part.data = torch.from_numpy(golden[f"cls_{name}"])

    def features(self, x):
        return self.maps

    def classify(self, maps):
        return self.fc(maps.mean((2, 3)))


def test_recorded_class_activation_maps(shared):
    golden = np.load(shared / "golden" / "images" / "snapmix.npz")
    found = cam(Recorded(golden).eval(), torch.from_numpy(golden["x"]), torch.from_numpy(golden["y"]))
    share = found.map / found.map.sum((1, 2), keepdim=True)
    assert np.abs(share.numpy() - golden["spm"]).max() <= 1e-6 * golden["spm"].max()


def test_class_activation_by_hand():
    """One place a pixel. Class 1 has the weights 2 and -1 and the bias 10; of what the maps have below 0 nothing is
    taken: 2·3 - 1, 0, 2·1 - 4 and 2·2, less the least of these, -2."""

    class Tiny(Recorded):
        def __init__(self):
            torch.nn.Module.__init__(self)
            self.maps, self.fc = torch.tensor([[[[3.0, -7], [1, 2]], [[1, -1], [4, 0]]]]), torch.nn.Linear(2, 2)
            self.fc.weight.data, self.fc.bias.data = torch.tensor([[9.0, 9], [2, -1]]), torch.tensor([0.0, 10])

    found = cam(Tiny().eval(), torch.zeros(1, 3, 2, 2), torch.tensor([1]))
    assert found.map.tolist() == [[[7, 2], [0, 6]]]
    assert torch.equal(cam(Tiny().eval(), torch.zeros(1, 3, 2, 2)).map, found.map), "class 1 is what it predicts"


@every
def test_the_mean_of_the_evidence_is_the_logit(case):
    """In every layout; the map is rectified for SnapMix only."""
    net, _ = network(case)
    net, x = net.freeze(), normal(3, 16, 20)
    label, maps = torch.tensor([4, 0, 2]), net.features(x)
    evidence = net.evidence(maps, label)
    assert evidence.shape == (3, *maps.shape[2:])
    torch.testing.assert_close(evidence.mean((1, 2)), net(x).gather(1, label[:, None])[:, 0], atol=1e-9, rtol=1e-9)
    found = cam(net, x, label)
    rectified = net.evidence(maps.relu(), label)
    want = F.interpolate(rectified[:, None], x.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    assert torch.allclose(found.map, (want - want.amin((1, 2), keepdim=True)).float(), atol=1e-5)
    assert torch.allclose(found.logits.double(), net(x), atol=1e-5) and (found.map.amin((1, 2)) == 0).all()


def test_a_linear_layer_on_four_windows():
    """Each place counts with the weights of its own window."""
    from test_image_models import BY_NAME, SMALL, weights

    shapes = {**SMALL["preact_resnet"][1], "linear.weight": (5, 4 * 64)}
    net = BY_NAME["preact_resnet"].build(shapes).double().eval()
    net.load_state_dict(weights(shapes))
    x, label = normal(2, 64, 64), torch.tensor([3, 1])
    maps = net.features(x)
    evidence = net.evidence(maps, label)
    torch.testing.assert_close(evidence.mean((1, 2)), net(x).gather(1, label[:, None])[:, 0], atol=1e-9, rtol=1e-9)
    one = net.linear.weight[label].view(2, 64, 2, 2)[:, :, 0, 1]  # of the window to the upper right
    want = 4 * torch.einsum("bchw,bc->bhw", maps[:, :, :4, 4:], one) + net.linear.bias[label][:, None, None]
    torch.testing.assert_close(evidence[:, :4, 4:], want)


def test_class_activation_of_nothing(images, shared):
    golden = np.load(shared / "golden" / "images" / "snapmix.npz")
    net = Recorded({**golden, "fmaps": np.full((4, 16, 7, 7), -1, np.float32)}).eval()
    found = cam(net, images)
    assert found.uniform.all() and (found.map == 1).all()
    net.maps[1, 0, 0, 0] = float("inf")
    with pytest.raises(NonFinite) as caught:
        cam(net, images)
    assert caught.value.rows == [1]


def test_networks_without_a_known_head(images):
    with pytest.raises(CheckpointError, match=r"does not tell its pool and linear layer.*use --saliency gradient"):
        cam(Program(Net().eval(), "net.py"), images)


# In a run


def test_class_activation_for_any_method(gallery):
    result = gallery.mix("sage", "mixed.h5", saliency="cam")
    assert result.manifest["recipe"]["saliency"] == "cam" and result.manifest["checkpoint"]["judged"] == 24
    assert mixcli.verify(result.path, replay=None)["faults"] == []


@pytest.mark.parametrize(
    ("method", "arguments", "sentence"),
    [
        ("saliencygrafting", {"layer": "layer9"}, r"--layer layer9: the network has no such layer; did you mean layer"),
        ("sage", {"layer": "layer2"}, r"--layer layer2: is for --saliency activation, and sage takes gradient maps"),
        ("cutmix", {"layer": "layer2"}, r"--layer layer2: is for --saliency activation, and cutmix takes no maps"),
        ("snapmix", {"layer": "layer2"}, r"--layer layer2: is for --saliency activation, and snapmix takes cam maps"),
    ],
)
def test_a_layer_where_there_is_none(gallery, method, arguments, sentence):
    with pytest.raises(UsageError, match=sentence):
        gallery.mix(method, "mixed.h5", **arguments)
    assert not (gallery.folder / "mixed.h5").exists()


def test_a_layer_of_points(tiny):
    with pytest.raises(UsageError, match="--layer: is for images, and points are mixed; leave it out, or pass --on"):
        tiny.mix("mixed.h5", layer="conv1")


def test_a_layer_on_the_command_line(gallery):
    made = []
    for name in ("layer1", "layer3"):
        out = gallery.folder / f"{name}.h5"
        files = ["--in", str(gallery.source), "--ckpt", str(gallery.ckpt), "--out", str(out)]
        how = ["--normalize", "half", "--window", "8", "--saliency", "activation", "--layer", name]
        done = CliRunner().invoke(main, ["sage", *files, *how])
        assert done.exit_code == 0, done.output
        assert mixcli.verify(out, replay=None)["faults"] == []
        made.append(mixcli.datasets.dataset.Dataset(out))
    assert [one.recipe["layer"] for one in made] == ["layer1", "layer3"]
    assert any((a != b).any() for a, b in zip(*(one.read(0, 24)["data"] for one in made), strict=True))


def test_manifests_of_before_there_were_layers(gallery):
    import h5py

    result = gallery.mix("saliencygrafting", "mixed.h5")
    manifest = result.manifest
    assert manifest["recipe"].pop("layer") is None and list(wrong(manifest)) == []
    with h5py.File(result.path, "r+") as file:
        text = file.attrs["mixcli"]
        assert '"layer": null' in text
        file.attrs["mixcli"] = text.replace('"layer": null, ', "").replace(', "layer": null', "")
    assert "layer" not in mixcli.datasets.dataset.Dataset(result.path).recipe
    assert mixcli.verify(result.path, replay=None)["faults"] == []
    manifest["recipe"]["layer"] = 3
    assert list(wrong(manifest)) == ["'recipe.layer' is not a text"]


def test_nothing_salient_is_uniform():
    found = without_model(torch.zeros(2, 3, 3).index_fill(0, torch.tensor([1]), 2.0))
    assert found.uniform.tolist() == [True, False]
    assert found.map[0].tolist() == [[1.0] * 3] * 3 and found.map[1, 0, 0] == 2


def test_an_image_that_is_not_finite(images):
    images[2, 0, 0, 0] = float("nan")
    with pytest.raises(NonFinite) as caught:
        gradient(Net().eval(), images)
    assert caught.value.rows == [2]
