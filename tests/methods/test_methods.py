"""The registry, and what every method is held to."""

import dataclasses

import numpy as np
import pytest
import torch

import mixcli
from mixcli.data.images import Images
from mixcli.data.points import Samples
from mixcli.errors import UsageError
from mixcli.methods import get, kinds_of, method, option
from mixcli.option import options
from mixcli.rng import uniforms

NAMES = sorted(mixcli.METHODS)


def variants(cls):
    """A method with default options on each kind of data, and with each other choice and flag, one at a time."""
    for kind in kinds_of(cls):
        fixed = {"on": kind} if len(kinds_of(cls)) > 1 else {}
        yield cls(**fixed)
        for field in dataclasses.fields(cls):
            for value in options(cls)[field.name].choices:
                if value != field.default and field.name != "on":
                    yield cls(**{field.name: value}, **fixed)
            if isinstance(field.default, bool):
                yield cls(**{field.name: not field.default}, **fixed)


METHODS = {
    " ".join([name, *(f"{f.name}={v}" for f in dataclasses.fields(m) if (v := getattr(m, f.name)) != f.default)]): m
    for name in NAMES
    for m in variants(get(name))
}
# Methods of images whose label is not the share of pixels: two go by saliency, two keep the label whole.
OTHER_LABELS = ("saliencygrafting", "snapmix", "cutout", "keepaugment")


def those(test):
    """Methods for which something holds."""
    found = {name: m for name, m in METHODS.items() if test(m)}
    return pytest.mark.parametrize("method", found.values(), ids=found.keys())


every_method = those(lambda m: True)
of_points, of_images = (those(lambda m, kind=kind: m.traits.data == kind) for kind in ("points", "images"))


def keeping(identity):
    """Methods that declare it, in the forms for which they do."""
    return those(lambda m: identity in m.traits.keeps)


def pairs(traits, batch=8, places=None, seed=1):
    """Random parents with what the method needs and nothing else; `places`: a number of points, or height and width.

    Of a method of groups one group, and no b.
    """
    rng = np.random.default_rng(seed)
    batch = min(batch, traits.group or batch)
    clouds = traits.data == "points"
    n = places or (32 if clouds else (24, 20))

    def samples():
        if clouds:
            data, saliency = rng.uniform(-1, 1, (batch, n, 3)), rng.dirichlet(np.ones(n), batch)
        else:
            data, saliency = rng.uniform(0, 255, (batch, *n, 3)), 7 * rng.random((batch, *n)) ** 4
        data, saliency = (torch.from_numpy(x.astype(np.float32)) for x in (data, saliency))
        return (Samples if clouds else Images)(data, saliency if traits.saliency else None)

    phi = torch.from_numpy(np.stack([rng.permutation(n) for _ in range(batch)])) if traits.assignment else None
    a, b = samples(), None if traits.group else samples()
    return a, b, phi, torch.from_numpy(uniforms(0, "mix", np.arange(batch), width=traits.draws))


def part(samples, rows):
    if samples is None:
        return None
    return type(samples)(samples.data[rows], None if samples.saliency is None else samples.saliency[rows])


def with_saliency(samples, change):
    """Both parents, or the group's samples, with other maps."""
    return [x and dataclasses.replace(x, saliency=change(x.saliency)) for x in samples]


def copied(samples):
    return None if samples is None else samples.data.clone()


def fits(method, size):
    """Whether a method mixes images of this size; if not, it says so in words, before any work."""
    if not hasattr(method, "fits"):
        return True
    try:
        method.fits(size)
    except UsageError as e:
        assert "--" in str(e), "it says what to do"
        return False
    return True


def check(mixed, a, b, traits):
    """What holds for any mix of any method."""
    batch, places = len(a.data), a.data[0, ..., 0].numel()
    assert mixed.data.shape == a.data.shape and mixed.data.dtype == torch.float32
    assert mixed.weight.shape == (batch, traits.parents) and mixed.weight.dtype == torch.float64
    assert mixed.draw.shape == (batch, len(traits.draw_names)) and mixed.draw.dtype == torch.float64
    for field in dataclasses.fields(mixed):
        value = getattr(mixed, field.name)
        assert value is None or value.isfinite().all(), field.name
    if traits.sums:
        assert torch.allclose(mixed.weight.sum(1), torch.ones(batch, dtype=torch.float64), atol=1e-15, rtol=0)
    assert (mixed.weight >= 0).all()
    if traits.raw:
        assert mixed.weight_raw.shape == mixed.weight.shape and (mixed.weight_raw >= 0).all()
    check_members(mixed, traits, batch)
    (check_cloud if traits.data == "points" else check_picture)(mixed, a, b, traits)
    assert (mixed.query is not None) == traits.query
    if traits.query:
        assert mixed.query.shape == (batch, 2) and mixed.query.dtype == torch.int64
        assert ((mixed.query >= 0) & (mixed.query < places)).all()


def check_members(mixed, traits, batch):
    """Of a group: parents by falling share, each once, unused slots behind them."""
    assert (getattr(mixed, "members", None) is not None) == bool(traits.group)
    if not traits.group:
        return
    used = mixed.members >= 0
    assert mixed.members.shape == mixed.weight.shape and mixed.members.dtype == torch.int64
    assert ((mixed.members >= -1) & (mixed.members < batch)).all() and used[:, 0].all()
    assert (mixed.weight[~used] == 0).all() and (mixed.weight[used] > 0).all()
    assert (mixed.weight.diff(dim=1) <= 0).all()
    assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in mixed.members.numpy())


def check_cloud(mixed, a, b, traits):
    batch, n = a.data.shape[:2]
    assert mixed.point_weight.shape == (batch, n) and mixed.point_weight.dtype == torch.float32
    assert mixed.index.shape == (batch, n, 2) and mixed.index.dtype == torch.int64
    assert ((mixed.point_weight >= 0) & (mixed.point_weight <= 1)).all()
    assert (mixed.weight[:, 0] - mixed.point_weight.double().mean(1)).abs().max() < 1e-6
    check_index(mixed, a.data, b.data)


def check_picture(mixed, a, b, traits):
    """No pixel outside of 0..255, which `finished` would clip; a mask of shares, and the label that follows from it."""
    assert (mixed.data >= -1e-4).all() and (mixed.data <= 255 + 1e-4).all()
    if mixed.mask is None:
        return
    assert mixed.mask.shape == a.data.shape[:3] and mixed.mask.dtype == torch.float32
    assert ((mixed.mask >= 0) & (mixed.mask <= 1)).all()
    only_a, first = mixed.mask == 1, a.data if mixed.members is None else a.data[mixed.members[:, 0]]
    if traits.moves:  # all pixels are a's own, but from elsewhere in it
        assert all(torch.isin(m[o], f).all() for m, o, f in zip(mixed.data, only_a, first, strict=True))
    else:
        assert torch.equal(mixed.data[only_a], first[only_a])
    if traits.name not in OTHER_LABELS:
        assert (mixed.weight[:, 0] - mixed.mask.double().mean((1, 2))).abs().max() < 1e-6


def check_index(mixed, a, b):
    """Each point is what `index` says: of one parent alone where its weight is 0 or 1, else between its two points."""
    own, other = mixed.index.unbind(2)
    lam = mixed.point_weight
    assert ((mixed.index >= -1) & (mixed.index < a.shape[1])).all() and ((own >= 0) | (other >= 0)).all()
    assert (lam[own < 0] == 0).all() and (lam[other < 0] == 1).all()
    point_a, point_b = (x.gather(1, i.clamp(min=0)[:, :, None].expand(-1, -1, 3)) for x, i in ((a, own), (b, other)))
    assert torch.equal(mixed.data[other < 0], point_a[other < 0])
    both = (own >= 0) & (other >= 0)
    between = lam[:, :, None] * point_a + (1 - lam[:, :, None]) * point_b
    assert torch.allclose(mixed.data[both], between[both], atol=1e-6, rtol=0)


@every_method
def test_what_holds_for_every_mix(method):
    a, b, phi, u = pairs(method.traits, batch=64)
    before = copied(a), copied(b)
    check(method.mix(a, b, phi, u), a, b, method.traits)
    assert torch.equal(a.data, before[0]) and (b is None or torch.equal(b.data, before[1])), "parents stay as they are"


@those(lambda m: m.traits.group)
def test_a_group_of_two(method):
    a, b, phi, u = pairs(method.traits, batch=2)
    check(method.mix(a, b, phi, u), a, b, method.traits)


@of_points
@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_points(method, n):
    a, b, phi, u = pairs(method.traits, places=n)
    check(method.mix(a, b, phi, u), a, b, method.traits)


@of_images
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (6, 1), (2, 2), (17, 5)])
def test_images_of_any_size(method, size):
    if fits(method, size):
        a, b, phi, u = pairs(method.traits, places=size)
        check(method.mix(a, b, phi, u), a, b, method.traits)


@of_points
def test_clouds_of_one_place(method):
    """All points coincide: every distance is zero."""
    a, b, phi, u = pairs(method.traits)
    a, b = (dataclasses.replace(x, data=torch.ones_like(x.data)) for x in (a, b))
    check(method.mix(a, b, phi, u), a, b, method.traits)


@every_method
@pytest.mark.parametrize("u", [2.0**-53, 1 - 2.0**-53])
def test_draws_at_the_ends(method, u):
    a, b, phi, drawn = pairs(method.traits)
    check(method.mix(a, b, phi, torch.full_like(drawn, u)), a, b, method.traits)


@those(lambda m: m.traits.saliency)
def test_saliency_that_says_nothing(method):
    a, b, phi, u = pairs(method.traits)
    a, b = with_saliency((a, b), lambda saliency: torch.full_like(saliency, 1 / 32))
    check(method.mix(a, b, phi, u), a, b, method.traits)


@those(lambda m: m.traits.saliency and m.traits.data == "images")
@pytest.mark.parametrize("size", [(1, 1), (24, 20)])
@pytest.mark.parametrize("blank", ["a", "b", "ab"])
def test_maps_of_zeros(method, size, blank):
    """Raw maps of images may be zero everywhere."""
    if not fits(method, size):
        return
    a, b, phi, u = pairs(method.traits, places=size)
    (a,) = with_saliency([a], lambda saliency: saliency * ("a" not in blank))
    (b,) = with_saliency([b], lambda saliency: saliency * ("b" not in blank))
    check(method.mix(a, b, phi, u), a, b, method.traits)


@those(lambda m: m.traits.saliency and m.traits.data == "images")
@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_the_scale_of_a_map_does_not_overflow(method, factor):
    a, b, phi, u = pairs(method.traits)
    a, b = with_saliency((a, b), lambda saliency: saliency * factor)
    check(method.mix(a, b, phi, u), a, b, method.traits)


@every_method
def test_the_same_draws_give_the_same_mix(method):
    a, b, phi, u = pairs(method.traits)
    mixed, again = method.mix(a, b, phi, u), method.mix(a, b, phi, u)
    for field in dataclasses.fields(mixed):
        value = getattr(mixed, field.name)
        assert value is None or torch.equal(value, getattr(again, field.name)), field.name


@those(lambda m: not m.traits.group)
@pytest.mark.parametrize("rows", [slice(3, 4), slice(2, 7)])
def test_the_rest_of_the_batch_does_not_matter(method, rows):
    a, b, phi, u = pairs(method.traits, batch=16)
    whole = method.mix(a, b, phi, u)
    alone = method.mix(part(a, rows), part(b, rows), None if phi is None else phi[rows], u[rows])
    for field in dataclasses.fields(whole):
        value = getattr(whole, field.name)
        if value is not None and value.dtype == torch.int64:
            assert torch.equal(getattr(alone, field.name), value[rows]), field.name
        elif value is not None:
            close = 3e-4 if field.name == "data" and method.traits.data == "images" else 1e-6  # of 0..255
            assert torch.allclose(getattr(alone, field.name), value[rows], atol=close, rtol=1e-6), field.name


@those(lambda m: m.traits.group)
def test_more_mixes_of_a_group_differ(method):
    a, b, phi, _ = pairs(method.traits)
    more = [torch.from_numpy(uniforms(0, "mix", np.arange(8), j=j, width=method.traits.draws)) for j in range(8)]
    mixed = [method.mix(a, b, phi, v).data.numpy().tobytes() for v in more]
    assert len(set(mixed)) >= 7


@those(lambda m: m.traits.draws and not m.traits.group)
def test_more_mixes_differ(method):
    """Its draws reach the mix: 8 pairs of the same two samples, 8 mixes; boxes of whole pixels may coincide."""
    a, b, phi, u = pairs(method.traits)
    a, b = (part(x, torch.zeros(8, dtype=torch.int64)) for x in (a, b))
    phi = None if phi is None else phi[:1].expand(8, -1)
    mixed = method.mix(a, b, phi, u)
    assert len(np.unique(mixed.data.numpy().reshape(8, -1), axis=0)) >= (7 if method.traits.data == "points" else 5)


@keeping("self-pair")
def test_a_self_pair_gives_itself(method):
    """Point by point, where each point is assigned to itself, or pixel by pixel."""
    a, _, phi, u = pairs(method.traits)
    own = None if phi is None else torch.arange(32).expand(8, 32)
    assert torch.equal(method.mix(a, a, own, u).data, a.data)


@keeping("lam-one")
def test_lambda_one_gives_parent_a(method):
    """Point by point, or pixel by pixel, where all of the share is drawn for a."""
    beta = next(f.name for f in dataclasses.fields(method) if f.name in ("theta", "alpha", "beta"))
    method = dataclasses.replace(method, **{beta: 1e-3})
    a, b, phi, u = pairs(method.traits)
    u[:, 0] = 1 - 2.0**-53
    mixed = method.mix(a, b, phi, u)
    assert torch.equal(mixed.data, a.data) and (mixed.weight[:, 0] == 1).all()


def test_identities_are_among_those_that_are_tested():
    assert {identity for m in METHODS.values() for identity in m.traits.keeps} <= {"self-pair", "lam-one"}


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_documented(name):
    for field in dataclasses.fields(get(name)):
        assert options(get(name))[field.name].help.endswith("."), field.name
    assert get(name).traits.example.startswith(f"mixcli {name} ")


def test_a_misspelt_method():
    with pytest.raises(UsageError, match="did you mean 'sagemix'"):
        get("sagemx")


@pytest.mark.parametrize("value", [3.0, "3", True, None])
def test_an_option_that_counts_takes_whole_numbers(value):
    with pytest.raises(UsageError, match=f"--nsample {value}: must be a whole number"):
        get("rsmix")(nsample=value)


def test_a_method_of_another_package(monkeypatch, tiny):
    """One class and one entry point: it has a command, options, and a place in the manifest."""
    from click.testing import CliRunner

    from mixcli import methods
    from mixcli.cli.main import main
    from mixcli.data.points import Mixed, matched_points

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
            weight, own = torch.cat([lam, 1 - lam], 1), torch.arange(a.data.shape[1]).expand(a.data.shape[:2])
            index = matched_points(own)
            return Mixed(b.data.lerp(a.data, self.share), weight, lam.float().expand(own.shape), lam, index)

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
