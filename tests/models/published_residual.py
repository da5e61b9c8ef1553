"""Networks of sums a second time, small, as the published codes compute them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from published_nets import cat, gated, max3

LAYER = "layer{}.{}"


def blocks(depths, widths, pattern=LAYER, first=1, strides=(1, 2, 2, 2)):
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
        for i in range(depth):
            yield pattern.format(stage + first, i), width, 1 if i else strides[stage]


def projected(m, at, x, out, s, bias=False, norm=True):
    """The shortcut of most codes."""
    if s == 1 and x.shape[1] == out:
        return x
    x = m.conv(f"{at}.shortcut.0", x, out, 1, s, bias=bias)
    return m.bn(f"{at}.shortcut.1", x) if norm else x


def resnet_huyvnphan(m, x):
    x = max3(m.bn("bn1", m.conv("conv1", x, 6)).relu(), 2)
    for at, out, s in blocks((1, 2, 1, 1), (6, 8, 10, 12)):
        y = m.bn(f"{at}.bn1", m.conv(f"{at}.conv1", x, out, s=s)).relu()
        y = m.bn(f"{at}.bn2", m.conv(f"{at}.conv2", y, out))
        if s == 2:
            x = m.bn(f"{at}.downsample.1", m.conv(f"{at}.downsample.0", x, out, 1, s))
        x = (x + y).relu()
    return m.pooled("fc", x)


def resnet_meliketoy(m, x, three=False):
    x = m.bn("bn1", m.conv("conv1", x, 6, bias=True)).relu()
    for at, width, s in blocks((2, 1, 1), (6, 8, 10)):
        out = 2 * width if three else width
        sizes = ((width, 1, 1), (width, 3, s), (out, 1, 1)) if three else ((out, 3, s), (out, 3, 1))
        y = x
        for i, (wide, k, step) in enumerate(sizes, 1):
            y = m.bn(f"{at}.bn{i}", m.conv(f"{at}.conv{i}", y, wide, k, step, bias=True))
            y = y if i == len(sizes) else y.relu()
        x = (y + projected(m, at, x, out, s, bias=True)).relu()
    return m.pooled("linear", x)


def resnext_weiaicunzai(m, x, groups=2):
    x = m.bn("conv1.1", m.conv("conv1.0", x, 6)).relu()
    for at, width, s in blocks((1, 2, 1, 1), (6, 8, 10, 12), "conv{}.{}", 2):
        name = f"{at}.split_transforms"
        y = m.bn(f"{name}.1", m.conv(f"{name}.0", x, width, 1, groups=groups)).relu()
        y = m.bn(f"{name}.4", m.conv(f"{name}.3", y, width, 3, s, groups=groups)).relu()
        y = m.bn(f"{name}.7", m.conv(f"{name}.6", y, 2 * width, 1))
        x = (y + projected(m, at, x, 2 * width, s)).relu()
    return m.pooled("fc", x)


def preact_resnet_bearpaw(m, x, three=False):
    x = m.conv("conv1", x, 6)
    for at, width, s in blocks((2, 1, 1), (6, 8, 10)):
        out = 2 * width if three else width
        sizes = ((width, 1, 1), (width, 3, s), (out, 1, 1)) if three else ((out, 3, s), (out, 3, 1))
        y = x
        for i, (wide, k, step) in enumerate(sizes, 1):
            y = m.conv(f"{at}.conv{i}", m.bn(f"{at}.bn{i}", y).relu(), wide, k, step)
        x = y + (m.conv(f"{at}.downsample.0", x, out, 1, s) if s == 2 or x.shape[1] != out else x)
    return m.pooled("fc", m.bn("bn", x).relu())


def stochastic_depth(m, x, three=False):
    x = m.bn("conv1.1", m.conv("conv1.0", x, 6, bias=True)).relu()
    places = list(blocks((1, 2, 1, 1), (6, 8, 10, 12), "conv{}_x.{}", 2))
    chance = 1.0
    for at, width, s in places:
        out, name, bias = 2 * width if three else width, f"{at}.residual", not three
        sizes = ((width, 1, 1), (width, 3, s), (out, 1, 1)) if three else ((out, 3, s), (out, 3, 1))
        y = x
        for i, (wide, k, step) in enumerate(sizes):
            y = m.bn(f"{name}.{3 * i + 1}", m.conv(f"{name}.{3 * i}", y, wide, k, step, bias=bias))
            y = y if i == len(sizes) - 1 else y.relu()
        x = y * chance + projected(m, at, x, out, s, bias=bias)
        chance -= 0.5 / (len(places) - 1)
    return m.pooled("fc", x)


def regnet(m, x, gates=False):
    x = m.bn("bn1", m.conv("conv1", x, 6)).relu()
    for at, width, s in blocks((1, 1, 2, 1), (8, 12, 16, 20), strides=(1, 1, 2, 2)):
        y = m.bn(f"{at}.bn1", m.conv(f"{at}.conv1", x, width, 1)).relu()
        y = m.bn(f"{at}.bn2", m.conv(f"{at}.conv2", y, width, 3, s, groups=width // 4)).relu()
        y = gated(m, f"{at}.se.se", y) if gates else y
        x = (m.bn(f"{at}.bn3", m.conv(f"{at}.conv3", y, width, 1)) + projected(m, at, x, width, s)).relu()
    return m.pooled("linear", x)


def senet_kuangliu(m, x):
    x = m.bn("bn1", m.conv("conv1", x, 6)).relu()
    for at, out, s in blocks((2, 1, 1, 1), (6, 8, 10, 12)):
        first = m.bn(f"{at}.bn1", x).relu()
        side = x if s == 1 else projected(m, at, first, out, s, norm=False)
        y = m.conv(f"{at}.conv1", first, out, s=s)
        y = m.conv(f"{at}.conv2", m.bn(f"{at}.bn2", y).relu(), out)
        x = gated(m, f"{at}.fc", y) + side
    return m.pooled("linear", x)


def senet_weiaicunzai(m, x, three=False):
    x = m.bn("pre.1", m.conv("pre.0", x, 6, bias=True)).relu()
    for at, width, s in blocks((1, 2, 1, 1), (6, 8, 10, 12), "stage{}.{}"):
        out, name = 2 * width if three else width, f"{at}.residual"
        sizes = ((width, 1, 1), (width, 3, s), (out, 1, 1)) if three else ((out, 3, s), (out, 3, 1))
        y = x
        for i, (wide, k, step) in enumerate(sizes):
            y = m.bn(f"{name}.{3 * i + 1}", m.conv(f"{name}.{3 * i}", y, wide, k, step, bias=True)).relu()
        w = m.linear(f"{at}.excitation.2", m.linear(f"{at}.excitation.0", y.mean((2, 3)), 2).relu(), out).sigmoid()
        x = (y * w[:, :, None, None] + projected(m, at, x, out, s, bias=True)).relu()
    return m.pooled("linear", x)


def repvgg(m, x, start=4, strides=(1, 1, 2, 2, 2), deployed=False, groups=1):
    places = [("stage0", start, strides[0])]
    places += list(blocks((1, 2, 2, 1), (6, 8, 10, 12), "stage{}.{}", strides=strides[1:]))
    for at, out, s in places:
        if deployed:
            x = m.conv(f"{at}.rbr_reparam", x, out, s=s, bias=True).relu()
            continue
        g = groups if x.shape[1] == out else 1
        y = m.bn(f"{at}.rbr_dense.bn", m.conv(f"{at}.rbr_dense.conv", x, out, s=s, groups=g))
        y = y + m.bn(f"{at}.rbr_1x1.bn", m.conv(f"{at}.rbr_1x1.conv", x, out, 1, s, groups=g))
        x = (y + m.bn(f"{at}.rbr_identity", x) if s == 1 and x.shape[1] == out else y).relu()
    return m.pooled("linear", x)


def dpn(m, x, added=(6, 8, 10, 12), more=(2, 3, 1, 2)):
    x = m.bn("bn1", m.conv("conv1", x, 6)).relu()
    for stage, (d, extra) in enumerate(zip(added, more, strict=True)):
        for i in range(2 if stage < 2 else 1):
            at, s = f"layer{stage + 1}.{i}", 1 if i or not stage else 2
            y = m.bn(f"{at}.bn1", m.conv(f"{at}.conv1", x, 8, 1)).relu()
            y = m.bn(f"{at}.bn2", m.conv(f"{at}.conv2", y, 8, 3, s, groups=4)).relu()
            y = m.bn(f"{at}.bn3", m.conv(f"{at}.conv3", y, d + extra, 1))
            x = x if i else m.bn(f"{at}.shortcut.1", m.conv(f"{at}.shortcut.0", x, d + extra, 1, s))
            x = cat(x[:, :d] + y[:, :d], x[:, d:], y[:, d:]).relu()
    return m.pooled("linear", x)


def node(m, at, x, out, s=1):
    y = m.bn(f"{at}.bn1", m.conv(f"{at}.conv1", x, out, s=s)).relu()
    return (m.bn(f"{at}.bn2", m.conv(f"{at}.conv2", y, out)) + projected(m, at, x, out, s)).relu()


def simple_tree(m, at, x, out, s, level):
    below = node if level == 1 else lambda m, at, x, out, s=1: simple_tree(m, at, x, out, s, level - 1)
    left = below(m, f"{at}.left_tree", x, out, s)
    right = below(m, f"{at}.right_tree", left, out, 1)
    return m.bn(f"{at}.root.bn", m.conv(f"{at}.root.conv", cat(left, right), out, 1)).relu()


def tree(m, at, x, out, s, level):
    parts = [node(m, f"{at}.prev_root", x, out, s)] if level == 2 else []
    if level == 2:
        x, s = tree(m, f"{at}.level_1", x, out, s, 1), 1
        parts.append(x)
    left = node(m, f"{at}.left_node", x, out, s)
    right = node(m, f"{at}.right_node", left, out)
    return m.bn(f"{at}.root.bn", m.conv(f"{at}.root.conv", cat(*parts, left, right), out, 1)).relu()


def dla(m, x, tree=tree):
    for at, out in (("base", 4), ("layer1", 4), ("layer2", 6)):
        x = m.bn(f"{at}.1", m.conv(f"{at}.0", x, out)).relu()
    for at, out, s, level in (("layer3", 6, 1, 1), ("layer4", 8, 2, 2), ("layer5", 10, 2, 2), ("layer6", 12, 2, 1)):
        x = tree(m, at, x, out, s, level)
    return m.pooled("linear", x)


def attention_unit(m, at, x, out, s=1):
    name, y = f"{at}.residual_function", x
    for i, (wide, k, step) in enumerate(((3, 1, s), (3, 3, 1), (out, 1, 1))):
        y = m.conv(f"{name}.{3 * i + 2}", m.bn(f"{name}.{3 * i}", y).relu(), wide, k, step, bias=True)
    return y + m.conv(f"{at}.shortcut", x, out, 1, s, bias=True)


def attention_module(m, at, x, ways):
    def one(name, x):
        return attention_unit(m, f"{at}.{name}", x, x.shape[1])

    x = one("pre.0", x)
    trunk, small = one("trunk.1", one("trunk.0", x)), max3(x, 2)
    down = {i: lambda y, i=i: one(f"soft_resdown{i}.0", y) for i in range(1, 5)}
    up = {i: lambda y, i=i: one(f"soft_resup{i}.0", y) for i in range(1, 5)}
    if ways == 4:
        long = one("shortcut_long", down[1](small))
        short = down[3](down[2](small))
        y = up[2](up[1](down[4](down[3](small)))) + short
        y = up[4](up[3](y) + long)
        one("shortcut_short", small)  # saved, but never run
    elif ways == 3:
        y = up[3](up[2](up[1](down[3](down[2](small)))) + one("shortcut", down[1](small)))
    else:
        y = up[2](up[1](down[2](down[1](small))))
        one("shortcut", small)  # the same
    y = F.interpolate(y, x.shape[2:])
    for i in (0, 3):
        y = m.conv(f"{at}.sigmoid.{i + 2}", m.bn(f"{at}.sigmoid.{i}", y).relu(), y.shape[1], 1, bias=True)
    return one("last.0", (1 + y.sigmoid()) * trunk)


def residual_attention(m, x, depths=(1, 1, 2)):
    x = m.bn("pre_conv.1", m.conv("pre_conv.0", x, 5, bias=True)).relu()
    for stage, (depth, out, ways) in enumerate(zip(depths, (6, 8, 10), (4, 3, 2), strict=True), 1):
        x = attention_unit(m, f"stage{stage}.0", x, out, 2)
        for i in range(depth):
            x = attention_module(m, f"stage{stage}.{i + 1}", x, ways)
    for i in range(3):
        x = attention_unit(m, f"stage4.{i}", x, 12, 1 if i else 2)
    return m.pooled("linear", x)


def rir(m, x):
    r, t = (
        m.bn(f"{name}.1", m.conv(f"{name}.0", x, 3, bias=True)).relu()
        for name in ("residual_pre_conv", "transient_pre_conv")
    )
    for block, out in enumerate((3, 3, 5, 5, 5, 7, 7, 7), 1):
        for i in range(2):
            at, s = f"rir{block}.resnetinit.generalized layers{i}.", 2 if block in (3, 6) and not i else 1
            rr, rt = (m.conv(f"{at}residual_stream_conv{part}", r, out, s=s, bias=True) for part in ("", "_across"))
            tt, tr = (m.conv(f"{at}transient_stream_conv{part}", t, out, s=s, bias=True) for part in ("", "_across"))
            side = r if s == 1 and r.shape[1] == out else m.conv(f"{at}short_cut.0", r, out, 1, s, bias=True)
            r = m.bn(f"{at}residual_bn_relu.0", rr + tr + side).relu()
            t = m.bn(f"{at}transient_bn_relu.0", rt + tt).relu()
    x = m.bn("conv1.1", m.conv("conv1.0", cat(r, t), 4, 3, 2, 0, bias=True)).relu().flatten(1)
    return m.linear("classifier.3", m.linear("classifier.0", x, 9).relu())


class NasNet:
    """Its cells; each takes the last map and the one before."""

    def __init__(self, m):
        self.m = m

    def separable(self, at, x, k, s=1, bias=True):
        for block in ("block1", "block2"):
            y = self.m.deep(f"{at}.{block}.1.depthwise", x.relu(), k, s, bias=bias)
            y = self.m.conv(f"{at}.{block}.1.pointwise", y, y.shape[1], 1, bias=True)
            x, s, bias = self.m.bn(f"{at}.{block}.2", y), 1, True
        return x

    def fit(self, at, x, before, out):
        """All of its weights are saved, whichever way it takes."""
        m, y = self.m, before.relu()
        narrow = m.bn(f"{at}.dim_reduce.2", m.conv(f"{at}.dim_reduce.1", y, out, 1, bias=True))
        beside = F.pad(y, (0, 1, 0, 1))[:, :, 1:, 1:]
        halves = [F.avg_pool2d(part, 1, 2) for part in (y, beside)]
        names = (f"{at}.p1.1", f"{at}.p2.3")
        halves = [m.conv(name, half, out // 2, 1, bias=True) for name, half in zip(names, halves, strict=True)]
        halved = m.bn(f"{at}.bn", cat(*halves))
        if before is x:
            return x
        if x.shape[2] != before.shape[2]:
            return halved
        return narrow if before.shape[1] != out else before

    def normal(self, at, x, before, out):
        p = self.fit(f"{at}.fit", x, before, out)
        h = self.m.bn(f"{at}.dem_reduce.2", self.m.conv(f"{at}.dem_reduce.1", x.relu(), out, 1))

        def one(name, x, k):
            return self.separable(f"{at}.{name}", x, k, bias=False)

        parts = [p, one("block1_left", h, 3) + h, one("block2_left", p, 3) + one("block2_right", h, 5)]
        parts += [F.avg_pool2d(h, 3, 1, 1) + h, F.avg_pool2d(p, 3, 1, 1) + F.avg_pool2d(p, 3, 1, 1)]
        return cat(*parts, one("block5_left", p, 5) + one("block5_right", p, 3))

    def reduction(self, at, x, before, out):
        p = self.fit(f"{at}.fit", x, before, out)
        h = self.m.bn(f"{at}.dim_reduce.2", self.m.conv(f"{at}.dim_reduce.1", x.relu(), out, 1, bias=True))
        a = self.separable(f"{at}.layer1block1_left", p, 7, 2) + self.separable(f"{at}.layer1block1_right", h, 5, 2)
        b = max3(h, 2) + self.separable(f"{at}.layer1block2_right", p, 7, 2)
        c = F.avg_pool2d(h, 3, 2, 1) + self.separable(f"{at}.layer1block3_right", p, 5, 2)
        d = max3(h, 2) + self.separable(f"{at}.layer2block1_right", a, 3)
        return cat(b, c, d, F.avg_pool2d(a, 3, 1, 1) + b)


def nasnet(m, x):
    net = NasNet(m)
    x = before = m.bn("stem.1", m.conv("stem.0", x, 4))
    for i, (kind, out) in enumerate((("n", 4), ("n", 4), ("r", 8), ("n", 8), ("n", 8), ("r", 16), ("n", 16))):
        cell = net.normal if kind == "n" else net.reduction
        x, before = cell(f"cell_layers.{i}", x, before, out), x
    return m.pooled("fc", torch.relu(x))
