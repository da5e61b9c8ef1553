"""Ten parametric object classes, each a handful of primitive surfaces. y is up, z is to the front.

A part is an array of triangles (T,3,3), so moving one is `part + (x, y, z)`, stretching it `part * (x, y, z)`
and turning it `part @ turn(...)`. A class is a function of a random generator that returns a list of parts.
"""

# ruff: noqa: RUF005 (array + tuple is arithmetic here, not concatenation)

from __future__ import annotations

import numpy as np
from numpy.random import Generator

SIDES = 24  # facets of a round part: finer than the spacing of 1024 points


# ---- primitives -------------------------------------------------------------------------------------------


def sheet(grid: np.ndarray) -> np.ndarray:
    """A surface through a (U,V,3) grid of points -> (2(U-1)(V-1),3,3) triangles."""
    a, b, c, d = grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]
    return np.stack([np.stack([a, b, c], 2), np.stack([a, c, d], 2)]).reshape(-1, 3, 3)


def prism(bottom: np.ndarray, top: np.ndarray, hubs: tuple | None = None) -> np.ndarray:
    """A closed solid between two (n,3) outlines; each end is a fan about its hub, or about its mean."""
    first, last = hubs or (bottom.mean(0), top.mean(0))
    loop = np.stack([np.broadcast_to(first, bottom.shape), bottom, top, np.broadcast_to(last, top.shape)])
    return sheet(np.concatenate([loop, loop[:, :1]], 1))


def box(width: float, height: float, depth: float) -> np.ndarray:
    """Centred on the y axis, standing on y = 0."""
    x, z = width / 2, depth / 2
    bottom = np.array([(-x, 0, -z), (x, 0, -z), (x, 0, z), (-x, 0, z)], float)
    return prism(bottom, bottom + (0, height, 0))


def lathe(*profile: tuple[float, float]) -> np.ndarray:
    """The (radius, height) profile turned about the y axis: discs, cylinders, cones, bottles, shades."""
    radius, height = np.array(profile, float).T[:, :, None]
    angle = np.linspace(0, 2 * np.pi, SIDES + 1)
    return sheet(np.stack([radius * np.cos(angle), height + 0 * angle, radius * np.sin(angle)], -1))


def cylinder(radius: float, height: float) -> np.ndarray:
    return lathe((0, 0), (radius, 0), (radius, height), (0, height))


def tube(path: np.ndarray, radius: float) -> np.ndarray:
    """An open pipe along a (n,3) path."""
    path = np.asarray(path, float)
    along = np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    # Any vector parallel to no segment gives a frame; for paths in a coordinate plane an oblique one does.
    across = np.cross(along, (0.31, 0.27, 0.91))
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    angle = np.linspace(0, 2 * np.pi, 9)[:, None]
    ring = np.cos(angle) * across[:, None] + np.sin(angle) * np.cross(along, across)[:, None]
    return sheet(path[:, None] + radius * ring)


def rod(start: tuple, end: tuple, radius: float) -> np.ndarray:
    return tube(np.linspace(start, end, 2), radius)


def wing(span: float, root: float, tip: float, sweep: float, rise: float) -> np.ndarray:
    """A thin tapered half-wing over x = 0..span; chords run along z, the tip lies `sweep` further back."""

    def outline(x: float, y: float, z: float, chord: float) -> np.ndarray:
        thick = 0.05 * chord
        return np.array([(x, y - thick, z), (x, y + thick, z), (x, y, z - chord)])

    return prism(outline(0, 0, 0, root), outline(span, rise, -sweep, tip))


def extrude(outline: np.ndarray, depth: float) -> np.ndarray:
    """An (n,2) outline in x and y, star-shaped about the origin, made `depth` thick along z."""
    flat, half = np.pad(np.asarray(outline, float), ((0, 0), (0, 1))), np.array([0, 0, depth / 2])
    return prism(flat - half, flat + half, (-half, half))


def ribbon(profile: list[tuple[float, float]], width: float) -> np.ndarray:
    """A (z, y) profile, open or closed, drawn out along x; the ends stay open."""
    line = np.pad(np.array(profile, float)[:, ::-1], ((0, 0), (1, 0)))
    return sheet(np.stack([line - (width / 2, 0, 0), line + (width / 2, 0, 0)]))


def turn(axis: str, degrees: float) -> np.ndarray:
    """A rotation to apply on the right: `part @ turn("y", 30)`."""
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    matrix[[i, i, j, j], [i, j, i, j]] = c, s, -s, c
    return matrix


MIRROR = np.array([-1.0, 1.0, 1.0])


def both(part: np.ndarray) -> list[np.ndarray]:
    """A part and its mirror image, left and right."""
    return [part, part * MIRROR]


def corners(part: np.ndarray, x: float, z: float) -> list[np.ndarray]:
    """The same part at the four corners, mirrored so that a splayed leg splays outwards."""
    return [(part + (x, 0, z)) * (i, 1, k) for i in (1, -1) for k in (1, -1)]


# ---- classes ----------------------------------------------------------------------------------------------


def airplane(r: Generator) -> list[np.ndarray]:
    girth, span, sweep = r.uniform(0.09, 0.15), r.uniform(0.7, 1.15), r.uniform(0.0, 0.6)
    low = -girth * r.choice([0.5, -0.6])
    body = lathe((0, -1), (girth * 0.35, -0.9), (girth, -0.3), (girth, 0.6), (girth * 0.7, 0.85), (0, 1))
    fin_height = r.uniform(0.28, 0.42)
    tail_y = fin_height if r.random() < 0.3 else girth * 0.4
    tail_span = span * r.uniform(0.3, 0.45)
    root = r.uniform(0.35, 0.55)
    parts = [body @ turn("x", 90)]
    parts += both(wing(span, root, root * r.uniform(0.25, 0.8), sweep, r.uniform(0, 0.12)) + (0, low, 0.3))
    parts += both(wing(tail_span, 0.25, 0.15, sweep * 0.4, 0.02) + (0, tail_y, -0.75))
    parts.append(wing(fin_height, 0.3, 0.18, 0.15, 0) @ turn("z", 90) + (0, 0, -0.68))
    engine = cylinder(girth * 0.45, 0.26) @ turn("x", 90) + (0, low - girth * 0.45, 0.15)
    for at in (0.35, 0.62)[: r.integers(0, 3)]:
        parts += both(engine + (span * at, 0, -sweep * at))
    return parts


def bottle(r: Generator) -> list[np.ndarray]:
    radius, shoulder, neck = r.uniform(0.2, 0.42), r.uniform(0.75, 1.25), r.uniform(0.07, 0.13)
    slope, top = r.uniform(0.1, 0.4), shoulder + r.uniform(0.5, 0.8)
    waist = radius * r.choice([1.0, r.uniform(0.75, 0.95)])
    body = lathe(
        (0, 0),
        (radius, 0),
        (waist, shoulder * 0.5),
        (radius, shoulder),
        (radius * 0.75, shoulder + slope * 0.5),
        (neck, shoulder + slope),
        (neck, top),
        (0, top),
    )
    flat = (1, 1, r.choice([1.0, r.uniform(0.55, 0.9)]))
    cap = cylinder(neck * r.uniform(1.2, 1.7), r.uniform(0.08, 0.18)) + (0, top - 0.05, 0)
    return [body * flat, cap]


def car(r: Generator) -> list[np.ndarray]:
    """A side profile, nose towards +x until the last line; its rear runs from pickup over saloon to van."""
    height, bonnet, width = r.uniform(0.55, 0.78), r.uniform(0.32, 0.4), r.uniform(0.7, 0.9)
    front, rear, boot = r.uniform(0.35, 0.7), r.uniform(-0.98, -0.3), bonnet * r.uniform(0.95, 1.1)
    roof_front, roof_rear = front - r.uniform(0.2, 0.4), max(rear + r.uniform(0.02, 0.3), -0.95)
    hub = np.array([0.0, 0.25])
    outline = [
        (-1, 0.1),
        (1, 0.1),
        (1, bonnet * 0.8),
        (0.95, bonnet),
        (front, bonnet),
        (roof_front, height),
        (roof_rear, height),
        (rear, boot),
        (-1, boot),
    ]
    body = extrude(outline - hub, width)
    body = body + (*hub, 0)
    lean = r.uniform(0.7, 0.9)  # of the windows, inwards
    body[..., 2] *= np.interp(body[..., 1], [bonnet, height], [1, lean])
    radius = r.uniform(0.18, 0.25)
    wheel = cylinder(radius, 0.12) @ turn("x", 90) + (r.uniform(0.55, 0.68), 0.06, width / 2 - 0.05)
    parts = [body, *corners(wheel, 0, 0)]
    if r.random() < 0.25:  # a spoiler
        parts.append(box(0.1, 0.03, width) + (-0.97, boot + 0.12, 0))
        parts += [box(0.05, 0.12, 0.04) + (-0.97, boot, z) for z in (-width * 0.3, width * 0.3)]
    return [part @ turn("y", -90) for part in parts]


def chair(r: Generator) -> list[np.ndarray]:
    width, depth, seat = r.uniform(0.5, 0.75), r.uniform(0.5, 0.7), r.uniform(0.4, 0.65)
    parts = [box(width, r.uniform(0.05, 0.12), depth) + (0, seat, 0)]
    parts += chair_back(r, width, r.uniform(0.5, 0.85), (0, seat, 0.05 - depth / 2))
    parts += legs(r, width, depth, seat) if r.random() < 0.7 else swivel(r, width * 0.55, seat)
    if r.random() < 0.45:
        arm = seat + r.uniform(0.2, 0.3)
        parts += both(box(0.07, 0.05, depth * 0.9) + (width / 2, arm, 0))
        parts += both(rod((width / 2, seat, depth * 0.35), (width / 2, arm, depth * 0.35), 0.03))
    return parts


def chair_back(r: Generator, width: float, height: float, at: tuple) -> list[np.ndarray]:
    """A panel, or two posts with slats between them; leaning back by a few degrees."""
    if r.random() < 0.5:
        parts = [box(width * r.uniform(0.85, 1), height, 0.06)]
    else:
        slats = r.integers(2, 5)
        parts = both(rod((width * 0.45, 0, 0), (width * 0.45, height, 0), 0.035))
        parts += [box(width * 0.9, 0.1, 0.04) + (0, y - 0.1, 0) for y in np.linspace(height, 0.3, slats)]
    return [part @ turn("x", -r.uniform(0, 12)) + at for part in parts]


def legs(r: Generator, width: float, depth: float, height: float, thick: float = 0.035) -> list[np.ndarray]:
    """Four legs, straight or splayed, some with stretchers between left and right."""
    splay = r.choice([0.0, r.uniform(0.02, 0.12)])
    x, z = width / 2 - thick, depth / 2 - thick
    parts = corners(rod((splay, 0, splay), (0, height, 0), thick), x, z)
    if r.random() < 0.25:
        parts += [rod((-x, height * 0.35, k * z), (x, height * 0.35, k * z), thick * 0.7) for k in (1, -1)]
    return parts


def swivel(r: Generator, reach: float, height: float) -> list[np.ndarray]:
    """A column on a star of four or five feet."""
    feet = r.integers(4, 6)
    star = [rod((0, 0.06, 0), (reach, 0.02, 0), 0.035) @ turn("y", 360 * i / feet) for i in range(feet)]
    return [rod((0, 0.05, 0), (0, height, 0), 0.05), *star]


def cup(r: Generator) -> list[np.ndarray]:
    top, height, wall = r.uniform(0.38, 0.6), r.uniform(0.6, 1.15), 0.04
    foot = top * r.uniform(0.55, 1.0)
    belly = max(top, foot) * r.uniform(0.9, 1.1)
    parts = [
        lathe(
            (0, 0),
            (foot, 0),
            (belly, height * 0.45),
            (top, height),
            (top - wall, height),
            (belly - wall, height * 0.45),
            (foot - wall, wall),
            (0, wall),
        )
    ]
    angle = np.linspace(-0.55, 0.55, 13) * np.pi
    reach, tall = r.uniform(0.2, 0.38), height * r.uniform(0.25, 0.36)
    ear = np.stack([reach * np.cos(angle), tall * np.sin(angle), 0 * angle], 1)
    side = r.choice([0, 180]) + r.uniform(-20, 20)
    parts.append((tube(ear, r.uniform(0.04, 0.07)) + (belly * 0.95, height * 0.5, 0)) @ turn("y", side))
    if r.random() < 0.25:
        parts.append(lathe((0, 0), (foot, 0), (foot + r.uniform(0.3, 0.45), 0.1)) - (0, 0.03, 0))
    return parts


def guitar(r: Generator) -> list[np.ndarray]:
    """Upright, its face to the front; the outline is a figure of eight, the upper lobe the smaller."""
    angle = np.linspace(0, 2 * np.pi, 65)[:-1]
    waist, upper = r.uniform(0.3, 0.5), r.uniform(0.1, 0.26)
    radius = 0.48 * (1 - waist * np.cos(angle) ** 8) * (1 - upper * np.sin(angle))
    outline = np.stack([radius * np.cos(angle) * r.uniform(0.9, 1.1), radius * np.sin(angle)], 1)
    if r.random() < 0.4:  # a cutaway beside the neck
        bite = (angle > 0.15 * np.pi) & (angle < 0.42 * np.pi)
        outline[bite] *= r.uniform(0.6, 0.8)
    outline[:, 0] *= r.choice([-1, 1])
    depth, neck, length = r.uniform(0.06, 0.26), r.uniform(0.09, 0.14), r.uniform(0.75, 1.05)
    face = depth / 2
    parts = [extrude(outline, depth), box(neck, length, 0.06) + (0, 0.25, face)]
    head = box(neck * r.uniform(1.5, 2.0), r.uniform(0.2, 0.28), 0.05)
    parts.append(head + (0, 0.22 + length, face - 0.02))
    parts.append(box(0.26, 0.05, 0.04) + (0, -0.22, face))
    lean = turn("x", -r.uniform(0, 15))
    return [part @ lean for part in parts]


def lamp(r: Generator) -> list[np.ndarray]:
    """A shade on a column, straight or bent over; from a table lamp to a floor lamp."""
    height, foot, wide = r.uniform(0.5, 1.7), r.uniform(0.2, 0.36), r.uniform(0.28, 0.5)
    tall, narrow = r.uniform(0.3, 0.5), wide * r.uniform(0.35, 0.9)
    shade = lathe((wide, -tall * 0.7), (narrow, tall * 0.3))
    parts = [lathe((0, 0), (foot, 0), (foot, 0.05), (0.05, 0.1))]
    if r.random() < 0.3:
        angle = np.linspace(np.pi, 0.1 * np.pi, 12)
        reach = r.uniform(0.2, 0.35)
        arc = np.stack([reach + reach * np.cos(angle), height + reach * np.sin(angle), 0 * angle], 1)
        path = np.concatenate([[(0, 0, 0)], arc]) @ turn("y", r.choice([0, 180]))
        return [*parts, tube(path, 0.03), shade @ turn("z", r.uniform(-25, 25)) * 0.8 + path[-1]]
    belly = r.choice([0.03, r.uniform(0.08, 0.2)])
    column = lathe((0.03, 0), (belly, height * 0.35), (0.03, height * 0.7), (0.03, height))
    return [*parts, column, shade + (0, height, 0)]


def monitor(r: Generator) -> list[np.ndarray]:
    width, height, depth = r.uniform(1.0, 1.7), r.uniform(0.65, 0.95), r.uniform(0.05, 0.14)
    stand = r.uniform(0.15, 0.4)
    glass = box(width * 0.92, height * 0.86, 0.01)
    screen = [box(width, height, depth), glass + (0, height * 0.07, depth / 2)]
    if r.random() < 0.5:  # the bulge of the electronics behind the panel
        bulge = box(width * r.uniform(0.35, 0.7), height * 0.5, 0.16)
        screen.append(bulge + (0, height * 0.2, -depth / 2 - 0.08))
    tilt = turn("x", -r.uniform(-3, 12))
    parts = [part @ tilt + (0, stand, 0) for part in screen]
    if r.random() < 0.25:  # two forked feet in place of a stand
        top = (width * 0.3, stand + 0.05, 0)
        feet = [rod((width * 0.35, 0, z), top, 0.03) for z in (0.25, -0.25)]
        return parts + both(feet[0]) + both(feet[1])
    parts.append(box(r.uniform(0.1, 0.35), stand + height * 0.3, 0.06) + (0, 0, -depth / 2 - 0.05))
    spread = r.uniform(0.35, 0.7)
    round_base = cylinder(spread / 1.7, 0.04) * (1.2, 1, 0.8)
    return [*parts, round_base if r.random() < 0.5 else box(spread, 0.04, spread * 0.6)]


def sofa(r: Generator) -> list[np.ndarray]:
    """Apron, cushions and back are open ribbons: hidden faces would take points from those that show."""
    depth, seat, thick = r.uniform(0.75, 0.95), r.uniform(0.28, 0.38), r.uniform(0.14, 0.24)
    pitch, lean, back = r.uniform(0.55, 0.75), r.uniform(0, 0.12), seat + r.uniform(0.45, 0.7)
    cushions, front, rear = r.integers(1, 4), depth / 2, -depth / 2
    width, hinge = cushions * pitch, rear + thick
    xs = (np.arange(cushions) - (cushions - 1) / 2) * pitch
    parts = [ribbon([(front - 0.04, 0), (front - 0.04, seat - 0.1)], width)]
    parts.append(ribbon([(hinge, seat), (hinge - lean, back), (rear - lean, back), (rear, 0)], width))
    cushion = ribbon([(front, seat - 0.1), (front, seat), (hinge, seat)], pitch * 0.92)
    parts += [cushion + (x, 0, 0) for x in xs]
    if r.random() < 0.3:  # loose cushions against the back
        parts += [box(pitch * 0.85, 0.32, 0.1) @ turn("x", -10) + (x, seat, hinge + 0.08) for x in xs]
    arm = box(thick, seat + r.uniform(0.16, 0.3), depth * r.uniform(0.85, 1))
    parts += both(arm + ((width + thick) / 2, 0, 0))
    if r.random() < 0.2:  # the long seat of a corner sofa
        parts.append(box(pitch * 0.92, seat, 0.5) + (xs[r.choice([0, -1])], 0, front + 0.25))
    foot = cylinder(0.05, r.uniform(0.1, 0.18)) * (1, -1, 1)
    return parts + corners(foot, width / 2 + thick / 2, depth / 2 - 0.1)


def table(r: Generator) -> list[np.ndarray]:
    width, depth, height = r.uniform(0.9, 1.8), r.uniform(0.7, 1.0), r.uniform(0.4, 0.85)
    thick, round_top = r.uniform(0.04, 0.09), r.random() < 0.35
    if round_top:
        top = cylinder(0.5, thick) * (width, 1, r.choice([depth, width]))
        width, depth = width * 0.7, depth * 0.7
    else:
        top = box(width, thick, depth)
    parts = [top + (0, height, 0)]
    if r.random() < (0.5 if round_top else 0.12):
        return parts + swivel(r, depth * 0.45, height)
    parts += legs(r, width, depth, height, r.uniform(0.03, 0.06))
    extra = r.random()
    if extra < 0.2:  # a shelf between the legs
        parts.append(box(width * 0.92, 0.04, depth * 0.92) + (0, height * r.uniform(0.25, 0.4), 0))
    elif extra < 0.4:  # a chest of drawers under one end
        chest = box(width * 0.3, height * 0.7, depth * 0.9)
        parts.append(chest + (width * 0.3 * r.choice([-1, 1]), height * 0.3, 0))
    return parts


SHAPES = {f.__name__: f for f in (airplane, bottle, car, chair, cup, guitar, lamp, monitor, sofa, table)}
