"""Image classifiers as the package transformers saves them, which is not needed to read them."""

from __future__ import annotations

from mixcli.models.images.huggingface import convnext, mobilenet, resnet, swin, vit

LAYOUTS = (*vit.LAYOUTS, *resnet.LAYOUTS, *convnext.LAYOUTS, *swin.LAYOUTS, *mobilenet.LAYOUTS)
