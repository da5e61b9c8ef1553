"""Rows of a dataset in a window of Open3D, on machines that have a display."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mixcli.errors import MixError, UsageError
from mixcli.text import clean
from mixcli.views.cloud_drawing import ramp
from mixcli.views.picture_drawing import is_picture
from mixcli.views.terminal import caption, shares

if TYPE_CHECKING:
    from mixcli.checks.selection import Shown

INSTEAD = "use -o sheet.png, -o gallery.html or --serve"
PACKAGES = "libegl1 libgl1 libx11-6 libusb-1.0-0"
# World axes to the screen's at rest: right, up, and towards the eye.
AXES = {
    "y": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "z": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    "x": ((0, 1, 0), (1, 0, 0), (0, 0, -1)),
}
NEXT, PREVIOUS = ("N", " "), ("P",)
APART, RADIUS, MOST_SPHERES = 2.1, 0.036, 20_000  # in units of the largest cloud
ZOOM, NARROWER = 0.31, -6  # of the camera; steps of 5 degrees
FRAME = 1 / 60  # seconds


def check_display(environ: Mapping[str, str]) -> None:
    """Refuse a machine without a display, before Open3D is imported: its 0.20 draws off screen there, for ever and
    deaf to Ctrl-C."""
    if sys.platform.startswith("linux") and not (environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")):
        raise UsageError("no display", advice=INSTEAD)


def _check_answers(environ: Mapping[str, str]) -> None:
    """Refuse a display that is named but not there, as after an SSH connection ended: the same trap."""
    if not sys.platform.startswith("linux"):
        return
    x, wayland = environ.get("DISPLAY"), environ.get("WAYLAND_DISPLAY")
    if x and _connects("libX11.so.6", "XOpenDisplay", "XCloseDisplay", x) is not False:
        return
    if wayland and _connects("libwayland-client.so.0", "wl_display_connect", "wl_display_disconnect", wayland):
        return
    raise UsageError(f"the display {clean(x or wayland or '')!r} does not answer", advice=INSTEAD)


def _connects(library: str, connect: str, close: str, name: str) -> bool | None:
    """Whether a display can be reached; None where its library is missing, which the import of Open3D will say."""
    try:
        loaded = ctypes.CDLL(library)
    except OSError:
        return None
    connection, closing = loaded[connect], loaded[close]
    connection.restype, connection.argtypes, closing.argtypes = ctypes.c_void_p, [ctypes.c_char_p], [ctypes.c_void_p]
    display = connection(os.fsencode(name))
    if display:
        closing(display)
    return bool(display)


def show(shown: list[Shown], up: str = "y", note: Callable[[str], None] | None = None) -> None:
    """Parent A, parent B and the mix side by side; n and p go through the rows. Returns when the window is closed.
    `note` gets each row's caption, since the window cannot show text. UsageError for images."""
    if any(is_picture(one.data) for one in shown):
        advice = f"for images {INSTEAD}, or leave it out for the terminal"
        raise UsageError("--gui shows point clouds only", advice=advice)
    check_display(os.environ)
    _check_answers(os.environ)
    open3d = _import()
    viewer = open3d.visualization.VisualizerWithKeyCallback()
    if not viewer.create_window("mixcli view   n: next row, p: previous row, q: close", 1200, 520):
        raise MixError("Open3D could not open a window", advice=INSTEAD)
    try:
        _Rows(open3d, viewer, shown, up, note or (lambda text: None)).run()
    finally:
        viewer.destroy_window()


def _import() -> Any:
    try:
        import open3d
    except ModuleNotFoundError as e:
        advice = f"pip install open3d (Python up to 3.12), or {INSTEAD}"
        raise MixError(f"--gui needs Open3D ({e})", advice=advice) from e
    except (ImportError, OSError) as e:  # a shared library that it links to
        fix = f"it needs system packages, on Debian and Ubuntu: apt-get install {PACKAGES}"
        raise MixError(f"Open3D does not load ({e})", advice=fix) from e
    return open3d


class _Rows:
    """The rows behind Open3D's viewer, one of them in it."""

    def __init__(self, open3d: Any, viewer: Any, shown: list[Shown], up: str, note: Callable[[str], None]):
        self.open3d, self.viewer, self.shown, self.up, self.note = open3d, viewer, shown, up, note
        self.at = 0
        for keys, step in ((NEXT, 1), (PREVIOUS, -1)):
            for key in keys:
                viewer.register_key_callback(ord(key), lambda _, step=step: self.turn_to(self.at + step))

    def run(self) -> None:
        """Until the window is closed. A loop in Python, not the viewer's own, so that Ctrl-C is heard."""
        self.turn_to(0)
        while self.viewer.poll_events():
            self.viewer.update_renderer()
            time.sleep(FRAME)

    def turn_to(self, at: int) -> bool:
        """Show another row; the camera stays where the user has put it."""
        first = at == self.at
        self.at = at % len(self.shown)
        self.viewer.clear_geometries()
        geometry = self._geometry(*scene(self.shown[self.at], self.up))
        self.viewer.add_geometry(geometry, reset_bounding_box=first)
        if first:
            self._look()
        self.note(caption(self.shown[self.at]))
        return True

    def _geometry(self, points: np.ndarray, colors: np.ndarray) -> Any:
        """Shaded spheres, which show the surface; very large clouds as plain points."""
        geometry, vectors = self.open3d.geometry, self.open3d.utility.Vector3dVector
        if len(points) > MOST_SPHERES:
            cloud = geometry.PointCloud(vectors(points))
            cloud.colors = vectors(colors)
            return cloud
        sphere = geometry.TriangleMesh.create_sphere(RADIUS, resolution=4)
        sphere.compute_vertex_normals()
        corners, faces, normals = (np.asarray(v) for v in (sphere.vertices, sphere.triangles, sphere.vertex_normals))
        first = np.arange(len(points))[:, None, None] * len(corners)
        triangles = self.open3d.utility.Vector3iVector((first + faces).reshape(-1, 3))
        mesh = geometry.TriangleMesh(vectors((points[:, None] + corners).reshape(-1, 3)), triangles)
        mesh.vertex_colors = vectors(np.repeat(colors, len(corners), 0))
        mesh.vertex_normals = vectors(np.tile(normals, (len(points), 1)))
        mesh.compute_triangle_normals()  # without them Open3D leaves the light off
        return mesh

    def _look(self) -> None:
        """From the front, a little from the right and above."""
        right, high, near = (np.array(axis, np.float64) for axis in AXES[self.up])
        control = self.viewer.get_view_control()
        control.set_front((near + 0.25 * right + 0.3 * high).tolist())
        control.set_up(high.tolist())
        control.change_field_of_view(NARROWER)  # outer clouds are seen from the same side as the middle one
        control.set_zoom(ZOOM)


def scene(shown: Shown, up: str) -> tuple[np.ndarray, np.ndarray]:
    """All clouds of a row beside each other, from left to right, in units of the largest -> 2 × (n,3) f64."""
    parents = shown.parents[:2] if len(shown.parents) > 1 else ()
    clouds = [c.astype(np.float64) for c in (*parents, shown.data)]
    lam = [*(np.full(len(c), s) for c, s in zip(parents, (1.0, 0.0), strict=False)), shares(shown)]
    finite = [np.isfinite(c).all(1) for c in clouds]
    clouds, lam = ([v[ok] for v, ok in zip(part, finite, strict=True)] for part in (clouds, lam))
    reach = max([float(abs(c).max()) for c in clouds if len(c)] or [0.0]) or 1.0
    right = np.array(AXES[up][0], np.float64)
    placed = [c / reach + (i - (len(clouds) - 1) / 2) * APART * right for i, c in enumerate(clouds)]
    return np.concatenate(placed), ramp(np.nan_to_num(np.concatenate(lam))) / 255
