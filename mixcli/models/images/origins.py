"""The repositories that networks of images are published in."""

from __future__ import annotations

from mixcli.models.layout import Origin

CIFAR10 = "0.4914,0.4822,0.4465/0.2023,0.1994,0.2010"  # deviations within images, as most copies have them
CIFAR100 = "0.5071,0.4865,0.4409/0.2673,0.2564,0.2762"

AKAMASTER = Origin("akamaster/pytorch_resnet_cifar10", ("imagenet",), 32)
BEARPAW = Origin("bearpaw/pytorch-classification", (CIFAR10,), 32)
CHENYAOFO = Origin("chenyaofo/pytorch-cifar-models", (CIFAR10, CIFAR100), 32)
HUYVNPHAN = Origin("huyvnphan/PyTorch_CIFAR10", ("0.4914,0.4822,0.4465/0.2471,0.2435,0.2616",), 32)
KUANGLIU = Origin("kuangliu/pytorch-cifar", (CIFAR10,), 32)
MELIKETOY = Origin("meliketoy/wide-resnet.pytorch", (CIFAR10, CIFAR100), 32)
REPVGG = Origin("DingXiaoH/RepVGG", ("imagenet",), 224)
TORCHVISION = Origin("pytorch/vision", ("imagenet",), 224)
WEIAICUNZAI = Origin("weiaicunzai/pytorch-cifar100", (CIFAR100,), 32)
