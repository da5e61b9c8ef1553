"""The registry, and what every method is held to."""

import dataclasses

import numpy as np
import pytest
import torch

import mixcli
from mixcli.errors import UsageError
from mixcli.methods import get, method, option
from mixcli.rng import uniforms
from mixcli.samples import Samples

NAMES = sorted(mixcli.METHODS)


def pairs(traits, batch=8, n=32):
    rng = np.random.default_rng(1)
    cloud = lambda: torch.from_numpy(rng.uniform(-1, 1, (batch, n, 3)).astype(np.float32))  # noqa: E731
    saliency = lambda: torch.from_numpy(rng.dirichlet(np.ones(n), batch).astype(np.float32))  # noqa: E731
    phi = torch.from_numpy(np.stack([rng.permutation(n) for _ in range(batch)]))
    u = torch.from_numpy(uniforms(0, "mix", np.arange(batch), width=traits.draws))
    return Samples(cloud(), saliency()), Samples(cloud(), saliency()), phi, u


@pytest.mark.parametrize("name", NAMES)
def test_shapes_finiteness_shares_and_determinism(name):
    cls = get(name)
    a, b, phi, u = pairs(cls.traits)
    mixed, again = cls().mix(a, b, phi, u), cls().mix(a, b, phi, u)
    assert mixed.data.shape == a.data.shape and mixed.data.dtype == torch.float32
    assert mixed.draw.shape == (8, len(cls.traits.draw_names))
    assert (mixed.query is not None) == cls.traits.query
    for field in dataclasses.fields(mixed):
        value = getattr(mixed, field.name)
        assert value is None or (value.isfinite().all() and torch.equal(value, getattr(again, field.name)))
    assert torch.allclose(mixed.weight.sum(1), torch.ones(8, dtype=torch.float64))
    assert ((mixed.point_weight >= 0) & (mixed.point_weight <= 1)).all()


@pytest.mark.parametrize("name", [n for n in NAMES if "self-pair" in get(n).traits.keeps])
def test_a_self_pair_gives_itself(name):
    cls = get(name)
    a, _, phi, u = pairs(cls.traits)
    own = torch.arange(phi.shape[1]).expand_as(phi)
    assert torch.equal(cls().mix(a, a, own, u).data, a.data)


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_documented(name):
    for field in dataclasses.fields(get(name)):
        assert field.metadata["help"].endswith("."), field.name
    assert get(name).traits.example.startswith(f"mixcli {name} ")


def test_a_misspelt_method():
    with pytest.raises(UsageError, match="did you mean 'sagemix'"):
        get("sagemx")


def test_a_method_of_another_package(monkeypatch, tiny):
    """One class and one entry point: it has a command, options, and a place in the manifest."""
    from click.testing import CliRunner

    from mixcli import methods
    from mixcli.cli import main
    from mixcli.samples import Mixed

    @method(
        data="points", saliency=None, assignment=False, draws=1, draw_names=("lam",), query=False, keeps=(),
        example="mixcli halves --in a.h5 --out b.h5",
    )  # fmt: skip
    @dataclasses.dataclass(frozen=True)
    class Halves:
        """A mean of two clouds."""

        share: float = option(0.5, "Of parent A.", above=0)

        def mix(self, a, b, phi, u):
            lam = torch.full((len(u), 1), self.share, dtype=torch.float64)
            weight = torch.cat([lam, 1 - lam], 1)
            return Mixed(b.data.lerp(a.data, self.share), weight, lam.float().expand(-1, a.data.shape[1]), lam)

    class Entry:
        load = staticmethod(lambda: Halves)

    monkeypatch.setattr(methods, "entry_points", lambda group: [Entry])
    methods.methods.cache_clear()
    try:
        out = tiny.folder / "mixed.h5"
        arguments = ["halves", "--in", str(tiny.source), "--out", str(out), "--points", "64", "--share", "0.25"]
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0, done.stderr
        assert "--share" in CliRunner().invoke(main, ["halves", "--help"]).stdout
        assert mixcli.verify(out, replay=None)["faults"] == []
    finally:
        monkeypatch.undo()
        methods.methods.cache_clear()
