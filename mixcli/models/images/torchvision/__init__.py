"""Torchvision's classifiers, each recognised by the keys and shapes of its checkpoint; torchvision is not needed."""

from __future__ import annotations

from mixcli.models.images.torchvision import (
    convnext,
    densenet,
    efficientnet,
    googlenet,
    inception,
    mobilenet,
    regnet,
    shufflenet,
    squeezenet,
    swin,
    vgg,
    vit,
)

LAYOUTS = (
    *vgg.LAYOUTS,
    *squeezenet.LAYOUTS,
    *densenet.LAYOUTS,
    *googlenet.LAYOUTS,
    *inception.LAYOUTS,
    *mobilenet.LAYOUTS,
    *shufflenet.LAYOUTS,
    *efficientnet.LAYOUTS,
    *regnet.LAYOUTS,
    *convnext.LAYOUTS,
    *vit.LAYOUTS,
    *swin.LAYOUTS,
)
