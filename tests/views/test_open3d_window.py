import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_picture_drawing import image_row

from mixcli.checks.selection import Shown
from mixcli.errors import UsageError
from mixcli.views import open3d_window as window
from mixcli.views.cloud_drawing import A, B

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a display")


def row(at: int = 0, parents: bool = True) -> Shown:
    rng = np.random.default_rng(at)
    a, b = rng.normal(size=(2, 64, 3)).astype(np.float32)
    lam = np.linspace(0, 1, 64, dtype=np.float32)
    return Shown(at, "sagemix", a, lam, (0, 1), (0, 1), (0.5, 0.5), ("mug", "car"), (a, b) if parents else ())


def run(program: str, environ: dict[str, str], **arguments) -> subprocess.CompletedProcess:
    """Open3D hangs where something is wrong: only ever in a process of its own, and not for long."""
    kept = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environ = {**kept, "PYTHONPATH": os.pathsep.join(sys.path), **environ}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, **arguments)


@LINUX
def test_no_display_is_refused_in_words():
    for environ in ({}, {"DISPLAY": ""}, {"DISPLAY": "", "WAYLAND_DISPLAY": ""}):
        with pytest.raises(UsageError, match=r"^no display; use -o sheet\.png, -o gallery\.html or --serve$"):
            window.check_display(environ)
    window.check_display({"DISPLAY": ":0"})
    window.check_display({"WAYLAND_DISPLAY": "wayland-0"})


def test_images_are_refused_in_words():
    with pytest.raises(UsageError, match=r"^--gui shows point clouds only; for images use -o .* terminal$"):
        window.show([image_row()])


REFUSED = """
import sys
from mixcli.views import open3d_window as window
from mixcli.errors import UsageError
try:
    window.show([])
except UsageError as e:
    assert "open3d" not in sys.modules and "torch" not in sys.modules
    print(e)
"""


@LINUX
@pytest.mark.parametrize(
    ("environ", "message"),
    [({}, "no display;"), ({"WAYLAND_DISPLAY": "not-there"}, "the display 'not-there' does not")],
)
def test_refused_before_open3d_is_imported(environ, message):
    done = run(REFUSED, environ)
    assert done.stdout.startswith(message), done.stderr


@LINUX
def test_a_display_that_does_not_answer_is_refused():
    if window._connects("libX11.so.6", "XOpenDisplay", "XCloseDisplay", ":4817") is None:
        pytest.skip("no libX11 (Debian package libx11-6)")
    done = run(REFUSED, {"DISPLAY": ":4817"})
    assert done.stdout.startswith("the display ':4817' does not answer;"), done.stderr


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            "ImportError('libEGL.so.1: cannot open shared object file')",
            "apt-get install libegl1 libgl1 libx11-6 libusb",
        ),
        ("OSError('libGL.so.1: cannot open shared object file')", "apt-get install libegl1 libgl1 libx11-6 libusb"),
        ("ModuleNotFoundError(\"No module named 'open3d'\")", "pip install open3d"),
    ],
)
def test_a_failing_import_becomes_one_sentence(tmp_path: Path, error, words):
    (tmp_path / "open3d.py").write_text(f"raise {error}\n")
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from mixcli.views import open3d_window as window
from mixcli.errors import MixError
try:
    window._import()
except MixError as e:
    print(e)
"""
    done = run(program, {})
    assert words in done.stdout and done.stdout.count("\n") == 1, done.stderr


def test_all_but_the_window_works_without_open3d(tmp_path):
    """As on a machine that Open3D has no build for: its import fails, and nobody asks for it."""
    source = Path(__file__).resolve().parents[2] / "sample_data" / "clouds" / "train_files.txt"
    made, folder, sheet, page = (str(tmp_path / name) for name in ("mixed.h5", "mixed", "sheet.png", "page.html"))
    commands = [
        ["pointmixup", "--in", str(source), "--out", made, "--points", "32", "-q"],
        ["inspect", made],
        ["verify", made, "--replay", "2"],
        ["convert", made, folder],
        ["view", folder],
        ["view", made, "-o", sheet],
        ["view", made, "-o", page],
    ]
    lines = [f"main({command!r}, standalone_mode=False)" for command in commands]
    program = "import sys; sys.modules['open3d'] = None\nfrom mixcli.cli.main import main\n" + "\n".join(lines)
    done = run(program, {})
    assert done.returncode == 0, done.stderr
    assert Path(sheet).exists() and Path(page).exists() and len(list(Path(folder).rglob("*.ply"))) == 160


@pytest.mark.parametrize("up", ["x", "y", "z"])
def test_scene(up):
    shown = row()
    points, colors = window.scene(shown, up)
    assert points.shape == colors.shape == (3 * 64, 3) and np.isfinite(points).all()
    along = np.argmax(window.AXES[up][0])
    left, middle, right = points.reshape(3, 64, 3)[:, :, along]
    assert left.max() < middle.max() < right.max() and abs(middle).max() <= 1
    assert (colors[:64] * 255).round().astype(int).tolist() == [list(A)] * 64
    assert (colors[64:128] * 255).round().astype(int).tolist() == [list(B)] * 64


def test_scene_of_a_mix_alone_and_of_damage():
    points, _ = window.scene(row(parents=False), "y")
    assert points.shape == (64, 3) and abs(points).max() == 1
    shown = row(parents=False)
    shown.data[:10], shown.data[10:] = np.nan, 0
    assert window.scene(shown, "y")[0].shape == (54, 3)
    shown.data[:] = np.nan
    assert window.scene(shown, "y")[0].shape == (0, 3)


def test_axes_are_right_handed():
    """Otherwise clouds would be mirrored."""
    for right, high, near in window.AXES.values():
        assert np.array_equal(np.cross(right, high), near)


SHOW = """
import sys
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[1])
from test_open3d_window import row
from mixcli.views import open3d_window as window
class Rows(window._Rows):
    def picture(self, name):
        for _ in range(10):
            self.window.poll_events()
            self.window.update_renderer()
        np.save(Path(sys.argv[2]) / name, np.asarray(self.window.capture_screen_float_buffer(True)))
    def run(self):
        self.turn_to(0)
        self.picture("first.npy")
        self.turn_to(1)
        self.picture("second.npy")
        print("looked", flush=True)
        super().run()
window._Rows = Rows
window.show([row(0), row(1)], "y", lambda text: print(text, flush=True))
"""


@pytest.fixture
def display():
    """A display of no screen."""
    if shutil.which("Xvfb") is None:
        pytest.skip("no Xvfb (Debian package xvfb)")
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x800x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as pipe:
        number = pipe.readline().strip()
    yield f":{number}"
    server.terminate()
    server.wait(20)


@pytest.mark.usefixtures("ctrl_c")
def test_a_window_opens_and_hears_ctrl_c(display, tmp_path):
    loads = run("import open3d", {})
    if loads.returncode != 0:
        pytest.skip(f"Open3D does not load: {loads.stderr.strip().splitlines()[-1]}")
    environ = {**os.environ, "DISPLAY": display, "PYTHONPATH": os.pathsep.join(sys.path)}
    environ.pop("WAYLAND_DISPLAY", None)
    command = [sys.executable, "-c", SHOW, str(Path(__file__).parent), str(tmp_path)]
    with open(tmp_path / "out", "w+") as out:
        process = subprocess.Popen(command, env=environ, stdout=out, stderr=subprocess.STDOUT)
        try:
            for _ in range(600):
                out.seek(0)
                if "looked" in (said := out.read()) or process.poll() is not None:
                    break
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(0.1)
            assert "looked" in said, said
            process.send_signal(signal.SIGINT)
            process.wait(20)
        finally:
            process.kill()
        out.seek(0)
        said = out.read()
    assert "KeyboardInterrupt" in said and "[0] mug 0.50 + car 0.50" in said and "[1] mug" in said
    first, second = (np.load(tmp_path / f"{name}.npy") for name in ("first", "second"))
    assert (first[0, 0] == 1).all(), "the background is white"
    red, _, blue = np.moveaxis(first, 2, 0)
    orange, azure = (red > blue + 0.3).nonzero()[1], (blue > red + 0.3).nonzero()[1]
    assert len(orange) > 500 and len(azure) > 500 and orange.min() < azure.min(), "A stands left of B"
    assert abs(first - second).mean() > 0.01, "another row looks different"
