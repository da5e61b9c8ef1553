"""Image classifiers, each recognised by the keys and shapes of its checkpoint; they differ in at least one key.

``stride`` of the first convolution and ``window`` of the last pool are in no key: the options of every network here.
"""

from __future__ import annotations

from mixcli.models.images import huggingface, preact, pyramidnet, resnet, resnet_cifar, resnext, torchvision, wrn

LAYOUTS = (
    *preact.LAYOUTS,
    *resnet.LAYOUTS,
    *resnet_cifar.LAYOUTS,
    *wrn.LAYOUTS,
    *resnext.LAYOUTS,
    *pyramidnet.LAYOUTS,
    *torchvision.LAYOUTS,
    *huggingface.LAYOUTS,
)
