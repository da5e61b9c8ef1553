"""Recorded networks of torchvision and of transformers: found by their keys, with the repositories' own numbers."""

from __future__ import annotations

import pytest
import torch
from recorded import Recording

from mixcli import models
from mixcli.models.checkpoint import shapes
from mixcli.models.images import LAYOUTS

pytestmark = pytest.mark.slow
TORCHVISION = {  # recording -> the network that it is
    "alexnet": "alexnet",
    "convnext_tiny": "convnext",
    "densenet121": "densenet",
    "efficientnet_b0": "efficientnet",
    "efficientnet_v2_s": "efficientnet",
    "googlenet": "googlenet",
    "inception_v3": "inception_v3",
    "mobilenet_v3_large": "mobilenet_v3",
    "mobilenet_v3_small": "mobilenet_v3",
    "resnet18_cifar_stem_with_pool": "resnet_huyvnphan",
    "resnet18_fc_dropout_linear": "resnet",
    "resnet18_fc_mlp_bn": "resnet_own_head",
    "resnet18_fc_mlp_relu": "resnet_own_head",
    "resnet50": "resnet",
    "resnext50_32x4d": "resnet",
    "shufflenet_v2_x1_0": "shufflenet_v2",
    "squeezenet1_0": "squeezenet",
    "swin_t": "swin",
    "swin_v2_t": "swin_v2",
    "vit_b_16": "vit",
    "wide_resnet50_2": "resnet",
}
FOLDERS = {
    "dinov2_small": "hf_dinov2",
    "mobilenet_v2": "hf_mobilenet_v2",
    "resnet18": "hf_resnet",
    "resnet50": "hf_resnet",
    "swin_tiny": "hf_swin",
    "vit_base": "hf_vit",
    "vit_tiny": "hf_vit",
}
LOGITS, SALIENCY = 1e-4, 2e-2  # how far off: of the largest logit, and on average of a map


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", TORCHVISION)
def test_networks_of_torchvision(shared, tmp_path, name):
    recording = Recording.read(shared, f"torchvision__{name}")
    state = shapes(recording.state)
    fitting = [layout for layout in LAYOUTS if layout.matches(state)]
    assert TORCHVISION[name] in [layout.name for layout in fitting]
    several = sum(len(layout.candidates(state)) for layout in fitting) > 1
    spec = TORCHVISION[name] if several else None  # that it is asked for is tried elsewhere
    found = models.load(recording.save(tmp_path), spec, False, "images")
    assert (found.name, found.classes, found.data) == (TORCHVISION[name], recording.spec["classes"], "images")
    logits, saliency = recording.differs(found.net)
    assert logits <= LOGITS and saliency <= SALIENCY


@pytest.mark.parametrize("name", FOLDERS)
def test_folders_of_transformers(shared, tmp_path, name):
    recording = Recording.read(shared, f"huggingface__{name}")
    found = models.load(recording.save(tmp_path), None, False, "images")
    assert (found.name, found.classes, found.names) == (FOLDERS[name], recording.spec["classes"], ())
    logits, saliency = recording.differs(found.net)
    assert logits <= LOGITS and saliency <= SALIENCY
