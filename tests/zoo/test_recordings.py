"""Recorded networks of seven repositories that no library has: each loads, and computes what the recording says.

The recordings are made by the repositories' own code; a file is wrapped as the repository saves it.
"""

from __future__ import annotations

import pytest
import torch
from recorded import Recording

from mixcli import models
from mixcli.models import images
from mixcli.models.checkpoint import shapes

LOADED = (  # layout, repository, and which of its recordings that layout is for
    ("alexnet_bearpaw", "bearpaw", "alexnet"),
    ("densenet_bearpaw", "bearpaw", "densenet100_bc densenet40_k12"),
    ("densenet_huyvnphan", "huyvnphan", "densenet121"),
    ("densenet_kuangliu", "kuangliu", "DenseNet121 densenet_cifar"),
    ("densenet_weiaicunzai", "weiaicunzai", "densenet121"),
    ("dpn_kuangliu", "kuangliu", "DPN92"),
    ("googlenet_huyvnphan", "huyvnphan", "googlenet"),
    ("googlenet_kuangliu", "kuangliu", "GoogLeNet"),
    ("googlenet_weiaicunzai", "weiaicunzai", "googlenet"),
    ("inception_v3_weiaicunzai", "weiaicunzai", "inceptionv3"),
    ("inception_v4_weiaicunzai", "weiaicunzai", "inceptionv4"),
    ("lenet", "kuangliu", "LeNet"),
    ("lenet", "meliketoy", "lenet"),
    ("mobilenet_v2_cifar", "chenyaofo", "cifar100_mobilenetv2_x1_4 cifar10_mobilenetv2_x0_5"),
    ("mobilenet_v2_cifar", "huyvnphan", "mobilenet_v2"),
    ("mobilenet_v2_kuangliu", "kuangliu", "MobileNetV2"),
    ("mobilenet_v2_weiaicunzai", "weiaicunzai", "mobilenetv2"),
    ("pnasnet_a_kuangliu", "kuangliu", "PNASNetA"),
    ("preact_resnet", "kuangliu", "PreActResNet18 PreActResNet34 PreActResNet50"),
    ("preact_resnet_bearpaw", "bearpaw", "preresnet110_bottleneck preresnet20"),
    ("preact_resnet_weiaicunzai", "weiaicunzai", "preactresnet50"),
    ("regnet_kuangliu", "kuangliu", "RegNetX_400MF RegNetY_400MF"),
    ("repvgg_cifar", "chenyaofo", "cifar10_repvgg_a0"),
    ("residual_attention_weiaicunzai", "weiaicunzai", "attention56"),
    ("resnet_chenyaofo", "bearpaw", "resnet110_basic resnet164_bottleneck resnet29_bottleneck"),
    ("resnet_chenyaofo", "chenyaofo", "cifar10_resnet20"),
    ("resnet_cifar", "akamaster", "resnet20 resnet32 resnet44"),
    ("resnet_huyvnphan", "huyvnphan", "resnet50"),
    ("resnet_kuangliu", "kuangliu", "ResNet101 ResNet18 ResNet34 ResNet50"),
    ("resnet_meliketoy", "meliketoy", "resnet18"),
    ("resnet_weiaicunzai", "weiaicunzai", "resnet18 resnet34"),
    ("resnext_bearpaw", "bearpaw", "resnext29_8x64"),
    ("resnext_kuangliu", "kuangliu", "ResNeXt29_4x64d"),
    ("resnext_weiaicunzai", "weiaicunzai", "resnext50"),
    ("rir_weiaicunzai", "weiaicunzai", "resnet_in_resnet"),
    ("senet_kuangliu", "kuangliu", "SENet18"),
    ("senet_weiaicunzai", "weiaicunzai", "seresnet18 seresnet50"),
    ("shufflenet_v2_cifar", "chenyaofo", "cifar100_shufflenetv2_x1_0"),
    ("shufflenet_v2_kuangliu", "kuangliu", "ShuffleNetV2_1.5"),
    ("shufflenet_v2_weiaicunzai", "weiaicunzai", "shufflenetv2"),
    ("shufflenet_weiaicunzai", "weiaicunzai", "shufflenet"),
    ("simple_dla_kuangliu", "kuangliu", "SimpleDLA"),
    ("vgg_kuangliu", "bearpaw", "vgg16 vgg16_bn"),
    ("vgg_kuangliu", "kuangliu", "VGG11 VGG13 VGG19"),
    ("vgg_meliketoy", "meliketoy", "vgg16"),
    ("vgg_mlp", "chenyaofo", "cifar100_vgg16_bn cifar10_vgg11_bn cifar10_vgg19_bn"),
    ("vgg_mlp", "huyvnphan", "vgg11_bn vgg16_bn"),
    ("vgg_mlp", "weiaicunzai", "vgg13_bn vgg19_bn"),
    ("wrn", "meliketoy", "wide_resnet16x4 wide_resnet28x2"),
    ("wrn_weiaicunzai", "weiaicunzai", "wideresnet"),
    ("xception_weiaicunzai", "weiaicunzai", "xception"),
)
EXPECTED = {f"{repository}__{name}": layout for layout, repository, names in LOADED for name in names.split()}
SEVERAL = {  # recordings that other layouts fit too, which differ in what no key tells
    "huyvnphan__resnet50": ["resnet_3x3"],  # whether a max-pool follows the first convolution
    "huyvnphan__mobilenet_v2": ["mobilenet_v2"],  # strides, here and in the next two
    "chenyaofo__cifar10_mobilenetv2_x0_5": ["mobilenet_v2"],
    "chenyaofo__cifar100_mobilenetv2_x1_4": ["mobilenet_v2"],
    "chenyaofo__cifar100_shufflenetv2_x1_0": ["shufflenet_v2"],  # strides and a max-pool
}
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", EXPECTED)
def test_it_loads_and_computes_the_same(name, shared, tmp_path):
    recording = Recording.read(shared, name)
    spec = EXPECTED[name] if name in SEVERAL else None
    found = models.load(recording.save(tmp_path), spec, False, "images")
    assert (found.name, found.classes) == (EXPECTED[name], recording.spec["classes"])
    logits, saliency = recording.differs(found.net)
    assert logits <= 1e-4 and saliency <= 2e-2


@pytest.mark.parametrize("name", EXPECTED)
def test_which_layouts_fit(name, shared):
    """One, or several that are known."""
    state = shapes(Recording.read(shared, name).state)
    fitting = {layout.name for layout in images.LAYOUTS if layout.matches(state)}
    assert fitting == {EXPECTED[name], *SEVERAL.get(name, [])}


def test_all_recordings_of_these_repositories_are_tried(shared):
    repositories = {repository for _, repository, _ in LOADED}
    found = {path.stem for path in (shared / "golden" / "zoo").glob("*.json")}
    assert set(EXPECTED) == {name for name in found if name.partition("__")[0] in repositories}
