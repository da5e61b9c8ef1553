import os
import re
import shutil
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import h5py
import numpy as np
import pytest
from test_picture_drawing import image_row, unmixed

from mixcli.checks.selection import Shown
from mixcli.views import terminal
from mixcli.views.cloud_drawing import MIDDLE, A, B

MODES = ("ascii", "blocks256", "blocks24")
ESCAPE = re.compile(r"\x1b\[([0-9;]*)m")
HOSTILE = "mug\x1b[2J\x1b]0;owned\x07\x9b31m\r\n\t\u202egnp\u2066\u200b\ud800"


@pytest.fixture(scope="module")
def clouds(sample: Path) -> np.ndarray:
    with h5py.File(sample / "clouds" / "ply_data_train0.h5") as file:
        return file["data"][:12]


def row(clouds: np.ndarray, lam: float = 0.5, names: tuple[str, str] = ("bottle", "guitar"), at: int = 7) -> Shown:
    share = np.full(len(clouds[1]), lam, np.float32)
    return Shown(at, "sagemix", clouds[1], share, (1, 5), (1, 5), (lam, 1 - lam), names, (clouds[1], clouds[5]))


def decode(text: str) -> list[list[tuple]]:
    """What a terminal would show: for each line (character, foreground, background); None is the default."""
    lines, fore, back = [], None, None
    for line in text.split("\n"):
        cells = []
        for found in re.finditer(r"\x1b\[([0-9;]*)m|(.)", line):
            if found[2]:
                cells.append((found[2], fore, back))
                continue
            codes = [int(c or 0) for c in found[1].split(";")]
            while codes:
                code = codes.pop(0)
                if code == 0:
                    fore = back = None
                elif code in (38, 48):
                    taken = 4 if codes[0] == 2 else 2
                    color, codes = tuple(codes[:taken]), codes[taken:]
                    fore, back = (color, back) if code == 38 else (fore, color)
                elif code in (39, 49):
                    fore, back = (None, back) if code == 39 else (fore, None)
                else:
                    assert code == 1, f"unexpected attribute {code}"
        lines.append(cells)
    assert fore is None and back is None, "attributes are left set"
    return lines


def pixels(text: str, left: int, right: int) -> list[tuple]:
    """Colours of the half blocks in some columns, without titles and legend."""
    found = []
    for line in decode(text)[1:-1]:
        for glyph, fore, back in line[left:right]:
            assert glyph in " ▀▄█"
            found += [c for c in (fore, back) if c]
    return found


def width(line: str) -> int:
    """Independent of the module's own count, and never less than a terminal's."""
    plain = (c for c in ESCAPE.sub("", line) if not unicodedata.combining(c))
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in plain)


@pytest.mark.parametrize(
    ("environ", "isatty", "encoding", "mode"),
    [
        ({"TERM": "xterm-256color"}, True, "utf-8", "blocks256"),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, True, "UTF8", "blocks24"),
        ({"TERM": "xterm-256color", "COLORTERM": "24bit"}, True, "utf-8", "blocks24"),
        ({"TERM": "screen", "TMUX": "/tmp/tmux-0/default,1,0"}, True, "utf-8", "blocks24"),
        ({"TERM": "tmux-256color"}, True, "utf-8", "blocks24"),
        ({"TERM": "screen", "STY": "1.pts", "COLORTERM": "truecolor"}, True, "utf-8", "blocks256"),
        ({"TERM": "screen-256color"}, True, "utf-8", "blocks256"),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, False, "utf-8", "none"),
        ({"TERM": "dumb", "COLORTERM": "truecolor"}, True, "utf-8", "none"),
        ({"TERM": "xterm", "COLORTERM": "truecolor", "NO_COLOR": "1"}, True, "utf-8", "ascii"),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, "utf-8", "blocks256"),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, True, "ANSI_X3.4-1968", "ascii"),
        ({"TERM": "xterm"}, True, "iso-8859-1", "ascii"),
        ({"TERM": "xterm"}, True, None, "ascii"),
        ({"TERM": "xterm"}, True, "no-such-encoding", "ascii"),
        ({}, True, "utf-8", "blocks256"),
    ],
)
def test_mode(environ, isatty, encoding, mode):
    assert terminal.mode(environ, isatty, encoding) == mode


@pytest.mark.parametrize(("lam", "color"), [(1.0, A), (0.0, B), (0.5, MIDDLE)])
def test_colours(clouds, lam, color):
    """A point's colour says its share: the mix's hue is A's at 1, B's at 0, grey between."""
    found = pixels(terminal.preview([row(clouds, lam)], 96, "blocks24"), 64, 96)
    assert len(found) > 100 and all(code[0] == 2 for code in found)
    rgb = np.array([code[1:] for code in found], float)
    direction = rgb / np.linalg.norm(rgb, axis=1, keepdims=True)
    assert (direction @ (np.array(color) / np.linalg.norm(color)) > 0.99).all()
    assert np.abs(np.percentile(rgb, 75, axis=0) - color).max() < 45  # the lit part has the colour itself


@pytest.mark.parametrize(("lam", "lit", "dim"), [(1.0, 166, 130), (0.0, 25, 24), (0.5, 249, 244)])
def test_colours_of_256(clouds, lam, lit, dim):
    found = pixels(terminal.preview([row(clouds, lam)], 96, "blocks256"), 64, 96)
    assert set(found) <= {(5, lit), (5, dim)} and found.count((5, lit)) > len(found) / 2


def test_parents_stand_beside_the_mix(clouds):
    text = terminal.preview([row(clouds)], 96, "blocks24")
    a, b = (np.array([c[1:] for c in pixels(text, left, left + 30)]) for left in (0, 32))
    assert (a[:, 0] > 2 * a[:, 2]).all() and (b[:, 2] > 2 * b[:, 0]).all()
    title = "".join(glyph for glyph, *_ in decode(text)[0])
    assert title.split() == ["A", "bottle", "#1", "B", "guitar", "#5", "[7]", "bottle", "0.50", "+", "guitar", "0.50"]


def test_background_is_the_terminals_own(clouds):
    corner = decode(terminal.preview([row(clouds)], 96, "blocks24"))[1][0]
    assert corner == (" ", None, None)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("names", [("bottle", "guitar"), ("a" * 300, "椅子" * 50), (HOSTILE, "e\u0301" * 90)])
def test_never_wider_than_the_terminal(clouds, mode, names):
    small = clouds[:, :64]
    for columns in (1, 2, 5, 9, 20, 33, 34, 35, 80, 96, 97, 200):
        text = terminal.preview([row(small, 0.3, names), row(small, 0.7)], columns, mode)
        assert max(width(line) for line in text.split("\n")) <= columns
        decode(text)
        assert mode == "ascii" or text.endswith("\x1b[0m")


def test_shares_outlive_long_names(clouds):
    text = terminal.preview([row(clouds, 0.25, ("a" * 90, "b" * 90))], 96, "ascii")
    assert "0.25" in text and "0.75" in text


def test_ascii(clouds):
    text = terminal.preview([row(clouds, names=("tasse à café", "椅子"))], 96, "ascii")
    assert text.isascii() and "\x1b" not in text
    lines = text.split("\n")[1:-1]
    a, b, mix = ("".join(line[left : left + 30] for line in lines) for left in (0, 32, 64))
    round_, straight = set(terminal.ROUND), set(terminal.STRAIGHT)
    assert set(a) - {" "} <= round_ and set(b) - {" "} <= straight
    half = sum(c in round_ for c in mix) / sum(c != " " for c in mix)
    assert 0.4 < half < 0.6


@pytest.mark.parametrize("mode", [*MODES, "none"])
def test_hostile_names_reach_no_terminal(clouds, mode):
    text = terminal.preview([row(clouds, names=(HOSTILE, HOSTILE))], 240, mode)
    plain = ESCAPE.sub("", text)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202e\u2066\ud800]", plain)
    text.encode()
    for found in ESCAPE.finditer(text):  # only what the module itself writes: colours and resets
        assert re.fullmatch(r"0|(0|1)(;[34]8;(2;\d+;\d+;\d+|5;\d+))+", found[1])


def test_clean():
    assert terminal.clean("chaise à bascule 椅子") == "chaise à bascule 椅子"
    assert terminal.clean("a\x00b\x1bc\x7fd\x85e\x9bf\ng\u2028h") == "a?b?c?d?e?f?g?h"


def test_table(clouds):
    original = Shown(90, "original", clouds[0], None, (3,), (2,), (1.0,), ("car",), (clouds[0],))
    source = Shown(4, "source", clouds[0], None, (), (2,), (1.0,), ("椅子",))
    lines = terminal.table([row(clouds, 0.25), original, source]).split("\n")
    assert lines[0].split() == ["row", "method", "classes", "shares", "parents"]
    assert lines[1].split() == ["7", "sagemix", "bottle", "+", "guitar", "0.25", "0.75", "1", "5"]
    assert lines[2].split() == ["90", "original", "car", "1.00", "3"]
    assert lines[3].split() == ["4", "source", "椅子", "1.00", "-"]
    at = [line.index("1.00") for line in lines[2:]]
    assert at[0] - at[1] == 2  # two wide characters: columns still stand below each other


def test_rows_without_parents_share_a_line(clouds):
    sources = [Shown(i, "source", clouds[i], None, (), (i,), (1.0,), (f"class{i}",)) for i in range(4)]
    text = ESCAPE.sub("", terminal.preview(sources, 96, "blocks24"))
    assert [line.split() for line in text.split("\n") if "class" in line] == [
        ["[0]", "class0", "[1]", "class1", "[2]", "class2"],
        ["[3]", "class3"],
    ]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("up", ["x", "y", "z"])
def test_damaged_rows_still_show(clouds, mode, up):
    broken = clouds[0].copy()
    broken[::3] = np.nan
    nothing, huge = np.full_like(broken, np.inf), clouds[0] * np.float32(1e37)
    lam = np.full(len(broken), np.nan, np.float32)
    rows = [
        Shown(0, "sagemix", broken, lam, (0, 1), (0, 1), (np.nan, np.nan), ("", "b"), (nothing, broken)),
        Shown(1, "sagemix", nothing, lam[:5], (0, 1), (0, 1), (), ()),
        Shown(2, "sagemix", huge, None, (0, 1), (0, 1), (2.0, -1.0), ("a", "b"), (huge * 0, nothing)),
    ]
    decode(terminal.preview(rows, 96, mode, up))


def test_images_stand_side_by_side_in_their_own_colours():
    one = image_row()
    text = terminal.preview([one], 104, "blocks24")
    lines = decode(text)
    title = "".join(glyph for glyph, *_ in lines[0]).split()
    assert title == ["A", "chair", "#1", "B", "lamp", "#3", "[7]", "chair", "0.75", "+", "lamp", "0.25"]
    for left, image in zip((0, 35, 70), (*one.parents, one.data), strict=True):
        cells = [line[left : left + 24] for line in lines[1:17]]
        upper = np.array([[fore[1:] for _, fore, _ in line] for line in cells])
        assert np.array_equal(upper, image[::2])
    assert "share of A" not in text, "no legend: the colours are the pictures' own"


@pytest.mark.parametrize("mode", MODES)
def test_images_are_never_wider_than_the_terminal(mode):
    rows = [image_row(1, 200, 90, names=(HOSTILE, "椅子" * 50)), image_row(2, 5, 5), unmixed(3, "original")]
    for columns in (1, 5, 20, 33, 34, 80, 200):
        text = terminal.preview(rows, columns, mode)
        assert max(width(line) for line in text.split("\n")) <= columns
        decode(text)


def test_images_in_a_pipe_are_a_table():
    lines = terminal.preview([image_row(), unmixed(4, "source")], 80, "none").split("\n")
    assert lines[1].split() == ["7", "saliencymix", "chair", "+", "lamp", "0.75", "0.25", "1", "3"]
    assert lines[2].split() == ["4", "source", "chair", "1.00", "-"]


PROGRAM = """
import os, sys, time
import h5py
from mixcli.views import terminal
from mixcli.checks.selection import Shown
with h5py.File(sys.argv[1]) as file:
    a, b = file["data"][1], file["data"][5]
row = Shown(0, "sagemix", a, a[:, 0] * 0 + 1, (1, 5), (1, 5), (1.0, 0.0), ("bottle", "guitar"), (a, b))
mode = terminal.mode(os.environ, sys.stdout.isatty(), sys.stdout.encoding)
sys.stdout.write(terminal.preview([row], 96, mode) + "\\n" + mode + " done\\n")
sys.stdout.flush()
time.sleep(60)
"""


def test_tmux_keeps_the_colours(sample, tmp_path):
    if shutil.which("tmux") is None:
        pytest.skip("no tmux (Debian package tmux)")
    (tmp_path / "show.py").write_text(PROGRAM)
    tmux = ["tmux", "-u", "-f", "/dev/null", "-S", str(tmp_path / "socket")]
    environ = {k: v for k, v in os.environ.items() if k not in ("TMUX", "NO_COLOR", "COLORTERM", "STY")}
    environ |= {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(tmp_path / "show.py"), str(sample / "clouds" / "ply_data_train0.h5")]
    subprocess.run([*tmux, "new-session", "-d", "-x", "100", "-y", "40", *command], env=environ, check=True, timeout=30)
    try:
        text, until = "", time.monotonic() + 60
        while " done" not in text and time.monotonic() < until:
            time.sleep(0.2)
            captured = subprocess.run([*tmux, "capture-pane", "-e", "-p"], capture_output=True, env=environ, timeout=30)
            text = captured.stdout.decode()
    finally:
        subprocess.run([*tmux, "kill-server"], env=environ, timeout=30)
    assert "blocks24 done" in text
    shown = text.split("share of A")[0].rstrip("\n") + "\x1b[0m\n"
    for left, right, color in ((0, 30, A), (32, 62, B), (64, 94, A)):
        rgb = np.array([c[1:] for c in pixels(shown + "\x1b[0m", left, right)], float)
        assert len(rgb) > 100 and np.abs(np.percentile(rgb, 75, axis=0) - color).max() < 45
