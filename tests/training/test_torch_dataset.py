"""Training on a mixed dataset."""

import pickle

import pytest
import torch
from torch.utils.data import DataLoader

import mixcli
from mixcli.errors import UsageError


@pytest.mark.parametrize("out", ["mixed.h5", "mixed.npz", "mixed"])
@pytest.mark.parametrize("workers", [0, 2])
def test_every_row_once_in_an_epoch(tiny, out, workers):
    data = mixcli.open_dataset(tiny.mix(out, k=2).path)
    assert len(data) == 60 and data.class_names == ("chair", "lamp", "mug", "table")
    batches = list(DataLoader(data, batch_size=16, shuffle=True, num_workers=workers))
    clouds, labels = (torch.cat(side) for side in zip(*batches, strict=True))
    assert clouds.shape == (60, 64, 3) and clouds.dtype == torch.float32
    assert labels.shape == (60, 4) and torch.allclose(labels.sum(1), torch.ones(60))
    everything = torch.stack([data[i][0] for i in range(60)])
    assert sorted(clouds.sum((1, 2)).tolist()) == sorted(everything.sum((1, 2)).tolist())
    assert torch.nn.functional.cross_entropy(torch.zeros(60, 4), labels).isfinite()


def test_other_fields_transforms_and_pickles(tiny):
    path = tiny.mix("mixed.h5").path
    assert repr(mixcli.open_dataset(path)) == f"MixedDataset({str(path)!r}: 30 rows of data, soft_label)"
    data = mixcli.open_dataset(path, ("data", "weight", "parent"), transform=lambda cloud: 2 * cloud)
    plain = mixcli.open_dataset(path)
    assert torch.equal(data[3][0], 2 * plain[3][0]) and data[3][1].shape == (2,)
    assert torch.equal(pickle.loads(pickle.dumps(plain))[-1][0], plain[29][0])
    with pytest.raises(IndexError, match="rows 0 to 29, not 30"):
        plain[30]
    with pytest.raises(UsageError, match="no field 'colour'; it has data"):
        mixcli.open_dataset(path, ("colour",))
