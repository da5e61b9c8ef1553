"""Image classifiers: recognised by keys and shapes alone, and computing what the published code computes.

Each family stands here a second time, written from the published code: the keys that it saves, and a forward pass that
reads a state dict by those keys.
"""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mixcli import models
from mixcli.errors import CheckpointError, UsageError
from mixcli.models import checkpoint, registry
from mixcli.models.detection import fits, only
from mixcli.models.fold import autograd_vjp
from mixcli.models.images import LAYOUTS
from mixcli.models.images.folding import folded
from mixcli.models.images.network import run
from mixcli.models.mismatch import mismatch
from mixcli.models.spec import parse, resolved

BY_NAME = {layout.name: layout for layout in LAYOUTS}
FLAT = ("conv1", "conv2", "conv3"), ("bn1", "bn2", "bn3")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """As networks run; the fastest for small ones too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Keys(dict):
    """The keys and shapes of a network's layers."""

    def conv(self, name, inner, outer, kernel, bias=False, groups=1):
        self[f"{name}.weight"] = (outer, inner // groups, kernel, kernel)
        if bias:
            self[f"{name}.bias"] = (outer,)

    def norm(self, name, channels):
        self.update({f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")})
        self[f"{name}.num_batches_tracked"] = ()

    def linear(self, name, inner, outer):
        self[f"{name}.weight"], self[f"{name}.bias"] = (outer, inner), (outer,)


def plan(block, first, start, widths, depths):
    """Prefix, input channels, channels and stride of each block."""
    channels = start
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        for i in range(depth):
            yield block.format(stage + first, i), channels, width, 2 if stage and not i else 1
            channels = width


# What the families save


def post(block, shortcut, head, start, widths, depths, stem=("conv1", "bn1"), kernel=3, names=FLAT, first=1, **rest):
    """``rest``: classes, and for three convolutions ``inner`` channels as a share of the block's, and groups."""
    keys, classes, inner, groups = Keys(), rest.get("classes", 5), rest.get("inner"), rest.get("groups", 1)
    keys.conv(stem[0], 3, start, kernel)
    keys.norm(stem[1], start)
    for at, a, b, stride in plan(block, first, start, widths, depths):
        c = int(b * inner) if inner else b
        sizes = [(a, c, 1, 1), (c, c, 3, groups), (c, b, 1, 1)] if inner else [(a, b, 3, 1), (b, b, 3, 1)]
        for conv, norm, (i, o, k, g) in zip(*names, sizes, strict=False):
            keys.conv(at + conv, i, o, k, groups=g)
            keys.norm(at + norm, o)
        if shortcut and (a != b or stride != 1):
            keys.conv(at + shortcut[0], a, b, 1)
            keys.norm(at + shortcut[1], b)
    keys.linear(head, b, classes)
    return keys


def pre(block, shortcut, head, start, widths, depths, stem=("conv1", None), names=FLAT, first=1, **rest):
    """``rest``: classes, ``inner`` as above, bias, and the name of a final BatchNorm."""
    keys, classes, inner, bias = Keys(), rest.get("classes", 5), rest.get("inner"), rest.get("bias", False)
    keys.conv(stem[0], 3, start, 3, bias)
    if stem[1]:
        keys.norm(stem[1], start)
    for at, a, b, stride in plan(block, first, start, widths, depths):
        c = int(b * inner) if inner else b
        sizes = [(a, c, 1), (c, c, 3), (c, b, 1)] if inner else [(a, b, 3), (b, b, 3)]
        for conv, norm, (i, o, k) in zip(*names, sizes, strict=False):
            keys.norm(at + norm, i)
            keys.conv(at + conv, i, o, k, bias)
        if a != b or stride != 1:
            keys.conv(at + shortcut, a, b, 1, bias)
    if rest.get("final"):
        keys.norm(rest["final"], b)
    keys.linear(head, b, classes)
    return keys


def pyramid(start, alpha, depths, kernel=3, bottleneck=True, classes=5):
    keys, a, width = Keys(), start, float(start)
    keys.conv("conv1", 3, start, kernel)
    keys.norm("bn1", start)
    for stage, depth in enumerate(depths, 1):
        for i in range(depth):
            width += alpha / sum(depths)
            c, at = round(width), f"layer{stage}.{i}."
            sizes = [(a, c, 1), (c, c, 3), (c, 4 * c, 1)] if bottleneck else [(a, c, 3), (c, c, 3)]
            for j, (inner, outer, k) in enumerate(sizes, 1):
                keys.norm(f"{at}bn{j}", inner)
                keys.conv(f"{at}conv{j}", inner, outer, k)
            a = sizes[-1][1]
            keys.norm(f"{at}bn{len(sizes) + 1}", a)
    keys.norm("bn_final", a)
    keys.linear("fc", a, classes)
    return keys


def sequence(name, *places):
    return tuple(f"{name}.{i}" for i in places)


LAYER, DOWNSAMPLE, SHORTCUT = "layer{}.{}.", sequence("downsample", 0, 1), sequence("shortcut", 0, 1)
RESIDUAL = sequence("residual_function", 0, 3, 6), sequence("residual_function", 1, 4, 7)
NEXT = ("conv_reduce", "conv_conv", "conv_expand"), ("bn_reduce", "bn", "bn_expand")
NEXT_STEM = ("conv_1_3x3", "bn_1")
PRE = sequence("residual", 2, 5, 8), sequence("residual", 0, 3, 6)
WIDE = sequence("residual", 2, 6), sequence("residual", 0, 3)

KEYS = {  # layout -> its keys for a width of the stem, widths and depths of the stages
    "preact_resnet": partial(pre, LAYER, "shortcut.0", "linear"),
    "preact_resnet_final_bn": partial(pre, LAYER, "shortcut.0", "linear", final="bn"),
    "preact_resnet_stem_bn": partial(pre, LAYER, "shortcut.0", "linear", stem=("conv1", "bn1")),
    "preact_resnet_weiaicunzai": partial(
        pre, "stage{}.{}.", "shortcut", "linear", stem=("pre.0", "pre.1"), names=PRE, bias=True
    ),
    "resnet": partial(post, LAYER, DOWNSAMPLE, "fc", kernel=7),
    "resnet_3x3": partial(post, LAYER, DOWNSAMPLE, "fc"),
    "resnet_kuangliu": partial(post, LAYER, SHORTCUT, "linear"),
    "resnet_weiaicunzai": partial(
        post, "conv{}_x.{}.", SHORTCUT, "fc", stem=("conv1.0", "conv1.1"), names=RESIDUAL, first=2
    ),
    "resnet_cifar": partial(post, LAYER, None, "linear"),
    "resnet_cifar_b": partial(post, LAYER, SHORTCUT, "linear"),
    "resnet_chenyaofo": partial(post, LAYER, DOWNSAMPLE, "fc"),
    "wrn": partial(pre, LAYER, "shortcut.0", "linear", bias=True, final="bn1"),
    "wrn_xternalz": partial(pre, "block{}.layer.{}.", "convShortcut", "fc", final="bn1"),
    "wrn_augmix": partial(pre, "block{}.layer.{}.", "conv_shortcut", "fc", final="bn1"),
    "wrn_weiaicunzai": partial(
        pre, "conv{}.{}.", "shortcut.0", "linear", stem=("init_conv", None), names=WIDE, first=2, bias=True, final="bn"
    ),
    "resnext": partial(post, "stage_{}.{}.", DOWNSAMPLE, "classifier", stem=NEXT_STEM, names=NEXT),
    "resnext_bearpaw": partial(
        post,
        "stage_{0}.stage_{0}_bottleneck_{1}.",
        ("shortcut.shortcut_conv", "shortcut.shortcut_bn"),
        "classifier",
        stem=NEXT_STEM,
        names=NEXT,
    ),
    "resnext_kuangliu": partial(post, LAYER, SHORTCUT, "linear", kernel=1),
}

FOUR, THREE = (8, 16, 32, 64), (8, 16, 32)
SMALL = {  # every family and both kinds of block, small
    "preact_resnet": ("preact_resnet", KEYS["preact_resnet"](8, FOUR, (2, 1, 1, 2))),
    "preact_resnet 50": ("preact_resnet", KEYS["preact_resnet"](8, (16, 32, 64, 128), (1, 2, 1, 1), inner=0.25)),
    "preact_resnet one width": ("preact_resnet", KEYS["preact_resnet"](8, (8, 8, 8, 8), (1, 1, 1, 1))),
    "preact_resnet_final_bn": ("preact_resnet_final_bn", KEYS["preact_resnet_final_bn"](8, FOUR, (1, 1, 2, 1))),
    "preact_resnet_stem_bn": ("preact_resnet_stem_bn", KEYS["preact_resnet_stem_bn"](8, FOUR, (2, 1, 1, 1))),
    "preact_resnet_weiaicunzai": (
        "preact_resnet_weiaicunzai",
        KEYS["preact_resnet_weiaicunzai"](8, FOUR, (2, 1, 1, 1)),
    ),
    "preact_resnet_weiaicunzai 50": (
        "preact_resnet_weiaicunzai",
        KEYS["preact_resnet_weiaicunzai"](8, (16, 32, 64, 128), (1, 1, 2, 1), inner=0.25),
    ),
    "resnet": ("resnet", KEYS["resnet"](8, FOUR, (2, 1, 1, 1))),
    "resnet 50": ("resnet", KEYS["resnet"](8, (16, 32, 64, 128), (2, 1, 1, 1), inner=0.25)),
    "resnext 50": ("resnet", KEYS["resnet"](8, (16, 32, 64, 128), (1, 1, 1, 2), inner=0.5, groups=4)),
    "resnet_3x3": ("resnet_3x3", KEYS["resnet_3x3"](8, FOUR, (2, 1, 1, 1))),
    "resnet_3x3 50": ("resnet_3x3", KEYS["resnet_3x3"](8, (16, 32, 64, 128), (1, 1, 1, 1), inner=0.25)),
    "resnet_kuangliu": ("resnet_kuangliu", KEYS["resnet_kuangliu"](8, FOUR, (2, 1, 1, 1))),
    "resnet_kuangliu 50": ("resnet_kuangliu", KEYS["resnet_kuangliu"](8, (16, 32, 64, 128), (2, 1, 1, 1), inner=0.25)),
    "resnet_weiaicunzai": ("resnet_weiaicunzai", KEYS["resnet_weiaicunzai"](8, FOUR, (1, 2, 1, 1))),
    "resnet_weiaicunzai 50": (
        "resnet_weiaicunzai",
        KEYS["resnet_weiaicunzai"](8, (16, 32, 64, 128), (1, 2, 1, 1), inner=0.25),
    ),
    "resnet_cifar": ("resnet_cifar", KEYS["resnet_cifar"](8, THREE, (2, 2, 2))),
    "resnet_cifar_b": ("resnet_cifar_b", KEYS["resnet_cifar_b"](8, THREE, (2, 2, 2))),
    "resnet_chenyaofo": ("resnet_chenyaofo", KEYS["resnet_chenyaofo"](8, THREE, (2, 2, 2))),
    "cutmix resnet 164": ("resnet_chenyaofo", KEYS["resnet_chenyaofo"](8, (32, 64, 128), (2, 1, 1), inner=0.25)),
    "wrn": ("wrn", KEYS["wrn"](8, (16, 32, 64), (2, 2, 2))),
    "wrn of width 1": ("wrn", KEYS["wrn"](8, THREE, (1, 1, 1))),
    "wrn_xternalz": ("wrn_xternalz", KEYS["wrn_xternalz"](8, (16, 32, 64), (2, 2, 2))),
    "wrn_augmix": ("wrn_augmix", KEYS["wrn_augmix"](8, (16, 32, 64), (1, 1, 1))),
    "wrn_weiaicunzai": ("wrn_weiaicunzai", KEYS["wrn_weiaicunzai"](8, (16, 32, 64), (2, 2, 2))),
    "resnext": ("resnext", KEYS["resnext"](8, (32, 64, 128), (2, 1, 1), inner=0.5, groups=4)),
    "resnext_bearpaw": ("resnext_bearpaw", KEYS["resnext_bearpaw"](8, (32, 64, 128), (2, 1, 1), inner=0.5, groups=2)),
    "resnext_kuangliu": ("resnext_kuangliu", KEYS["resnext_kuangliu"](8, (16, 32, 64), (1, 1, 2), inner=0.5, groups=4)),
    "pyramidnet": ("pyramidnet", pyramid(8, 20, (2, 2, 2))),
    "pyramidnet basic": ("pyramidnet", pyramid(8, 20, (2, 2, 2), bottleneck=False)),
    "pyramidnet_imagenet": ("pyramidnet_imagenet", pyramid(8, 20, (1, 1, 1, 1), kernel=7)),
}
every = pytest.mark.parametrize("case", SMALL)


def weights(shapes, seed=0):
    """Weights of those shapes that keep activations in the middle of things, in float64."""
    g = torch.Generator().manual_seed(seed)
    state = {}
    for key, shape in shapes.items():
        draw = torch.randn(shape, generator=g, dtype=torch.float64)
        fan = max(int(np.prod(shape[1:])), 1)
        one = f"{key.rpartition('.')[0]}.running_var" in shapes
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(3)
        elif key.endswith("running_var") or (one and key.endswith("weight")):
            state[key] = 0.5 + draw.abs()
        else:
            state[key] = 0.3 * draw if len(shape) == 1 else draw * (2 / fan) ** 0.5
    return state


def network(case, seed=0, **options):
    """A network with its weights, in float64 and eval mode; and those weights."""
    name, shapes = SMALL[case]
    net, state = BY_NAME[name].build(shapes, **options).double().eval(), weights(shapes, seed)
    net.load_state_dict(state)
    return net, state


def images(count=2, high=32, wide=32, seed=5):
    return torch.randn(count, 3, high, wide, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# What the families compute, read from the keys


def conv(s, name, x, stride=1):
    w = s[f"{name}.weight"]
    return F.conv2d(x, w, s.get(f"{name}.bias"), stride, w.shape[2] // 2, 1, x.shape[1] // w.shape[1])


def bn(s, name, x):
    part = (s[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, *part)


def blocks(s, block, first=1):
    """The prefix and stride of each block that the keys show."""
    for stage in range(first, first + 4):
        for i in range(9):
            at = block.format(stage, i)
            if any(key.startswith(at) for key in s):
                yield at, 2 if stage > first and not i else 1


def post_forward(
    s, x, block=LAYER, shortcut=SHORTCUT, stem=("conv1", "bn1"), names=FLAT, first=1, stride=1, pool=False
):
    x = bn(s, stem[1], conv(s, stem[0], x, stride)).relu()
    x = F.max_pool2d(x, 3, 2, 1) if pool else x
    for at, step in blocks(s, block, first):
        (a, b, c), (n, m, o) = [[at + name for name in part] for part in names]
        if f"{c}.weight" in s:
            y = bn(s, n, conv(s, a, x)).relu()
            y = bn(s, m, conv(s, b, y, step)).relu()
            y = bn(s, o, conv(s, c, y))
        else:
            y = bn(s, n, conv(s, a, x, step)).relu()
            y = bn(s, m, conv(s, b, y))
        if shortcut is None and step == 2:
            more = x.shape[1] // 2
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, more, more))
        elif shortcut and f"{at}{shortcut[0]}.weight" in s:
            x = bn(s, at + shortcut[1], conv(s, at + shortcut[0], x, step))
        x = (x + y).relu()
    return x


def pre_forward(s, x, stride=1, raw=False):
    """PreAct-ResNets A, B and C."""
    x = conv(s, "conv1", x, stride)
    x = bn(s, "bn1", x).relu() if "bn1.weight" in s else x
    for at, step in blocks(s, LAYER):
        first = bn(s, f"{at}bn1", x).relu()
        x = conv(s, f"{at}shortcut.0", x if raw else first, step) if f"{at}shortcut.0.weight" in s else x
        three = f"{at}conv3.weight" in s
        y = conv(s, f"{at}conv1", first, 1 if three else step)
        y = conv(s, f"{at}conv2", bn(s, f"{at}bn2", y).relu(), step if three else 1)
        x = x + (conv(s, f"{at}conv3", bn(s, f"{at}bn3", y).relu()) if three else y)
    return bn(s, "bn", x).relu() if "bn.weight" in s else x


def weiaicunzai_preact(s, x):
    x = bn(s, "pre.1", conv(s, "pre.0", x)).relu()
    for at, step in blocks(s, "stage{}.{}."):
        y = conv(s, f"{at}residual.2", bn(s, f"{at}residual.0", x).relu(), step)
        y = conv(s, f"{at}residual.5", bn(s, f"{at}residual.3", y).relu())
        if f"{at}residual.8.weight" in s:
            y = conv(s, f"{at}residual.8", bn(s, f"{at}residual.6", y).relu())
        x = y + (conv(s, f"{at}shortcut", x, step) if f"{at}shortcut.weight" in s else x)
    return x


def puzzlemix_wrn(s, x, stride=1):
    x = conv(s, "conv1", x, stride)
    for at, step in blocks(s, LAYER):
        y = conv(s, f"{at}conv1", bn(s, f"{at}bn1", x).relu())
        y = conv(s, f"{at}conv2", bn(s, f"{at}bn2", y).relu(), step)
        x = y + (conv(s, f"{at}shortcut.0", x, step) if f"{at}shortcut.0.weight" in s else x)
    return bn(s, "bn1", x).relu()


def xternalz_wrn(s, x, shortcut="convShortcut"):
    x = conv(s, "conv1", x)
    for at, step in blocks(s, "block{}.layer.{}."):
        first = bn(s, f"{at}bn1", x).relu()
        y = conv(s, f"{at}conv2", bn(s, f"{at}bn2", conv(s, f"{at}conv1", first, step)).relu())
        x = y + (conv(s, at + shortcut, first, step) if f"{at}{shortcut}.weight" in s else x)
    return bn(s, "bn1", x).relu()


def weiaicunzai_wrn(s, x):
    x = conv(s, "init_conv", x)
    for at, step in blocks(s, "conv{}.{}.", first=2):
        y = conv(s, f"{at}residual.2", bn(s, f"{at}residual.0", x).relu(), step)
        y = conv(s, f"{at}residual.6", bn(s, f"{at}residual.3", y).relu())
        x = y + (conv(s, f"{at}shortcut.0", x, step) if f"{at}shortcut.0.weight" in s else x)
    return bn(s, "bn", x).relu()


def pyramid_forward(s, x):
    imagenet = s["conv1.weight"].shape[2] == 7
    x = bn(s, "bn1", conv(s, "conv1", x, 2 if imagenet else 1))
    x = F.max_pool2d(x.relu(), 3, 2, 1) if imagenet else x
    for at, step in blocks(s, LAYER):
        y = bn(s, f"{at}bn1", x)
        if f"{at}conv3.weight" in s:
            y = bn(s, f"{at}bn2", conv(s, f"{at}conv1", y)).relu()
            y = bn(s, f"{at}bn3", conv(s, f"{at}conv2", y, step)).relu()
            y = bn(s, f"{at}bn4", conv(s, f"{at}conv3", y))
        else:
            y = bn(s, f"{at}bn2", conv(s, f"{at}conv1", y, step)).relu()
            y = bn(s, f"{at}bn3", conv(s, f"{at}conv2", y))
        x = F.avg_pool2d(x, 2, 2, ceil_mode=True) if step == 2 else x
        zeros = x.new_zeros(len(x), y.shape[1] - x.shape[1], *x.shape[2:])
        x = y + torch.cat([x, zeros], 1)
    return bn(s, "bn_final", x).relu()


next_forward = partial(post_forward, stem=NEXT_STEM, names=NEXT)
FEATURES = {
    "preact_resnet": pre_forward,
    "preact_resnet_final_bn": pre_forward,
    "preact_resnet_stem_bn": pre_forward,
    "preact_resnet_weiaicunzai": weiaicunzai_preact,
    "resnet": partial(post_forward, shortcut=DOWNSAMPLE, stride=2, pool=True),
    "resnet_3x3": partial(post_forward, shortcut=DOWNSAMPLE),
    "resnet_kuangliu": post_forward,
    "resnet_weiaicunzai": partial(
        post_forward, block="conv{}_x.{}.", stem=("conv1.0", "conv1.1"), names=RESIDUAL, first=2
    ),
    "resnet_cifar": partial(post_forward, shortcut=None),
    "resnet_cifar_b": post_forward,
    "resnet_chenyaofo": partial(post_forward, shortcut=DOWNSAMPLE),
    "wrn": puzzlemix_wrn,
    "wrn_xternalz": xternalz_wrn,
    "wrn_augmix": partial(xternalz_wrn, shortcut="conv_shortcut"),
    "wrn_weiaicunzai": weiaicunzai_wrn,
    "resnext": partial(next_forward, block="stage_{}.{}.", shortcut=DOWNSAMPLE),
    "resnext_bearpaw": partial(
        next_forward,
        block="stage_{0}.stage_{0}_bottleneck_{1}.",
        shortcut=("shortcut.shortcut_conv", "shortcut.shortcut_bn"),
    ),
    "resnext_kuangliu": post_forward,
    "pyramidnet": pyramid_forward,
    "pyramidnet_imagenet": pyramid_forward,
}


def assert_computes(net, state, features, x):
    """The network's features and logits are these features and their means through the linear layer."""
    torch.testing.assert_close(net.features(x), features, atol=1e-9, rtol=1e-9)
    w = state[f"{net.head}.weight"]
    want = F.linear(features.mean((2, 3)), w, state[f"{net.head}.bias"])
    torch.testing.assert_close(net(x), want, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(net.classify(features), want, atol=1e-9, rtol=1e-9)


# Recognition


RIVALS = ("resnet_huyvnphan", "resnetaa", "resnetblur")  # of equal keys, but with other pools; the user is told


def fitting(shapes, known=LAYOUTS):
    return [layout.name for layout in known if layout.matches(shapes) and layout.name not in RIVALS]


def test_networks_of_equal_keys_are_told():
    """A note names them; the one that keys have always been taken for comes first."""
    state = {key: torch.zeros(shape) for key, shape in SMALL["resnet_3x3"][1].items()}
    fit, others = only("net.pt", list(fits("net.pt", state, LAYOUTS)))
    assert fit.layout.name == "resnet_3x3" and others == ("resnet_huyvnphan",)


def test_every_layout_is_tried_here():
    """The residual families; those that came later have files of their own."""
    assert {name for name, _ in SMALL.values()} == set(FEATURES) <= set(BY_NAME) and len(BY_NAME) == len(LAYOUTS)


@every
def test_exactly_one_network_matches(case):
    name, shapes = SMALL[case]
    everything = {layout.name: layout for layout in (*registry.built_in(), *LAYOUTS)}
    assert len(everything) > len(LAYOUTS)
    assert fitting(shapes, everything.values()) == [name]


@every
def test_what_is_built_is_matched_again(case, tmp_path):
    """Through a file, with the prefix of DataParallel."""
    net, _ = network(case)
    torch.save({"state_dict": {f"module.{k}": v for k, v in net.state_dict().items()}}, tmp_path / "net.pt")
    state, _ = checkpoint.read(tmp_path / "net.pt")
    assert fitting(checkpoint.shapes(state)) == [SMALL[case][0]]


@every
def test_near_misses_match_nothing(case):
    _, shapes = SMALL[case]
    names = [key for key in shapes if not key.endswith("num_batches_tracked")]
    rng = np.random.default_rng(len(case))
    for key in [names[0], names[-1], *rng.choice(names, 2)]:
        other = dict(shapes)
        del other[key]
        bigger = {**shapes, key: (shapes[key][0] + 1, *shapes[key][1:])}
        flat = {**shapes, key: ()}
        none = {**shapes, key: (0, *shapes[key][1:])}
        if key == names[-1]:  # the bias of the classes: no other layer knows their number
            bigger = {**shapes, key: (1, 1)}
        for wrong in (other, bigger, flat, none, {**shapes, f"{key}.more": (1,)}):
            assert not any(layout.matches(wrong) for layout in LAYOUTS), key


@every
def test_checkpoints_of_old_torch_have_no_counters(case):
    name, shapes = SMALL[case]
    old = {key: shape for key, shape in shapes.items() if not key.endswith("num_batches_tracked")}
    assert fitting(old) == [name]


def test_grey_images_are_another_network():
    shapes = {**SMALL["resnet_kuangliu"][1], "conv1.weight": (8, 1, 3, 3)}
    assert not any(layout.matches(shapes) for layout in LAYOUTS)


EIGHTEEN, FIFTY, WIDTHS = (2, 2, 2, 2), (3, 4, 6, 3), (64, 128, 256, 512)
WIDER = tuple(4 * width for width in WIDTHS)


@pytest.mark.parametrize(
    ("name", "shapes", "keys", "parameters"),
    [
        ("preact_resnet", KEYS["preact_resnet"](64, WIDTHS, EIGHTEEN, classes=10), 102, 11_171_146),
        ("preact_resnet_final_bn", KEYS["preact_resnet_final_bn"](64, WIDTHS, EIGHTEEN, classes=10), 107, 11_172_170),
        ("preact_resnet_stem_bn", KEYS["preact_resnet_stem_bn"](64, WIDTHS, EIGHTEEN, classes=10), 107, 11_171_274),
        ("resnet_kuangliu", KEYS["resnet_kuangliu"](64, WIDTHS, EIGHTEEN, classes=10), 122, 11_173_962),
        ("resnet", KEYS["resnet"](64, WIDTHS, EIGHTEEN, classes=1000), 122, 11_689_512),
        ("resnet", KEYS["resnet"](64, WIDER, FIFTY, classes=1000, inner=0.25), 320, 25_557_032),
        ("resnet", KEYS["resnet"](64, WIDER, (3, 4, 23, 3), classes=1000, inner=0.25), 626, 44_549_160),
        ("resnet", KEYS["resnet"](64, WIDER, FIFTY, classes=1000, inner=0.5, groups=32), 320, 25_028_904),
        ("resnet", KEYS["resnet"](64, WIDER, FIFTY, classes=1000, inner=0.5), 320, 68_883_240),
        ("resnet_cifar", KEYS["resnet_cifar"](16, (16, 32, 64), (3, 3, 3), classes=10), 97 + 19, 269_722),
        ("resnet_chenyaofo", KEYS["resnet_chenyaofo"](16, (16, 32, 64), (3, 3, 3), classes=10), 128, 272_474),
        ("wrn", KEYS["wrn"](16, (160, 320, 640), (4, 4, 4), classes=10), 183, 36_489_290),
        ("wrn", KEYS["wrn"](16, (128, 256, 512), (2, 2, 2), classes=10), 99, None),
        ("wrn_xternalz", KEYS["wrn_xternalz"](16, (160, 320, 640), (4, 4, 4), classes=10), 155, 36_479_194),
        ("pyramidnet", pyramid(16, 240, (22, 22, 22), classes=10), None, 26_752_702),
    ],
)
def test_published_sizes(name, shapes, keys, parameters):
    assert fitting(shapes) == [name]
    with torch.device("meta"):
        net = BY_NAME[name].build(shapes)
    state = net.state_dict()
    assert {key: tuple(value.shape) for key, value in state.items()} == shapes
    assert keys in (None, len(state)) and parameters in (None, sum(p.numel() for p in net.parameters()))


# What they compute


@every
@pytest.mark.parametrize("size", [(32, 32), (25, 38)])
def test_forward_is_the_published_one(case, size):
    net, state = network(case)
    x = images(2, *size)
    assert_computes(net, state, FEATURES[SMALL[case][0]](state, x), x)
    assert (net.classes, net.data, net.task) == (5, "images", "classify")


def test_what_keys_do_not_tell():
    """Each option changes what is computed, as the code that it stands for does."""
    x = images(1, 40, 40)
    for case in ("preact_resnet", "preact_resnet_final_bn", "preact_resnet_stem_bn"):
        net, state = network(case, stride=2)
        assert_computes(net, state, pre_forward(state, x, stride=2), x)
        net, state = network(case, raw=True)
        assert_computes(net, state, pre_forward(state, x, raw=True), x)
        assert not torch.allclose(net(x), network(case)[0](x))
    net, state = network("wrn", stride=2)
    assert_computes(net, state, puzzlemix_wrn(state, x, stride=2), x)
    for stride, pool in ((1, True), (2, False), (1, False)):
        for case in ("resnet_3x3", "resnet"):
            net, state = network(case, stride=stride, pool=pool)
            assert_computes(net, state, post_forward(state, x, shortcut=DOWNSAMPLE, stride=stride, pool=pool), x)


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        ("resnet", {"stride": 2, "pool": True, "window": 0}),
        ("resnet:pool=false,stride=1", {"stride": 1, "pool": False, "window": 0}),
        ("resnet_3x3", {"stride": 1, "pool": False, "window": 0}),
        ("resnet_3x3:pool=true", {"stride": 1, "pool": True, "window": 0}),
        ("preact_resnet:stride=2", {"stride": 2, "raw": False, "window": 0}),
        ("preact_resnet_final_bn:raw=true", {"stride": 1, "raw": True, "window": 0}),
        ("wrn:window=8", {"stride": 1, "window": 8}),
        ("pyramidnet_imagenet", {"stride": 2, "window": 0}),
    ],
)
def test_options_of_the_command_line(spec, options):
    wanted = parse(spec)
    layout = BY_NAME[wanted.name]
    assert resolved(wanted, layout.options) == options
    shapes = next(shapes for name, shapes in SMALL.values() if name == wanted.name)
    layout.build(shapes, **options)


def test_last_pool():
    net, state = network("preact_resnet", window=4)
    maps = pre_forward(state, images(2, 44, 44))  # 6 x 6: the published code looks at the first 4 x 4
    want = F.linear(maps[:, :, :4, :4].mean((2, 3)), state["linear.weight"], state["linear.bias"])
    torch.testing.assert_close(net(images(2, 44, 44)), want, atol=1e-9, rtol=1e-9)
    with pytest.raises(UsageError, match=r"window=4 makes 2 x 2 windows of a map of 8 x 8, where .* takes 1;"):
        net(images(2, 64, 64))


def test_a_linear_layer_on_four_windows():
    shapes = {**SMALL["preact_resnet"][1], "linear.weight": (5, 4 * 64)}
    layout = BY_NAME["preact_resnet"]
    assert layout.matches(shapes) and not layout.matches({**shapes, "linear.weight": (5, 3 * 64)})
    net, state = layout.build(shapes).double().eval(), weights(shapes)
    net.load_state_dict(state)
    x = images(2, 64, 64)
    pooled = F.avg_pool2d(pre_forward(state, x), 4)
    want = F.linear(pooled.flatten(1), state["linear.weight"], state["linear.bias"])
    torch.testing.assert_close(net(x), want, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(layout.build(shapes, window=4).double().eval()(x).shape, want.shape)


# Frozen


def gradient(net, x):
    logits, pull = autograd_vjp(net, x)
    return logits, pull(torch.linspace(-1, 1, logits.numel(), dtype=x.dtype).view_as(logits))


@every
def test_frozen_is_equal(case):
    """In float64 nothing is left between the two but rounding, in logits, features and gradients."""
    net, state = network(case)
    fast, x = copy.deepcopy(net).freeze(), images(2)
    for got, want in zip(gradient(fast, x), gradient(net, x), strict=True):
        torch.testing.assert_close(got, want, atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(fast.features(x), net.features(x), atol=1e-10, rtol=1e-10)
    assert not torch.equal(fast(x), net(x))  # so it is another computation
    for key, value in fast.state_dict().items():
        assert torch.equal(value, state[key]), key


@every
def test_frozen_in_single_precision(case):
    net, _ = network(case)
    fast, x = copy.deepcopy(net).float().freeze(), images(2)
    want = net(x)
    assert (fast(x.float()) - want).abs().max() <= 1e-4 * want.abs().max()


@every
def test_frozen_folds_all_it_can(case):
    """A BatchNorm stays where a ReLU or a padded convolution follows it and no convolution leads up to it."""
    net, _ = network(case)
    fast = net.freeze().weights()
    steps = [*fast.stem, *(step for block in fast.blocks for step in (*block.body, *block.shortcut)), *fast.tail]
    left = sum(isinstance(step, torch.nn.BatchNorm2d) for step in steps)
    name = SMALL[case][0]
    if name.startswith("pyramidnet"):
        assert left == 1 + (len(fast.blocks) if "basic" in case else 0)
    elif name.startswith(("preact", "wrn")):
        assert left == len(fast.blocks) + len(fast.tail[:1])
    else:
        assert left == 0


@pytest.mark.parametrize(("groups", "padding", "left"), [(1, 0, 0), (2, 0, 1), (1, 1, 1)])
def test_folding_into_the_convolution_after(groups, padding, left):
    """Zeros at a border are not normalised, so only a convolution without them takes the BatchNorm before it."""
    torch.manual_seed(0)
    norm, layer = torch.nn.BatchNorm2d(4), torch.nn.Conv2d(4, 6, 3, padding=padding, groups=groups)
    for part in (norm.weight, norm.bias, norm.running_mean):
        torch.nn.init.normal_(part)
    steps = [norm.double().eval(), layer.double()]
    fast = folded(steps)
    assert sum(step is norm for step in fast) == left
    x = torch.randn(2, 4, 7, 7, dtype=torch.float64)
    torch.testing.assert_close(run(fast, x), run(steps, x), atol=1e-12, rtol=1e-12)


def test_a_frozen_network_outlives_moves_and_copies():
    net, _ = network("resnet_kuangliu")
    x = images(2)
    want = net(x)
    net.freeze()
    assert not net.training and not any(p.requires_grad for p in net.parameters())
    first = net(x)
    assert net(x).equal(first) and net.freeze()(x).equal(first)
    assert torch.allclose(net.float()(x.float()).double(), want, atol=1e-4)
    assert torch.allclose(net.double()(x), want, atol=1e-4)  # float() lost digits of the weights
    other, _ = network("resnet_kuangliu", seed=1)
    net.load_state_dict(other.state_dict())
    assert torch.allclose(net(x), other(x), atol=1e-10)
    assert torch.allclose(copy.deepcopy(net)(x), other(x), atol=1e-10)


def test_batch_statistics_on_request():
    """In training mode a network uses its batch's statistics, frozen or not."""
    net, _ = network("resnet_cifar")
    x = images(6)
    want = copy.deepcopy(net).train()(x)
    assert not torch.allclose(want, net(x), atol=1e-3)
    assert torch.equal(net.freeze().train()(x), want)


# Really trained


@pytest.fixture(scope="module")
def resnet20(shared):
    """Builds the published ResNet-20."""
    state, _ = checkpoint.read(shared / "data" / "ckpt_images" / "resnet20-12fca82f.th")
    (layout,) = (layout for layout in LAYOUTS if layout.matches(checkpoint.shapes(state)))
    assert (len(state), layout.name) == (97, "resnet_cifar")
    net = layout.build(checkpoint.shapes(state))
    net.load_state_dict(state, strict=False)
    return net.eval()


@pytest.fixture(scope="module")
def recorded(shared):
    """Sixteen test images of CIFAR-10, normalised, their classes, and the recorded maps."""
    golden = dict(np.load(shared / "golden" / "images" / "sage_saliency_resnet20.npz"))
    pixels = torch.tensor(golden["u8"]).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(golden[key])[:, None, None] for key in ("mean", "std"))
    return (pixels - mean) / std, torch.tensor(golden["labels"]), golden


def loss_gradient(net, x, y, kind):
    x = x.clone().requires_grad_()
    logits = net(x)
    wanted = F.one_hot(y, 10).float()
    loss = F.cross_entropy(logits, y) if kind == "ce" else F.binary_cross_entropy(logits.softmax(1), wanted)
    return torch.autograd.grad(loss, x)[0]


def assert_map(found, want, atol=1e-5):
    assert found.shape == want.shape
    assert np.abs(found.numpy() - want).max() <= atol * want.max()


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("kind", ["ce", "bce"])
def test_recorded_saliency(resnet20, recorded, kind, frozen):
    x, y, golden = recorded
    net = copy.deepcopy(resnet20)
    g = loss_gradient(net.freeze() if frozen else net, x, y, kind)
    assert_map(g.abs().mean(1, keepdim=True), golden[f"s_eval_{kind}"])
    assert_map(g.norm(dim=1, keepdim=True), golden[f"s_l2_eval_{kind}"])
    if kind == "ce":
        assert_map(g, golden["grad_eval_ce"])


def test_trained_weights_know_their_classes(resnet20, recorded):
    """These images went through JPEG; the network was trained on others."""
    x, y, _ = recorded
    assert (copy.deepcopy(resnet20).freeze()(x).argmax(1) == y).sum() == 12


def test_recorded_saliency_of_batch_statistics(resnet20, recorded):
    """Here one image's rounding can flip another's ReLU, hence the room."""
    x, y, golden = recorded
    for kind in ("ce", "bce"):
        g = loss_gradient(copy.deepcopy(resnet20).train(), x, y, kind)
        for found, key in ((g.abs().mean(1, keepdim=True), "s_train"), (g.norm(dim=1, keepdim=True), "s_l2_train")):
            assert_map(found, golden[f"{key}_{kind}"], atol=3e-3)


def test_recorded_run_from_image_to_map(resnet20, shared):
    """The blurred map that the recorded SAGE run went on from, as published: of batch statistics."""
    golden = np.load(shared / "golden" / "images" / "sage_e2e_resnet20.npz")
    x, y = torch.tensor(golden["x"]), torch.tensor(golden["y"])
    g = loss_gradient(copy.deepcopy(resnet20).train(), x, y, "bce")
    window = torch.exp(-0.5 * torch.arange(-2.0, 3) ** 2)
    window = (window[:, None] * window / window.sum() ** 2)[None, None]
    s = F.conv2d(F.pad(g.abs().mean(1, keepdim=True), (2, 2, 2, 2), mode="reflect"), window)
    assert_map(s, golden["s_tilde"], atol=5e-5)


@pytest.fixture
def listed(monkeypatch):
    """The networks of images among those that checkpoints are recognised as."""
    if "images" not in registry.BUILT_IN:
        monkeypatch.setattr(registry, "BUILT_IN", (*registry.BUILT_IN, "images"))


def test_from_a_file_to_a_classifier(listed, shared, recorded):
    path = shared / "data" / "ckpt_images" / "resnet20-12fca82f.th"
    found = models.load(path, "resnet_cifar:window=8")
    assert (found.name, found.classes, found.options) == ("resnet_cifar", 10, {"stride": 1, "window": 8})
    assert found.note == "found under 'state_dict'; prefix 'module.' stripped"
    plain = models.load(path)
    assert plain.options == {"stride": 1, "window": 0} and plain.net.data == "images"
    torch.testing.assert_close(found.net(recorded[0]), plain.net(recorded[0]))


def test_what_is_said_of_near_misses(listed):
    shapes = SMALL["preact_resnet"][1]
    grey = {**shapes, "conv1.weight": (8, 1, 3, 3)}
    assert mismatch(None, grey) == (
        "is not quite a preact_resnet: 1 key of another shape (conv1.weight is (8, 1, 3, 3), not (8, 3, 3, 3))"
    )
    wide = {**shapes, "linear.weight": (5, 65)}
    assert "linear.weight is (5, 65), not (5, 64)" in mismatch(BY_NAME["preact_resnet"], wide)
    assert "1 key too many (fc2.weight)" in mismatch(None, {**shapes, "fc2.weight": (2, 2)})
    assert "keys missing (bn1.weight" in mismatch(BY_NAME["resnet_kuangliu"], shapes)


def test_published_wrappers(shared):
    folder = shared / "data" / "ckpt_images" / "wrappers"
    paths = sorted(folder.iterdir())
    assert len(paths) == 7
    x = images(2).float()
    for path in paths:
        file = checkpoint.open_file(path)
        if path.name == "whole_module.pt":
            with pytest.raises(CheckpointError, match=r"is a whole pickled module of class preresnet\.PreActResNet"):
                checkpoint.weights(file)
            continue
        state, _ = checkpoint.weights(file)
        found = [
            (layout.name, part)
            for part, _ in checkpoint.variants(state)
            for layout in LAYOUTS
            if layout.matches(checkpoint.shapes(part))
        ]
        ((name, part),) = found
        net = BY_NAME[name].build(checkpoint.shapes(part))
        net.load_state_dict(part)
        assert name == "preact_resnet" and net.freeze()(x).shape == (2, 10)
