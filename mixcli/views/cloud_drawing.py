"""Drawing clouds without a display or a GPU: every point a shaded sphere, nearer ones in front."""

from __future__ import annotations

import numpy as np

A, B, MIDDLE = (0xD1, 0x58, 0x0C), (0x1F, 0x5F, 0xB0), (0xB4, 0xB4, 0xB4)
OVER = 2  # pixels a side that become one
LIGHT = np.array([-0.35, 0.6, 0.72])
YAW, PITCH = np.radians(-35.0), np.radians(18.0)


def draw(cloud: np.ndarray, color: np.ndarray, size: int, scale: float = 1.0, up: str = "y") -> np.ndarray:
    """Picture of a cloud on white. (N,3) f32, (N,3) u8 -> (size,size,3) u8. scale: the radius that fills the tile."""
    side = size * OVER
    seen = turn(cloud, up) / scale * 0.46 * side
    radius = max(2.0, 0.0135 * side * (1024 / max(len(cloud), 64)) ** 0.35)
    disc, lift = _stamp(radius)
    x = np.rint(seen[:, 0, None] + side / 2 + disc[:, 0]).astype(np.int64)
    y = np.rint(side / 2 - seen[:, 1, None] - disc[:, 1]).astype(np.int64)
    depth = seen[:, 2, None] + lift
    inside = (x >= 0) & (x < side) & (y >= 0) & (y < side)
    order = np.argsort(depth[inside], kind="stable")  # nearest last: it stays
    pixel = (y * side + x)[inside][order]
    nearest = np.full(side * side, -np.inf)
    nearest[pixel] = depth[inside][order]
    shade = np.broadcast_to(_shading(disc, lift, radius), depth.shape)[inside][order]
    point = np.broadcast_to(np.arange(len(cloud))[:, None], depth.shape)[inside][order]
    image = np.full((side * side, 3), 255.0)
    image[pixel] = color[point] * shade[:, None]
    dark = _dome(nearest.reshape(side, side), radius)
    image = image.reshape(side, side, 3) * dark[:, :, None]
    return image.reshape(size, OVER, size, OVER, 3).mean((1, 3)).clip(0, 255).astype(np.uint8)


def turn(cloud: np.ndarray, up: str) -> np.ndarray:
    """Into the camera's frame: x right, y up, z towards the eye. (N,3) -> (N,3) f64."""
    x, y, z = cloud.astype(np.float64).T
    right, high, near = {"y": (x, y, z), "z": (x, z, -y), "x": (y, x, -z)}[up]
    c, s = np.cos(YAW), np.sin(YAW)
    right, near = c * right + s * near, c * near - s * right
    c, s = np.cos(PITCH), np.sin(PITCH)
    return np.stack([right, c * high - s * near, c * near + s * high], 1)


def _stamp(radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of a sphere: offsets (S,2) and heights above its centre (S,)."""
    r = int(np.ceil(radius))
    dx, dy = (g.ravel() for g in np.meshgrid(np.arange(-r, r + 1), np.arange(-r, r + 1)))
    height = radius**2 - dx**2 - dy**2
    inside = height > 0
    return np.stack([dx, dy], 1)[inside].astype(np.float64), np.sqrt(height[inside])


def _shading(disc: np.ndarray, lift: np.ndarray, radius: float) -> np.ndarray:
    """Lambert's law over the sphere's face, half of it ambient -> (S,)."""
    normal = np.concatenate([disc, lift[:, None]], 1) / radius
    return 0.55 + 0.5 * np.clip(normal @ (LIGHT / np.linalg.norm(LIGHT)), 0, 1)


def _dome(depth: np.ndarray, radius: float) -> np.ndarray:
    """Eye-dome shading: a pixel with nearer neighbours is darker, which shows edges. (h,w) -> (h,w) in 0..1."""
    dark, step = np.zeros_like(depth), max(1, round(radius / 2))
    behind = np.where(np.isfinite(depth), depth, np.nan)
    for dy, dx in ((0, step), (0, -step), (step, 0), (-step, 0)):
        rise = np.roll(depth, (dy, dx), (0, 1)) - behind
        dark += np.clip(np.nan_to_num(rise, nan=0.0, neginf=0.0) / (10 * radius), 0, 1)
    return np.exp(-0.9 * dark)


def ramp(lam: np.ndarray) -> np.ndarray:
    """Colours of shares of parent A: 1 orange, through grey, 0 blue; interpolated in Oklab. (N,) -> (N,3) u8."""
    stops = oklab(np.array([B, MIDDLE, A]) / 255.0)
    at = np.clip(np.asarray(lam, np.float64), 0, 1) * 2
    low = np.minimum(at.astype(np.int64), 1)
    mixed = stops[low] + (stops[low + 1] - stops[low]) * (at - low)[:, None]
    return (_srgb(mixed) * 255).round().clip(0, 255).astype(np.uint8)


def heat(value: np.ndarray) -> np.ndarray:
    """Colours of saliency, 0 dark purple to 1 yellow. (N,) -> (N,3) u8."""
    stops = np.array([(28, 12, 61), (120, 28, 109), (207, 68, 70), (251, 155, 6), (252, 240, 140)], np.float64)
    at = np.clip(np.asarray(value, np.float64), 0, 1) * (len(stops) - 1)
    low = np.minimum(at.astype(np.int64), len(stops) - 2)
    return (stops[low] + (stops[low + 1] - stops[low]) * (at - low)[:, None]).round().astype(np.uint8)


# Oklab (Ottosson, 2020): linear light to cone responses, their cube roots to lightness and two opponent axes.
_CONES = np.array(
    [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
     [0.0883024619, 0.2817188376, 0.6299787005]]
)  # fmt: skip
_LAB = np.array(
    [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
     [0.0259040371, 0.7827717662, -0.8086757660]]
)  # fmt: skip


def oklab(rgb: np.ndarray) -> np.ndarray:
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ _CONES.T) @ _LAB.T


def _srgb(lab: np.ndarray) -> np.ndarray:
    linear = np.clip((lab @ np.linalg.inv(_LAB).T) ** 3 @ np.linalg.inv(_CONES).T, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
