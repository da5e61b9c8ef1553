"""Deep layer aggregation (Yu et al., CVPR 2018): trees of residual blocks, whose roots merge what the nodes gave."""

from __future__ import annotations

from collections.abc import Callable

from mixcli.models.images.folding import Step
from mixcli.models.images.layers import RELU
from mixcli.models.images.network import Block, ImageNetwork, Plan
from mixcli.models.images.origins import KUANGLIU
from mixcli.models.images.parts import Branches, Chain, Trail
from mixcli.models.images.reader import Reader
from mixcli.models.layout import Layout, Shapes, layout

TREES = (("layer3", 1), ("layer4", 2), ("layer5", 2), ("layer6", 2))  # and the stride of each


def dla(name: str, tree: Callable[[Reader, str, int, int], list[Step]]) -> Layout:
    """The layout of a family with such trees."""

    def build(shapes: Shapes) -> ImageNetwork:
        layers = Reader(shapes)
        stem, inner = layers.unit("base.0", "base.1", 3), layers.width("base.0")
        blocks: list[Block] = []
        for at in ("layer1", "layer2"):
            blocks.append(Chain(layers.unit(f"{at}.0", f"{at}.1", inner), at))
            inner = layers.width(f"{at}.0")
        for at, stride in TREES:
            blocks.append(Chain(tree(layers, at, inner, stride), at))
            inner = layers.width(f"{at}.root.conv")
        return ImageNetwork(Plan(stem, blocks), layers, layers.linear("linear", inner))

    return layout(name, build, [KUANGLIU])


def _simple(layers: Reader, at: str, inner: int, stride: int) -> list[Step]:
    """Two trees or nodes, of which the second goes on from the first, and a root over both."""
    outer = layers.width(f"{at}.root.conv")
    branch = _simple if layers.has(f"{at}.left_tree.root.conv") else _node
    left, right = branch(layers, f"{at}.left_tree", inner, stride), branch(layers, f"{at}.right_tree", outer, 1)
    return [*left, Trail([right]), *_root(layers, at, 2 * outer)]


def _paper(layers: Reader, at: str, inner: int, stride: int) -> list[Step]:
    """Two nodes and a root over both; or a smaller tree, two nodes, and a root over these and a node of the input."""
    outer = layers.width(f"{at}.root.conv")
    tree = f"{at}.level_1"
    right = _node(layers, f"{at}.right_node", outer, 1)
    if not layers.has(f"{tree}.root.conv"):
        left = _node(layers, f"{at}.left_node", inner, stride)
        return [*left, Trail([right]), *_root(layers, at, 2 * outer)]
    trail = Trail([_node(layers, f"{at}.left_node", outer, 1), right])
    before = _node(layers, f"{at}.prev_root", inner, stride)
    return [Branches([before, [*_paper(layers, tree, inner, stride), trail]]), *_root(layers, at, 4 * outer)]


def _node(layers: Reader, at: str, inner: int, stride: int) -> list[Step]:
    """A residual block of two 3x3 convolutions."""
    outer = layers.width(f"{at}.conv1")
    body = layers.unit(f"{at}.conv1", f"{at}.bn1", inner, 3, stride)
    body += layers.unit(f"{at}.conv2", f"{at}.bn2", outer, 3, act=None)
    shortcut: list[Step] = []
    if stride > 1 or inner != outer:
        shortcut = layers.unit(f"{at}.shortcut.0", f"{at}.shortcut.1", inner, 1, stride, act=None)
    return [Branches([shortcut, body], [RELU], summed=True)]


def _root(layers: Reader, at: str, inner: int) -> list[Step]:
    return layers.unit(f"{at}.root.conv", f"{at}.root.bn", inner, 1)


LAYOUTS = (dla("dla_kuangliu", _paper), dla("simple_dla_kuangliu", _simple))
