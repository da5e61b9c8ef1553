"""Families of small networks of images: told by keys and shapes alone, and computing what the published codes compute.

The published codes stand beside this file a second time: `published_nets`, `published_branches`, `published_residual`.
"""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import published_branches as branches
import published_nets as nets
import published_residual as residual
import pytest
import torch

from mixcli.errors import CheckpointError
from mixcli.models import images, registry
from mixcli.models.fold import autograd_vjp
from mixcli.models.images.tops import OWN_HEAD
from mixcli.models.mismatch import mismatch
from mixcli.saliency.images import activation, cam

BY_NAME = {layout.name: layout for layout in images.LAYOUTS}
MLP = ("classifier.0", "classifier.3", "classifier.6")
NETS = {  # a case of each family: the layout and the published forward
    "vgg": ("vgg_kuangliu", nets.vgg),
    "vgg without BatchNorm": ("vgg_kuangliu", partial(nets.vgg, norm=False)),
    "vgg meliketoy": ("vgg_meliketoy", partial(nets.vgg, head=("linear",))),
    "vgg with three linear layers": ("vgg_mlp", partial(nets.vgg, head=MLP)),
    "lenet": ("lenet", nets.lenet),
    "alexnet": ("alexnet_bearpaw", nets.alexnet),
    "squeezenet": ("squeezenet_weiaicunzai", nets.squeezenet),
    "mobilenet kuangliu": ("mobilenet_kuangliu", nets.mobilenet_kuangliu),
    "mobilenet weiaicunzai": ("mobilenet_weiaicunzai", nets.mobilenet_weiaicunzai),
    "mobilenet_v2 kuangliu": ("mobilenet_v2_kuangliu", nets.mobilenet_v2_kuangliu),
    "mobilenet_v2 chenyaofo": ("mobilenet_v2_cifar", nets.mobilenet_v2_cifar),
    "mobilenet_v2 weiaicunzai": ("mobilenet_v2_weiaicunzai", nets.mobilenet_v2_weiaicunzai),
    "shufflenet kuangliu": ("shufflenet_kuangliu", nets.shufflenet_kuangliu),
    "shufflenet weiaicunzai": ("shufflenet_weiaicunzai", nets.shufflenet_weiaicunzai),
    "shufflenet_v2 kuangliu": ("shufflenet_v2_kuangliu", nets.shufflenet_v2_kuangliu),
    "shufflenet_v2 chenyaofo": ("shufflenet_v2_cifar", nets.shufflenet_v2),
    "shufflenet_v2 weiaicunzai": (
        "shufflenet_v2_weiaicunzai",
        partial(nets.shufflenet_v2, stem="pre", side="shortcut", body="residual", bias=True, relu=False),
    ),
    "efficientnet": ("efficientnet_kuangliu", nets.efficientnet),
    "densenet kuangliu": ("densenet_kuangliu", branches.densenet_kuangliu),
    "densenet bearpaw": ("densenet_bearpaw", branches.densenet_bearpaw),
    "densenet bearpaw without bottlenecks": ("densenet_bearpaw", partial(branches.densenet_bearpaw, bottleneck=False)),
    "densenet weiaicunzai": ("densenet_weiaicunzai", branches.densenet_weiaicunzai),
    "densenet huyvnphan": ("densenet_huyvnphan", branches.densenet_huyvnphan),
    "googlenet kuangliu": ("googlenet_kuangliu", branches.googlenet_kuangliu),
    "googlenet weiaicunzai": ("googlenet_weiaicunzai", branches.googlenet_weiaicunzai),
    "googlenet huyvnphan": ("googlenet_huyvnphan", branches.googlenet_huyvnphan),
    "inception_v3 huyvnphan": ("inception_v3_huyvnphan", branches.inception_v3_huyvnphan),
    "inception_v3 weiaicunzai": ("inception_v3_weiaicunzai", branches.inception_v3_weiaicunzai),
    "inception_v4": ("inception_v4_weiaicunzai", branches.inception_v4),
    "inception_resnet_v2": ("inception_resnet_v2_weiaicunzai", branches.inception_resnet_v2),
    "xception": ("xception_weiaicunzai", branches.xception),
    "pnasnet a": ("pnasnet_a_kuangliu", branches.pnasnet),
    "pnasnet b": ("pnasnet_b_kuangliu", partial(branches.pnasnet, b=True)),
    "resnet huyvnphan": ("resnet_huyvnphan", residual.resnet_huyvnphan),
    "resnet meliketoy": ("resnet_meliketoy", residual.resnet_meliketoy),
    "resnet meliketoy 50": ("resnet_meliketoy", partial(residual.resnet_meliketoy, three=True)),
    "resnext weiaicunzai": ("resnext_weiaicunzai", residual.resnext_weiaicunzai),
    "preact_resnet bearpaw": ("preact_resnet_bearpaw", residual.preact_resnet_bearpaw),
    "preact_resnet bearpaw 50": ("preact_resnet_bearpaw", partial(residual.preact_resnet_bearpaw, three=True)),
    "stochastic_depth": ("stochastic_depth_weiaicunzai", residual.stochastic_depth),
    "stochastic_depth 50": ("stochastic_depth_weiaicunzai", partial(residual.stochastic_depth, three=True)),
    "regnet x": ("regnet_kuangliu", residual.regnet),
    "regnet y": ("regnet_kuangliu", partial(residual.regnet, gates=True)),
    "senet kuangliu": ("senet_kuangliu", residual.senet_kuangliu),
    "senet weiaicunzai": ("senet_weiaicunzai", residual.senet_weiaicunzai),
    "senet weiaicunzai 50": ("senet_weiaicunzai", partial(residual.senet_weiaicunzai, three=True)),
    "repvgg chenyaofo": ("repvgg_cifar", partial(residual.repvgg, start=6, groups=2)),
    "repvgg chenyaofo a2": ("repvgg_cifar", residual.repvgg),
    "repvgg deployed": ("repvgg_cifar", partial(residual.repvgg, deployed=True)),
    "repvgg": ("repvgg", partial(residual.repvgg, start=6, strides=(2, 2, 2, 2, 2))),
    "dpn": ("dpn_kuangliu", residual.dpn),
    "dla": ("dla_kuangliu", residual.dla),
    "simple dla": ("simple_dla_kuangliu", partial(residual.dla, tree=residual.simple_tree)),
    "residual attention": ("residual_attention_weiaicunzai", residual.residual_attention),
    "rir": ("rir_weiaicunzai", residual.rir),
    "nasnet": ("nasnet_weiaicunzai", residual.nasnet),
}
TWINS = {  # what else has the same keys and shapes, and why no key can tell
    "resnet huyvnphan": ["resnet_3x3"],  # a max-pool
    "mobilenet_v2 chenyaofo": ["mobilenet_v2"],  # strides
    "shufflenet_v2 chenyaofo": ["shufflenet_v2"],  # a stride and a max-pool
    "repvgg chenyaofo a2": ["repvgg"],  # strides; where widths are equal they show by what is added
    "repvgg deployed": ["repvgg"],  # strides
}
every = pytest.mark.parametrize("case", NETS)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def pictures(count=2, side=32):
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


MADE = {}


def made(case):
    """A state dict, and the shapes in it."""
    if case not in MADE:
        state = nets.Made()
        NETS[case][1](state, pictures(1))
        MADE[case] = state
    state = MADE[case]
    return state, {key: tuple(value.shape) for key, value in state.items()}


def network(case):
    state, shapes = made(case)
    net = BY_NAME[NETS[case][0]].build(shapes).double().eval()
    net.load_state_dict(state)
    return net


def gradient(net, x):
    logits, pull = autograd_vjp(net, x)
    return logits, pull(torch.linspace(-1, 1, logits.numel(), dtype=x.dtype).view_as(logits))


def close(got, want, digits=9):
    torch.testing.assert_close(got, want, atol=10.0**-digits * want.abs().max().item(), rtol=0)


def test_every_family_is_tried_here():
    of_blocks = {"preact", "pyramidnet", "resnet", "resnet_cifar", "resnext", "wrn"}
    libraries = {"torchvision", "huggingface"}
    elsewhere = {layout.name for name in of_blocks | libraries for layout in getattr(images, name).LAYOUTS}
    mine = {name for name in set(BY_NAME) - elsewhere if not name.endswith(OWN_HEAD)}
    assert mine <= {name for name, _ in NETS.values()}


@every
def test_the_network_is_told(case):
    """By its keys and shapes alone; and no more than its twins are."""
    _, shapes = made(case)
    known = [*registry.built_in(), *images.LAYOUTS]
    names = {layout.name for layout in known if layout.matches(shapes)}
    assert names == {NETS[case][0], *TWINS.get(case, [])}


@every
def test_it_computes_what_is_published(case):
    """Logits and gradients, in float64, as it is and frozen; float32 within what rounding gives."""
    state, _ = made(case)
    x = pictures()
    want = gradient(lambda x: NETS[case][1](state, x), x)
    net = network(case)
    for got in (gradient(net, x), gradient(copy.deepcopy(net).freeze(), x)):
        for one, other in zip(got, want, strict=True):
            close(one, other)
    assert net.classes == nets.CLASSES == want[0].shape[1]
    fast = net.float().freeze()
    close(fast(x.float()).double(), want[0], digits=4)


@every
def test_near_misses_are_told_apart(case):
    """A weight less, one more, one of another size, or of no size."""
    _, shapes = made(case)
    names = [key for key in shapes if not key.endswith("num_batches_tracked")]
    rng = np.random.default_rng(len(case))
    for key in [names[0], names[-1], *rng.choice(names, 2)]:
        other = {name: shape for name, shape in shapes.items() if name != key}
        if key.endswith("bias") and len(shapes[key.removesuffix("bias") + "weight"]) == 4:
            other = {"more": (1,), **other}  # a convolution without a bias is told by that
        bigger = {**shapes, key: (shapes[key][0] + 1, *shapes[key][1:]) if key != names[-1] else (1, 1)}
        wrongs = [other, bigger, {**shapes, key: ()}, {**shapes, key: (0, *shapes[key][1:])}]
        for wrong in (*wrongs, {**shapes, f"{key}.more": (1,)}):
            assert not any(layout.matches(wrong) for layout in images.LAYOUTS), key
        assert "is " in mismatch(None, other)


@every
def test_hidden_layers(case):
    """Cut anywhere, what is left gives the same logits, and leaves what it is given as it is."""
    net, x = network(case).freeze(), pictures()
    want = net(x)
    for layer in net.layers():
        maps = net.hidden(x, layer)
        kept = maps.clone()
        close(net.rest(maps, layer), want)
        assert torch.equal(maps, kept), layer


@every
def test_nothing_is_left_to_normalise_after_a_convolution(case):
    """Folded, a BatchNorm stands only where none leads up to it, or in front of a padded one."""
    plan = network(case).freeze().weights()
    for steps in chains([*plan.stem, *plan.blocks, *plan.tail]):
        for step, following in zip(steps, steps[1:], strict=False):
            assert not (type(step).__name__ == "Convolution" and isinstance(following, torch.nn.BatchNorm2d))


def chains(steps):
    """All sequences of steps, with those inside of parts."""
    yield steps
    for step in steps:
        for value in vars(step).values() if hasattr(step, "folded") else ():
            inner = [value] if callable(value) else value if isinstance(value, (list, tuple)) else []
            nested = inner if inner and isinstance(inner[0], (list, tuple)) else [inner]
            for chain in nested:
                yield from chains([one for one in chain if callable(one)])


@every
def test_activation_maps(case):
    """Class activation maps where one linear layer follows the pool; of others, a sentence."""
    net, x = network(case).float().freeze(), pictures().float()
    assert activation(net, x).map.shape == (2, 32, 32)
    if hasattr(net, "heads"):
        with pytest.raises(CheckpointError, match=r"linear layers, and class activation maps are of one"):
            cam(net, x)
        return
    label = torch.tensor([1, 2])
    evidence = net.evidence(net.features(x), label)
    torch.testing.assert_close(evidence.mean((1, 2)), net(x)[[0, 1], label], atol=1e-4, rtol=1e-3)
    assert cam(net, x, label).map.shape == (2, 32, 32)


def test_images_of_another_size():
    """Most take any size; LeNet and ResNet in ResNet take the one that they were made for, and say so."""
    assert network("googlenet kuangliu")(pictures(side=48)).shape == (2, nets.CLASSES)
    for case in ("lenet", "rir"):
        with pytest.raises(
            CheckpointError, match=r"takes only images of 32 x 32 pixels, and gets 48 x 48; --size 32x32"
        ):
            network(case)(pictures(side=48))


def test_a_regnet_is_no_resnet():
    """They have the same keys; what differs is how wide a block's last convolution is, and then the strides."""
    _, shapes = made("regnet x")
    resnet = BY_NAME["resnet_kuangliu"]
    assert not resnet.matches(shapes)
    with pytest.raises(ValueError, match=r"layer1\.0\. is a block of a RegNet"):
        resnet.build(shapes)


def test_what_layouts_say_of_their_origins():
    """Repositories, and normalisations that the command line takes too."""
    from mixcli.saliency.normalize import parse

    told = {layout.name: layout.origins for layout in images.LAYOUTS}
    assert [origin.repository for origin in told["vgg_kuangliu"]] == [
        "kuangliu/pytorch-cifar",
        "bearpaw/pytorch-classification",
    ]
    for origin in {origin for origins in told.values() for origin in origins}:
        assert origin.size in (32, 224) and all(parse(text).std for text in origin.normalize)
