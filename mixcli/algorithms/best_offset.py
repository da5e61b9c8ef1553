"""The offset of one saliency map against another that keeps most saliency: SAGE, section 3.3, over all offsets.

Map b moves by τ over map a, both (H,W). With M of Eq. 2 where they overlap and M = 1 elsewhere, the total saliency
of Eq. 3 is

    v(τ) = Σ [M a + (1 - M) T(b,τ)] = Σ a + Σ_overlap b - Σ_overlap a (2b + ζ) / (a + b + ζ),

for ζ = 0 the same as Σ a + Σ_overlap b (b - a) / (a + b). The quotients make a correlation once they fall apart into
factors of a and of b: 1/x = ∫ exp(u - x exp u) du, which by the trapezoid rule is a sum of some 14 to 24 weighted
exp(-t x), and exp(-t (a + b)) is a product. So a map needs one FFT a term, which serves every pair of the map. Two
terms share a complex one: of (A + iA') and (B + iB')* the product has the real part A B + A' B'.

How far off this v may be is known: the rule, its cut ends and every rounding have a bound. The few offsets that may
be the best within it are scored one by one in float64. Where they are not few (constant and sparse maps tie by the
thousand), the sum is made again in float64, with a bound far below the tolerance of ties.

Offsets within TIE·(Σa + Σb) of the largest v are tied: the smallest |τ| is taken, then the first in row-major order.
The answer depends on the two maps alone, to the last bit of v: not on the batch or on what else was prepared.

>>> a = torch.tensor([[3.0, 0.0], [0.0, 0.0]])
>>> tau, value = best_offsets(prepare(torch.stack([a, a])), torch.tensor([0]), torch.tensor([1]))
>>> tau.tolist(), value.tolist()  # on itself the spike keeps 3; one pixel to the right, 3 + 3
([[0, 1]], [6.0])
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

TIE = 1e-9  # of Σa + Σb
KEEP = 2**29  # bytes of transforms that `prepare` keeps
SCRATCH = {"cpu": 2**24, "cuda": 2**29}  # bytes of temporaries; on a CPU, what its caches hold
FEW = 256  # offsets of a pair that are scored before the sum is made again
NEGLIGIBLE = 1e-18  # exp(-t a) below it counts as 0: arithmetic with denormal numbers is slow


@dataclass(frozen=True)
class Precision:
    """How closely a sum of exponentials follows 1/x."""

    dtype: torch.dtype
    step: float  # h of the trapezoid rule in log t
    cut: float  # what leaving out either end of the sum may cost, where the largest total is about 1

    @property
    def relative(self) -> float:
        """Error of the whole rule, of 1/x: 2 Σ_m |Γ(1 + 2πim/h)| by Poisson's formula; beyond m = 1 it vanishes."""
        y = 2 * math.pi**2 / self.step
        return 2.01 * math.sqrt(y / math.sinh(y))


FAST = Precision(torch.float32, step=0.85, cut=3e-5)
FINE = Precision(torch.float64, step=1 / 3, cut=1e-12)


@dataclass(frozen=True)
class Terms:
    """1/x ≈ Σ weight·exp(-rate·x), an even number of terms, and what cutting its ends costs each map at most."""

    precision: Precision
    rates: list[float]
    weights: list[float]
    low: Tensor  # (n,) f64: one term stands for all of small rates; costs of two maps add up
    high: Tensor  # (n,) f64: those of large rates are left out; a pair has the smaller cost of its two


@dataclass(frozen=True)
class Prepared:
    """Maps to be paired, and their transforms."""

    maps: Tensor  # (n,H,W) f64, the largest total from 1 to 2
    scale: float
    terms: Terms
    spectra: list[Tensor] | None  # (n,H',W') c64 for every two terms; None: made anew for each pair


def prepare(maps: Tensor, keep: int = KEEP) -> Prepared:
    """Maps (n,H,W) of any float type: finite, not negative, n, H, W ≥ 1, on any device and of any scale.

    With K terms the transforms take 4·K·H'·W' bytes a map, H' and W' the least fast lengths from 2H - 1 and 2W - 1:
    256 KB at 32 x 32 pixels and K = 16, 14 MB at 224 x 224 and K = 18. Where all of them exceed ``keep`` bytes none is
    kept. Beside them four copies of the maps in float64 are all that grows with n. Maps whose totals are orders of
    magnitude apart are searched as exactly, but slowly: normalise them first. Raises ValueError.
    """
    if maps.ndim != 3 or not maps.numel():
        raise ValueError(f"expected maps (n,H,W), got the shape {tuple(maps.shape)}")
    if not (maps.isfinite().all() and (maps >= 0).all()):
        raise ValueError("a saliency map has a value that is negative, infinite or NaN")
    maps = maps.double()
    scale = math.ldexp(0.5, math.frexp(float(maps.sum((1, 2)).amax()))[1])  # a power of 2, so nothing is rounded
    maps = maps / scale
    terms = _terms(maps, FAST)
    count = len(terms.rates)
    fits = 4 * count * len(maps) * math.prod(_shape(maps)) <= keep
    spectra = [_spectrum(maps, terms, k) for k in range(0, count, 2)] if fits else None
    return Prepared(maps, scale, terms, spectra)


def best_offsets(
    prepared: Prepared, i: Tensor, j: Tensor, zeta: float = 0.0, allowed: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """τ* of map j over map i for each pair, and v(τ*). (B,), (B,) i64 -> (B,2) i64 rows and columns, (B,) f64.

    ``zeta`` is ζ of Eq. 2, in the units of the maps. ``allowed`` (B,2H-1,2W-1) bool leaves out offsets, but not all of
    a pair's: entry [τ_y + H - 1, τ_x + W - 1]. Temporaries take SCRATCH bytes, or what one pair needs: 64·H'·W',
    13 MB at 224 x 224; twice that where the sum is made again.
    """
    zeta = zeta / prepared.scale
    flat, value = i.new_empty(len(i)), prepared.maps.new_empty(len(i))
    for run in _runs(len(i), 64 * math.prod(_shape(prepared.maps)), i.device):
        pairs = Pairs(prepared.maps[i[run]], prepared.maps[j[run]], zeta, None if allowed is None else allowed[run])
        flat[run], value[run] = _best(pairs, *_approximate(prepared, i[run], j[run]))
    return _offset(flat, prepared.maps.shape[1:]), value * prepared.scale


def shifted(x: Tensor, tau: Tensor, which: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """T(x,τ) of Eq. 3, and the pixels that x covers: (B,H,W,...), (M,2) i64 -> (M,H,W,...), (M,H,W) bool.

    Elsewhere the border of x is repeated. ``which`` (M,) i64 says which x each offset moves; by default all in order.
    """
    which = torch.arange(len(x), device=x.device) if which is None else which
    y, x_ = (torch.arange(n, device=x.device) - t[:, None] for n, t in zip(x.shape[1:3], tau.unbind(1), strict=True))
    (height, width), rows, columns = x.shape[1:3], y[:, :, None], x_[:, None, :]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return x[which[:, None, None], rows.clamp(0, height - 1), columns.clamp(0, width - 1)], inside


@dataclass(frozen=True)
class Pairs:
    """Some pairs of maps, of which b moves over a."""

    a: Tensor  # (B,H,W) f64
    b: Tensor  # (B,H,W) f64
    zeta: float
    allowed: Tensor | None  # (B,2H-1,2W-1) bool, which offsets are tried; None: all

    def one(self, n: int) -> Pairs:
        """The n-th pair alone."""
        row = slice(n, n + 1)
        return Pairs(self.a[row], self.b[row], self.zeta, None if self.allowed is None else self.allowed[row])


def _best(p: Pairs, v: Tensor, error: Tensor) -> tuple[Tensor, Tensor]:
    """Flat offsets (B,) i64 and their v (B,) f64, from an approximation of v at ζ = 0 and how far off it is."""
    error = error + p.a[0].numel() * p.zeta  # no pixel differs by more than ζ from ζ = 0
    near, _ = _near(p, v, error)
    few = near.sum(1) <= FEW
    pair, flat = (near & few[:, None]).nonzero(as_tuple=True)
    best, value = _first_of_tied(p, pair, flat)
    for n in (~few).nonzero()[:, 0].tolist():
        best[n], value[n] = _best_of_many(p.one(n), v[n : n + 1], error[n : n + 1])
    return best, value


def _near(p: Pairs, v: Tensor, error: Tensor) -> tuple[Tensor, Tensor]:
    """Offsets that may be tied with the best, (B,S) bool, and what no true v exceeds, (B,) f64."""
    v = v.flatten(1) if p.allowed is None else v.flatten(1).masked_fill(~p.allowed.flatten(1), -torch.inf)
    most = v.amax(1).double()
    least = most - 2 * error - _tolerance(p)
    return v >= least[:, None].to(v.dtype), torch.minimum(most + error, p.a.sum((1, 2)) + p.b.sum((1, 2)))


def _first_of_tied(p: Pairs, pair: Tensor, flat: Tensor) -> tuple[Tensor, Tensor]:
    """Of offsets (M,), each of a pair (M,), the first in order of those tied with their pair's best, and its v.

    -> (B,) i64, (B,) f64
    """
    v, none = _score(p, pair, flat), torch.iinfo(torch.int64).max
    most = v.new_full((len(p.a),), -torch.inf).scatter_reduce(0, pair, v, "amax")
    rank = _rank(flat, p.a.shape[1:]).masked_fill(v < (most - _tolerance(p))[pair], none)
    first = rank.new_full((len(p.a),), none).scatter_reduce(0, pair, rank, "amin")
    chosen = rank == first[pair]
    best, value = flat.new_zeros(len(p.a)), v.new_zeros(len(p.a))
    best[pair[chosen]], value[pair[chosen]] = flat[chosen], v[chosen]
    return best, value


def _best_of_many(p: Pairs, v: Tensor, error: Tensor) -> tuple[Tensor, Tensor]:
    """The same for one pair, maps (1,H,W), of which more than FEW offsets may be the best."""
    best, value, is_sure = _walk(p, v, error, FEW)
    if not is_sure:
        best, value, _ = _walk(p, *_approximate_finely(p.a, p.b, p.zeta), v.numel())
    return best, value


def _walk(p: Pairs, v: Tensor, error: Tensor, most: int) -> tuple[Tensor, Tensor, bool]:
    """Score offsets in the order of ties until one is sure to be the answer; ``most`` of them may not do.

    The first that ties with the best so far is the answer if it ties with the upper bound, too: no earlier one can.
    Of one pair -> (1,) i64, (1,) f64, and whether it is sure: it is if ``most`` are all.
    """
    near, upper = _near(p, v, error)
    flat, tie = near[0].nonzero()[:, 0], _tolerance(p)
    flat = flat[_rank(flat, p.a.shape[1:]).argsort()]
    likely = v.flatten()[flat].argmax()[None]
    best = _score(p, torch.zeros_like(likely), flat[likely])
    scores = p.a.new_empty(0)
    for start in range(0, min(most, len(flat)), FEW):
        block = flat[start : start + FEW]
        scores = torch.cat([scores, _score(p, torch.zeros_like(block), block)])
        best = torch.maximum(best, scores.amax())
        tied = (scores >= best - tie).nonzero()[:1, 0]
        if len(tied) and (scores[tied] >= upper - tie or len(scores) == len(flat)):
            return flat[tied], scores[tied], True
    return flat[likely], best, False


def _tolerance(p: Pairs) -> Tensor:
    """By how much two v may differ and be tied, (B,) f64."""
    return TIE * (p.a.sum((1, 2)) + p.b.sum((1, 2)))


def _offset(flat: Tensor, size: Sequence[int]) -> Tensor:
    """τ from its place in row-major order: (B,) i64 -> (B,2) i64."""
    h, w = size
    row = flat.div(2 * w - 1, rounding_mode="floor")
    return torch.stack([row - (h - 1), flat - row * (2 * w - 1) - (w - 1)], 1)


def _rank(flat: Tensor, size: Sequence[int]) -> Tensor:
    """The order of ties: by |τ|, then row-major. (B,) i64 -> (B,) i64."""
    h, w = size
    return _offset(flat, size).square().sum(1) * ((2 * h - 1) * (2 * w - 1)) + flat


def _score(p: Pairs, pair: Tensor, flat: Tensor) -> Tensor:
    """v of single offsets: Σ a + Σ_overlap (b - a) (b + ζ) / (a + b + ζ). (M,) i64 ×2 -> (M,) f64."""
    v = p.a.new_empty(len(pair))
    for run in _runs(len(pair), 64 * p.a[0].numel(), p.a.device):
        first = p.a[pair[run]]
        second, inside = shifted(p.b, _offset(flat[run], p.a.shape[1:]), pair[run])
        below = first + second + p.zeta
        gain = (second - first) * (second + p.zeta) / below.masked_fill(below == 0, 1.0)
        v[run] = (first + gain * inside).sum((1, 2))
    return v


def _runs(count: int, size: int, device: torch.device) -> Iterator[slice]:
    """range(count) in runs whose temporaries, ``size`` bytes each, fit into SCRATCH."""
    step = max(1, SCRATCH.get(device.type, SCRATCH["cuda"]) // size)
    yield from (slice(start, start + step) for start in range(0, count, step))


def _terms(maps: Tensor, precision: Precision, zeta: float = 0.0) -> Terms:
    """The terms that these maps (n,H,W) need, whose largest total is about 1.

    Rates below t₀ become one term of their weight and their mean rate, which is off by at most ½ x² t₀³ V, V the
    variance of h exp(u) there at t₀ = 1. As 2ab (a + b)² ≤ 4 (a⁴ + b⁴), fourth powers bound the pixels' sum.
    """
    h, q = precision.step, math.exp(-precision.step)
    top, high = _largest_rate(maps, precision, zeta)
    m0, m1, m2 = (h * q**k / (1 - q**k) for k in (1, 2, 3))  # Σ h q^jk over j ≥ 1
    power = 2 * (m2 - m1**2 / m0) * (maps + zeta).pow(4).sum((1, 2))
    least = (precision.cut / (float(power.amax()) or 1.0)) ** (1 / 3)
    more = max(0, math.ceil(math.log(top / least) / h))
    rates = [top * q**k for k in range(more + more % 2 + 1)]
    t0 = rates[-1]
    weights = [h * rate for rate in rates]
    return Terms(precision, [*rates, t0 * m1 / m0], [*weights, t0 * m0], t0**3 * power, high)


def _largest_rate(maps: Tensor, precision: Precision, zeta: float) -> tuple[float, Tensor]:
    """The rate t above which terms are left out, and what that costs each map, (n,) f64.

    That is 2 (1 + h) Σ a exp(-t a), for 2ab / (a + b) is at most 2a, and h Σ z exp(-z) over what is left out at most
    (1 + h) exp(-z), z = t a.
    """
    x, rate = maps.to(precision.dtype), 16.0 * maps[0].numel()
    while True:
        rate *= 4
        high = 2.02 * (1 + precision.step) * (x * torch.exp(-rate * (x + zeta))).sum((1, 2)).double()
        if high.amax() <= precision.cut:
            return rate, high


def _shape(maps: Tensor) -> tuple[int, int]:
    """H', W': multiples of 8 without large factors, at which transforms are fast, and room for every offset."""
    sizes = (next(m for m in range(8, 32 * n, 8) if m >= 2 * n - 1 and 210**12 % m == 0) for n in maps.shape[1:])
    height, width = sizes
    return height, width


def _spectrum(maps: Tensor, terms: Terms, k: int, zeta: float = 0.0) -> Tensor:
    """Terms k and k + 1, as real and imaginary part, transformed. (n,H,W) f64 -> (n,H',W') complex."""
    (height, width), x = _shape(maps), maps.to(terms.precision.dtype)
    parts = []
    for rate, weight in zip(terms.rates[k : k + 2], terms.weights[k : k + 2], strict=True):
        decay = torch.nn.functional.threshold(torch.exp(-rate * (x + zeta)), NEGLIGIBLE, 0.0)
        parts.append((x + zeta / 2) * decay * math.sqrt(2 * weight))
    # Columns first: half of the rows are padding, and need no transform of their own.
    return torch.fft.fft(torch.fft.fft(torch.complex(*parts), n=height, dim=1), n=width, dim=2)


def _approximate(p: Prepared, i: Tensor, j: Tensor) -> tuple[Tensor, Tensor]:
    """v at ζ = 0 of all offsets, (B,2H-1,2W-1) f32, and how far off it is at most, (B,) f64."""
    a, b, terms = p.maps[i], p.maps[j], p.terms

    def spectra(k: int) -> tuple[Tensor, Tensor]:
        if p.spectra is not None:
            return p.spectra[k // 2][i], p.spectra[k // 2][j]
        return _spectrum(a, terms, k), _spectrum(b, terms, k)

    ends = terms.low[i] + terms.low[j] + torch.minimum(terms.high[i], terms.high[j])
    return _totals(a, b, terms, spectra), ends + _error(a, b, terms)


def _approximate_finely(a: Tensor, b: Tensor, zeta: float) -> tuple[Tensor, Tensor]:
    """The same for any ζ, of one pair, in float64: an error far below the tolerance of ties."""
    scale = float(torch.maximum(a.sum(), b.sum())) or 1.0
    a, b, zeta = a / scale, b / scale, min(zeta / scale, 1e15)  # a larger ζ is as good as infinite
    terms = _terms(torch.cat([a, b]), FINE, zeta)
    v = _totals(a, b, terms, lambda k: (_spectrum(a, terms, k), _spectrum(b, terms, k, zeta)))
    return v * scale, (terms.low.sum() + terms.high[:1] + _error(a, b, terms, zeta)) * scale


def _totals(a: Tensor, b: Tensor, terms: Terms, spectra: Callable[[int], tuple[Tensor, Tensor]]) -> Tensor:
    """Σ a + Σ_overlap b, less the correlations of the terms. (B,H,W) ×2 f64 -> (B,2H-1,2W-1)."""
    (h, w), total = a.shape[1:], None
    for k in range(0, len(terms.rates), 2):
        first, second = spectra(k)
        total = first * second.conj() if total is None else total.addcmul_(first, second.conj())
    lost = torch.fft.ifft2(total).real.roll((h - 1, w - 1), (1, 2))[:, : 2 * h - 1, : 2 * w - 1]
    kept = a.sum((1, 2))[:, None, None] + _overlap_sums(b)
    return kept.to(lost.dtype) - lost


def _overlap_sums(x: Tensor) -> Tensor:
    """What stays of Σ x when it moves by τ. (B,H,W) -> (B,2H-1,2W-1)."""
    for dim in (1, 2):
        tails = x.flip(dim).cumsum(dim).narrow(dim, 0, x.shape[dim] - 1)
        x = torch.cat([tails, x.cumsum(dim).flip(dim)], dim)
    return x


def _error(a: Tensor, b: Tensor, terms: Terms, zeta: float = 0.0) -> Tensor:
    """What the step of the rule and all roundings add up to at most, (B,) f64.

    The quotients a (2b + ζ) / (a + b + ζ) are at most 2a, and half of a + b + ζ. A transform of n points is right to
    7 log₂ n roundings of its norm (Higham, Accuracy and Stability, Theorem 24.2, with 6.7), and a product passes three.
    The norms of a's and b's terms multiply to √(Σa Σ(b + ζ)) at most, since Σ 2w a² exp(-2ta) = a.
    """
    first, second = a.sum((1, 2)), (b + zeta).sum((1, 2))
    unit = torch.finfo(terms.precision.dtype).eps / 2
    roundings = 21 * math.log2(math.prod(_shape(a))) + len(terms.rates) + 32  # transforms, their sum, their input
    rule = terms.precision.relative * torch.minimum(2 * first, (first + second) / 2)
    return rule + unit * (roundings * (first * second).sqrt() + 8 * (first + second))
