import numpy as np
import pytest
import torch
from scipy import stats

from mixcli.data.points import Samples
from mixcli.errors import UsageError
from mixcli.methods.mixup import Mixup
from mixcli.rng import uniforms


def test_hand_worked_example():
    """u = 1/4 of Beta(1, 1) is λ = 1/4: (0, 4) and (8, 0) become 1/4·0 + 3/4·8 = 6 and 1/4·4 + 3/4·0 = 1."""
    a, b = (Samples(torch.tensor([[[float(v), 0, 0] for v in x]])) for x in ((0, 4), (8, 0)))
    mixed = Mixup().mix(a, b, None, torch.tensor([[0.25]], dtype=torch.float64))
    assert mixed.data[0, :, 0].tolist() == pytest.approx([6, 1], abs=1e-6)
    assert mixed.weight[0].tolist() == pytest.approx([0.25, 0.75], abs=1e-15)
    assert mixed.index[0].tolist() == [[0, 0], [1, 1]]


@pytest.mark.parametrize("alpha", [1.0, 0.2, 3.0])
def test_lambda_is_drawn_as_said(alpha):
    u = torch.from_numpy(uniforms(3, "mix", np.arange(3000)))
    cloud = Samples(torch.zeros(3000, 2, 3))
    mixed = Mixup(alpha=alpha).mix(cloud, cloud, None, u)
    assert stats.kstest(mixed.weight[:, 0].numpy(), stats.beta(alpha, alpha).cdf).pvalue > 1e-3
    assert torch.equal(mixed.draw[:, 0], mixed.weight[:, 0])


def test_each_pair_has_its_own_lambda():
    cloud = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (2, 16, 9, 3)).astype(np.float32))
    mixed = Mixup().mix(Samples(cloud[0]), Samples(cloud[1]), None, torch.from_numpy(uniforms(0, "mix", np.arange(16))))
    lam = mixed.weight[:, 0].numpy()[:, None, None]
    expected = lam * cloud[0].double().numpy() + (1 - lam) * cloud[1].double().numpy()
    assert np.abs(mixed.data.numpy() - expected).max() < 2e-7
    assert len(np.unique(lam)) == 16


@pytest.mark.parametrize("option", [{"alpha": 0.0}, {"on": "features"}])
def test_options_out_of_range(option):
    with pytest.raises(UsageError, match=next(iter(option))):
        Mixup(**option)
