"""Hidden layers: against networks of plain torch with forward hooks, which have the same keys and weights."""

import copy

import pytest
import torch
from test_image_models import BY_NAME, SMALL, every, images, network, one_thread  # noqa: F401 - a fixture
from torch import nn

from mixcli import models
from mixcli.errors import CheckpointError, UsageError
from mixcli.models.hidden import both, check, hidden, layers, rest
from mixcli.models.programs import Program


class Preact(nn.Module):
    """A block as kuangliu's code has it."""

    def __init__(self, inner, outer, stride):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inner), nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.bn2, self.conv2 = nn.BatchNorm2d(outer), nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        if stride != 1 or inner != outer:
            self.shortcut = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False))

    def forward(self, x):
        out = self.bn1(x).relu()
        side = self.shortcut(out) if hasattr(self, "shortcut") else x
        return self.conv2(self.bn2(self.conv1(out)).relu()) + side


class Post(nn.Module):
    """A block as torchvision's code has it."""

    def __init__(self, inner, outer, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer)
        self.conv2, self.bn2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False), nn.BatchNorm2d(outer)
        if stride != 1 or inner != outer:
            self.downsample = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))

    def forward(self, x):
        side = self.downsample(x) if hasattr(self, "downsample") else x
        return (self.bn2(self.conv2(self.bn1(self.conv1(x)).relu_())) + side).relu_()


class Plain(nn.Module):
    """A network of four stages, written the usual way."""

    def __init__(self, block, depths, head):
        super().__init__()
        post, channels, self.head = block is Post, 8, head
        self.conv1 = nn.Conv2d(3, 8, 7 if post else 3, 2 if post else 1, 3 if post else 1, bias=False)
        if post:
            self.bn1, self.maxpool = nn.BatchNorm2d(8), nn.MaxPool2d(3, 2, 1)
        for stage, depth in enumerate(depths, 1):
            outer, made = 8 * 2 ** (stage - 1), []
            for i in range(depth):
                made.append(block(channels, outer, 2 if stage > 1 and i == 0 else 1))
                channels = outer
            self.add_module(f"layer{stage}", nn.Sequential(*made))
        self.add_module(head, nn.Linear(64, 5))

    def forward(self, x):
        x = self.conv1(x)
        if hasattr(self, "bn1"):
            x = self.maxpool(self.bn1(x).relu_())
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.get_submodule(self.head)(x.mean((2, 3)))


PLAIN = {"preact_resnet": (Preact, (2, 1, 1, 2), "linear"), "resnet": (Post, (2, 1, 1, 1), "fc")}


def seen(net, x, name):
    """What a forward hook on a module gets, before anything works in place on it."""
    found = []
    handle = net.get_submodule(name).register_forward_hook(lambda module, args, out: found.append(out.clone()))
    net(x)
    handle.remove()
    return found[-1]


@pytest.mark.parametrize("case", PLAIN)
@pytest.mark.parametrize("size", [(32, 32), (25, 38)])
def test_what_a_forward_hook_sees(case, size):
    net, state = network(case)
    plain = Plain(*PLAIN[case]).double().eval()
    plain.load_state_dict(state)
    fast, x = copy.deepcopy(net).freeze(), images(2, *size)
    assert len(layers(net)) == 1 + 4 + sum(PLAIN[case][1])
    for name in layers(net):
        want = seen(plain, x, name)
        for one in (net, fast):
            torch.testing.assert_close(hidden(one, x, name), want, atol=1e-10, rtol=1e-10)
        torch.testing.assert_close(hidden(plain, x, name), want, atol=0, rtol=0)


def test_in_single_precision():
    net, _ = network("resnet")
    fast, x = copy.deepcopy(net).float().freeze(), images(2)
    for name in layers(net):
        want = hidden(net, x, name)
        assert (hidden(fast, x.float(), name) - want).abs().max() <= 1e-5 * want.abs().max()


@every
@pytest.mark.parametrize("frozen", [False, True])
def test_the_rest_leads_to_the_same_logits(case, frozen):
    net, _ = network(case)
    x = images(1, 16, 19)
    want, net = net(x), net.freeze() if frozen else net
    for name in layers(net):
        state = hidden(net, x, name)
        before = state.clone()
        torch.testing.assert_close(rest(net, state, name), want, atol=1e-9, rtol=1e-9)
        assert torch.equal(state, before), f"{name}: what was given is left as it is"
    maps, logits = both(net, x, name)
    assert torch.equal(maps, state) and torch.equal(logits, rest(net, state, name))


@every
def test_names_are_those_of_the_keys(case):
    """In the order of the keys, each with weights under it; no convolution of a block is without a name above it."""
    net, state = network(case)
    names, keys = layers(net), list(state)
    first = [next(i for i, key in enumerate(keys) if key.startswith(f"{name}.")) for name in names]
    assert first == sorted(first) and len(set(names)) == len(names)
    left = [key for key in keys if not any(key.startswith(f"{name}.") for name in names)]
    assert {key.rpartition(".")[0] for key in left} <= {net.head, "bn1", "bn_1", "bn", "bn_final"}


@pytest.mark.parametrize(
    ("case", "names"),
    [
        ("preact_resnet_stem_bn", "conv1 layer1 layer1.0 layer1.1 layer2 layer2.0 layer3 layer3.0 layer4 layer4.0"),
        ("wrn_augmix", "conv1 block1 block1.layer block1.layer.0 block2 block2.layer block2.layer.0 "
         "block3 block3.layer block3.layer.0"),
        ("resnet_weiaicunzai", "conv1 conv1.0 conv2_x conv2_x.0 conv3_x conv3_x.0 conv3_x.1 conv4_x conv4_x.0 "
         "conv5_x conv5_x.0"),
        ("preact_resnet_weiaicunzai", "pre pre.0 stage1 stage1.0 stage1.1 stage2 stage2.0 stage3 stage3.0 stage4 "
         "stage4.0"),
        ("resnext_bearpaw", "conv_1_3x3 stage_1 stage_1.stage_1_bottleneck_0 stage_1.stage_1_bottleneck_1 stage_2 "
         "stage_2.stage_2_bottleneck_0 stage_3 stage_3.stage_3_bottleneck_0"),
        ("pyramidnet_imagenet", "conv1 layer1 layer1.0 layer2 layer2.0 layer3 layer3.0 layer4 layer4.0"),
    ],
)  # fmt: skip
def test_the_names(case, names):
    assert layers(network(case)[0]) == tuple(names.split())


def test_a_holder_of_the_first_convolution_ends_with_the_stem():
    """In weiaicunzai's ResNet conv1 holds a convolution, its BatchNorm and a ReLU."""
    net, state = network("resnet_weiaicunzai")
    x = images(2)
    inner = nn.functional.conv2d(x, state["conv1.0.weight"], padding=1)
    torch.testing.assert_close(hidden(net.freeze(), x, "conv1.0"), inner, atol=1e-10, rtol=1e-10)
    norm = [state[f"conv1.1.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
    want = nn.functional.batch_norm(inner, *norm).relu()
    torch.testing.assert_close(hidden(net, x, "conv1"), want, atol=1e-10, rtol=1e-10)


def test_batch_statistics_on_request():
    net, _ = network("resnet")
    x = images(6)
    want = hidden(copy.deepcopy(net).train(), x, "layer2")
    assert torch.equal(hidden(net.freeze().train(), x, "layer2"), want)
    assert not torch.allclose(hidden(net.eval(), x, "layer2"), want, atol=1e-3)


def test_other_networks_are_hooked():
    plain = Plain(*PLAIN["preact_resnet"]).double().eval()
    program, x = Program(plain, "net.py"), images(3)
    assert "layer2.0.conv1" in layers(program) and "" not in layers(program)
    for name in ("conv1", "layer1.1.bn2", "layer3"):
        maps, logits = both(program, x, name)
        assert torch.equal(maps, seen(plain, x, name)) and torch.equal(logits, plain(x))
        assert torch.equal(hidden(program, x, name), maps)
    assert not any(module._forward_hooks for module in plain.modules()), "no hook stays"
    with pytest.raises(CheckpointError, match="--layer layer3: only mixcli's own networks can be run from a layer on"):
        rest(program, maps, "layer3")


def test_in_place_work_behind_a_layer_does_not_reach_it():
    plain, x = Plain(*PLAIN["resnet"]).double().eval(), images(2)
    assert (hidden(Program(plain, "net.py"), x, "bn1") < 0).any()


def test_hooks_of_several_threads_do_not_meet():
    from concurrent.futures import ThreadPoolExecutor

    program = Program(Plain(*PLAIN["preact_resnet"]).double().eval(), "net.py")
    batches = [images(2, 24, 24, seed) for seed in range(24)]
    want = [hidden(program, x, "layer2") for x in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda x: hidden(program, x, "layer2"), batches))
    assert all(map(torch.equal, found, want))


class Spare(nn.Module):
    """A network with a layer that is never called and one that gives two tensors."""

    def __init__(self):
        super().__init__()
        self.never, self.linear, self.two = nn.Linear(2, 2), nn.Linear(3, 4), nn.LSTM(3, 3, batch_first=True)

    def forward(self, x):
        return self.linear(self.two(x.mean(3).transpose(1, 2))[0].mean(1))


def test_layers_that_a_hook_cannot_see():
    x, spare = images(2).float(), Spare().eval()
    with pytest.raises(CheckpointError, match="--layer never: cannot be seen from outside"):
        hidden(Program(spare, "net.py"), x, "never")
    with pytest.raises(CheckpointError, match="--layer two: does not give one tensor for the whole batch"):
        hidden(Program(spare, "net.py"), x, "two")
    scripted = torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    assert layers(Program(scripted, "net.pt")) == ("0", "1", "2")
    with pytest.raises(CheckpointError, match=r"--layer 0: cannot be seen from outside: .* TorchScript"):
        hidden(Program(scripted, "net.pt"), x, "0")


def test_a_misspelt_layer():
    net, x = network("preact_resnet")[0], images(1)
    listed = "did you mean layer3.* it has conv1, layer1, layer1.0, layer1.1, layer2, layer2.0, .*layer4.1$"
    for ask in (lambda: check(net, "layr3"), lambda: hidden(net, x, "layr3"), lambda: rest(net, x, "layr3")):
        with pytest.raises(UsageError, match=f"--layer layr3: the network has no such layer; {listed}"):
            ask()
    with pytest.raises(UsageError, match="no such layer; it has conv1, layer1, "):
        check(net, "?")
    with pytest.raises(UsageError, match=r"it has 0, 1, .*, 23 and 7 more$"):
        check(nn.Sequential(*(nn.ReLU() for _ in range(31))), "relu")
    with pytest.raises(UsageError, match=r"it has none by name$"):
        check(nn.ReLU(), "relu")
    check(net, "layer3")


def test_of_a_checkpoint(tmp_path):
    """Through a file, as a run has it: frozen."""
    net, _ = network("resnet_cifar")
    torch.save({"state_dict": {f"module.{k}": v for k, v in net.state_dict().items()}}, tmp_path / "net.pt")
    loaded, x = models.load(tmp_path / "net.pt").net.double(), images(2)
    assert layers(loaded) == layers(BY_NAME["resnet_cifar"].build(SMALL["resnet_cifar"][1]))
    torch.testing.assert_close(hidden(loaded, x, "layer2"), hidden(net, x, "layer2"), atol=1e-4, rtol=0)
