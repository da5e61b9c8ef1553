"""Gradient saliency of images: what each thing that `freeze` does is worth, in process time an image on one thread.

    python benchmarks/image_saliency.py --repeats 5

`common` is `loss.backward()` down to the parameters, as the published loops take saliency; then, one on top of the
other, parameters without gradients, BatchNorm folded, weights in the channels-last layout, and oneDNN for 1x1
convolutions too, which is all that a frozen network does.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixcli.models.images import preact, resnet
from mixcli.models.images.folding import Convolution
from mixcli.models.images.network import ImageNetwork
from mixcli.models.network import autograd_vjp

BATCHES = (1, 8, 32)
READY = Convolution.ready


def networks() -> dict[str, tuple[ImageNetwork, int]]:
    """Freshly initialised, since the cost does not depend on the weights; and the side of their images."""
    torch.manual_seed(0)
    return {
        "PreAct-ResNet-18": (preact.LAYOUTS[0].build(_preact18()), 32),
        "ResNet-50": (resnet.LAYOUTS[0].build(_resnet50()), 224),
    }


def _preact18() -> dict[str, tuple[int, ...]]:
    shapes, inner = {"conv1.weight": (64, 3, 3, 3), "linear.weight": (10, 512)}, 64
    for stage, width in enumerate((64, 128, 256, 512), 1):
        shapes[f"layer{stage}.0.shortcut.0.weight"] = (width, inner, 1, 1)
        for i in range(2):
            shapes[f"layer{stage}.{i}.conv1.weight"] = (width, inner, 3, 3)
            shapes[f"layer{stage}.{i}.conv2.weight"] = (width, width, 3, 3)
            inner = width
    return shapes


def _resnet50() -> dict[str, tuple[int, ...]]:
    shapes, inner = {"conv1.weight": (64, 3, 7, 7), "fc.weight": (1000, 2048)}, 64
    for stage, (width, depth) in enumerate(zip((64, 128, 256, 512), (3, 4, 6, 3), strict=True), 1):
        shapes[f"layer{stage}.0.downsample.0.weight"] = (4 * width, inner, 1, 1)
        for i in range(depth):
            shapes[f"layer{stage}.{i}.conv1.weight"] = (width, inner, 1, 1)
            shapes[f"layer{stage}.{i}.conv2.weight"] = (width, width, 3, 3)
            shapes[f"layer{stage}.{i}.conv3.weight"] = (4 * width, width, 1, 1)
            inner = 4 * width
    return shapes


def _contiguous(conv: Convolution, like: Tensor) -> Convolution:
    return replace(conv, weight=conv.weight.to(like.dtype), bias=conv.bias.to(like.dtype))


def _channels_last(conv: Convolution, like: Tensor) -> Convolution:
    return replace(READY(conv, like), dilation=1)


def variants(net: ImageNetwork) -> dict[str, ImageNetwork]:
    """The same network, from the published loops' to the fastest."""
    nets = {"common": copy.deepcopy(net).eval(), "parameters": copy.deepcopy(net).eval().requires_grad_(False)}
    for name, ready in (("folded", _contiguous), ("channels_last", _channels_last), ("freeze", READY)):
        Convolution.ready = ready
        nets[name] = copy.deepcopy(net).freeze()
    return nets


def saliency(net: nn.Module, x: Tensor) -> Tensor:
    """The gradient of the loss at each pixel, (B, 3, H, W)."""
    if not next(net.parameters()).requires_grad:
        logits, pull = autograd_vjp(net, x)
        return pull(logits.softmax(1))
    x = x.clone().requires_grad_()
    F.cross_entropy(net(x), torch.zeros(len(x), dtype=torch.long)).backward()
    net.zero_grad()
    return x.grad


def _milliseconds(function: Callable, net: nn.Module, x: Tensor) -> float:
    """Process time an image."""
    start = time.process_time()
    function(net, x)
    return (time.process_time() - start) * 1e3 / len(x)


def rows(repeats: int = 5, batches: tuple[int, ...] = BATCHES) -> list[dict]:
    """One row a network and batch: medians in ms an image, the variants interleaved."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = [row for name, (net, side) in networks().items() for row in _rows(name, net, side, repeats, batches)]
    torch.set_num_threads(threads)
    return found


def _rows(name: str, net: ImageNetwork, side: int, repeats: int, batches: tuple[int, ...]) -> list[dict]:
    nets, found = variants(net), []
    for batch in batches:
        x = torch.randn(batch, 3, side, side)
        spent = {key: [] for key in nets}
        for repeat in range(repeats + 1):
            for key, one in nets.items():
                took = _milliseconds(saliency, one, x)
                spent[key] += [took] if repeat else []  # the first run is for the caches
        medians = {f"{key}_ms": float(np.median(values)) for key, values in spent.items()}
        found.append({"network": name, "side": side, "batch": batch, **medians})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    arguments = parser.parse_args()
    table = rows(arguments.repeats, tuple(arguments.batches))
    keys = [key for key in table[0] if key.endswith("_ms")]
    print("ms an image, one thread\n" + f"{'':30s}" + "".join(f"{key.removesuffix('_ms'):>15s}" for key in keys))
    for row in table:
        title = f"{row['network']}, {row['side']} px, batch {row['batch']}"
        print(f"{title:38s}" + "".join(f"{row[key]:15.1f}" for key in keys)[8:])


if __name__ == "__main__":
    main()
