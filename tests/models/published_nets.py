"""Networks of images a second time, small, as the published codes compute them: one function each.

A function runs on a `Made` state dict, which makes each weight when it is first asked for. So it tells the keys and
shapes that a network saves, and what the network gives.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

CLASSES = 5


class Made(dict):
    """A state dict that grows: tensors by their keys, in float64."""

    def __init__(self, seed=0):
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def tensor(self, key, *shape, least=None):
        """Drawn around 0, or from ``least`` to ``least`` + 1."""
        if key not in self:
            if least is None:
                fan = max(torch.Size(shape[1:]).numel(), 1)
                value = torch.randn(shape, generator=self.generator, dtype=torch.float64) * (2 / fan) ** 0.5
                value = value if len(shape) > 1 else value / 10
            else:
                value = torch.rand(shape, generator=self.generator, dtype=torch.float64) + least
            self[key] = value
        return self[key]

    def conv(self, name, x, out, k=3, s=1, p=None, groups=1, bias=False):
        high, wide = k if isinstance(k, tuple) else (k, k)
        weight = self.tensor(f"{name}.weight", out, x.shape[1] // groups, high, wide)
        p = (high // 2, wide // 2) if p is None else p
        return F.conv2d(x, weight, self.tensor(f"{name}.bias", out) if bias else None, s, p, 1, groups)

    def deep(self, name, x, k=3, s=1, bias=False, out=None):
        """Of each channel by itself."""
        return self.conv(name, x, out or x.shape[1], k, s, groups=x.shape[1], bias=bias)

    def bn(self, name, x, eps=1e-5):
        c = x.shape[1]
        weight, bias = self.tensor(f"{name}.weight", c, least=0.5), self.tensor(f"{name}.bias", c)
        mean, var = self.tensor(f"{name}.running_mean", c), self.tensor(f"{name}.running_var", c, least=0.5)
        self.setdefault(f"{name}.num_batches_tracked", torch.tensor(1))
        return F.batch_norm(x, mean, var, weight, bias, eps=eps)

    def linear(self, name, x, out=CLASSES):
        return F.linear(x, self.tensor(f"{name}.weight", out, x.shape[1]), self.tensor(f"{name}.bias", out))

    def pooled(self, name, x):
        """The logits of means."""
        return self.linear(name, x.mean((2, 3)))


def cat(*parts):
    return torch.cat(parts, 1)


def max3(x, s=1):
    return F.max_pool2d(x, 3, s, 1)


def shuffled(x, groups=2):
    b, c, h, w = x.shape
    return x.view(b, groups, c // groups, h, w).transpose(1, 2).reshape(b, c, h, w)


# Plain chains


def vgg(m, x, head=("classifier",), norm=True, bias=True):
    at = 0
    for out in (4, "M", 6, "M", 8, 8, "M", 8, "M", 10, "M"):
        if out == "M":
            x, at = F.max_pool2d(x, 2), at + 1
            continue
        x = m.conv(f"features.{at}", x, out, bias=bias)
        x = (m.bn(f"features.{at + 1}", x) if norm else x).relu()
        at += 3 if norm else 2
    x = x.flatten(1)
    for name in head[:-1]:
        x = m.linear(name, x, 12).relu()
    return m.linear(head[-1], x)


def lenet(m, x):
    x = F.max_pool2d(m.conv("conv1", x, 4, 5, p=0, bias=True).relu(), 2)
    x = F.max_pool2d(m.conv("conv2", x, 6, 5, p=0, bias=True).relu(), 2).flatten(1)
    return m.linear("fc3", m.linear("fc2", m.linear("fc1", x, 9).relu(), 7).relu())


def alexnet(m, x):
    x = F.max_pool2d(m.conv("features.0", x, 4, 11, 4, bias=True).relu(), 2)
    x = F.max_pool2d(m.conv("features.3", x, 6, 5, bias=True).relu(), 2)
    for at in (6, 8, 10):
        x = m.conv(f"features.{at}", x, 8, bias=True).relu()
    return m.linear("classifier", F.max_pool2d(x, 2).flatten(1))


def squeezenet(m, x):
    def unit(name, x, out, k):
        return m.bn(f"{name}.1", m.conv(f"{name}.0", x, out, k, bias=True)).relu()

    x = F.max_pool2d(unit("stem", x, 6, 3), 2)
    for i, width in enumerate((4, 4, 6, 6, 8, 8, 10, 10), 2):
        y = unit(f"fire{i}.squeeze", x, 3, 1)
        y = cat(unit(f"fire{i}.expand_1x1", y, width, 1), unit(f"fire{i}.expand_3x3", y, width, 3))
        x = x + y if i in (3, 5, 7) else y
        x = F.max_pool2d(x, 2) if i in (4, 8) else x
    return m.conv("conv10", x, CLASSES, 1, bias=True).mean((2, 3))


# For small computers


def mobilenet_kuangliu(m, x):
    x = m.bn("bn1", m.conv("conv1", x, 4)).relu()
    for i, (out, s) in enumerate(((6, 1), (8, 2), (8, 1), (10, 2))):
        x = m.bn(f"layers.{i}.bn1", m.deep(f"layers.{i}.conv1", x, s=s)).relu()
        x = m.bn(f"layers.{i}.bn2", m.conv(f"layers.{i}.conv2", x, out, 1)).relu()
    return m.pooled("linear", x)


def mobilenet_weiaicunzai(m, x):
    x = m.bn("stem.0.bn", m.conv("stem.0.conv", x, 4)).relu()
    places = [("stem.1", 6, 1)]
    places += [(f"conv{j}.{i}", 6 + 2 * j, 1 if i else 2) for j in range(1, 5) for i in range(3 if j == 3 else 2)]
    for at, out, s in places:
        x = m.bn(f"{at}.depthwise.1", m.deep(f"{at}.depthwise.0", x, s=s)).relu()
        x = m.bn(f"{at}.pointwise.1", m.conv(f"{at}.pointwise.0", x, out, 1, bias=True)).relu()
    return m.pooled("fc", x)


def mobilenet_v2_kuangliu(m, x):
    x = m.bn("bn1", m.conv("conv1", x, 4)).relu()
    for i, (wide, out, s) in enumerate(((4, 3, 1), (9, 4, 1), (8, 4, 1), (8, 6, 2), (9, 6, 1))):
        at = f"layers.{i}"
        y = m.bn(f"{at}.bn1", m.conv(f"{at}.conv1", x, wide, 1)).relu()
        y = m.bn(f"{at}.bn2", m.deep(f"{at}.conv2", y, s=s)).relu()
        y = m.bn(f"{at}.bn3", m.conv(f"{at}.conv3", y, out, 1))
        if s == 1 and x.shape[1] != out:
            x = m.bn(f"{at}.shortcut.1", m.conv(f"{at}.shortcut.0", x, out, 1))
        x = x + y if s == 1 else y
    return m.pooled("linear", m.bn("bn2", m.conv("conv2", x, 12, 1)).relu())


STAGES = ((1, 3, 1), (2, 4, 1), (3, 4, 2), (4, 6, 2), (3, 6, 1), (3, 8, 2), (1, 9, 1))  # depth, width, stride


def mobilenet_v2_cifar(m, x):
    x = F.relu6(m.bn("features.0.1", m.conv("features.0.0", x, 4)))
    at = 0
    for stage, (depth, out, s) in enumerate(STAGES):
        for i in range(depth):
            at, step, y, place = at + 1, 1 if i else s, x, 0
            conv = f"features.{at}.conv"
            if stage:
                y, place = F.relu6(m.bn(f"{conv}.0.1", m.conv(f"{conv}.0.0", y, 2 * x.shape[1], 1))), 1
            y = F.relu6(m.bn(f"{conv}.{place}.1", m.deep(f"{conv}.{place}.0", y, s=step)))
            y = m.bn(f"{conv}.{place + 2}", m.conv(f"{conv}.{place + 1}", y, out, 1))
            x = x + y if step == 1 and x.shape[1] == out else y
    x = F.relu6(m.bn("features.18.1", m.conv("features.18.0", x, 12, 1)))
    return m.pooled("classifier.1", x)


def mobilenet_v2_weiaicunzai(m, x):
    x = F.relu6(m.bn("pre.1", m.conv("pre.0", x, 4, 1, p=1, bias=True)))
    strides = (1, 2, 2, 2, 1, 1, 1)
    for stage, ((depth, out, _), s) in enumerate(zip(STAGES, strides, strict=True), 1):
        for i in range(depth):
            at = f"stage{stage}.{i}.residual" if depth > 1 else f"stage{stage}.residual"
            step = 1 if i else s
            y = F.relu6(m.bn(f"{at}.1", m.conv(f"{at}.0", x, 2 * x.shape[1], 1, bias=True)))
            y = F.relu6(m.bn(f"{at}.4", m.deep(f"{at}.3", y, s=step, bias=True)))
            y = m.bn(f"{at}.7", m.conv(f"{at}.6", y, out, 1, bias=True))
            x = x + y if step == 1 and x.shape[1] == out else y
    x = F.relu6(m.bn("conv1.1", m.conv("conv1.0", x, 12, 1, bias=True)))
    return m.conv("conv2", x.mean((2, 3), keepdim=True), CLASSES, 1, bias=True).flatten(1)


def shufflenet_kuangliu(m, x, groups=2):
    x = m.bn("bn1", m.conv("conv1", x, 6, 1)).relu()
    for stage, out in ((1, 16), (2, 24), (3, 32)):
        for i in range(2):
            at, own = f"layer{stage}.{i}", out - (0 if i else x.shape[1])
            g = 1 if x.shape[1] == 6 else groups
            y = shuffled(m.bn(f"{at}.bn1", m.conv(f"{at}.conv1", x, 4, 1, groups=g)).relu(), g)
            y = m.bn(f"{at}.bn2", m.deep(f"{at}.conv2", y, s=1 if i else 2)).relu()
            y = m.bn(f"{at}.bn3", m.conv(f"{at}.conv3", y, own, 1, groups=groups))
            x = (x + y if i else cat(y, F.avg_pool2d(x, 3, 2, 1))).relu()
    return m.pooled("linear", x)


def shufflenet_weiaicunzai(m, x, groups=3):
    x = m.bn("conv1.bn", m.conv("conv1.conv", x, 6, bias=True)).relu()
    for stage, out in ((2, 18), (3, 24), (4, 30)):
        for i in range(2):
            at, own = f"stage{stage}.{i}", out - (0 if i else x.shape[1])
            name = f"{at}.bottlneck.0.pointwise"
            y = m.bn(f"{name}.1", m.conv(f"{name}.0", x, 6, 1, groups=groups, bias=True)).relu()
            y = m.deep(f"{at}.depthwise.depthwise.0", shuffled(y, groups), s=1 if i else 2, bias=True)
            y = m.conv(
                f"{at}.expand.pointwise.0", m.bn(f"{at}.depthwise.depthwise.1", y), own, 1, groups=groups, bias=True
            )
            y = m.bn(f"{at}.expand.pointwise.1", y)
            x = (x + y if i else cat(F.avg_pool2d(x, 3, 2, 1), y)).relu()
    return m.pooled("fc", x)


def shufflenet_v2_kuangliu(m, x):
    x = m.bn("bn1", m.conv("conv1", x, 4)).relu()
    for stage, out in ((1, 8), (2, 12), (3, 16)):
        for i in range(3):
            at, half = f"layer{stage}.{i}", out // 2
            first, skip = (3, 0) if not i else (1, 1)
            side, y = (x, x) if not i else x.chunk(2, 1)
            if not i:
                side = m.bn(f"{at}.bn1", m.deep(f"{at}.conv1", side, s=2))
                side = m.bn(f"{at}.bn2", m.conv(f"{at}.conv2", side, half, 1)).relu()
            y = m.bn(f"{at}.bn{first}", m.conv(f"{at}.conv{first}", y, half, 1)).relu()
            y = m.bn(f"{at}.bn{first + 1}", m.deep(f"{at}.conv{first + 1}", y, s=2 - skip))
            y = m.bn(f"{at}.bn{first + 2}", m.conv(f"{at}.conv{first + 2}", y, half, 1)).relu()
            x = shuffled(cat(side, y))
    return m.pooled("linear", m.bn("bn2", m.conv("conv2", x, 12, 1)).relu())


def shufflenet_v2(m, x, stem="conv1", side="branch1", body="branch2", bias=False, relu=True):
    """chenyaofo's; weiaicunzai's has other names, biases, and no ReLU after the first convolution."""
    x = m.bn(f"{stem}.1", m.conv(f"{stem}.0", x, 4, bias=bias))
    x = x.relu() if relu else x
    for stage, out in ((2, 8), (3, 12), (4, 16)):
        for i in range(3):
            left, right, half = f"stage{stage}.{i}.{side}", f"stage{stage}.{i}.{body}", out // 2
            other, y = (x, x) if not i else x.chunk(2, 1)
            wide = x.shape[1] if bias and not i else half
            if not i:
                other = m.bn(f"{left}.1", m.deep(f"{left}.0", other, s=2, bias=bias))
                other = m.bn(f"{left}.3", m.conv(f"{left}.2", other, half, 1, bias=bias)).relu()
            y = m.bn(f"{right}.1", m.conv(f"{right}.0", y, wide, 1, bias=bias)).relu()
            y = m.bn(f"{right}.4", m.deep(f"{right}.3", y, s=1 if i else 2, bias=bias))
            y = m.bn(f"{right}.6", m.conv(f"{right}.5", y, half, 1, bias=bias)).relu()
            x = shuffled(cat(other, y))
    return m.pooled("fc", m.bn("conv5.1", m.conv("conv5.0", x, 12, 1, bias=bias)).relu())


def efficientnet(m, x):
    def swish(x):
        return x * x.sigmoid()

    x = swish(m.bn("bn1", m.conv("conv1", x, 4)))
    at = 0
    sizes = zip((1, 2, 1, 1, 2, 1, 1), (3, 4, 5, 6, 7, 8, 9), (3, 3, 5, 3, 5, 5, 3), (1, 2, 2, 2, 1, 2, 1), strict=True)
    for stage, (depth, out, k, s) in enumerate(sizes):
        for i in range(depth):
            name, wide = f"layers.{at}", x.shape[1] * (3 if stage else 1)
            y = swish(m.bn(f"{name}.bn1", m.conv(f"{name}.conv1", x, wide, 1)))
            y = y if stage else x
            y = swish(m.bn(f"{name}.bn2", m.deep(f"{name}.conv2", y, k, 1 if i else s)))
            y = gated(m, f"{name}.se.se", y, swish)
            y = m.bn(f"{name}.bn3", m.conv(f"{name}.conv3", y, out, 1))
            x, at = x + y if i else y, at + 1
    return m.pooled("linear", x)


def gated(m, name, x, act=torch.relu):
    w = x.mean((2, 3), keepdim=True)
    w = act(m.conv(f"{name}1", w, 2, 1, bias=True))
    return x * m.conv(f"{name}2", w, x.shape[1], 1, bias=True).sigmoid()
