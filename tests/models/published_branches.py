"""Networks of branches and of growing maps a second time, small, as the published codes compute them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from published_nets import cat, max3

DENSE = (2, 2, 1, 2)


def densenet_kuangliu(m, x):
    x = m.conv("conv1", x, 6)
    for stage, depth in enumerate(DENSE, 1):
        for i in range(depth):
            at = f"dense{stage}.{i}"
            y = m.conv(f"{at}.conv1", m.bn(f"{at}.bn1", x).relu(), 8, 1)
            x = cat(m.conv(f"{at}.conv2", m.bn(f"{at}.bn2", y).relu(), 3), x)
        if stage < 4:
            y = m.bn(f"trans{stage}.bn", x).relu()
            x = F.avg_pool2d(m.conv(f"trans{stage}.conv", y, x.shape[1] // 2, 1), 2)
    return m.pooled("linear", m.bn("bn", x).relu())


def densenet_bearpaw(m, x, bottleneck=True):
    x = m.conv("conv1", x, 6)
    for stage in (1, 2, 3):
        for i in range(2):
            at = f"dense{stage}.{i}"
            y = m.bn(f"{at}.bn1", x).relu()
            if bottleneck:
                y = m.bn(f"{at}.bn2", m.conv(f"{at}.conv1", y, 8, 1)).relu()
            x = cat(x, m.conv(f"{at}.conv{1 + bottleneck}", y, 3))
        if stage < 3:
            y = m.bn(f"trans{stage}.bn1", x).relu()
            x = F.avg_pool2d(m.conv(f"trans{stage}.conv1", y, x.shape[1] // 2, 1), 2)
    return m.pooled("fc", m.bn("bn", x).relu())


def densenet_weiaicunzai(m, x):
    x = m.conv("conv1", x, 6)
    for stage, depth in enumerate(DENSE):
        for i in range(depth):
            block = "dense_block3" if stage == 3 else f"dense_block_layer_{stage}"
            at = f"features.{block}.bottle_neck_layer_{i}.bottle_neck"
            y = m.conv(f"{at}.2", m.bn(f"{at}.0", x).relu(), 8, 1)
            x = cat(x, m.conv(f"{at}.5", m.bn(f"{at}.3", y).relu(), 3))
        if stage < 3:
            at = f"features.transition_layer_{stage}.down_sample"
            x = F.avg_pool2d(m.conv(f"{at}.1", m.bn(f"{at}.0", x), x.shape[1] // 2, 1), 2)
    return m.pooled("linear", m.bn("features.bn", x).relu())


def densenet_huyvnphan(m, x):
    x = max3(m.bn("features.norm0", m.conv("features.conv0", x, 6)).relu(), 2)
    for stage, depth in enumerate(DENSE, 1):
        for i in range(depth):
            at = f"features.denseblock{stage}.denselayer{i + 1}"
            y = m.conv(f"{at}.conv1", m.bn(f"{at}.norm1", x).relu(), 8, 1)
            x = cat(x, m.conv(f"{at}.conv2", m.bn(f"{at}.norm2", y).relu(), 3))
        if stage < 4:
            at = f"features.transition{stage}"
            x = F.avg_pool2d(m.conv(f"{at}.conv", m.bn(f"{at}.norm", x).relu(), x.shape[1] // 2, 1), 2)
    return m.pooled("classifier", m.bn("features.norm5", x).relu())


def inception(m, at, x):
    """Of kuangliu and weiaicunzai, who by a slip gives one BatchNorm its number of channels as eps."""
    slip = 4 if m.slip else 1e-5

    def unit(name, x, out, k, eps=1e-5):
        number = int(name[-1])
        return m.bn(f"{name[:-1]}{number + 1}", m.conv(name, x, out, k, bias=True), eps).relu()

    b1 = unit(f"{at}.b1.0", x, 3, 1)
    b2 = unit(f"{at}.b2.3", unit(f"{at}.b2.0", x, 3, 1), 4, 3)
    b3 = unit(f"{at}.b3.6", unit(f"{at}.b3.3", unit(f"{at}.b3.0", x, 2, 1), 4, 3, slip), 4, 3)
    return cat(b1, b2, b3, unit(f"{at}.b4.1", max3(x), 3, 1))


def googlenet_kuangliu(m, x):
    m.slip = False
    x = m.bn("pre_layers.1", m.conv("pre_layers.0", x, 6, bias=True)).relu()
    for at in ("a3", "b3", "a4", "b4", "c4", "d4", "e4", "a5", "b5"):
        x = inception(m, at, max3(x, 2) if at in ("a4", "a5") else x)
    return m.pooled("linear", x)


def googlenet_weiaicunzai(m, x):
    m.slip = True
    for i in (0, 3, 6):
        x = m.bn(f"prelayer.{i + 1}", m.conv(f"prelayer.{i}", x, 6)).relu()
    for at in ("a3", "b3", "a4", "b4", "c4", "d4", "e4", "a5", "b5"):
        x = inception(m, at, max3(x, 2) if at in ("a3", "a4", "a5") else x)
    return m.pooled("linear", x)


def unit(m, at, x, out, k=1, s=1, p=None, eps=1e-5):
    return m.bn(f"{at}.bn", m.conv(f"{at}.conv", x, out, k, s, p), eps).relu()


def googlenet_huyvnphan(m, x):
    def one(at, x, out, k=1):
        return unit(m, at, x, out, k, eps=1e-3)

    x = one("conv1", x, 6, 3)
    for name in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        x = max3(x, 2) if name in ("4a", "5a") else x
        at = f"inception{name}"
        b2 = one(f"{at}.branch2.1", one(f"{at}.branch2.0", x, 3), 4, 3)
        b3 = one(f"{at}.branch3.1", one(f"{at}.branch3.0", x, 2), 4, 3)
        x = cat(one(f"{at}.branch1", x, 3), b2, b3, one(f"{at}.branch4.1", max3(x), 3))
    return m.pooled("fc", x)


def average3(x, s=1):
    return F.avg_pool2d(x, 3, s, 1 if s == 1 else 0)


KINDS = dict(zip(("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"), "AAABCCCCDEE", strict=True))
WIDE, HIGH = (1, 7), (7, 1)


class Inception3:
    """Blocks of Inception v3 under the names of one code; ``pooled`` is the name of what follows a pool, by block."""

    def __init__(self, m, eps, step, deep, six, pooled):
        self.m, self.eps, self.step, self.deep, self.six, self.pooled = m, eps, step, deep, six, pooled

    def unit(self, at, x, out, k=1, s=1, p=None):
        return unit(self.m, at, x, out, k, s, p, self.eps)

    def row(self, at, x, *sizes):
        """Units that are numbered."""
        for i, (out, *rest) in enumerate(sizes):
            x = self.unit(self.step.format(at, i + ("_" in self.step)), x, out, *rest)
        return x

    def block(self, kind, at, x):
        row, one, pooled = self.row, self.unit, self.pooled.get(kind)
        valid = (4, 3, 2, 0)
        if kind == "A":
            parts = [one(f"{at}.branch1x1", x, 3), row(f"{at}.branch5x5", x, (3,), (3, 5))]
            other = pooled == "branchpool.1"  # weiaicunzai's
            parts += [row(f"{at}.branch3x3{'' if other else self.deep}", x, (3,), (4, 3), (4, 3))]
            return cat(*parts, one(f"{at}.{pooled}", average3(x), 3, 3 if other else 1))
        if kind == "B":
            parts = [one(f"{at}.branch3x3", x, 4, 3, 2, 0), row(f"{at}.branch3x3{self.deep}", x, (3,), (4, 3), valid)]
            return cat(*parts, F.max_pool2d(x, 3, 2))
        if kind == "C":
            first, second = (HIGH, WIDE) if self.deep == "stack" else (WIDE, HIGH)
            parts = [one(f"{at}.branch1x1", x, 3), row(f"{at}.branch7x7", x, (3,), (3, first), (4, second))]
            sizes = ((3,), (3, HIGH), (3, WIDE), (3, HIGH), (4, WIDE))
            parts += [row(f"{at}.branch7x7{self.deep}", x, *sizes)]
            return cat(*parts, one(f"{at}.{pooled}", average3(x), 3))
        if kind == "D":
            parts = [row(f"{at}.branch3x3", x, (3,), valid)]
            parts += [row(f"{at}.{self.six}", x, (3,), (3, WIDE), (3, HIGH), valid)]
            return cat(*parts, average3(x, 2) if self.deep == "stack" else F.max_pool2d(x, 3, 2))
        y = one(f"{at}.branch3x3_1", x, 3)
        left = cat(one(f"{at}.branch3x3_2a", y, 3, (1, 3)), one(f"{at}.branch3x3_2b", y, 3, (3, 1)))
        name = f"{at}.branch3x3{self.deep}"
        y = one(f"{name}_2", one(f"{name}_1", x, 3), 3, 3)
        right = cat(one(f"{name}_3a", y, 3, (1, 3)), one(f"{name}_3b", y, 3, (3, 1)))
        return cat(one(f"{at}.branch1x1", x, 3), left, right, one(f"{at}.{pooled}", average3(x), 3))


def inception_v3_huyvnphan(m, x):
    net = Inception3(m, 1e-3, "{0}_{1}", "dbl", "branch7x7x3", dict.fromkeys("ACE", "branch_pool"))
    x = net.unit("Conv2d_1a_3x3", x, 5, 3)
    for number, kind in KINDS.items():
        x = net.block(kind, f"Mixed_{number}", x)
    return m.pooled("fc", x)


def inception_v3_weiaicunzai(m, x):
    pooled = {"A": "branchpool.1", "C": "branch_pool.1", "E": "branch_pool.1"}
    net = Inception3(m, 1e-5, "{0}.{1}", "stack", "branch7x7", pooled)
    for name, out, k, p in (("1a_3x3", 4, 3, 1), ("2a_3x3", 4, 3, 1), ("2b_3x3", 5, 3, 1), ("3b_1x1", 5, 1, 0)):
        x = net.unit(f"Conv2d_{name}", x, out, k, 1, p)
    x = net.unit("Conv2d_4a_3x3", x, 5, 3, 1, 0)
    for number, kind in KINDS.items():
        x = net.block(kind, f"Mixed_{number}", x)
    return m.pooled("linear", x)


def row(m, at, x, *sizes):
    for i, (out, *rest) in enumerate(sizes):
        x = unit(m, f"{at}.{i}", x, out, *rest)
    return x


VALID = (4, 3, 2, 0)


def stem4(m, x):
    x = row(m, "stem.conv1", x, (3, 3, 1, 0), (3, 3), (4, 3))
    x = cat(unit(m, "stem.branch3x3_conv", x, 4, 3), max3(x))
    a = row(m, "stem.branch7x7a", x, (3,), (3, HIGH), (3, WIDE), (4, 3))
    x = cat(a, row(m, "stem.branch7x7b", x, (3,), (4, 3)))
    return cat(max3(x), unit(m, "stem.branchpoolb", x, 4, 3))


def reduction_a(m, x):
    parts = row(m, "reduction_a.branch3x3stack", x, (3,), (3, 3), VALID), unit(m, "reduction_a.branch3x3", x, *VALID)
    return cat(*parts, F.max_pool2d(x, 3, 2))


def inception_v4(m, x):
    x = stem4(m, x)
    for i in range(2):
        at = f"inception_a.InceptionA_{i}"
        parts = [row(m, f"{at}.branch3x3stack", x, (3,), (4, 3), (4, 3)), row(m, f"{at}.branch3x3", x, (3,), (4, 3))]
        parts += [unit(m, f"{at}.branch1x1", x, 4), unit(m, f"{at}.branchpool.1", average3(x), 4)]
        x = cat(*parts)
    x = reduction_a(m, x)
    for i in range(2):
        at = f"inception_b.InceptionB_{i}"
        parts = [unit(m, f"{at}.branch1x1", x, 4), row(m, f"{at}.branch7x7", x, (3,), (3, WIDE), (4, HIGH))]
        parts += [row(m, f"{at}.branch7x7stack", x, (3,), (3, WIDE), (3, HIGH), (3, WIDE), (4, HIGH))]
        x = cat(*parts, unit(m, f"{at}.branchpool.1", average3(x), 4))
    parts = [row(m, "reduction_b.branch3x3", x, (3,), (4, 3, 2, 1))]
    parts += [row(m, "reduction_b.branch7x7", x, (3,), (3, WIDE), (3, HIGH), (4, 3, 2, 1))]
    x = cat(*parts, max3(x, 2))
    for i in range(2):
        at = f"inception_c.InceptionC_{i}"
        y, z = row(m, f"{at}.branch3x3stack", x, (3,), (3, (1, 3)), (3, (3, 1))), unit(m, f"{at}.branch3x3", x, 3)
        parts = [unit(m, f"{at}.branch1x1", x, 4)]
        parts += [unit(m, f"{at}.branch3x3a", z, 3, (3, 1)), unit(m, f"{at}.branch3x3b", z, 3, (1, 3))]
        parts += [unit(m, f"{at}.branch3x3stacka", y, 3, (1, 3)), unit(m, f"{at}.branch3x3stackb", y, 3, (3, 1))]
        x = cat(*parts, unit(m, f"{at}.branchpool.1", average3(x), 4))
    return m.pooled("linear", x)


def inception_resnet_v2(m, x):
    def summed(at, x, out, factor, parts, shortcut="shortcut"):
        y = m.conv(f"{at}.reduction1x1", cat(unit(m, f"{at}.branch1x1", x, 3), *parts), out, 1, bias=True) * factor
        return m.bn(f"{at}.bn", m.conv(f"{at}.{shortcut}", x, out, 1, bias=True) + y).relu()

    x = stem4(m, x)
    for i in range(2):
        at = f"inception_resnet_a.InceptionResNetA_{i}"
        parts = row(m, f"{at}.branch3x3", x, (3,), (3, 3)), row(m, f"{at}.branch3x3stack", x, (3,), (3, 3), (4, 3))
        x = summed(at, x, 12, 1, parts)
    x = reduction_a(m, x)
    for i in range(2):
        at = f"inception_resnet_b.InceptionResNetB_{i}"
        x = summed(at, x, 14, 0.1, [row(m, f"{at}.branch7x7", x, (3,), (3, WIDE), (4, HIGH))])
    parts = [row(m, f"reduction_b.branch3x3{name}", x, (3,), VALID) for name in "ab"]
    parts += [row(m, "reduction_b.branch3x3stack", x, (3,), (3, 3), VALID)]
    x = cat(*parts, F.max_pool2d(x, 3, 2))
    for i in range(2):
        at = f"inception_resnet_c.InceptionResNetC_{i}"
        parts = [row(m, f"{at}.branch3x3", x, (3,), (3, (1, 3)), (4, (3, 1)))]
        x = summed(at, x, 16, 0.1, parts, "shorcut")
    return m.pooled("linear", x)


def xception(m, x):
    def separable(at, x, out):
        y = m.conv(f"{at}.pointwise", m.deep(f"{at}.depthwise", x), out, 1)
        return m.bn(f"{at[:-1]}{int(at[-1]) + 1}", y)

    def shortcut(at, x, out, s):
        return m.bn(f"{at}.1", m.conv(f"{at}.0", x, out, 1, s, bias=True))

    for name, out in (("conv1", 4), ("conv2", 6)):
        x = m.bn(f"entry_flow.{name}.1", m.conv(f"entry_flow.{name}.0", x, out)).relu()
    for name, first, out, s in (("conv3", 0, 8, 2), ("conv4", 1, 10, 2), ("conv5", 1, 12, 1)):
        at = f"entry_flow.{name}_residual"
        x = x.relu() if first else x  # in place there, so the shortcut sees it too
        y = separable(f"{at}.{first + 3}", separable(f"{at}.{first}", x, out).relu(), out)
        x = max3(y, s) + shortcut(f"entry_flow.{name}_shortcut", x, out, s)
    for i in range(2):
        x = y = x.relu()
        for j in (1, 2, 3):
            y = separable(f"middel_flow.middel_block.{i}.conv{j}.1", y.relu(), 12)
        x = x + y
    y = separable("exit_flow.residual.4", separable("exit_flow.residual.1", x.relu(), 12).relu(), 14)
    x = max3(y, 2) + shortcut("exit_flow.shortcut", x, 14, 2)
    return m.pooled("fc", separable("exit_flow.conv.3", separable("exit_flow.conv.0", x, 15).relu(), 16).relu())


def pnasnet(m, x, b=False):
    def separable(at, x, out, k, s):
        return m.bn(f"{at}.bn1", m.deep(f"{at}.conv1", x, k, s, out=out))

    def cell(at, x, out, s):
        first = separable(f"{at}.sep_conv1", x, out, 7, s)
        pool = max3(x, s)
        pool = m.bn(f"{at}.bn1", m.conv(f"{at}.conv1", pool, out, 1)) if s == 2 else pool
        if not b:
            return (first + pool).relu()
        left = (first + separable(f"{at}.sep_conv2", x, out, 3, s)).relu()
        right = (pool + separable(f"{at}.sep_conv3", x, out, 5, s)).relu()
        return m.bn(f"{at}.bn2", m.conv(f"{at}.conv2", torch.cat([left, right], 1), out, 1)).relu()

    x = m.bn("bn1", m.conv("conv1", x, 4)).relu()
    for stage, out in enumerate((4, 8, 8, 16, 16), 1):
        at, s = (f"layer{stage}.{{}}", 1) if stage % 2 else (f"layer{stage}", 2)
        for i in range(2 if s == 1 else 1):
            x = cell(at.format(i), x, out, s)
    return m.pooled("linear", x)
