"""Counter-based random numbers: which number a mix gets depends on the seed and on which mix it is, on nothing else.

One cell of the counter (block, j, pair in window and window, round) gives four uniforms. Nothing is ever drawn
in sequence, so batch size, worker, shard and resume cannot move a number, and raising `-k`, `--partners` or a
method's number of draws changes none that was drawn before.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Rows = TypeVar("Rows", np.ndarray, "Tensor")

# Philox-4x64-10 (Salmon et al., SC 2011), the generator behind numpy.random.Philox.
_MULTIPLIER = (np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157))
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def key(seed: int, stream: str) -> tuple[int, int]:
    """The two key words of a stream: the seed, and eight bytes of the SHA-256 of the stream's name."""
    return seed % 2**64, int.from_bytes(hashlib.sha256(stream.encode()).digest()[:8], "little")


def _multiply(a: np.uint64, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """High and low words of the 128-bit product, from four 32-bit products."""
    a_high, a_low, b_high, b_low = a >> _HALF, a & _LOW, b >> _HALF, b & _LOW
    low, cross = a_low * b_low, a_high * b_low
    middle = a_low * b_high + (cross & _LOW) + (low >> _HALF)
    return a_high * b_high + (cross >> _HALF) + (middle >> _HALF), a * b


def philox(counter: tuple[np.ndarray, ...], key: tuple[int, int]) -> np.ndarray:
    """Ten rounds of Philox-4x64. Four (n,) u64 counter words -> (n,4) u64.

    Equal to `numpy.random.Philox(counter=c, key=key).random_raw(4)`, which steps its counter before the first draw.
    """
    c0, c1, c2, c3 = counter
    c0 = c0 + np.uint64(1)
    for round_ in range(10):
        k0, k1 = (np.uint64((k + round_ * w) % 2**64) for k, w in zip(key, _WEYL, strict=True))
        high0, low0 = _multiply(_MULTIPLIER[0], c0)
        high1, low1 = _multiply(_MULTIPLIER[1], c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
    return np.stack([c0, c1, c2, c3], axis=-1)


def uniforms(
    seed: int, stream: str, pair: np.ndarray, window: int = 0, round_: int = 0, j: int = 0, width: int = 1
) -> np.ndarray:
    """`width` uniforms for each of `pair` (n,) numbered within its window -> (n, width) f64, strictly inside (0, 1).

    52 bits and a half: u and 1 - u are both exact, so a symmetric inverse CDF is symmetric to the last bit.
    """
    pair = np.asarray(pair, np.uint64)
    blocks = np.arange(max(1, -(-width // 4)), dtype=np.uint64)
    word2 = np.repeat(pair + (np.uint64(window) << _HALF), len(blocks))
    fill = [np.full_like(word2, value) for value in (j, round_)]
    cells = philox((np.tile(blocks, len(pair)), fill[0], word2, fill[1]), key(seed, stream))
    words = cells.reshape(len(pair), 4 * len(blocks))[:, :width]
    return ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def permutation(seed: int, stream: str, n: int, window: int = 0, round_: int = 0) -> np.ndarray:
    """A random order of range(n): the ranks of n uniforms -> (n,) i64."""
    return np.argsort(uniforms(seed, stream, np.arange(n), window, round_)[:, 0], kind="stable")


def logit_beta(u: np.ndarray, theta: float) -> np.ndarray:
    """Inverse CDF of Beta(theta, theta), as a logit: log(x / (1 - x)) with P(X <= x) = u. (n,) f64 -> (n,) f64.

    The logit, since at theta = 0.2 x itself rounds to 1 for one draw in two thousand. The upper half comes from
    the lower by symmetry. Far down, where x underflows, I_x(t, t) = x^t / (t B(t, t)) (1 + O(x)) is solved for log x.

    >>> logit_beta(np.array([0.25, 0.5, 0.75]), 1.0).round(6).tolist()  # Beta(1, 1) is uniform
    [-1.098612, 0.0, 1.098612]
    """
    from scipy.special import betaincinv, betaln

    u = np.asarray(u, np.float64)
    lower = np.minimum(u, 1.0 - u)
    tail = (np.log(lower) + np.log(theta) + betaln(theta, theta)) / theta
    x = betaincinv(theta, theta, lower)
    safe = np.where(tail < -40.0, 0.5, x)  # e^-40 of relative error: the two forms meet there
    logit = np.where(tail < -40.0, tail, np.log(safe) - np.log1p(-safe))
    return np.where(lower == 0.5, 0.0, np.where(u < 0.5, logit, -logit))


def categorical(u: Rows, weight: Rows) -> Rows:
    """Inverse CDF over rows of weights that need not sum to 1. (B,) and (B,N) f64 -> (B,) i64; numpy or torch.

    An entry of weight 0 is never drawn: the count of partial sums not above u times the total steps over it.

    >>> categorical(np.array([0.1, 0.6, 0.99]), np.array([[1.0, 0.0, 1.0]] * 3)).tolist()
    [0, 2, 2]
    """
    cdf = weight.cumsum(-1)
    total = cdf[:, -1:]
    target = u[:, None] * total
    target = target - (target >= total) * (total * 2.0**-52)  # u < 1, but u·total may round up to total
    return (cdf <= target).sum(-1)
