"""A small dataset of pictures and a network for them, which take no time."""

import numpy as np
import torch
from PIL import Image

import mixcli
from mixcli.methods import FROM_A_MODEL, get
from mixcli.models.images.resnet_cifar import LAYOUTS

CLASSES = ("cat", "dog", "owl")


class Gallery:
    """24 images of 20 x 20 in three class folders, and an untrained network."""

    def __init__(self, folder):
        self.folder, self.source, self.ckpt = folder, folder / "train", folder / "net.pt"
        rng = np.random.default_rng(0)
        for i in range(24):
            path = self.source / CLASSES[i % 3] / f"{i:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            blob = np.zeros((20, 20, 3))
            y, x = rng.integers(2, 14, 2)
            blob[y : y + 6, x : x + 6] = rng.uniform(100, 255, 3)
            Image.fromarray((blob + rng.uniform(0, 40, blob.shape)).clip(0, 255).astype(np.uint8)).save(path)
        torch.manual_seed(0)
        torch.save({"state_dict": small_net().state_dict()}, self.ckpt)

    def mix(self, method, out, **arguments):
        if get(method).traits.saliency in FROM_A_MODEL:
            arguments = {"ckpt": str(self.ckpt), "normalize": "half", **arguments}
        if get(method)().traits.draws:
            arguments = {"k": 2, **arguments}
        return mixcli.mix(method, str(self.source), str(self.folder / out), **{"window": 8, **arguments})


def small_net():
    """A residual network of the CIFAR kind, 3 classes and few channels."""
    shapes = {}
    widths, last = (4, 8, 16), 4
    shapes["conv1.weight"] = (4, 3, 3, 3)
    norms = [("bn1", 4)]
    for stage, width in enumerate(widths, 1):
        shapes[f"layer{stage}.0.conv1.weight"] = (width, last, 3, 3)
        shapes[f"layer{stage}.0.conv2.weight"] = (width, width, 3, 3)
        norms += [(f"layer{stage}.0.bn1", width), (f"layer{stage}.0.bn2", width)]
        last = width
    for name, width in norms:
        shapes |= {f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}
        shapes[f"{name}.num_batches_tracked"] = ()
    shapes |= {"linear.weight": (3, 16), "linear.bias": (3,)}
    layout = next(layout for layout in LAYOUTS if layout.matches(shapes))
    return layout.build(shapes, **layout.options)
