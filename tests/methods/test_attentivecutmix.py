import numpy as np
import pytest
import torch
import torch.nn.functional as F

import mixcli
from mixcli.data.images import Images
from mixcli.datasets.dataset import Dataset
from mixcli.errors import UsageError
from mixcli.methods.attentivecutmix import AttentiveCutMix, cells_of

NOTHING = torch.zeros(16, 0, dtype=torch.float64)


def enlarged(cells, size):
    """As `activation` brings a network's last maps to the size of the image."""
    return F.interpolate(cells[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def pictures(batch=16, size=(28, 21), cells=7, seed=0):
    rng = np.random.default_rng(seed)
    data, maps = rng.uniform(0, 255, (2, batch, *size, 3)), rng.random((2, batch, cells, cells)) ** 3
    data, maps = (torch.from_numpy(x.astype(np.float32)) for x in (data, maps))
    return [Images(d, enlarged(m, size)) for d, m in zip(data, maps, strict=True)], maps[0]


def by_hand(map_a, a, b, patches):
    """The published mix for given maps (B,g,g), sample by sample, for a grid that divides the image."""
    found, cell = b.clone(), [n // map_a.shape[1] for n in a.shape[1:3]]
    for i, heat in enumerate(map_a.flatten(1)):
        for at in np.argsort(-heat.numpy(), kind="stable")[:patches]:
            y, x = np.multiply(np.divmod(at, map_a.shape[1]), cell)
            found[i, y : y + cell[0], x : x + cell[1]] = a[i, y : y + cell[0], x : x + cell[1]]
    return found


@pytest.mark.parametrize(
    ("patches", "grid", "size"), [(6, 7, (28, 21)), (1, 4, (8, 8)), (15, 8, (32, 64)), (9, 3, (3, 9))]
)
def test_as_published_for_the_maps_of_a_network(patches, grid, size):
    """The enlarged map gives back the network's own cells, and with them the very same choice."""
    (a, b), own = pictures(64, size, grid)
    mixed = AttentiveCutMix(patches, grid).mix(a, b, None, NOTHING)
    assert torch.equal(mixed.data, by_hand(own, a.data, b.data, patches))
    assert (mixed.weight[:, 0] - patches / grid**2).abs().max() < 1e-15


def test_hand_worked_example():
    """A map of 2 x 2 cells on 4 x 4 pixels, the largest at the lower left: these four pixels are a's, 1/4 of all."""
    a = Images(torch.full((1, 4, 4, 3), 10.0), enlarged(torch.tensor([[[1.0, 2.0], [4.0, 3.0]]]), (4, 4)))
    mixed = AttentiveCutMix(patches=1, grid=2).mix(a, Images(torch.full((1, 4, 4, 3), 20.0)), None, NOTHING[:1])
    expected = np.full((4, 4), 20.0)
    expected[2:, :2] = 10
    assert np.array_equal(mixed.data[0, :, :, 2].numpy(), expected)
    assert mixed.weight.tolist() == [[0.25, 0.75]] and mixed.draw.shape == (1, 0)


@pytest.mark.parametrize(("cells", "size"), [(7, (224, 224)), (8, (32, 32)), (4, (32, 45)), (5, (5, 7)), (1, (3, 3))])
def test_cells_come_back(cells, size):
    own = torch.rand(3, cells, cells, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(cells_of(enlarged(own, size), cells), own, atol=1e-5)


def test_a_mean_over_the_cells_would_choose_others():
    """Why `cells_of` is no mean: bilinear enlargement has mixed each cell with its neighbours."""
    (a, _), own = pictures(256, (56, 56))
    top = own.flatten(1).topk(6).indices.sort().values
    means = F.adaptive_avg_pool2d(a.saliency[:, None], 7).flatten(1).topk(6).indices.sort().values
    assert (top == cells_of(a.saliency, 7).flatten(1).topk(6).indices.sort().values).all()
    assert (top == means).all(1).float().mean() < 0.7


def test_of_equal_cells_the_first_are_taken():
    (a, b), _ = pictures(16, (28, 28))
    flat = AttentiveCutMix(5).mix(Images(a.data, torch.full_like(a.saliency, 0.3)), b, None, NOTHING)
    assert (flat.mask[:, :4, :20] == 1).all() and flat.mask[:, 4:].sum() == flat.mask[:, :, 20:].sum() == 0
    none = AttentiveCutMix(5).mix(Images(a.data, torch.zeros_like(a.saliency)), b, None, NOTHING)
    assert torch.equal(none.mask, flat.mask)


@pytest.mark.parametrize("size", [(7, 7), (9, 14), (33, 20), (50, 8)])
def test_the_label_is_the_share_of_pixels(size):
    """Cells of a grid that does not divide the image differ by a pixel."""
    (a, b), _ = pictures(32, size)
    mixed = AttentiveCutMix().mix(a, b, None, NOTHING)
    assert torch.equal(mixed.data, torch.where(mixed.mask[..., None] == 1, a.data, b.data))
    assert torch.allclose(mixed.weight[:, 0], mixed.mask.double().mean((1, 2)), atol=1e-15)
    assert torch.equal(mixed.weight.sum(1), torch.ones(32, dtype=torch.float64))
    least, most = (np.prod([round_(n / 7) for n in size]) for round_ in (np.floor, np.ceil))
    pixels = mixed.mask.sum((1, 2))
    assert (pixels >= 6 * least).all() and (pixels <= 6 * most).all()


def test_all_cells_are_all_of_a():
    (a, b), _ = pictures()
    assert torch.equal(AttentiveCutMix(patches=49).mix(a, b, None, NOTHING).data, a.data)


def test_a_self_pair_gives_itself():
    (a, _), _ = pictures()
    assert torch.equal(AttentiveCutMix().mix(a, a, None, NOTHING).data, a.data)


def test_the_batch_does_not_matter():
    (a, b), _ = pictures(16, (31, 29))
    whole = AttentiveCutMix().mix(a, b, None, NOTHING)
    for i in range(16):
        one = AttentiveCutMix().mix(*(Images(p.data[i : i + 1], p.saliency[i : i + 1]) for p in (a, b)), None, NOTHING)
        assert torch.equal(one.data[0], whole.data[i]) and torch.equal(one.weight[0], whole.weight[i])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"patches": 0}, "--patches 0: must be a finite number above 0"),
        ({"patches": 5, "grid": 2}, "--patches 5: a grid of 2 x 2 has only 4"),
        ({"grid": 65}, "--grid 65: must be at most 64"),
        ({"grid": 7.0}, "--grid 7.0: must be a whole number"),
    ],
)
def test_options_out_of_range(options, sentence):
    with pytest.raises(UsageError, match=sentence):
        AttentiveCutMix(**options)


def test_images_too_small_for_the_grid(gallery):
    AttentiveCutMix().fits((7, 200))
    with pytest.raises(UsageError, match=r"--grid 7: an image of 6 x 200 pixels has no 7 x 7 cells; .* --size"):
        AttentiveCutMix().fits((6, 200))
    with pytest.raises(UsageError, match="--grid 21: an image of 20 x 20 pixels"):
        gallery.mix("attentivecutmix", "mixed.h5", grid=21)


def test_a_run_with_the_maps_of_a_layer(gallery):
    """20 pixels and three stages leave 5 x 5 cells; those of an earlier layer are others."""
    last = gallery.mix("attentivecutmix", "last.h5", grid=5, keep=("mask",), partners=2)
    first = gallery.mix("attentivecutmix", "first.h5", grid=5, keep=("mask",), partners=2, layer="layer1.0")
    assert (last.manifest["recipe"]["layer"], first.manifest["recipe"]["layer"]) == (None, "layer1.0")
    masks = [Dataset(result.path).require().read(0, result.rows)["mask"] for result in (last, first)]
    assert (masks[0] != masks[1]).any() and all((m.sum((1, 2)) == 255 * 6 * 16).all() for m in masks)
    for result in (last, first):
        assert mixcli.verify(result.path, replay=None)["faults"] == []
    with pytest.raises(UsageError, match="attentivecutmix draws nothing, so -k 2 copies would be equal"):
        gallery.mix("attentivecutmix", "k.h5", k=2)
